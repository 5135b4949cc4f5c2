//! What a run's past says about its state.

use super::quantile::{SlidingMax, SortedWindow, quantile};
use super::{ForecastConfig, Target};
use std::collections::VecDeque;

/// Numbers that describe a state.
pub(super) const FEATURES: usize = 14;
/// The first of them that counts samples, and so has no unit of memory.
const FIRST_COUNT: usize = 10;
/// Moments of the same run that are searched for similar ones, the newest.
const MOMENTS: usize = 512;
/// Similar moments that are looked at.
pub(super) const SIMILAR: usize = 24;
/// How far back the shape of a moment reaches, in samples.
const LAGS: [usize; 6] = [1, 2, 4, 8, 16, 32];
/// Numbers that describe the shape of a moment: differences to earlier samples, and the level.
const SHAPE: usize = LAGS.len() + 1;
/// A fall of this share of the run's range starts a new phase.
const FALL: f64 = 0.25;

/// In what residuals are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Bytes: runs are of one size.
    Absolute,
    /// The most that was in use so far.
    Peak,
    /// The mean size of the run's own residuals so far.
    Swing,
}

impl Unit {
    pub(super) const ALL: [Self; 3] = [Self::Absolute, Self::Peak, Self::Swing];
}

/// One state: numbers in bytes or samples, and the units.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    raw: [f64; FEATURES],
    units: [f64; 3],
    followed: Option<[f64; SIMILAR]>,
}

impl Seen {
    /// The unit's size in bytes.
    pub(super) const fn unit(&self, unit: Unit) -> f64 {
        self.units[unit as usize]
    }

    /// What followed the most similar moments of the same run, sorted; `None` while there are few.
    pub(super) const fn followed(&self) -> Option<&[f64; SIMILAR]> {
        self.followed.as_ref()
    }

    /// The state with amounts counted in `unit`.
    pub(super) fn scaled(&self, unit: Unit) -> [f64; FEATURES] {
        let size = self.unit(unit);
        let mut scaled = self.raw;
        for value in &mut scaled[..FIRST_COUNT] {
            *value /= size;
        }
        scaled
    }
}

/// A sample's outcome, known once the horizon has passed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// The outcome less the sample it is the outcome of.
    pub(super) residual: f64,
    /// The outcome.
    pub(super) value: f64,
}

/// What is remembered of a run; bounded by the horizon and [`MOMENTS`].
#[derive(Debug, Clone)]
pub(super) struct State {
    horizon: usize,
    target: Target,
    coverage: f64,
    seen: usize,
    /// The newest samples, as many as horizon and lags need.
    values: VecDeque<f64>,
    ahead: SlidingMax,
    most: f64,
    least: f64,
    slow: f64,
    /// Shapes of the newest moments; the last `horizon` of them have no outcome yet.
    shapes: VecDeque<[f64; SHAPE]>,
    residuals: VecDeque<f64>,
    own: SortedWindow,
    swing: f64,
    known: f64,
    changed: usize,
    fell: usize,
    falls: usize,
    first_fall: usize,
    recent_most: f64,
}

/// Sizes that stand in while a run has none of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Prior {
    pub(super) peak: f64,
    pub(super) swing: f64,
}

/// Samples that the prior weighs as many as.
const PRIOR_WEIGHT: f64 = 8.0;

impl State {
    pub(super) fn new(config: &ForecastConfig) -> Self {
        Self {
            horizon: config.horizon,
            target: config.target,
            coverage: config.coverage,
            seen: 0,
            values: VecDeque::new(),
            ahead: SlidingMax::new(config.horizon),
            most: 0.0,
            least: f64::INFINITY,
            slow: 0.0,
            shapes: VecDeque::new(),
            residuals: VecDeque::new(),
            own: SortedWindow::new(128),
            swing: 0.0,
            known: 0.0,
            changed: 0,
            fell: 0,
            falls: 0,
            first_fall: 0,
            recent_most: 0.0,
        }
    }

    /// The value `back` samples ago, or the oldest that is remembered.
    fn back(&self, back: usize) -> f64 {
        let last = self.values.len().saturating_sub(1);
        self.values.get(last.saturating_sub(back)).copied().unwrap_or(0.0)
    }

    /// Takes in a sample; gives the outcome that it decides, of the sample a horizon ago.
    pub(super) fn push(&mut self, value: f64) -> Option<Outcome> {
        let last = self.back(0);
        self.recent_most = self.ahead.push(value);
        self.values.push_back(value);
        if self.values.len() > self.horizon.max(LAGS[LAGS.len() - 1]) + 1 {
            self.values.pop_front();
        }
        self.most = self.most.max(value);
        self.least = self.least.min(value);
        let rate = 1.0 / (self.horizon as f64).mul_add(2.0, 1.0);
        self.slow = if self.seen == 0 {
            value
        } else {
            rate.mul_add(value - self.slow, self.slow)
        };
        if self.seen > 0 && value != last {
            self.changed = self.seen;
            if last - value > FALL * (self.most - self.least) {
                if self.falls == 0 {
                    self.first_fall = self.seen;
                }
                self.falls += 1;
                self.fell = self.seen;
            }
        }
        self.seen += 1;
        let outcome = (self.seen > self.horizon).then(|| {
            let from = self.back(self.horizon);
            let value = match self.target {
                Target::Value => value,
                Target::Peak => self.recent_most,
            };
            Outcome {
                residual: value - from,
                value,
            }
        });
        if let Some(outcome) = outcome {
            self.learn(outcome.residual);
        }
        self.remember(value);
        outcome
    }

