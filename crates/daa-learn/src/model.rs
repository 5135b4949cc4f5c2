//! Trained models on disk and at work.
//!
//! A model is two files in one folder: `model.safetensors` holds the parameters and running statistics, `model.json`
//! describes everything else: architecture, preprocessing, class names and how the model came to be. Equal models are
//! equal bytes.

pub mod error;
pub mod predict;
pub mod store;
pub(crate) mod tensors;

pub use error::{ModelError, PredictError, TensorFileError};
pub use predict::{Predictions, Predictor};
pub use store::{DESCRIPTION_FILE, MODEL_SCHEMA, Model, TENSORS_FILE, TrainingSummary};
