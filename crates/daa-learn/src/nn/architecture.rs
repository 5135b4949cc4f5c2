//! A network as data.

use super::error::ArchitectureError;
pub use crate::data::InputShape;
use daa_kernels::activation::Activation;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The version of the description that this crate writes and reads.
pub const ARCHITECTURE_VERSION: u32 = 1;

/// A feed-forward network: the input it takes, its hidden layers in order, and the head that the task asks for.
///
/// Prints as one word, `conv16k3-bn-relu-pool2-fc64-relu-10`, where the last number is the width of the head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// [`ARCHITECTURE_VERSION`].
    pub version: u32,
    /// What one example is: 1 to 65,534 features, or an image of at most 4,096 channels, rows and columns.
    pub input: InputShape,
    /// The hidden layers, first to last; at most [`super::shape::MAX_LAYERS`].
    pub layers: Vec<Layer>,
    /// The head: a dense layer without activation behind the last hidden layer.
    pub output: OutputHead,
}

/// How a pooling layer sums up its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolKind {
    /// The largest value.
    Max,
    /// The mean.
    Average,
}

/// One hidden layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Layer {
    /// A fully connected layer; images before it are flattened.
    Dense {
        /// Outputs, 1 to 65,534.
        units: usize,
        /// What is applied to them; absent for nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        activation: Option<Activation>,
    },
    /// A square convolution over an image.
    Conv2d {
        /// Output channels, 1 to 4,096.
        channels: usize,
        /// Side of the kernel, 1 to 15 and no larger than the padded image.
        kernel: usize,
        /// Step in both directions, 1 to 8.
        stride: usize,
        /// Zeros around the image, less than `kernel`.
        padding: usize,
        /// What is applied to the result; absent for nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        activation: Option<Activation>,
    },
    /// Square pooling over an image, without padding.
    Pool {
        /// How a window is summed up.
        #[serde(rename = "pool")]
        kind: PoolKind,
        /// Side of the window, 1 to 15 and no larger than the image.
        kernel: usize,
        /// Step in both directions, 1 to 8.
        stride: usize,
    },
    /// Batch normalization per channel (per unit for flat data).
    BatchNorm {
        /// What is applied to the result; absent for nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        activation: Option<Activation>,
    },
    /// Inverted dropout while training; nothing otherwise.
    Dropout {
        /// The share of elements dropped, 0 to 0.95.
        rate: f32,
    },
    /// An image becomes a row of numbers.
    Flatten {},
}

/// What the network predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum OutputHead {
    /// One of several classes: softmax and cross entropy.
    Classes {
        /// How many, 2 to 65,534.
        count: usize,
    },
    /// One number: mean squared error.
    Regression {},
}

impl OutputHead {
    /// Outputs of the head.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::Classes { count } => count,
            Self::Regression {} => 1,
        }
    }
}

impl Architecture {
    /// A description of the current version. It is not checked; see [`Architecture::validate`].
    #[must_use]
    pub const fn new(input: InputShape, layers: Vec<Layer>, output: OutputHead) -> Self {
        Self {
            version: ARCHITECTURE_VERSION,
            input,
            layers,
            output,
        }
    }

    /// The JSON form.
    ///
    /// # Errors
    /// When the dropout rate or a steepness is not finite: JSON has no such number, and no such network is valid.
    pub fn to_json(&self) -> Result<String, ArchitectureError> {
        self.validate()?;
        serde_json::to_string_pretty(self).map_err(|error| ArchitectureError::Json {
            reason: error.to_string(),
        })
    }

    /// Reads and checks the JSON form.
    ///
    /// # Errors
    /// Text that is no such JSON, and everything that [`Architecture::validate`] refuses.
    pub fn from_json(text: &str) -> Result<Self, ArchitectureError> {
        let architecture: Self = serde_json::from_str(text).map_err(|error| ArchitectureError::Json {
            reason: error.to_string(),
        })?;
        architecture.validate()?;
        Ok(architecture)
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for layer in &self.layers {
            write!(f, "{layer}-")?;
        }
        write!(f, "{}", self.output.width())
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let activation = match self {
            Self::Dense { units, activation } => {
                write!(f, "fc{units}")?;
                activation
            }
            Self::Conv2d {
                channels,
                kernel,
                stride,
                padding,
                activation,
            } => {
                write!(f, "conv{channels}k{kernel}")?;
                if *stride != 1 {
                    write!(f, "s{stride}")?;
                }
                if *padding != kernel / 2 {
                    write!(f, "p{padding}")?;
                }
                activation
            }
            Self::Pool { kind, kernel, stride } => {
                f.write_str(if *kind == PoolKind::Max { "pool" } else { "avgpool" })?;
                write!(f, "{kernel}")?;
                if stride != kernel {
                    write!(f, "s{stride}")?;
                }
                &None
            }
            Self::BatchNorm { activation } => {
                f.write_str("bn")?;
                activation
            }
            Self::Dropout { rate } => {
                write!(f, "drop{rate}")?;
                &None
            }
            Self::Flatten {} => {
                f.write_str("flat")?;
                &None
            }
        };
        match activation {
            Some(activation) => write!(f, "-{activation}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
