//! What a reader returns: rows as they stand in the files, before any normalization.

mod fingerprint;

use super::{DataError, InputShape, Limits};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Values that need no interpretation, row after row.
#[derive(Debug, Clone, PartialEq)]
pub enum DenseValues {
    /// Pixels as bytes.
    Bytes(Vec<u8>),
    /// Finite numbers.
    Floats(Vec<f32>),
}

impl DenseValues {
    /// How many values there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Bytes(values) => values.len(),
            Self::Floats(values) => values.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Stands for a missing value among the codes of a categorical column.
pub const MISSING_CODE: u32 = u32::MAX;

/// The values of one column of a CSV file.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnValues {
    /// Finite numbers; NaN where the field is missing.
    Numeric(Vec<f64>),
    /// Words.
    Categorical {
        /// The distinct words, sorted.
        categories: Vec<String>,
        /// Per row an index into `categories`, or [`MISSING_CODE`].
        codes: Vec<u32>,
    },
}

/// One feature column of a CSV file.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name in the header.
    pub name: String,
    /// Its values, one per row.
    pub values: ColumnValues,
}

/// The features of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Features {
    /// Named columns, from CSV.
    Columns(Vec<Column>),
    /// Rows of one shape, from idx and npy.
    Dense {
        /// The shape of a row.
        shape: InputShape,
        /// All rows.
        values: DenseValues,
    },
}

/// What is to be predicted, in the units of the file.
#[derive(Debug, Clone, PartialEq)]
pub enum TableTarget {
    /// Classification.
    Classes {
        /// Per row an index into `names`.
        labels: Vec<u32>,
        /// The classes: numbers in numeric order, words in the order of their bytes.
        names: Vec<String>,
    },
    /// Regression.
    Values(Vec<f64>),
}

impl TableTarget {
    /// How many rows have a target: all of the table's.
    #[must_use]
    pub const fn rows(&self) -> usize {
        match self {
            Self::Classes { labels, .. } => labels.len(),
            Self::Values(values) => values.len(),
        }
    }
}

/// How the target was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetChoice {
    /// The caller named it.
    Named,
    /// A column is called target, label, class or y.
    WellKnown,
    /// It is the last column.
    LastColumn,
    /// It lies in a file of its own, or comes with the data set.
    Labels,
}

/// Something a person should know about data that was read all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum DataWarning {
    /// A column without a name was left out.
    Unnamed {
        /// Its number, from 1.
        position: usize,
    },
    /// A column without any value was left out.
    AllMissing {
        /// Its name.
        column: String,
    },
    /// A column of words that hardly repeat was left out: names, ids, free text.
    NearlyUnique {
        /// Its name.
        column: String,
        /// Distinct words.
        distinct: usize,
        /// Rows that hold one.
        rows: usize,
    },
    /// A column with more than [`MAX_CATEGORIES`](super::MAX_CATEGORIES) distinct words was left out.
    TooManyCategories {
        /// Its name.
        column: String,
        /// Distinct words.
        distinct: usize,
    },
    /// The target of data to predict is there but cannot be compared with the model's.
    TargetIgnored {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for DataWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unnamed { position } => write!(f, "column {position} has no name and is left out"),
            Self::AllMissing { column } => write!(f, "column \"{column}\" has no values and is left out"),
            Self::NearlyUnique {
                column,
                distinct,
                rows,
            } => write!(
                f,
                "column \"{column}\" has {distinct} different words in {rows} rows and is left out as a name or id"
            ),
            Self::TooManyCategories { column, distinct } => write!(
                f,
                "column \"{column}\" has {distinct} different words, more than {}, and is left out",
                super::MAX_CATEGORIES
            ),
            Self::TargetIgnored { reason } => write!(f, "predictions are not scored: {reason}"),
        }
    }
}

/// Rows as they stand in the files, checked: finite, of one length, with their targets.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub(super) file: String,
    pub(super) rows: usize,
    pub(super) features: Features,
    pub(super) target: Option<TableTarget>,
    pub(super) target_name: String,
    pub(super) target_choice: TargetChoice,
    pub(super) test_start: Option<usize>,
    pub(super) warnings: Vec<DataWarning>,
}

impl Table {
    /// A table from memory: `values` holds one row of `shape` after the other, `target` one entry per row.
    ///
    /// # Errors
    /// [`DataError::BadHeader`] for a shape without values or values that are no whole number of rows,
    /// [`DataError::CountMismatch`], [`DataError::LabelOutOfRange`], [`DataError::NonFinite`],
    /// [`DataError::TooLarge`], and [`DataError::HeaderOnly`] without rows.
    pub fn from_memory(
        name: &str,
        shape: InputShape,
        values: Vec<f32>,
        target: TableTarget,
    ) -> Result<Self, DataError> {
        let table = Self::dense(name, shape, DenseValues::Floats(values), &Limits::default())?;
        check_target(name, &target)?;
        table.with_target(Some(target), "target", name)
    }

