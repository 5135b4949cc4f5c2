//! Lower and lower capacities for the exact search, several orders taking turns.

use super::exact::{Fit, Key, Order, Outcome};
use super::sections::Sections;

/// Orders that take turns. None is best for every input, and a search that is lucky ends thousands of times earlier.
const ORDERS: [Order; 3] = [
    [Key::Total, Key::Width, Key::Area],
    [Key::Total, Key::Area, Key::Width],
    [Key::Width, Key::Area, Key::Total],
];

/// A search gets this often the square of the number of blocks as its effort, at first.
const FIRST_EFFORT: u64 = 8;

/// Searches between the lower bound and the best peak get this part of what those at the lower bound get.
const BETWEEN: u64 = 4;

/// A layout found: the first byte of each lifetime, in the order given, and the largest end.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) offsets: Vec<u64>,
    pub(super) peak: u64,
}

/// The state of one descent.
#[derive(Debug)]
pub(super) struct Descent<'a> {
    sections: &'a Sections,
    /// Lifetimes given.
    count: usize,
    /// No capacity below this one is enough.
    least: u64,
    /// The lowest peak known.
    peak: u64,
    found: Option<Found>,
    work: u64,
    limit: u64,
}

impl<'a> Descent<'a> {
    /// A descent from `peak`, which is known to be enough, towards `lower_bound`, for `count` lifetimes.
    pub(super) const fn new(sections: &'a Sections, count: usize, lower_bound: u64, peak: u64) -> Self {
        Self {
            sections,
            count,
            least: lower_bound,
            peak,
            found: None,
            work: 0,
            limit: 0,
        }
    }

    /// The best layout found, if one is better than the peak given, and the effort spent.
    pub(super) fn run(mut self, limit: u64) -> (Option<Found>, u64) {
        self.limit = limit;
        let blocks = self.sections.blocks.len() as u64;
        let mut effort = FIRST_EFFORT * blocks * blocks;
        while self.least < self.peak && self.work < limit {
            self.round(effort);
            effort = effort.saturating_mul(2);
        }
        (self.found, self.work)
    }

    /// The least capacity that may be enough, then halves of what lies between it and the best peak.
    fn round(&mut self, effort: u64) {
        if self.attempt(self.least, effort) == Outcome::Fits {
            return;
        }
        let mut low = self.least;
        while self.peak > low.saturating_add(self.sections.unit) && self.work < self.limit {
            let units = (self.peak - low) / self.sections.unit;
            let middle = low + units / 2 * self.sections.unit;
            if self.attempt(middle, effort / BETWEEN) != Outcome::Fits {
                low = middle.max(self.least);
            }
        }
    }

    /// Whether everything fits into `capacity`, as far as `effort` in each order can tell.
    fn attempt(&mut self, capacity: u64, effort: u64) -> Outcome {
        for order in ORDERS {
            let mut fit = Fit::new(self.sections, order, capacity);
            let outcome = fit.run(effort.min(self.limit.saturating_sub(self.work)));
            // Setting up costs too, so that a descent ends even where searches end at once.
            self.work = self
                .work
                .saturating_add(fit.work())
                .saturating_add(self.sections.blocks.len() as u64);
            match outcome {
                Outcome::Fits => self.take(&fit),
                Outcome::TooSmall => self.least = capacity.saturating_add(self.sections.unit),
                Outcome::Unknown => continue,
            }
            return outcome;
        }
        Outcome::Unknown
    }

    fn take(&mut self, fit: &Fit<'_>) {
        let mut offsets = vec![0; self.count];
        let mut peak = 0;
        for (at, block) in self.sections.blocks.iter().enumerate() {
            offsets[block.index] = fit.offset(at);
            peak = peak.max(fit.offset(at) + block.size);
        }
        if peak < self.peak {
            self.peak = peak;
            self.found = Some(Found { offsets, peak });
        }
    }
}
