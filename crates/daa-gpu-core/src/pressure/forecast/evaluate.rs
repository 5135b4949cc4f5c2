//! How well a forecast does on runs it was not fitted on.

use super::experts::Adaptive;
use super::model::{Forecaster, Method, Model, Rolling, Window};
use super::quantile::{level_of, quantile};
use super::{ForecastConfig, ForecastError, check, outcomes};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Coverage and headroom of one method.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The share of bounds that were kept.
    pub coverage: f64,
    /// The mean of bound less outcome over all bounds, those that were not kept among them; in the unit of the values.
    pub mean_headroom: f64,
}

/// A forecast measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The method that the fitted runs chose.
    pub method: Method,
    /// Bounds measured.
    pub bounds: usize,
    /// What the method did.
    pub measured: Measured,
    /// What the baseline did on the same samples with the level at which its coverage is the method's, as near as the
    /// samples allow.
    pub baseline: Measured,
}

/// Sums over bounds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    pub(super) bounds: usize,
    pub(super) kept: usize,
    pub(super) headroom: f64,
}

impl Sums {
    pub(super) fn add(&mut self, bound: f64, outcome: f64) {
        self.bounds += 1;
        self.kept += usize::from(outcome <= bound);
        self.headroom += bound - outcome;
    }

    pub(super) fn measured(&self) -> Measured {
        let count = self.bounds.max(1) as f64;
        Measured {
            coverage: self.kept as f64 / count,
            mean_headroom: self.headroom / count,
        }
    }
}

/// Follows each of `runs` with `model` and measures its bounds, and the baseline's at equal coverage.
///
/// # Errors
/// When a value is negative, infinite or not a number, or no run is longer than the horizon.
pub fn evaluate(model: &Arc<Model>, runs: &[&[f64]]) -> Result<Evaluation, ForecastError> {
    check(runs)?;
    let mut sums = Sums::default();
    for values in runs {
        let mut forecaster = Forecaster::new(Arc::clone(model));
        let outcomes = outcomes(values, &model.config);
        for (&value, outcome) in values.iter().zip(outcomes) {
            let bound = forecaster.observe(value);
            sums.add(bound, outcome);
        }
    }
    if sums.bounds == 0 {
        return Err(ForecastError::TooShort {
            half: "reported",
            horizon: model.config.horizon,
            longest: runs.iter().map(|run| run.len()).max().unwrap_or(0),
        });
    }
    let measured = sums.measured();
    let baseline = match model.method() {
        Method::Baseline => measured,
        Method::SimilarStates => equal(&model.rolling, runs, &model.config, sums.kept),
    };
    Ok(Evaluation {
        method: model.method(),
        bounds: sums.bounds,
        measured,
        baseline,
    })
}

/// The baseline at a coverage of `kept` bounds: with a level that stays, or one that follows each run if the baseline
/// has such, whichever needs less headroom.
fn equal(rolling: &Rolling, runs: &[&[f64]], config: &ForecastConfig, kept: usize) -> Measured {
    let level = level_for(&levels(rolling, runs, config), kept);
    let fixed = rolling_sums(rolling, runs, config, &[level])[0];
    if rolling.rate == 0.0 {
        return fixed.measured();
    }
    // The more is aimed at, the more is kept, nearly: halving comes close.
    let (mut low, mut high) = (0.0, 1.0);
    let mut nearest: Option<Sums> = None;
    for _ in 0..16 {
        let aim = f64::midpoint(low, high);
        let sums = adaptive_sums(rolling, runs, config, aim).all;
        let is_nearer = |other: &Sums| sums.kept.abs_diff(kept) < other.kept.abs_diff(kept);
        if nearest.as_ref().is_none_or(is_nearer) {
            nearest = Some(sums);
        }
        if sums.kept < kept { low = aim } else { high = aim }
    }
    nearest
        .filter(|sums| sums.kept + sums.bounds / 500 >= kept && sums.headroom < fixed.headroom)
        .unwrap_or(fixed)
        .measured()
}

