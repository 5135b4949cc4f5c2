//! Searching the least value of a polynomial on an interval, with one policy per cognitive pattern.

use crate::records::CognitivePattern;
use daa_base::{Rng, Seed};

/// A polynomial on an interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Polynomial {
    coefficients: Vec<f64>,
    lower: f64,
    upper: f64,
}

impl Polynomial {
    /// `coefficients[i]` belongs to `x^i`; `x` runs from `lower` to `upper`.
    ///
    /// # Errors
    /// A text that names the field, when the interval is empty or too wide, or there are more than 64 coefficients.
    pub fn new(coefficients: Vec<f64>, lower: f64, upper: f64) -> Result<Self, String> {
        if coefficients.is_empty() || coefficients.len() > 64 {
            return Err(format!(
                "`coefficients` has {} entries, allowed are 1 to 64",
                coefficients.len()
            ));
        }
        if !(lower < upper && (upper - lower).is_finite()) {
            return Err(format!(
                "`lower` is {lower} and `upper` {upper}, `lower` must be below `upper`"
            ));
        }
        Ok(Self {
            coefficients,
            lower,
            upper,
        })
    }

    /// The value at `x` (Horner's rule).
    #[must_use]
    pub fn at(&self, x: f64) -> f64 {
        self.coefficients
            .iter()
            .rev()
            .fold(0.0, |sum, coefficient| sum * x + coefficient)
    }
}

/// The best point that a search found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Where it is.
    pub x: f64,
    /// The value there; infinite where every evaluated value was.
    pub value: f64,
    /// Evaluations used, at most the budget.
    pub evaluations: usize,
}

/// Looks for the least value with at most `budget` evaluations. The same arguments give the same answer;
/// `name` seeds the jumps of the Lateral pattern.
#[must_use]
pub fn search(pattern: &CognitivePattern, polynomial: &Polynomial, budget: usize, name: &str) -> Found {
    let mut run = Run {
        polynomial,
        left: budget,
        best: Found {
            x: polynomial.lower,
            value: f64::INFINITY,
            evaluations: 0,
        },
        rng: Seed(0).stream(name).rng(),
    };
    run.follow(pattern);
    run.best
}

struct Run<'a> {
    polynomial: &'a Polynomial,
    left: usize,
    best: Found,
    rng: Rng,
}

impl Run<'_> {
    /// The value at `x`, or `None` when the budget is used up.
    fn try_at(&mut self, x: f64) -> Option<f64> {
        self.left = self.left.checked_sub(1)?;
        self.best.evaluations += 1;
        let value = self.polynomial.at(x);
        let value = if value.is_nan() { f64::INFINITY } else { value };
        if value < self.best.value {
            (self.best.x, self.best.value) = (x, value);
        }
        Some(value)
    }

    fn interval(&self) -> (f64, f64) {
        (self.polynomial.lower, self.polynomial.upper)
    }

    fn follow(&mut self, pattern: &CognitivePattern) {
        let (lower, upper) = self.interval();
        match pattern {
            CognitivePattern::Convergent => self.narrow(lower, upper, usize::MAX),
            CognitivePattern::Divergent => self.spread(self.left),
            CognitivePattern::Lateral => self.jump(usize::MAX),
            CognitivePattern::Systems => {
                let half = self.left.div_ceil(2);
                self.spread(half);
                self.around_best(half, usize::MAX);
            }
            CognitivePattern::Critical => self.race(usize::MAX),
            CognitivePattern::Adaptive => self.adapt(),
        }
    }

    /// A fifth of the budget for each other policy, then what is left near the best point.
    fn adapt(&mut self) {
        let (lower, upper) = self.interval();
        let share = self.left / 6;
        self.narrow(lower, upper, share);
        self.spread(share);
        self.jump(share);
        self.race(share);
        self.around_best(share.max(1), usize::MAX);
    }

    /// Golden section search (Kiefer 1953) with at most `limit` evaluations.
    fn narrow(&mut self, mut lower: f64, mut upper: f64, limit: usize) {
        let ratio = (5.0_f64.sqrt() - 1.0) / 2.0;
        let inner =
            |lower: f64, upper: f64| (upper - ratio * (upper - lower), lower + ratio * (upper - lower));
        let (mut left, mut right) = inner(lower, upper);
        let (Some(mut at_left), Some(mut at_right)) = (self.try_at(left), self.try_at(right)) else {
            return;
        };
        for _ in 2..limit {
            let next = if at_left <= at_right {
                upper = right;
                (right, at_right) = (left, at_left);
                left = inner(lower, upper).0;
                left
            } else {
                lower = left;
                (left, at_left) = (right, at_right);
                right = inner(lower, upper).1;
                right
            };
            if upper - lower <= f64::EPSILON * (1.0 + lower.abs().max(upper.abs())) {
                return;
            }
            let Some(value) = self.try_at(next) else { return };
            if next == left {
                at_left = value
            } else {
                at_right = value
            }
        }
    }

    /// `count` points, evenly spaced, both ends among them.
    fn spread(&mut self, count: usize) {
        let (lower, upper) = self.interval();
        for index in 0..count {
            let share = index as f64 / count.saturating_sub(1).max(1) as f64;
            if self.try_at(lower + share * (upper - lower)).is_none() {
                return;
            }
        }
    }

    /// Golden section search in the two cells of a grid of `cells` next to the best point.
    fn around_best(&mut self, cells: usize, limit: usize) {
        let (lower, upper) = self.interval();
        let reach = (upper - lower) / cells.max(1) as f64;
        let (from, to) = ((self.best.x - reach).max(lower), (self.best.x + reach).min(upper));
        self.narrow(from, to, limit);
    }

    /// Jumps anywhere, and to mixtures of the best point with where it jumped, in turn.
    fn jump(&mut self, limit: usize) {
        let (lower, upper) = self.interval();
        for index in 0..limit {
            let anywhere = lower + self.rng.uniform() * (upper - lower);
            let x = if index % 2 == 0 {
                anywhere
            } else {
                f64::midpoint(self.best.x, anywhere)
            };
            if self.try_at(x).is_none() {
                return;
            }
        }
    }

    /// Successive halving of intervals by the value in their middle: the worse half is dropped, the rest split.
    fn race(&mut self, limit: usize) {
        const WIDTH: usize = 8;
        let (lower, upper) = self.interval();
        let mut step = (upper - lower) / WIDTH as f64;
        let mut starts: Vec<f64> = (0..WIDTH).map(|index| lower + index as f64 * step).collect();
        let mut used = 0;
        while step > f64::EPSILON * (1.0 + lower.abs().max(upper.abs())) {
            let mut rated = Vec::with_capacity(WIDTH);
            for start in starts {
                if used == limit {
                    return;
                }
                used += 1;
                let Some(value) = self.try_at(start + step / 2.0) else {
                    return;
                };
                rated.push((value, start));
            }
            rated.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
            rated.truncate(WIDTH / 2);
            step /= 2.0;
            starts = rated
                .iter()
                .flat_map(|&(_, start)| [start, start + step])
                .collect();
        }
    }
}
