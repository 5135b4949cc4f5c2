//! The shape of a row.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The shape of one row as a network sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputShape {
    /// A row of unordered numbers.
    Flat {
        /// How many numbers.
        features: usize,
    },
    /// A picture; values lie channel by channel, row by row.
    Image {
        /// Colour channels.
        channels: usize,
        /// Pixels from top to bottom.
        height: usize,
        /// Pixels from left to right.
        width: usize,
    },
}

impl InputShape {
    /// Values per row; `None` if the product does not fit.
    #[must_use]
    pub const fn checked_values(self) -> Option<usize> {
        match self {
            Self::Flat { features } => Some(features),
            Self::Image {
                channels,
                height,
                width,
            } => match channels.checked_mul(height) {
                Some(lines) => lines.checked_mul(width),
                None => None,
            },
        }
    }

    /// Values per row. Shapes inside a [`Table`](super::Table), a [`Dataset`](super::Dataset) or a
    /// [`Preprocess`](super::Preprocess) are checked, so that the product fits there.
    #[must_use]
    pub const fn values(self) -> usize {
        match self.checked_values() {
            Some(values) => values,
            None => usize::MAX,
        }
    }

    /// Groups of values that share one mean and deviation, and the size of each: an image has one group per
    /// channel, a flat row one per number.
    pub(super) const fn groups(self) -> (usize, usize) {
        match self {
            Self::Flat { features } => (features, 1),
            Self::Image {
                channels,
                height,
                width,
            } => (channels, height * width),
        }
    }
}

impl fmt::Display for InputShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flat { features } => write!(f, "rows of {features} numbers"),
            Self::Image {
                channels,
                height,
                width,
            } => {
                write!(
                    f,
                    "images of {channels}×{height}×{width} (channels × height × width)"
                )
            }
        }
    }
}
