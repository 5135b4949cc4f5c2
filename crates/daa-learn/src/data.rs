//! Data: readers, checks, splits, and the normalization that is stored with a model.
//!
//! ```text
//! DataSource ──load──▶ Table ──split──▶ Split (row indices)
//!                        └──Preprocess::fit(train rows)──▶ Preprocess ──dataset──▶ Dataset
//! ```
//!
//! # Formats
//! The content decides, not the name; every file may be compressed with gzip.
//!
//! | Format | Features and labels |
//! |---|---|
//! | CSV | one file with a header; one column is the target ([`LoadOptions::target`]) |
//! | idx | the MNIST family: `…images…` with `…labels…` beside it, or a folder of `train-images…`, `train-labels…` and optionally `t10k-images…`, `t10k-labels…`, which stay the test part |
//! | npy | `X.npy` with `y.npy`, or `NAME.npy` with `NAME-labels.npy` or `NAME_labels.npy`, or a folder with `X.npy` and `y.npy`; numbers in C or Fortran order |
//!
//! Arrays have rows first; then nothing, numbers, height × width, or channels × height × width (height × width ×
//! channels too, if only the last of them is 1, 3 or 4).
//!
//! A CSV field is *missing* if it is empty, `?`, or `NA`, `NaN` or `null` in any case. Columns of numbers are numeric;
//! others are categorical unless they look like names or ids, which are left out with a [`DataWarning`].
//! A target of words is a class; so is one of at most [`MAX_GUESSED_CLASSES`] distinct whole numbers, two rows or more
//! each on average; any other number is a regression target. [`TaskKind`] overrides that.
//!
//! Everything read is checked before it is believed, and bounded by [`Limits`]; see [`DataError`] for what is refused.
//!
//! # Example
//! ```
//! use daa_base::Seed;
//! use daa_learn::data::{DataSource, LoadOptions, Preprocess, SplitShares, split};
//!
//! let source: DataSource = "digits".parse()?;
//! let table = source.load(&LoadOptions::default())?;
//! let parts = split(&table, &SplitShares::default(), &Seed(1).stream("split"))?;
//! let preprocess = Preprocess::fit(&table, &parts.train)?;
//! let data = preprocess.dataset(&table)?;
//! assert_eq!((data.rows(), data.columns(), data.target().outputs()), (1797, 64, 10));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod array;
mod beside;
mod columns;
mod dataset;
#[cfg(any(test, fuzzing))]
pub mod doors;
mod error;
mod idx;
mod limits;
mod npy;
mod preprocess;
mod read;
mod shape;
mod source;
mod split;
mod table;
mod target;
mod text;

#[cfg(test)]
mod tests;

pub use dataset::{Dataset, Matrix, Target};
pub use error::{DataError, DataErrorClass};
pub use limits::{Limits, MAX_CATEGORIES, MAX_CLASSES, MAX_GUESSED_CLASSES};
pub use preprocess::{ColumnEncoder, ColumnKind, InputEncoder, Preprocess, TargetEncoder};
pub use shape::InputShape;
pub use source::{DataSource, LoadOptions};
pub use split::{Split, SplitShares, split};
pub use table::{
    Column, ColumnValues, DataWarning, DenseValues, Features, MISSING_CODE, Table, TableTarget, TargetChoice,
};
pub use target::TaskKind;
