//! Draws in integers.

use daa_base::Rng;
use std::ops::RangeInclusive;

/// What the simulation draws.
pub(super) trait Draw {
    /// True in so many of a thousand cases.
    fn chance(&mut self, permille: u32) -> bool;
    /// Uniform in the range.
    fn within(&mut self, range: RangeInclusive<u64>) -> u64;
    /// One of these.
    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T>;
}

impl Draw for Rng {
    fn chance(&mut self, permille: u32) -> bool {
        permille > 0 && self.below(1000) < permille as usize
    }

    fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        let width = high.saturating_sub(low).saturating_add(1);
        low + self.below(width as usize) as u64
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        (!from.is_empty()).then(|| &from[self.below(from.len())])
    }
}
