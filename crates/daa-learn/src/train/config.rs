//! How a network is trained.

use super::augment::Augment;
use super::error::TrainError;
use crate::nn::OptimizerKind;
use crate::nn::compile::MAX_BATCH;
use serde::{Deserialize, Serialize};

/// Most epochs of one training.
pub const MAX_EPOCHS: u32 = 100_000;

/// The update rule and its constants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd {
        /// Step size, above 0 to 100.
        learning_rate: f32,
        /// Share of the last step kept, 0 to below 1.
        momentum: f32,
        /// Added to the gradient, times the weight; 0 to 1.
        weight_decay: f32,
        /// Whether the momentum looks ahead.
        nesterov: bool,
    },
    /// Adam (D. Kingma and J. Ba 2014); with weight decay that is decoupled from the gradient, AdamW (I. Loshchilov
    /// and F. Hutter 2017).
    Adam {
        /// Step size, above 0 to 100.
        learning_rate: f32,
        /// Decay of the first moment, 0 to below 1; usually 0.9.
        beta1: f32,
        /// Decay of the second moment, 0 to below 1; usually 0.999.
        beta2: f32,
        /// Keeps the step finite, above 0 to 1; usually 1e-8.
        epsilon: f32,
        /// Decoupled weight decay, times the step size; 0 to 1.
        weight_decay: f32,
    },
}

impl Optimizer {
    /// Adam with the usual constants.
    #[must_use]
    pub const fn adam(learning_rate: f32) -> Self {
        Self::adam_w(learning_rate, 0.0)
    }

    /// AdamW with the usual constants.
    #[must_use]
    pub const fn adam_w(learning_rate: f32, weight_decay: f32) -> Self {
        Self::Adam {
            learning_rate,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay,
        }
    }

    /// Which update rule the plan must hold.
    #[must_use]
    pub const fn kind(self) -> OptimizerKind {
        match self {
            Self::Sgd { .. } => OptimizerKind::Sgd,
            Self::Adam { .. } => OptimizerKind::Adam,
        }
    }

    /// The step size before the schedule.
    #[must_use]
    pub const fn learning_rate(self) -> f32 {
        match self {
            Self::Sgd { learning_rate, .. } | Self::Adam { learning_rate, .. } => learning_rate,
        }
    }

    /// The weight decay.
    #[must_use]
    pub const fn weight_decay(self) -> f32 {
        match self {
            Self::Sgd { weight_decay, .. } | Self::Adam { weight_decay, .. } => weight_decay,
        }
    }

    /// The words that the kernel takes at step `step` (counted from 0), with the step size times `factor`:
    /// for weights, and for parameters that do not decay.
    pub(crate) fn hyper(self, factor: f64, step: u64) -> (Vec<f32>, Vec<f32>) {
        match self {
            Self::Sgd {
                learning_rate,
                momentum,
                weight_decay,
                nesterov,
            } => {
                let rate = (f64::from(learning_rate) * factor) as f32;
                let words = |decay: f32| vec![rate, momentum, decay, f32::from(u8::from(nesterov))];
                (words(weight_decay), words(0.0))
            }
            Self::Adam {
                learning_rate,
                beta1,
                beta2,
                epsilon,
                weight_decay,
            } => {
                let rate = (f64::from(learning_rate) * factor) as f32;
                let time = i32::try_from(step.saturating_add(1)).unwrap_or(i32::MAX);
                let correction = |beta: f32| (1.0 / (1.0 - f64::from(beta).powi(time))) as f32;
                let (c1, c2) = (correction(beta1), correction(beta2));
                let words = |decay: f32| vec![rate, beta1, beta2, epsilon, decay, 0.0, c1, c2];
                (words(weight_decay), words(0.0))
            }
        }
    }

    fn validate(self) -> Result<(), TrainError> {
        let check = |field: &'static str, value: f32, allowed: &'static str, is_allowed: bool| {
            if is_allowed && value.is_finite() {
                Ok(())
            } else {
                Err(TrainError::Config {
                    field,
                    value: value.to_string(),
                    allowed: allowed.to_owned(),
                })
            }
        };
        let share = "0 to below 1";
        let rate = self.learning_rate();
        check(
            "learning_rate",
            rate,
            "above 0 to 100",
            rate > 0.0 && rate <= 100.0,
        )?;
        match self {
            Self::Sgd {
                momentum,
                weight_decay,
                ..
            } => {
                check("momentum", momentum, share, (0.0..1.0).contains(&momentum))?;
                check(
                    "weight_decay",
                    weight_decay,
                    "0 to 1",
                    (0.0..=1.0).contains(&weight_decay),
                )
            }
            Self::Adam {
                beta1,
                beta2,
                epsilon,
                weight_decay,
                ..
            } => {
                check("beta1", beta1, share, (0.0..1.0).contains(&beta1))?;
                check("beta2", beta2, share, (0.0..1.0).contains(&beta2))?;
                check(
                    "epsilon",
                    epsilon,
                    "above 0 to 1",
                    epsilon > 0.0 && epsilon <= 1.0,
                )?;
                check(
                    "weight_decay",
                    weight_decay,
                    "0 to 1",
                    (0.0..=1.0).contains(&weight_decay),
                )
            }
        }
    }
}