    fn learn(&mut self, residual: f64) {
        self.residuals.push_back(residual);
        if self.residuals.len() > MOMENTS {
            self.residuals.pop_front();
        }
        self.own.push(residual);
        self.swing += residual.abs();
        self.known += 1.0;
    }

    fn remember(&mut self, value: f64) {
        let mut shape = [value; SHAPE];
        for (place, lag) in shape.iter_mut().zip(LAGS) {
            *place = value - self.back(lag);
        }
        self.shapes.push_back(shape);
        if self.shapes.len() > MOMENTS + self.horizon {
            self.shapes.pop_front();
        }
    }

    /// The state after the last sample.
    pub(super) fn look(&self, prior: &Prior) -> Seen {
        let value = self.back(0);
        let followed = self.similar();
        let (middle, upper) = followed.map_or((0.0, 0.0), |all| (quantile(&all, 0.5), quantile(&all, 0.9)));
        let now = self.seen.saturating_sub(1);
        let since_fall = (now - self.fell) as f64;
        let phase = if self.falls < 2 {
            0.0
        } else {
            let mean = (self.fell - self.first_fall) as f64 / (self.falls - 1) as f64;
            since_fall / mean.max(1.0)
        };
        let peak = if self.most > 0.0 { self.most } else { prior.peak };
        let swing = prior.swing.mul_add(PRIOR_WEIGHT, self.swing) / (PRIOR_WEIGHT + self.known);
        let floor = |size: f64| if size > 0.0 { size } else { 1.0 };
        Seen {
            raw: [
                value,
                self.most - value,
                value - self.least,
                self.recent_most - value,
                value - self.slow,
                value - self.back(1),
                value - self.back(self.horizon),
                middle,
                upper,
                quantile(self.own.sorted(), self.coverage),
                (now - self.changed) as f64,
                since_fall,
                phase,
                now as f64,
            ],
            units: [1.0, floor(peak), floor(swing)],
            followed,
        }
    }

    /// What followed the most similar moments of this run, sorted.
    fn similar(&self) -> Option<[f64; SIMILAR]> {
        let known = self.residuals.len();
        let now = self.shapes.back()?;
        if known < 2 * SIMILAR {
            return None;
        }
        // Nearest so far, the farthest of them last.
        let mut nearest = [(f64::INFINITY, 0.0); SIMILAR];
        // The last of the shapes that have an outcome is the newest residual's.
        let first = self.shapes.len() - self.horizon.min(self.shapes.len()) - known;
        for (shape, &residual) in self.shapes.range(first..).zip(&self.residuals) {
            let distance: f64 = shape.iter().zip(now).map(|(a, b)| (a - b) * (a - b)).sum();
            if distance < nearest[SIMILAR - 1].0 {
                let at = nearest.partition_point(|&(other, _)| other <= distance);
                nearest[at..].rotate_right(1);
                nearest[at] = (distance, residual);
            }
        }
        let mut followed = nearest.map(|(_, residual)| residual);
        followed.sort_unstable_by(f64::total_cmp);
        Some(followed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_come_a_horizon_later() {
        for (target, expected) in [
            (Target::Value, [1.0, -1.0, 3.0]),
            (Target::Peak, [3.0, -1.0, 3.0]),
        ] {
            let config = ForecastConfig {
                horizon: 2,
                target,
                ..ForecastConfig::default()
            };
            let mut state = State::new(&config);
            let residuals: Vec<f64> = [1.0, 4.0, 2.0, 3.0, 5.0]
                .into_iter()
                .filter_map(|value| state.push(value))
                .map(|outcome| outcome.residual)
                .collect();
            assert_eq!(residuals, expected, "{target:?}");
        }
    }

    #[test]
    fn what_followed_similar_moments_is_found_again() {
        let config = ForecastConfig {
            horizon: 3,
            ..ForecastConfig::default()
        };
        let mut state = State::new(&config);
        // A period of ten: rising, then back to zero.
        let wave = |at: usize| (at % 10) as f64;
        for at in 0..350 {
            state.push(wave(at));
            if at > 300 {
                let follows = wave(at + 3) - wave(at);
                assert_eq!(state.similar(), Some([follows; SIMILAR]), "at {at}");
            }
        }
    }
}
