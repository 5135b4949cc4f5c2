//! From a table's rows to a network's numbers, and back from its outputs: fitted on the training rows, stored with
//! the model, applied unchanged to any later data.
//!
//! - A numeric column is standardized: `(value − mean) / deviation`, both over the training rows that have a value. A
//!   missing value counts as the mean; if the training rows miss any, a second number says so (1 missing, 0 present).
//! - A categorical column becomes one number per category of the training rows (1 for the row's category, else 0), and
//!   one for "missing" if the training rows miss any. A category the training rows did not have, and a missing value
//!   where they missed none, are all zeros.
//! - Images are standardized with one mean and deviation per channel; rows of numbers with one per number.
//! - A deviation of zero counts as one. Results are cut off at ±10⁶, so that no later row can make an infinity.
//! - Classes are numbered as the table numbers them; regression targets are standardized.

mod apply;
mod fit;

use super::{DataError, InputShape, Limits, MAX_CATEGORIES, MAX_CLASSES};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How one column becomes numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnEncoder {
    /// The column's name in the header.
    pub name: String,
    /// What is done with its values.
    pub kind: ColumnKind,
}

/// What is done with a column's values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ColumnKind {
    /// Standardize numbers.
    Numeric {
        /// Subtracted first.
        mean: f64,
        /// Divided by then; above zero.
        std: f64,
        /// Stands in for a missing value.
        fill: f64,
        /// Whether a second number says that the value was missing.
        indicator: bool,
    },
    /// One number per category.
    Categorical {
        /// The categories of the training rows, sorted.
        categories: Vec<String>,
        /// Whether "missing" has a number too, the last one.
        missing: bool,
    },
}

impl ColumnKind {
    /// How many numbers the column becomes.
    #[must_use]
    pub const fn width(&self) -> usize {
        match self {
            Self::Numeric { indicator, .. } => 1 + *indicator as usize,
            Self::Categorical { categories, missing } => categories.len() + *missing as usize,
        }
    }
}

/// How rows become numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum InputEncoder {
    /// Named columns, found by name; their numbers follow one another in this order.
    Columns(Vec<ColumnEncoder>),
    /// Rows of one shape.
    Dense {
        /// The shape.
        shape: InputShape,
        /// Subtracted, one per channel of an image, one per number of a flat row.
        mean: Vec<f64>,
        /// Divided by, as many as means; each above zero.
        std: Vec<f64>,
    },
}

/// How targets become what a network is trained towards, and its outputs what the user knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TargetEncoder {
    /// One output per class.
    Classes {
        /// The classes' names, in output order.
        names: Vec<String>,
    },
    /// One standardized output.
    Values {
        /// Mean over the training rows.
        mean: f64,
        /// Deviation over the training rows; above zero.
        std: f64,
    },
}

impl TargetEncoder {
    /// Outputs that a network for this target has: one per class, or one.
    #[must_use]
    pub const fn outputs(&self) -> usize {
        match self {
            Self::Classes { names } => names.len(),
            Self::Values { .. } => 1,
        }
    }

    /// The name of class `index`; `None` for regression and beyond the last class.
    #[must_use]
    pub fn class_name(&self, index: u32) -> Option<&str> {
        match self {
            Self::Classes { names } => names.get(index as usize).map(String::as_str),
            Self::Values { .. } => None,
        }
    }

    /// A regression output in the target's own units; `None` for classification.
    #[must_use]
    pub fn value(&self, output: f32) -> Option<f64> {
        match self {
            Self::Classes { .. } => None,
            Self::Values { mean, std } => Some(f64::from(output).mul_add(*std, *mean)),
        }
    }

    /// A difference of two regression outputs, such as a root mean squared error, in the target's own units; `None`
    /// for classification.
    #[must_use]
    pub fn difference(&self, outputs: f64) -> Option<f64> {
        match self {
            Self::Classes { .. } => None,
            Self::Values { std, .. } => Some(outputs * std),
        }
    }
}

/// Everything that was learned about the data before training. Reading one from storage checks it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Preprocess {
    input: InputEncoder,
    target_name: String,
    target: TargetEncoder,
}

/// The stored form before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    input: InputEncoder,
    target_name: String,
    target: TargetEncoder,
}

impl TryFrom<Stored> for Preprocess {
    type Error = DataError;

    fn try_from(stored: Stored) -> Result<Self, DataError> {
        let Stored {
            input,
            target_name,
            target,
        } = stored;
        let this = Self {
            input,
            target_name,
            target,
        };
        match this.flaw() {
            Some(reason) => Err(DataError::BadPreprocess { reason }),
            None => Ok(this),
        }
    }
}

impl Preprocess {
    /// How rows become numbers.
    #[must_use]
    pub const fn input(&self) -> &InputEncoder {
        &self.input
    }

