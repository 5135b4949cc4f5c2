//! Everything a training needs to go on.

use crate::nn::{Network, OptimizerKind, OutputHead};
use daa_base::Seed;
use serde::{Deserialize, Serialize};

/// Which part of an epoch is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Steps on the training rows.
    Train,
    /// Batches of the validation rows.
    Validate,
}

/// The next step to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The epoch, from 0; as large as the number of epochs done when all of them are.
    pub epoch: u32,
    /// The part of the epoch.
    pub stage: Stage,
    /// The step within that part, from 0.
    pub step: u32,
}

/// How a network did on a set of rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Mean loss per row: cross entropy in nats, or squared error of the normalized target.
    pub loss: f32,
    /// Share of rows predicted right; absent for regression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f32>,
}

impl Evaluation {
    /// Higher is better, in millionths: accuracy, or minus the root mean squared error of the normalized target.
    /// An integer, so that a ledger can carry it.
    #[must_use]
    pub fn score_micro(&self) -> i64 {
        let score = self
            .accuracy
            .map_or_else(|| -f64::from(self.loss).sqrt(), f64::from);
        micro(score)
    }

    /// The loss in millionths, for breaking ties between equal scores.
    #[must_use]
    pub fn loss_micro(&self) -> i64 {
        micro(f64::from(self.loss))
    }

    /// Whether this is better than `other`: by score, then by loss.
    #[must_use]
    pub fn is_better_than(&self, other: &Self) -> bool {
        match (self.accuracy, other.accuracy) {
            (Some(mine), Some(theirs)) if mine != theirs => mine > theirs,
            _ => self.loss < other.loss,
        }
    }
}

/// `value` in millionths, rounded, capped where the loss of a network that learns nothing would never be.
fn micro(value: f64) -> i64 {
    if value.is_nan() {
        return i64::MIN;
    }
    (value * 1e6).round().clamp(-1e15, 1e15) as i64
}

/// One finished epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The epoch, from 0.
    pub epoch: u32,
    /// On the training rows, while the weights changed.
    pub train: Evaluation,
    /// On the validation rows after the epoch; absent if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Evaluation>,
}

/// The best epoch so far by validation.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    /// The epoch, from 0.
    pub epoch: u32,
    /// How it did on the validation rows.
    pub validation: Evaluation,
    /// Its parameters and running statistics, in the order of [`Network::parameters`].
    pub parameters: Vec<Vec<f32>>,
}

/// What must agree between a saved state and the training that resumes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// BLAKE3 of the JSON form of the description, in hexadecimal.
    pub(crate) architecture: String,
    pub(crate) batch: usize,
    pub(crate) optimizer: OptimizerKind,
    pub(crate) seed: Seed,
    /// BLAKE3 of everything in the configuration but the number of epochs.
    pub(crate) config: String,
    pub(crate) train_rows: usize,
    pub(crate) validation_rows: usize,
}

/// The part of a state that is not tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    pub(crate) position: Position,
    /// The training metrics of the epoch that is being validated.
    pub(crate) pending: Option<Evaluation>,
    pub(crate) history: Vec<EpochRecord>,
    pub(crate) best: Option<(u32, Evaluation)>,
    pub(crate) is_diverged: bool,
    pub(crate) is_stopped_early: bool,
}

impl Cursor {
    pub(crate) const fn start() -> Self {
        Self {
            position: Position {
                epoch: 0,
                stage: Stage::Train,
                step: 0,
            },
            pending: None,
            history: Vec::new(),
            best: None,
            is_diverged: false,
            is_stopped_early: false,
        }
    }
}

/// One tensor of a saved state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StateTensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f32>,
}

/// Everything a training needs to go on as if it had never stopped: parameters, moments, running statistics, metric
/// sums, position, history and the best weights so far.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainState {
    pub(crate) identity: Identity,
    pub(crate) cursor: Cursor,
    /// Parameters and running statistics, then moments, then metrics.
    pub(crate) tensors: Vec<StateTensor>,
    /// How many of `tensors` are parameters and running statistics.
    pub(crate) parameter_count: usize,
    pub(crate) best_parameters: Option<Vec<Vec<f32>>>,
}

impl TrainState {
    /// The next step to be done.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.cursor.position
    }

    /// The finished epochs.
    #[must_use]
    pub fn history(&self) -> &[EpochRecord] {
        &self.cursor.history
    }

    /// Whether a loss was not finite, so that training ended.
    #[must_use]
    pub const fn is_diverged(&self) -> bool {
        self.cursor.is_diverged
    }

    /// Whether training ended because validation got no better.
    #[must_use]
    pub const fn is_stopped_early(&self) -> bool {
        self.cursor.is_stopped_early
    }

    /// The best epoch so far, if there are validation rows and an epoch is done.
    #[must_use]
    pub fn best(&self) -> Option<Best> {
        let (epoch, validation) = self.cursor.best?;
        Some(Best {
            epoch,
            validation,
            parameters: self.best_parameters.clone()?,
        })
    }

    /// Epoch and validation result of the best epoch so far, without its weights.
    #[must_use]
    pub const fn best_evaluation(&self) -> Option<(u32, Evaluation)> {
        self.cursor.best
    }

    /// The parameters and running statistics after the last step, in the order of [`Network::parameters`].
    #[must_use]
    pub fn parameters(&self) -> Vec<Vec<f32>> {
        self.tensors[..self.parameter_count]
            .iter()
            .map(|tensor| tensor.data.clone())
            .collect()
    }

    /// Whether every word of both states is the same, bit by bit.
    #[must_use]
    pub fn is_bitwise(&self, other: &Self) -> bool {
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
        let is_same = |a: &[f32], b: &[f32]| bits(a) == bits(b);
        let tensors = self.tensors.len() == other.tensors.len()
            && self
                .tensors
                .iter()
                .zip(&other.tensors)
                .all(|(a, b)| a.name == b.name && a.shape == b.shape && is_same(&a.data, &b.data));
        let best = match (&self.best_parameters, &other.best_parameters) {
            (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b)),
            (None, None) => true,
            _ => false,
        };
        // Metrics that were not finite ended the training before they got into the history.
        tensors && best && self.identity == other.identity && self.cursor == other.cursor
    }

    /// What training is for: the best weights by validation, or the last ones where nothing was validated.
    #[must_use]
    pub fn result(&self) -> Vec<Vec<f32>> {
        self.best_parameters.clone().unwrap_or_else(|| self.parameters())
    }
}

/// The tensors that a saved state of `network` must have: name and shape, in order.
pub(crate) fn layout(network: &Network) -> Vec<(String, Vec<usize>)> {
    let mut layout: Vec<_> = network
        .parameters()
        .iter()
        .map(|(spec, _)| (spec.name.clone(), spec.shape.clone()))
        .collect();
    if let Some(training) = &network.training {
        layout.extend(
            training
                .moments
                .iter()
                .map(|(name, shape, _)| (name.clone(), shape.clone())),
        );
        layout.push(("metrics.loss".to_owned(), vec![1]));
        if matches!(network.architecture().output, OutputHead::Classes { .. }) {
            layout.push(("metrics.hits".to_owned(), vec![1]));
        }
    }
    layout
}
