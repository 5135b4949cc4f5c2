//! Quantiles of small sorted samples, their inverse, and windows that slide.

use std::collections::VecDeque;

/// How steeply the quantile function goes on beyond its largest sample, in spreads per unit of level: a method that
/// keeps missing must be able to rise beyond all that it has seen.
const BEYOND: f64 = 2.0;

/// The quantile of `sorted` at `level`, 0 and up. Levels above `n / (n + 1)` go on beyond the largest sample. Samples
/// count as in conformal prediction: the largest of n covers a new one with probability n / (n + 1). Of no samples: 0.
pub(super) fn quantile(sorted: &[f64], level: f64) -> f64 {
    let (Some(&least), Some(&most)) = (sorted.first(), sorted.last()) else {
        return 0.0;
    };
    let count = sorted.len() as f64;
    let position = level * (count + 1.0) - 1.0;
    if position <= 0.0 {
        return least;
    }
    let last = count - 1.0;
    if position >= last {
        return most + (position - last) / (count + 1.0) * BEYOND * (most - least);
    }
    let at = position.floor();
    let below = sorted[at as usize];
    let above = sorted[at as usize + 1];
    below + (position - at) * (above - below)
}

/// The least level at which [`quantile`] is at least `value`; infinite if there is none.
pub(super) fn level_of(sorted: &[f64], value: f64) -> f64 {
    let (Some(&least), Some(&most)) = (sorted.first(), sorted.last()) else {
        return if value <= 0.0 { 0.0 } else { f64::INFINITY };
    };
    if value <= least {
        return 0.0;
    }
    let count = sorted.len() as f64;
    if value > most {
        let spread = most - least;
        if spread <= 0.0 {
            return f64::INFINITY;
        }
        return (value - most) / (spread * BEYOND) + count / (count + 1.0);
    }
    // The first sample at or above the value; it is not the first of all.
    let at = sorted.partition_point(|&sample| sample < value);
    let (below, above) = (sorted[at - 1], sorted[at]);
    let within = (value - below) / (above - below);
    (at as f64 - 1.0 + within + 1.0) / (count + 1.0)
}

/// Samples sorted, of which the newest `room` are kept.
#[derive(Debug, Clone)]
pub(super) struct SortedWindow {
    room: usize,
    order: VecDeque<f64>,
    sorted: Vec<f64>,
}

impl SortedWindow {
    pub(super) fn new(room: usize) -> Self {
        Self {
            room: room.max(1),
            order: VecDeque::new(),
            sorted: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, value: f64) {
        if self.order.len() == self.room
            && let Some(old) = self.order.pop_front()
        {
            let at = self.sorted.partition_point(|sample| *sample < old);
            self.sorted.remove(at);
        }
        self.order.push_back(value);
        let at = self.sorted.partition_point(|sample| *sample < value);
        self.sorted.insert(at, value);
    }

    pub(super) fn sorted(&self) -> &[f64] {
        &self.sorted
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }
}

/// The largest of the last `room` values.
#[derive(Debug, Clone)]
pub(super) struct SlidingMax {
    room: usize,
    seen: usize,
    /// Values that may still be the largest, falling, with their places.
    falling: VecDeque<(usize, f64)>,
}

impl SlidingMax {
    pub(super) fn new(room: usize) -> Self {
        Self {
            room: room.max(1),
            seen: 0,
            falling: VecDeque::new(),
        }
    }

    /// The largest of the last values, this one among them.
    pub(super) fn push(&mut self, value: f64) -> f64 {
        while self.falling.back().is_some_and(|&(_, last)| last <= value) {
            self.falling.pop_back();
        }
        self.falling.push_back((self.seen, value));
        self.seen += 1;
        if self
            .falling
            .front()
            .is_some_and(|&(at, _)| at + self.room < self.seen)
        {
            self.falling.pop_front();
        }
        self.falling.front().map_or(value, |&(_, largest)| largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_nineteen_samples_the_largest_covers_nineteen_in_twenty() {
        let sorted: Vec<f64> = (1..=19).map(f64::from).collect();
        assert!((quantile(&sorted, 0.95) - 19.0).abs() < 1e-9);
        assert!((quantile(&sorted, 0.5) - 10.0).abs() < 1e-9);
        assert!(quantile(&sorted, 1.0) > 19.0);
        assert_eq!((quantile(&[], 0.9), quantile(&[3.0], 0.9)), (0.0, 3.0));
    }

    proptest! {
        #[test]
        fn levels_and_quantiles_are_inverse(
            mut samples in prop::collection::vec(-50_i32..50, 1..40),
            value in -60_i32..80,
        ) {
            samples.sort_unstable();
            let sorted: Vec<f64> = samples.into_iter().map(f64::from).collect();
            let value = f64::from(value);
            let level = level_of(&sorted, value);
            if level.is_finite() {
                prop_assert!(quantile(&sorted, level) >= value - 1e-9);
                if level > 0.0 {
                    prop_assert!(quantile(&sorted, level - 1e-6) <= value + 1e-9);
                }
            } else {
                prop_assert!(value > sorted[0] && sorted[0] == sorted[sorted.len() - 1]);
            }
        }

        #[test]
        fn windows_hold_the_newest_and_slide_like_a_slow_one(
            values in prop::collection::vec(-50_i32..50, 1..80),
            room in 1_usize..20,
        ) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let mut window = SortedWindow::new(room);
            let mut largest = SlidingMax::new(room);
            for at in 0..values.len() {
                window.push(values[at]);
                let mut slow = values[(at + 1).saturating_sub(room)..=at].to_vec();
                slow.sort_by(f64::total_cmp);
                prop_assert_eq!(window.sorted(), &slow[..]);
                prop_assert_eq!(largest.push(values[at]), slow[slow.len() - 1]);
            }
        }
    }
}
