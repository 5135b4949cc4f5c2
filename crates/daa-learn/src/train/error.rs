//! What can go wrong in training and with its checkpoints.

use crate::model::TensorFileError;
use crate::nn::{ArchitectureError, NetworkError};
use daa_kernels::error::RunError;
use std::path::PathBuf;

/// A training cannot start, go on or be resumed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A configuration field outside its range.
    #[error("training: {field} is {value}, allowed are {allowed}")]
    Config {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// The values allowed.
        allowed: String,
    },
    /// The data contradict themselves or the network.
    #[error("training data: {what} is {found}, wanted is {wanted}")]
    Data {
        /// What is wrong.
        what: String,
        /// What was found.
        found: String,
        /// What would fit.
        wanted: String,
    },
    /// The state is one of another training.
    #[error("the saved state is of another training: {what} is {found}, this one has {wanted}")]
    OtherTraining {
        /// What differs.
        what: &'static str,
        /// The saved state's.
        found: String,
        /// This training's.
        wanted: String,
    },
    /// The network was compiled for prediction, or for another update rule.
    #[error("the network was compiled for {found}, this training wants {wanted}")]
    Purpose {
        /// What it was compiled for.
        found: String,
        /// What is wanted.
        wanted: String,
    },
    /// The description is refused.
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
    /// The network cannot be compiled.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The device refused or failed. The trainer's state is the one before the run, so the run can be repeated.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// A checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file is damaged, or cannot be read or written.
    #[error(transparent)]
    File(#[from] TensorFileError),
    /// The header makes no sense.
    #[error("{}: the checkpoint's header is broken: {reason}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Written by another version.
    #[error("{}: schema is `{found}`, this program reads `{wanted}`", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The schema found.
        found: String,
        /// The schema read.
        wanted: &'static str,
    },
    /// The content is not what was written.
    #[error("{}: damaged: the content does not match its BLAKE3 digest", path.display())]
    Digest {
        /// The file.
        path: PathBuf,
    },
}
