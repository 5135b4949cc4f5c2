//! Numbers ready for a network.

use super::{DataError, InputShape};

/// Numbers in rows and columns, row after row.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// How many rows.
    pub rows: usize,
    /// Values per row.
    pub columns: usize,
    /// `rows × columns` finite values.
    pub values: Vec<f32>,
}

impl Matrix {
    /// The `index`-th row.
    ///
    /// # Panics
    /// When `index` is not below `rows`.
    #[must_use]
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.columns..][..self.columns]
    }
}

/// What a network is trained towards.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Classification: per row a class below `classes`.
    Classes {
        /// The classes of the rows.
        labels: Vec<u32>,
        /// How many classes there are, at least 1.
        classes: usize,
    },
    /// Regression: per row a value, standardized over the training rows.
    Values(Vec<f32>),
}

impl Target {
    /// Rows that have a target.
    #[must_use]
    pub const fn rows(&self) -> usize {
        match self {
            Self::Classes { labels, .. } => labels.len(),
            Self::Values(values) => values.len(),
        }
    }

    /// Outputs that a network for this target has: one per class, or one.
    #[must_use]
    pub const fn outputs(&self) -> usize {
        match self {
            Self::Classes { classes, .. } => *classes,
            Self::Values(_) => 1,
        }
    }
}

/// Normalized features of one shape with their targets; row indices are those of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    shape: InputShape,
    features: Vec<f32>,
    target: Target,
    feature_names: Vec<String>,
}

impl Dataset {
    /// A data set from values that are normalized already: `features` holds one row of `shape` per target.
    ///
    /// # Errors
    /// [`DataError::ShapeMismatch`] if the counts do not fit, [`DataError::NonFinite`],
    /// [`DataError::LabelOutOfRange`].
    pub fn new(shape: InputShape, features: Vec<f32>, target: Target) -> Result<Self, DataError> {
        let file = "data in memory".to_owned();
        let width = shape.checked_values().unwrap_or(0);
        if width == 0 || target.rows() == 0 || features.len() != target.rows().saturating_mul(width) {
            return Err(DataError::ShapeMismatch {
                file,
                model: shape.to_string(),
                data: format!("{} values for {} targets", features.len(), target.rows()),
            });
        }
        let first_bad = |values: &[f32]| values.iter().position(|value| !value.is_finite());
        if let Some(at) = first_bad(&features) {
            let (row, column) = ((at / width) as u64 + 1, (at % width).to_string());
            return Err(DataError::NonFinite {
                file,
                row,
                column,
                value: features[at].to_string(),
            });
        }
        match &target {
            Target::Values(values) => {
                if let Some(at) = first_bad(values) {
                    let (row, column) = (at as u64 + 1, "target".to_owned());
                    return Err(DataError::NonFinite {
                        file,
                        row,
                        column,
                        value: values[at].to_string(),
                    });
                }
            }
            Target::Classes { labels, classes } => {
                if let Some(at) = labels.iter().position(|&label| label as usize >= *classes) {
                    let max = u32::try_from(classes.saturating_sub(1)).unwrap_or(u32::MAX);
                    let (row, label) = (at as u64 + 1, i64::from(labels[at]));
                    return Err(DataError::LabelOutOfRange {
                        file,
                        row,
                        label,
                        max,
                    });
                }
            }
        }
        Ok(Self {
            shape,
            features,
            target,
            feature_names: Vec::new(),
        })
    }

    /// The data set with a name per value of a row.
    pub(super) fn named(mut self, names: Vec<String>) -> Self {
        self.feature_names = names;
        self
    }

    /// How many rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.target.rows()
    }

    /// Values per row.
    #[must_use]
    pub const fn columns(&self) -> usize {
        self.shape.values()
    }

    /// The shape of a row.
    #[must_use]
    pub const fn shape(&self) -> InputShape {
        self.shape
    }

    /// All features, row after row.
    #[must_use]
    pub fn features(&self) -> &[f32] {
        &self.features
    }

    /// The targets.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// A name per value of a row, for reports; empty for images and for data from memory.
    #[must_use]
    pub fn feature_names(&self) -> &[String] {
        &self.feature_names
    }

    /// The `index`-th row's features.
    ///
    /// # Panics
    /// When `index` is not below [`rows`](Self::rows).
    #[must_use]
    pub fn row(&self, index: usize) -> &[f32] {
        &self.features[index * self.columns()..][..self.columns()]
    }

    /// Replaces `out` with the features of `rows`, one row after the other: a batch.
    ///
    /// # Panics
    /// When an index is not below [`rows`](Self::rows).
    pub fn gather(&self, rows: &[u32], out: &mut Vec<f32>) {
        out.clear();
        out.reserve(rows.len() * self.columns());
        for &row in rows {
            out.extend_from_slice(self.row(row as usize));
        }
    }
}
