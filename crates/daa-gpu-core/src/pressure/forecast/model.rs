//! A fitted forecast, and one run followed with it.

use super::experts::{Adaptive, Experts, Start};
use super::features::{Prior, State, Unit};
use super::forest::Forest;
use super::quantile::{SortedWindow, quantile};
use super::{ForecastConfig, ForecastError};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;

/// Residuals in the window of a forecast that was not fitted.
const UNFITTED_WINDOW: usize = 256;
/// How fast the level of a forecast that was not fitted follows.
const UNFITTED_RATE: f64 = 0.02;

/// Which method a model took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Last value + rolling residual quantile.
    Baseline,
    /// Residuals of similar states, with adaptive conformal inference.
    SimilarStates,
}

/// Last value + rolling residual quantile.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rolling {
    /// Residuals in the window.
    pub(super) window: usize,
    /// How many residuals of its own a run needs before those of the fitted runs no longer count; `window`: they are
    /// displaced one by one.
    pub(super) warm: usize,
    /// The quantile's level at the start of a run.
    pub(super) level: f64,
    /// How fast the level follows a run; 0: it stays.
    pub(super) rate: f64,
    /// Residuals of the fitted runs that stand in at first, `window` at most.
    pub(super) prior: Vec<f64>,
}

/// The window of one run.
#[derive(Debug, Clone)]
pub(super) struct Window {
    stand_in: SortedWindow,
    own: SortedWindow,
    warm: usize,
}

impl Window {
    pub(super) fn new(rolling: &Rolling) -> Self {
        let mut stand_in = SortedWindow::new(rolling.window);
        for &residual in &rolling.prior {
            stand_in.push(residual);
        }
        Self {
            stand_in,
            own: SortedWindow::new(rolling.window),
            warm: rolling.warm,
        }
    }

    pub(super) fn push(&mut self, residual: f64) {
        self.stand_in.push(residual);
        self.own.push(residual);
    }

    pub(super) fn sorted(&self) -> &[f64] {
        if self.own.len() >= self.warm {
            self.own.sorted()
        } else {
            self.stand_in.sorted()
        }
    }
}

/// What is learned from fitted runs beyond the baseline.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Learned {
    pub(super) forest: Forest,
    pub(super) unit: Unit,
    pub(super) prior: Prior,
    pub(super) start: Start,
}

/// A fitted forecast. Shared by all runs that are followed with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub(super) config: ForecastConfig,
    pub(super) rolling: Rolling,
    pub(super) learned: Option<Learned>,
}

impl Model {
    /// A forecast that knows no recorded runs: the baseline at the stated coverage of the default configuration, over
    /// what a run itself has shown, for the peak within the horizon.
    #[must_use]
    pub fn unfitted() -> Self {
        let config = ForecastConfig {
            target: super::Target::Peak,
            ..ForecastConfig::default()
        };
        Self {
            config,
            rolling: Rolling {
                window: UNFITTED_WINDOW,
                warm: 0,
                level: config.coverage,
                rate: UNFITTED_RATE,
                prior: Vec::new(),
            },
            learned: None,
        }
    }

    /// Fits a forecast to recorded runs, each a series of samples at equal intervals, and takes the method that needs
    /// less headroom at equal coverage on runs it was not fitted on; see the module's documentation. Of long records
    /// only the beginning counts: 60,000 samples over all runs.
    ///
    /// # Errors
    /// When a field is out of range, a value is negative, infinite or not a number, or no run is longer than the
    /// horizon.
    pub fn fit(runs: &[&[f64]], config: &ForecastConfig) -> Result<Self, ForecastError> {
        super::fit::fit(runs, config)
    }

    /// What it was fitted for.
    #[must_use]
    pub const fn config(&self) -> &ForecastConfig {
        &self.config
    }

    /// Which method it took.
    #[must_use]
    pub const fn method(&self) -> Method {
        match self.learned {
            Some(_) => Method::SimilarStates,
            None => Method::Baseline,
        }
    }
}

/// Follows one run. Memory is bounded by horizon and window, time per sample too.
#[derive(Debug, Clone)]
pub struct Forecaster {
    model: Arc<Model>,
    state: State,
    window: Window,
    follows: Follows,
    similar: Vec<f64>,
    kept: u64,
    due: u64,
}

/// How a run is followed.
#[derive(Debug, Clone)]
enum Follows {
    /// With the baseline.
    Rolling {
        adaptive: Adaptive,
        /// Bounds whose outcome is not known yet.
        pending: VecDeque<f64>,
    },
    /// With the best of several experts.
    Experts(Experts),
}

impl Forecaster {
    /// At the start of a run.
    #[must_use]
    pub fn new(model: Arc<Model>) -> Self {
        let follows = match &model.learned {
            Some(learned) => Follows::Experts(Experts::new(&learned.start, &model.config)),
            None => Follows::Rolling {
                adaptive: Adaptive {
                    level: model.rolling.level,
                    rate: model.rolling.rate,
                    coverage: model.config.coverage,
                },
                pending: VecDeque::new(),
            },
        };
        Self {
            state: State::new(&model.config),
            window: Window::new(&model.rolling),
            follows,
            similar: Vec::new(),
            kept: 0,
            due: 0,
            model,
        }
    }

    /// What it forecasts with.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Bounds that were kept, and bounds whose horizon has passed.
    #[must_use]
    pub const fn kept(&self) -> (u64, u64) {
        (self.kept, self.due)
    }

    /// Takes in a sample, in bytes; gives the bound for its outcome, never below zero. A value that is no amount counts
    /// as the nearest one, not a number as zero.
    pub fn observe(&mut self, value: f64) -> f64 {
        let value = if value.is_nan() {
            0.0
        } else {
            value.clamp(0.0, super::MAX_VALUE)
        };
        if let Some(outcome) = self.state.push(value) {
            self.window.push(outcome.residual);
            let kept = match &mut self.follows {
                Follows::Rolling { adaptive, pending } => pending.pop_front().map(|bound| {
                    adaptive.saw(outcome.value <= bound);
                    outcome.value <= bound
                }),
                Follows::Experts(experts) => experts.saw(outcome.value),
            };
            self.due += u64::from(kept.is_some());
            self.kept += u64::from(kept == Some(true));
        }
        match (&self.model.learned, &mut self.follows) {
            (Some(learned), Follows::Experts(experts)) => {
                let seen = self.state.look(&learned.prior);
                learned
                    .forest
                    .similar(&seen.scaled(learned.unit), &mut self.similar);
                experts.bound(
                    value,
                    &seen,
                    learned.unit,
                    &learned.forest,
                    &self.similar,
                    self.window.sorted(),
                )
            }
            (_, Follows::Rolling { adaptive, pending }) => {
                let bound = (value + quantile(self.window.sorted(), adaptive.level)).max(0.0);
                pending.push_back(bound);
                bound
            }
            (None, Follows::Experts(_)) => unreachable!("experts follow only what was learned"),
        }
    }
}
