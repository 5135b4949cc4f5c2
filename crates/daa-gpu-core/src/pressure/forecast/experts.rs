//! Several experts follow a run, each at a level of its own; the one that did best lately is believed.

use super::ForecastConfig;
use super::features::{Seen, Unit};
use super::forest::Forest;
use super::quantile::quantile;
use std::collections::VecDeque;

/// Experts: residuals of similar states of fitted runs, residuals of all their states, what followed similar moments
/// of the same run, and the run's own last residuals.
pub(super) const EXPERTS: usize = 4;
/// How fast old losses are forgotten.
const FORGET: f64 = 0.99;
/// Samples that experience from fitted runs weighs as many as.
const EXPERIENCE: f64 = 30.0;

/// A quantile level that follows a run by adaptive conformal inference: it rises after a bound that was not kept and
/// falls after one that was, so that in the long run bounds are kept as often as stated. Kept within bounds from where
/// it finds back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adaptive {
    pub(super) level: f64,
    pub(super) rate: f64,
    pub(super) coverage: f64,
}

impl Adaptive {
    pub(super) fn saw(&mut self, kept: bool) {
        let missed = if kept { 0.0 } else { 1.0 };
        let step = self.rate * (missed - (1.0 - self.coverage));
        self.level = (self.level + step).clamp(0.0, 1.05);
    }
}

/// What a run starts with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Start {
    /// The levels of the experts.
    pub(super) levels: [f64; EXPERTS],
    /// What each lost on fitted runs, in losses of the last expert.
    pub(super) odds: [f64; EXPERTS],
    /// How fast levels follow.
    pub(super) rate: f64,
}

/// The experts of one run.
#[derive(Debug, Clone)]
pub(super) struct Experts {
    start: Start,
    adaptive: [Adaptive; EXPERTS],
    coverage: f64,
    /// Losses, the newest weighing most, and the weight of all together.
    losses: [f64; EXPERTS],
    weight: f64,
    /// Bounds whose outcome is not known yet, and whose of them was believed.
    pending: VecDeque<([f64; EXPERTS], usize)>,
}

impl Experts {
    pub(super) fn new(start: &Start, config: &ForecastConfig) -> Self {
        let adaptive = start.levels.map(|level| Adaptive {
            level,
            rate: start.rate,
            coverage: config.coverage,
        });
        Self {
            start: *start,
            adaptive,
            coverage: config.coverage,
            losses: [0.0; EXPERTS],
            weight: 0.0,
            pending: VecDeque::new(),
        }
    }

    /// Takes in the outcome of the oldest bound; gives whether it was kept.
    pub(super) fn saw(&mut self, outcome: f64) -> Option<bool> {
        let (bounds, believed) = self.pending.pop_front()?;
        self.weight = self.weight.mul_add(FORGET, 1.0);
        for ((adaptive, loss), bound) in self.adaptive.iter_mut().zip(&mut self.losses).zip(bounds) {
            adaptive.saw(outcome <= bound);
            *loss = loss.mul_add(FORGET, pinball(outcome, bound, self.coverage));
        }
        Some(outcome <= bounds[believed])
    }

    /// The expert to believe.
    fn best(&self) -> usize {
        // Before there are losses, experience alone counts.
        let usual = if self.weight > 0.0 {
            self.losses[EXPERTS - 1] / self.weight
        } else {
            1.0
        };
        let score = |expert: usize| EXPERIENCE.mul_add(self.start.odds[expert] * usual, self.losses[expert]);
        (0..EXPERTS)
            .min_by(|&a, &b| score(a).total_cmp(&score(b)))
            .unwrap_or(EXPERTS - 1)
    }

    /// The bound for the outcome of `value`; `similar` are residuals in `unit`, `own` in bytes, both sorted.
    pub(super) fn bound(
        &mut self,
        value: f64,
        seen: &Seen,
        unit: Unit,
        forest: &Forest,
        similar: &[f64],
        own: &[f64],
    ) -> f64 {
        let [of_states, of_all, of_moments, of_run] = self.adaptive.map(|adaptive| adaptive.level);
        let rises = [
            quantile(similar, of_states) * seen.unit(unit),
            quantile(forest.all(), of_all) * seen.unit(unit),
            seen.followed()
                .map_or_else(|| quantile(own, of_moments), |all| quantile(all, of_moments)),
            quantile(own, of_run),
        ];
        let bounds = rises.map(|rise| (value + rise).max(0.0));
        let believed = self.best();
        self.pending.push_back((bounds, believed));
        bounds[believed]
    }

    pub(super) const fn levels(&self) -> [Adaptive; EXPERTS] {
        self.adaptive
    }

    /// Losses of the experts on the oldest bound, before it is taken in.
    pub(super) fn pending_losses(&self, outcome: f64) -> [f64; EXPERTS] {
        self.pending.front().map_or([0.0; EXPERTS], |(bounds, _)| {
            bounds.map(|bound| pinball(outcome, bound, self.coverage))
        })
    }
}

/// The loss whose mean is least for the quantile at `coverage` (Koenker and Bassett 1978).
fn pinball(outcome: f64, bound: f64, coverage: f64) -> f64 {
    if outcome > bound {
        coverage * (outcome - bound)
    } else {
        (1.0 - coverage) * (bound - outcome)
    }
}
