//! How predictions compare with targets that are known.

use daa_learn::data::{DataError, Table, Target, TargetEncoder};
use daa_learn::model::{Model, Predictions};
use serde::Serialize;

/// The comparison, over all rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Measured {
    /// Share of rows predicted right, 0 to 1; classification with known targets only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) accuracy: Option<f64>,
    /// Root of the mean squared error in units of the target; regression with known targets only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rmse: Option<f64>,
}

/// A running comparison.
#[derive(Debug)]
pub(super) struct Score {
    target: Option<Target>,
    rows: u64,
    /// Rows predicted right, or the sum of squared errors of normalized values.
    sum: f64,
}

impl Score {
    /// A comparison with the targets of `table`, if it has any.
    pub(super) fn new(model: &Model, table: &Table) -> Result<Self, DataError> {
        let target = table
            .target()
            .map(|_| model.preprocess().encode_target(table))
            .transpose()?;
        Ok(Self {
            target,
            rows: 0,
            sum: 0.0,
        })
    }

    /// Adds the predictions of `rows`.
    pub(super) fn add(&mut self, predictions: &Predictions, rows: &[u32]) {
        let Some(target) = &self.target else { return };
        let (score, count) = (predictions.score(target, rows), rows.len() as f64);
        self.rows += rows.len() as u64;
        self.sum += match target {
            Target::Classes { .. } => (score * count).round(),
            Target::Values(_) => score * score * count,
        };
    }

    pub(super) fn measured(&self, encoder: &TargetEncoder) -> Measured {
        let mean = self.sum / self.rows.max(1) as f64;
        match &self.target {
            None => Measured::default(),
            Some(Target::Classes { .. }) => Measured {
                accuracy: Some(mean),
                rmse: None,
            },
            Some(Target::Values(_)) => Measured {
                accuracy: None,
                rmse: encoder.difference(mean.sqrt()),
            },
        }
    }
}
