#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod data;
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