/// Sums over all bounds and over those of each run.
#[derive(Debug, Clone, Default)]
pub(super) struct ByRun {
    pub(super) all: Sums,
    pub(super) each: Vec<Sums>,
}

impl ByRun {
    /// How far coverage is from `coverage`, run by run: the root of the mean square.
    pub(super) fn spread(&self, coverage: f64) -> f64 {
        let square = |sums: &Sums| {
            let off = sums.measured().coverage - coverage;
            off * off * sums.bounds as f64
        };
        (self.each.iter().map(square).sum::<f64>() / self.all.bounds.max(1) as f64).sqrt()
    }
}

/// What the baseline does with a level that follows each run, aiming at a coverage of `aim`.
pub(super) fn adaptive_sums(rolling: &Rolling, runs: &[&[f64]], config: &ForecastConfig, aim: f64) -> ByRun {
    let mut done = ByRun::default();
    for values in runs {
        let mut sums = Sums::default();
        let mut adaptive = Adaptive {
            level: (rolling.level + aim - config.coverage).clamp(0.0, 1.0),
            rate: rolling.rate,
            coverage: aim,
        };
        let outcomes = outcomes(values, config);
        let mut bounds = Vec::with_capacity(outcomes.len());
        let mut window = Window::new(rolling);
        for (at, (&value, &outcome)) in values.iter().zip(&outcomes).enumerate() {
            if let Some(before) = at.checked_sub(config.horizon) {
                window.push(outcomes[before] - values[before]);
                adaptive.saw(outcomes[before] <= bounds[before]);
            }
            let bound = (value + quantile(window.sorted(), adaptive.level)).max(0.0);
            bounds.push(bound);
            sums.add(bound, outcome);
            done.all.add(bound, outcome);
        }
        done.each.push(sums);
    }
    done
}

/// For every bound, the least level at which the baseline would have kept it, sorted.
pub(super) fn levels(rolling: &Rolling, runs: &[&[f64]], config: &ForecastConfig) -> Vec<f64> {
    let mut levels = Vec::new();
    each(rolling, runs, config, |window, value, outcome| {
        levels.push(level_of(window, outcome - value));
    });
    levels.sort_unstable_by(f64::total_cmp);
    levels
}

/// The level at which `kept` of the bounds are kept, just above the last of them.
pub(super) fn level_for(levels: &[f64], kept: usize) -> f64 {
    let Some(last) = kept.checked_sub(1) else {
        return 0.0;
    };
    let level = levels.get(last).copied().unwrap_or(1.0);
    if level.is_finite() {
        // Rounding must not lose the bound that the level was taken from.
        level + 1e-12
    } else {
        // No level keeps that many: the highest that keeps any more.
        levels
            .iter()
            .rev()
            .find(|level| level.is_finite())
            .copied()
            .unwrap_or(1.0)
            + 1e-12
    }
}

/// What the baseline does at each of `at`.
pub(super) fn rolling_sums(
    rolling: &Rolling,
    runs: &[&[f64]],
    config: &ForecastConfig,
    at: &[f64],
) -> Vec<Sums> {
    let mut sums = vec![Sums::default(); at.len()];
    each(rolling, runs, config, |window, value, outcome| {
        for (sums, &level) in sums.iter_mut().zip(at) {
            sums.add((value + quantile(window, level)).max(0.0), outcome);
        }
    });
    sums
}

/// Walks over the runs; gives the window, the value and the outcome of every sample that has one.
fn each(rolling: &Rolling, runs: &[&[f64]], config: &ForecastConfig, mut see: impl FnMut(&[f64], f64, f64)) {
    for values in runs {
        let outcomes = outcomes(values, config);
        let mut window = Window::new(rolling);
        for (at, (&value, &outcome)) in values.iter().zip(&outcomes).enumerate() {
            // What the sample itself decides: the outcome of the one a horizon ago.
            if let Some(before) = at.checked_sub(config.horizon) {
                window.push(outcomes[before] - values[before]);
            }
            see(window.sorted(), value, outcome);
        }
    }
}
