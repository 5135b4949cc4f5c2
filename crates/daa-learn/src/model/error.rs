//! What can go wrong with models on disk and at work.

use crate::nn::{ArchitectureError, NetworkError};
use daa_gpu_core::MemoryError;
use daa_kernels::error::RunError;
use std::path::PathBuf;

/// A file of tensors cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorFileError {
    /// The operating system refuses to read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The operating system refuses to write.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Larger than any file of this program.
    #[error("{}: {found} bytes, allowed are at most {limit}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Truncated, or not safetensors.
    #[error("{}: truncated or not a safetensors file: {reason}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What the reader found.
        reason: String,
    },
    /// A tensor of another element type.
    #[error("{}: tensor `{tensor}` holds {found}, wanted is F32", path.display())]
    DType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its element type.
        found: String,
    },
}

/// A model cannot be saved or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file of tensors is damaged, or cannot be read or written.
    #[error(transparent)]
    File(#[from] TensorFileError),
    /// The description is not JSON of the right form.
    #[error("{}: not a model description: {reason}", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What the reader found.
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
    /// The description's network is refused.
    #[error("{}: {source}", path.display())]
    Architecture {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ArchitectureError,
    },
    /// The tensors are not the network's.
    #[error("{}: tensor `{tensor}` is {found}, the architecture wants {wanted}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What was found: a shape, `missing` or `present`.
        found: String,
        /// What would fit.
        wanted: String,
    },
    /// The weights are not the ones that the description was written with.
    #[error("{}: the tensors do not match the digest in the description", path.display())]
    Digest {
        /// The file of tensors.
        path: PathBuf,
    },
    /// The parts of a model contradict each other.
    #[error("model: {what} is {found}, the architecture wants {wanted}")]
    Inconsistent {
        /// Which part.
        what: &'static str,
        /// What was found.
        found: String,
        /// What would fit.
        wanted: String,
    },
}

impl ModelError {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::File(TensorFileError::Read { .. }) => {
                "check that the folder holds model.json and model.safetensors"
            }
            Self::File(TensorFileError::Write { .. }) => "check that the folder exists and can be written to",
            Self::File(_) => "the file is damaged; copy it again or train the model again",
            Self::Description { .. } => {
                "the description is damaged; copy both files again from the run folder"
            }
            Self::Schema { .. } => "use the version of daa that wrote the model, or train it again",
            Self::Architecture { .. } => {
                "the description was edited or is damaged; copy it again from the run folder"
            }
            Self::Mismatch { .. } | Self::Digest { .. } => {
                "model.json and model.safetensors must come from the same run; copy both again"
            }
            Self::Inconsistent { .. } => "the model's parts come from different trainings",
        }
    }
}

/// A prediction cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PredictError {
    /// The network cannot be compiled.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The memory cannot be had.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The device refused or failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The rows are not the model's.
    #[error("rows of {found} features, the model wants {wanted}")]
    Width {
        /// Features per row given; or the number of features that is no whole number of rows.
        found: usize,
        /// Features per row of the model.
        wanted: usize,
    },
}