    /// Checked features without a target.
    pub(super) fn dense(
        file: &str,
        shape: InputShape,
        values: DenseValues,
        limits: &Limits,
    ) -> Result<Self, DataError> {
        let bad = |reason: String| DataError::BadHeader {
            file: file.to_owned(),
            reason,
        };
        let width = shape
            .checked_values()
            .filter(|&width| width > 0)
            .ok_or_else(|| bad("a row of this shape holds no values".to_owned()))?;
        if values.is_empty() {
            return Err(DataError::HeaderOnly {
                file: file.to_owned(),
            });
        }
        if !values.len().is_multiple_of(width) {
            return Err(bad(format!(
                "{} values are no whole number of rows of {width}",
                values.len()
            )));
        }
        let rows = values.len() / width;
        check_size(file, rows, width, limits)?;
        if let DenseValues::Floats(floats) = &values
            && let Some(at) = floats.iter().position(|value| !value.is_finite())
        {
            return Err(DataError::NonFinite {
                file: file.to_owned(),
                row: (at / width) as u64 + 1,
                column: (at % width).to_string(),
                value: floats[at].to_string(),
            });
        }
        Ok(Self {
            file: file.to_owned(),
            rows,
            features: Features::Dense { shape, values },
            target: None,
            target_name: "label".to_owned(),
            target_choice: TargetChoice::Labels,
            test_start: None,
            warnings: Vec::new(),
        })
    }

    /// The table with `target` in place, whose rows must be as many as the table's.
    pub(super) fn with_target(
        mut self,
        target: Option<TableTarget>,
        name: &str,
        labels_file: &str,
    ) -> Result<Self, DataError> {
        if let Some(target) = &target
            && target.rows() != self.rows
        {
            return Err(DataError::CountMismatch {
                file: self.file,
                labels_file: labels_file.to_owned(),
                rows: self.rows as u64,
                labels: target.rows() as u64,
            });
        }
        self.target = target;
        name.clone_into(&mut self.target_name);
        Ok(self)
    }

    /// Where the data came from: a path or the name of a built-in data set.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// How many rows there are, at least one.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// The features of all rows.
    #[must_use]
    pub const fn features(&self) -> &Features {
        &self.features
    }

    /// The targets of all rows. Always there in data read for training.
    #[must_use]
    pub const fn target(&self) -> Option<&TableTarget> {
        self.target.as_ref()
    }

    /// The target's column name, "label" where labels lie in a file of their own.
    #[must_use]
    pub fn target_name(&self) -> &str {
        &self.target_name
    }

    /// How the target was found.
    #[must_use]
    pub const fn target_choice(&self) -> TargetChoice {
        self.target_choice
    }

    /// The first row of the test part that the data set comes with, if it has one; all rows from there on belong to
    /// it.
    #[must_use]
    pub const fn test_start(&self) -> Option<usize> {
        self.test_start
    }

    /// What a person should know about the data.
    #[must_use]
    pub fn warnings(&self) -> &[DataWarning] {
        &self.warnings
    }
}

/// Refuses rows, columns or values beyond `limits`.
pub(super) fn check_size(file: &str, rows: usize, columns: usize, limits: &Limits) -> Result<(), DataError> {
    let values = rows.saturating_mul(columns);
    for (what, found, limit) in [
        ("rows", rows, limits.rows.min(u32::MAX as usize - 1)),
        ("columns", columns, limits.columns),
        ("values (rows × columns)", values, limits.values),
    ] {
        if found > limit {
            let (file, found, limit) = (file.to_owned(), found.to_string(), limit as u64);
            return Err(DataError::TooLarge {
                file,
                what,
                found,
                limit,
            });
        }
    }
    Ok(())
}

/// Refuses labels without a name and values that are not finite.
fn check_target(file: &str, target: &TableTarget) -> Result<(), DataError> {
    let file = file.to_owned();
    match target {
        TableTarget::Classes { labels, names } => {
            match labels.iter().position(|&label| label as usize >= names.len()) {
                Some(at) => Err(DataError::LabelOutOfRange {
                    file,
                    row: at as u64 + 1,
                    label: i64::from(labels[at]),
                    max: u32::try_from(names.len().saturating_sub(1)).unwrap_or(u32::MAX),
                }),
                None => Ok(()),
            }
        }
        TableTarget::Values(values) => {
            match values.iter().position(|&value| !super::columns::fits_f32(value)) {
                Some(at) => Err(DataError::NonFinite {
                    file,
                    row: at as u64 + 1,
                    column: "target".to_owned(),
                    value: values[at].to_string(),
                }),
                None => Ok(()),
            }
        }
    }
}
