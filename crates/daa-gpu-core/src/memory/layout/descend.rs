//! Lower and lower capacities for the exact search, several orders taking turns.

use super::exact::{Fit, Key, Order, Outcome};
use super::sections::Sections;
use super::watch::Watch;

/// Orders that take turns. None is best for every input, and a search that is lucky ends thousands of times earlier.
const ORDERS: [Order; 3] = [
    [Key::Total, Key::Width, Key::Area],
    [Key::Total, Key::Area, Key::Width],
    [Key::Width, Key::Area, Key::Total],
];

/// A search gets this often the square of the number of blocks as its effort, at first.
const FIRST_EFFORT: u64 = 8;

/// Searches between the lower bound and the best peak get this part of what those at the lower bound get.
const BETWEEN: u64 = 8;

/// What the effort grows by from round to round.
const GROWTH: u64 = 4;

/// How often a round halves what lies between the lower bound and the best peak.
const HALVINGS: u32 = 10;

/// What came of a descent.
#[derive(Debug)]
pub(super) struct Descended {
    /// The first byte of each lifetime, in the order given, where a layout better than the one known was found.
    pub(super) offsets: Option<Vec<u64>>,
    /// No arena can be smaller: at least the lower bound, and the best peak where that is proven to be least.
    pub(super) least: u64,
    /// Effort spent.
    pub(super) work: u64,
}

/// The state of one descent.
#[derive(Debug)]
pub(super) struct Descent<'a, 'w> {
    sections: &'a Sections,
    /// Lifetimes given.
    count: usize,
    /// No capacity below this one is enough.
    least: u64,
    /// The lowest peak known.
    peak: u64,
    offsets: Option<Vec<u64>>,
    work: u64,
    limit: u64,
    watch: &'a Watch<'w>,
}

impl<'a, 'w> Descent<'a, 'w> {
    /// A descent from `peak`, which is known to be enough, towards `least`, for `count` lifetimes.
    pub(super) const fn new(
        sections: &'a Sections,
        count: usize,
        (least, peak): (u64, u64),
        watch: &'a Watch<'w>,
    ) -> Self {
        Self {
            sections,
            count,
            least,
            peak,
            offsets: None,
            work: 0,
            limit: 0,
            watch,
        }
    }

    /// Descends until the least peak is found, or about `limit` is spent.
    pub(super) fn run(mut self, limit: u64) -> Descended {
        self.limit = limit;
        let blocks = self.sections.blocks.len() as u64;
        let first = FIRST_EFFORT * blocks * blocks;
        let mut effort = first;
        while self.least < self.peak && self.work < limit && !self.watch.is_over() {
            self.round(effort, first.max(effort / BETWEEN));
            effort = effort.saturating_mul(GROWTH);
        }
        Descended {
            offsets: self.offsets,
            least: self.least.min(self.peak),
            work: self.work,
        }
    }

    /// The least capacity that may be enough, then some between it and the best peak.
    fn round(&mut self, effort: u64, between: u64) {
        if self.attempt(self.least, effort) == Outcome::Fits {
            return;
        }
        let mut low = self.least;
        for _ in 0..HALVINGS {
            let units = self.peak.saturating_sub(low) / self.sections.unit;
            let middle = low + units / 2 * self.sections.unit;
            if units < 2 || self.work >= self.limit || self.watch.is_over() {
                return;
            }
            if self.attempt(middle, between) != Outcome::Fits {
                low = middle.max(self.least);
            }
        }
    }

    /// Whether everything fits into `capacity`, as far as `effort` in each order can tell.
    fn attempt(&mut self, capacity: u64, effort: u64) -> Outcome {
        for order in ORDERS {
            let mut fit = Fit::new(self.sections, order, capacity, self.watch);
            let outcome = fit.run(effort.min(self.limit.saturating_sub(self.work)));
            // Setting up costs too, so that a descent ends even where searches end at once.
            let setup = self.sections.memberships() as u64;
            self.watch.spent(setup);
            self.work = self.work.saturating_add(fit.work()).saturating_add(setup);
            match outcome {
                Outcome::Fits => self.take(&fit),
                Outcome::TooSmall => self.least = capacity.saturating_add(self.sections.unit),
                Outcome::Unknown => continue,
            }
            return outcome;
        }
        Outcome::Unknown
    }

    fn take(&mut self, fit: &Fit<'_, '_>) {
        let mut offsets = vec![0; self.count];
        let mut peak = 0;
        for (at, block) in self.sections.blocks.iter().enumerate() {
            offsets[block.index] = fit.offset(at);
            peak = peak.max(fit.offset(at) + block.size);
        }
        if peak < self.peak {
            self.peak = peak;
            self.watch.found(peak);
            self.offsets = Some(offsets);
        }
    }
}
