//! Data as the trainer wants them: a data set, and which of its rows are for what.

use super::error::TrainError;
use crate::data::{Dataset, Target};
use crate::nn::{Architecture, OutputHead};
use std::sync::Arc;

/// A data set with the rows to train on and the rows to validate on.
#[derive(Debug, Clone, PartialEq)]
pub struct PreparedData {
    dataset: Arc<Dataset>,
    train: Vec<u32>,
    validation: Vec<u32>,
}

impl PreparedData {
    /// `train` and `validation` are row numbers of `dataset`. `validation` may be empty: the last weights are then
    /// the result of a training.
    ///
    /// # Errors
    /// No training row, or a row number out of range.
    pub fn new(dataset: Arc<Dataset>, train: Vec<u32>, validation: Vec<u32>) -> Result<Self, TrainError> {
        let rows = dataset.rows();
        if train.is_empty() {
            return refuse(
                "the number of training rows",
                "0".to_owned(),
                "at least 1".to_owned(),
            );
        }
        if let Some(row) = train.iter().chain(&validation).find(|&&row| row as usize >= rows) {
            return refuse("a row number", row.to_string(), format!("0 to {}", rows - 1));
        }
        Ok(Self {
            dataset,
            train,
            validation,
        })
    }

    /// The same data set, trained on the training and validation rows together, validated on none.
    #[must_use]
    pub fn merged(&self) -> Self {
        let mut train = [self.train.as_slice(), &self.validation].concat();
        train.sort_unstable();
        Self {
            dataset: Arc::clone(&self.dataset),
            train,
            validation: Vec::new(),
        }
    }

    /// The data set.
    #[must_use]
    pub const fn dataset(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    /// The rows to train on.
    #[must_use]
    pub fn train(&self) -> &[u32] {
        &self.train
    }

    /// The rows to validate on.
    #[must_use]
    pub fn validation(&self) -> &[u32] {
        &self.validation
    }

    /// Checks that the data fit a network.
    ///
    /// # Errors
    /// Another number of features, labels beyond its classes, or targets of the other kind.
    pub fn fits(&self, architecture: &Architecture) -> Result<(), TrainError> {
        let (found, wanted) = (self.dataset.columns(), architecture.input.values());
        if found != wanted {
            return refuse("the number of features", found.to_string(), wanted.to_string());
        }
        match (self.dataset.target(), architecture.output) {
            (Target::Classes { labels, .. }, OutputHead::Classes { count }) => {
                match labels.iter().find(|&&label| label as usize >= count) {
                    Some(label) => refuse("a class number", label.to_string(), format!("0 to {}", count - 1)),
                    None => Ok(()),
                }
            }
            (Target::Values(_), OutputHead::Regression {}) => Ok(()),
            (Target::Values(_), OutputHead::Classes { .. }) => {
                refuse("the kind of target", "a number".to_owned(), "a class".to_owned())
            }
            (Target::Classes { .. }, OutputHead::Regression {}) => {
                refuse("the kind of target", "a class".to_owned(), "a number".to_owned())
            }
        }
    }
}

fn refuse<T>(what: &str, found: String, wanted: String) -> Result<T, TrainError> {
    Err(TrainError::Data {
        what: what.to_owned(),
        found,
        wanted,
    })
}
