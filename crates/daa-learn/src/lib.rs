#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod data;
#[cfg(any(test, fuzzing))]
pub mod doors;
pub mod files;
pub mod model;
pub mod nn;
pub mod search;
#[cfg(test)]
mod testing;
pub mod train;

pub use model::{Model, Predictor};
pub use nn::{Architecture, Network};
pub use search::SearchConfig;
pub use train::{PreparedData, TrainConfig, Trainer};

#[cfg(test)]
extern crate self as daa_learn;
#[cfg(test)]
mod hostile;