/// How the step size changes: a pure function of the step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// It does not.
    Constant,
    /// A linear warm-up over the first `warmup_epochs`, then half a cosine down to `floor` times the step size at
    /// the end of epoch `epochs`, and `floor` from there on.
    Cosine {
        /// Epochs until the floor, 1 to 100,000. It may lie behind the last epoch that is trained, so that a training
        /// can stop at a rung and go on later under the same schedule.
        epochs: u32,
        /// Epochs of warm-up, 0 to below `epochs`.
        warmup_epochs: u32,
        /// The least factor, 0 to 1.
        floor: f32,
    },
}

impl Schedule {
    /// What the step size is multiplied with at step `step` (counted from 0).
    #[must_use]
    pub fn factor(self, step: u64, steps_per_epoch: u64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Cosine {
                epochs,
                warmup_epochs,
                floor,
            } => {
                let (warmup, end) = (
                    u64::from(warmup_epochs) * steps_per_epoch,
                    u64::from(epochs) * steps_per_epoch,
                );
                if step < warmup {
                    return (step + 1) as f64 / warmup as f64;
                }
                let share = ((step - warmup) as f64 / (end - warmup).max(1) as f64).min(1.0);
                let floor = f64::from(floor);
                floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
            }
        }
    }

    fn validate(self) -> Result<(), TrainError> {
        let Self::Cosine {
            epochs,
            warmup_epochs,
            floor,
        } = self
        else {
            return Ok(());
        };
        let refuse = |field, value: String, allowed: String| {
            Err(TrainError::Config {
                field,
                value,
                allowed,
            })
        };
        if !(1..=MAX_EPOCHS).contains(&epochs) {
            return refuse(
                "schedule.epochs",
                epochs.to_string(),
                format!("1 to {MAX_EPOCHS}"),
            );
        }
        if warmup_epochs >= epochs {
            return refuse(
                "schedule.warmup_epochs",
                warmup_epochs.to_string(),
                format!("0 to {}", epochs - 1),
            );
        }
        if !(0.0..=1.0).contains(&floor) {
            return refuse("schedule.floor", floor.to_string(), "0 to 1".to_owned());
        }
        Ok(())
    }
}

/// How a network is trained. Everything but `epochs` must stay the same when a training is resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// The epoch at which training stops, 1 to 100,000. A resumed training may raise it.
    pub epochs: u32,
    /// Rows per step, 1 to 65,534.
    pub batch: usize,
    /// Most rows of one epoch: it takes that many of the freshly shuffled rows. Absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch_rows: Option<usize>,
    /// The update rule.
    pub optimizer: Optimizer,
    /// How its step size changes.
    pub schedule: Schedule,
    /// Stop after this many epochs in a row without a better validation score, 1 to 100,000. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<u32>,
    /// Whether images are varied while training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augment: Option<Augment>,
}

impl TrainConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the field, its value and what is allowed.
    pub fn validate(&self) -> Result<(), TrainError> {
        let range = |field, value: usize, limit: usize| {
            if (1..=limit).contains(&value) {
                Ok(())
            } else {
                Err(TrainError::Config {
                    field,
                    value: value.to_string(),
                    allowed: format!("1 to {limit}"),
                })
            }
        };
        range("epochs", self.epochs as usize, MAX_EPOCHS as usize)?;
        range("batch", self.batch, MAX_BATCH)?;
        range("epoch_rows", self.epoch_rows.unwrap_or(1), u32::MAX as usize)?;
        range(
            "patience",
            self.patience.unwrap_or(1) as usize,
            MAX_EPOCHS as usize,
        )?;
        if let Some(augment) = self.augment {
            augment.validate()?;
        }
        self.optimizer.validate()?;
        self.schedule.validate()
    }
}
