//! An upper bound for memory in use some samples ahead, with a coverage that is stated and measured.
//!
//! # What is forecast
//!
//! Of a run whose samples are `y[0], y[1], …`, taken at equal intervals, the *outcome* of sample `t` at horizon `H` is
//! `y[t + H]` ([`Target::Value`]) or the largest of `y[t + 1], …, y[t + H]` ([`Target::Peak`]). After sample `t` the
//! forecaster gives a bound; the bound is *kept* if the outcome is not above it. *Coverage* is the share of bounds that
//! are kept, *headroom* the bound less the outcome, so that of two methods with equal coverage the one with less mean
//! headroom holds back less memory for nothing.
//!
//! # Baseline
//!
//! "Last value + rolling residual quantile": `y[t]` plus a quantile of the last `W` residuals `outcome(s) − y[s]` that
//! are known at `t`. Before a run has residuals of its own, those of the fitted runs stand in. Window and quantile level
//! are chosen on the fitted runs, the level so that they are covered as stated.
//!
//! # Method
//!
//! Where memory stands says much about where it will go: near the top of a run it can hardly rise. Four experts give a
//! quantile of residuals each: those seen *in similar states* of the fitted runs, found by a quantile regression
//! forest (Meinshausen 2006, "Quantile Regression Forests", with the random splits of Geurts, Ernst and Wehenkel 2006)
//! over level, trend, and time since changes; those of the fitted runs whatever their state; what followed the most
//! similar moments of the same run; and the baseline. Residuals of other runs are in a unit that follows the run, so
//! that runs of different size can learn from one another. The expert with the least recent pinball loss is believed,
//! at first the one that did best on the fitted runs. Each expert's level follows the run by adaptive conformal
//! inference (Gibbs and Candès 2021, "Adaptive Conformal Inference Under Distribution Shift"), which pulls coverage
//! towards the stated one whatever the run does.
//!
//! [`Model::fit`] tries units and rates of adaption by cross-validation over whole runs, and takes the baseline itself
//! unless one of them needs clearly less headroom at equal coverage on runs that it was not fitted on: by 3 %, and by two
//! standard errors over the runs. A series that never changes is bounded by itself, so its coverage is 1.
//!
//! Everything here is pure and deterministic.

mod evaluate;
mod experts;
mod features;
mod fit;
mod forest;
mod model;
mod quantile;

pub use evaluate::{Evaluation, Measured, evaluate};
pub use model::{Forecaster, Method, Model};

use serde::{Deserialize, Serialize};

/// Most samples that a forecast may look ahead.
pub const MAX_HORIZON: usize = 65_536;

/// What is forecast.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The value at the horizon.
    #[default]
    Value,
    /// The largest value up to and with the horizon.
    Peak,
}

/// What a forecast is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ForecastConfig {
    /// Samples to look ahead, 1 to [`MAX_HORIZON`].
    pub horizon: usize,
    /// The share of bounds that shall be kept, above 0 and below 1.
    pub coverage: f64,
    /// What is forecast.
    pub target: Target,
}

impl Default for ForecastConfig {
    fn default() -> Self {
        Self {
            horizon: 10,
            coverage: 0.95,
            target: Target::Value,
        }
    }
}

impl ForecastConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field out of range, its value and the allowed range.
    pub fn validate(&self) -> Result<(), ForecastError> {
        if !(1..=MAX_HORIZON).contains(&self.horizon) {
            return Err(ForecastError::Horizon {
                horizon: self.horizon,
            });
        }
        if !(self.coverage > 0.0 && self.coverage < 1.0) {
            return Err(ForecastError::Coverage {
                coverage: self.coverage,
            });
        }
        Ok(())
    }
}

/// Why a forecast cannot be fitted or measured.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ForecastError {
    /// The horizon is out of range.
    #[error("`horizon` is {horizon}, allowed are 1 to {MAX_HORIZON}")]
    Horizon {
        /// The horizon.
        horizon: usize,
    },
    /// The coverage is out of range.
    #[error("`coverage` is {coverage}, allowed is above 0 and below 1")]
    Coverage {
        /// The coverage.
        coverage: f64,
    },
    /// A value is no amount of memory.
    #[error(
        "series {series}, sample {sample}: {value} is no amount, allowed are finite numbers from 0 to 1e18"
    )]
    Value {
        /// The series, from 0.
        series: usize,
        /// The sample, from 0.
        sample: usize,
        /// The value.
        value: f64,
    },
    /// No series of a half is longer than the horizon.
    #[error("no {half} series is longer than the horizon of {horizon} samples; the longest has {longest}")]
    TooShort {
        /// `fitted` or `reported`.
        half: &'static str,
        /// The horizon.
        horizon: usize,
        /// Samples of the longest series.
        longest: usize,
    },
}

/// Largest amount that is taken for one of memory: sums and differences of such stay exact enough in `f64`.
pub const MAX_VALUE: f64 = 1e18;

/// Checks that every value is an amount of memory.
fn check(series: &[&[f64]]) -> Result<(), ForecastError> {
    for (at, values) in series.iter().enumerate() {
        let bad = values.iter().position(|value| !(0.0..=MAX_VALUE).contains(value));
        if let Some(sample) = bad {
            return Err(ForecastError::Value {
                series: at,
                sample,
                value: values[sample],
            });
        }
    }
    Ok(())
}

/// The outcomes of the samples of one run that have one.
fn outcomes(values: &[f64], config: &ForecastConfig) -> Vec<f64> {
    let horizon = config.horizon;
    match config.target {
        Target::Value => values.get(horizon..).unwrap_or_default().to_vec(),
        Target::Peak => {
            let mut peak = quantile::SlidingMax::new(horizon);
            let mut all = values.iter().map(|&value| peak.push(value)).collect::<Vec<f64>>();
            // The window that ends at sample t + H is the one of sample t.
            all.drain(..horizon.min(all.len()));
            all
        }
    }
}

#[cfg(test)]
mod tests;
