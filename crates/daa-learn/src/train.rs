//! Training of one network on one tenant, resumable at every step.
//!
//! A [`Trainer`] runs a [`crate::nn::Network`] over [`PreparedData`] and asks its caller at every step boundary
//! whether to go on. Everything that decides what comes out (order of rows, dropout, learning rate, augmentation) is a
//! pure function of seed, epoch and step, so a training that was interrupted anywhere and resumed from its
//! [`TrainState`] ends with the same bytes as one that was not.

pub mod augment;
mod buffer;
pub mod checkpoint;
pub mod config;
pub mod error;
pub mod order;
pub mod prepared;
pub mod recover;
mod resume;
pub mod state;
pub mod trainer;

pub use augment::Augment;
pub use config::{Optimizer, Schedule, TrainConfig};
pub use error::{CheckpointError, TrainError};
pub use prepared::PreparedData;
pub use recover::{Recovery, RunHistory, Stretch, Verification};
pub use state::{Best, EpochRecord, Evaluation, Position, Stage, TrainState};
pub use trainer::{Control, Outcome, Progress, Trainer};
