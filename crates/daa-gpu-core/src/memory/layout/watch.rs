//! Telling how far a search is, and ending it early.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::ControlFlow;

/// Comparisons from one report to the next: a few milliseconds.
const STEP: u64 = 1 << 21;

/// How far a search is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Comparisons spent.
    pub work: u64,
    /// What may be spent, nearly.
    pub effort: u64,
    /// The lowest peak so far; `None` before the first layout.
    pub peak: Option<u64>,
    /// What no layout can beat.
    pub lower_bound: u64,
}

/// Who watches.
type Ask<'w> = dyn FnMut(&Progress) -> ControlFlow<()> + 'w;

/// Asks whoever watches from time to time. The parts of one search share it.
pub(super) struct Watch<'w> {
    ask: RefCell<&'w mut Ask<'w>>,
    effort: u64,
    lower_bound: u64,
    peak: Cell<Option<u64>>,
    work: Cell<u64>,
    next: Cell<u64>,
    is_over: Cell<bool>,
}

impl fmt::Debug for Watch<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let work = &self.work.get();
        formatter
            .debug_struct("Watch")
            .field("work", work)
            .finish_non_exhaustive()
    }
}

impl<'w> Watch<'w> {
    pub(super) fn new(effort: u64, lower_bound: u64, ask: &'w mut Ask<'w>) -> Self {
        Self {
            ask: RefCell::new(ask),
            effort,
            lower_bound,
            peak: Cell::new(None),
            work: Cell::new(0),
            next: Cell::new(STEP),
            is_over: Cell::new(false),
        }
    }

    /// A layout was found.
    pub(super) fn found(&self, peak: u64) {
        self.peak
            .set(Some(self.peak.get().map_or(peak, |best| best.min(peak))));
    }

    /// `more` comparisons were made. True: end the search.
    #[inline]
    pub(super) fn spent(&self, more: u64) -> bool {
        self.work.set(self.work.get().saturating_add(more));
        if self.work.get() >= self.next.get() {
            self.ask();
        }
        self.is_over.get()
    }

    pub(super) const fn is_over(&self) -> bool {
        self.is_over.get()
    }

    #[cold]
    fn ask(&self) {
        let work = self.work.get();
        self.next.set(work.saturating_add(STEP));
        let progress = Progress {
            work,
            effort: self.effort,
            peak: self.peak.get(),
            lower_bound: self.lower_bound,
        };
        if (self.ask.borrow_mut())(&progress).is_break() {
            self.is_over.set(true);
        }
    }
}