    /// How targets become numbers and back.
    #[must_use]
    pub const fn target(&self) -> &TargetEncoder {
        &self.target
    }

    /// The target's column name.
    #[must_use]
    pub fn target_name(&self) -> &str {
        &self.target_name
    }

    /// The shape of a row behind the encoding: what a network takes.
    #[must_use]
    pub fn shape(&self) -> InputShape {
        match &self.input {
            InputEncoder::Columns(encoders) => InputShape::Flat {
                features: encoders.iter().map(|encoder| encoder.kind.width()).sum(),
            },
            InputEncoder::Dense { shape, .. } => *shape,
        }
    }

    /// A name per number of a row: the column's, with `=category` or ` missing` where it becomes several; for rows of
    /// numbers `x0`, `x1` and so on; none for images.
    #[must_use]
    pub fn feature_names(&self) -> Vec<String> {
        let encoders = match &self.input {
            InputEncoder::Columns(encoders) => encoders,
            InputEncoder::Dense {
                shape: InputShape::Flat { features },
                ..
            } => {
                return (0..*features).map(|index| format!("x{index}")).collect();
            }
            InputEncoder::Dense { .. } => return Vec::new(),
        };
        let mut names = Vec::new();
        for ColumnEncoder { name, kind } in encoders {
            let missing = match kind {
                ColumnKind::Numeric { indicator, .. } => {
                    names.push(name.clone());
                    *indicator
                }
                ColumnKind::Categorical { categories, missing } => {
                    names.extend(categories.iter().map(|category| format!("{name}={category}")));
                    *missing
                }
            };
            if missing {
                names.push(format!("{name} missing"));
            }
        }
        names
    }

    /// Why this cannot have come from [`fit`](Self::fit); `None` if it can.
    fn flaw(&self) -> Option<String> {
        let limit = Limits::default().columns.saturating_mul(MAX_CATEGORIES + 1);
        match self.shape().checked_values() {
            Some(1..) => {}
            _ => return Some("a row holds no values".to_owned()),
        }
        if self.shape().values() > limit {
            return Some(format!(
                "a row holds {} values, allowed are at most {limit}",
                self.shape().values()
            ));
        }
        self.input_flaw().or_else(|| self.target_flaw())
    }

    fn input_flaw(&self) -> Option<String> {
        match &self.input {
            InputEncoder::Columns(encoders) => {
                let mut names = BTreeSet::new();
                encoders
                    .iter()
                    .find_map(|encoder| column_flaw(encoder, names.insert(encoder.name.as_str())))
            }
            InputEncoder::Dense { shape, mean, std } => {
                let groups = shape.groups().0;
                if mean.len() != groups || std.len() != groups {
                    return Some(format!(
                        "{} means and {} deviations for {shape}",
                        mean.len(),
                        std.len()
                    ));
                }
                let sound = mean.iter().zip(std).all(|(&mean, &std)| is_scale(mean, std));
                (!sound).then(|| "a mean or deviation is out of range".to_owned())
            }
        }
    }

    fn target_flaw(&self) -> Option<String> {
        match &self.target {
            TargetEncoder::Classes { names } => {
                let distinct: BTreeSet<&String> = names.iter().collect();
                if names.is_empty() || names.len() > MAX_CLASSES {
                    return Some(format!("{} classes, allowed are 1 to {MAX_CLASSES}", names.len()));
                }
                (distinct.len() != names.len()).then(|| "two classes have one name".to_owned())
            }
            TargetEncoder::Values { mean, std } => {
                (!is_scale(*mean, *std)).then(|| "the target's mean or deviation is out of range".to_owned())
            }
        }
    }
}

/// Whether values can be standardized with these.
fn is_scale(mean: f64, std: f64) -> bool {
    super::columns::fits_f32(mean) && std > 0.0 && super::columns::fits_f32(std)
}

fn column_flaw(encoder: &ColumnEncoder, is_new: bool) -> Option<String> {
    let flaw = match &encoder.kind {
        _ if !is_new => "stands twice".to_owned(),
        ColumnKind::Numeric { mean, std, fill, .. } => {
            if is_scale(*mean, *std) && super::columns::fits_f32(*fill) {
                return None;
            }
            "has a mean, deviation or fill out of range".to_owned()
        }
        ColumnKind::Categorical { categories, .. } => {
            if categories.len() > MAX_CATEGORIES {
                format!(
                    "has {} categories, allowed are at most {MAX_CATEGORIES}",
                    categories.len()
                )
            } else if encoder.kind.width() == 0 {
                "has no category".to_owned()
            } else if categories.is_sorted_by(|a, b| a < b) {
                return None;
            } else {
                "has categories that are not sorted and distinct".to_owned()
            }
        }
    };
    Some(format!("column \"{}\" {flaw}", encoder.name))
}
