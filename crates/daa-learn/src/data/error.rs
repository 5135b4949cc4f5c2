//! Why data cannot be used, in one line, with a hint at what to do.

use std::path::PathBuf;

/// What can go wrong between a path and a table ready for training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Nothing lies at the path.
    #[error("{}: no such file or folder", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
        /// A built-in data set whose name is close to the path.
        nearest: Option<String>,
    },
    /// The operating system refuses to read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The Fashion-MNIST files are not installed.
    #[error("fashion-mnist: no data in {}", folder.display())]
    NoFashionMnist {
        /// The folder that was searched.
        folder: PathBuf,
    },
    /// A folder holds neither an idx nor an npy data set.
    #[error("{}: the folder holds no data set", folder.display())]
    NothingInFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// No labels lie beside the features.
    #[error("{}: no labels found beside it, looked for {}", path.display(), looked_for.join(", "))]
    NoLabels {
        /// The features file.
        path: PathBuf,
        /// File names that were tried.
        looked_for: Vec<String>,
    },
    /// The file has no content.
    #[error("{file}: the file is empty")]
    Empty {
        /// The file.
        file: String,
    },
    /// The file does not start like any known format.
    #[error("{file}: not {expected}: it starts with {found}")]
    WrongMagic {
        /// The file.
        file: String,
        /// What was looked for.
        expected: &'static str,
        /// The first bytes, in hexadecimal.
        found: String,
    },
    /// A format, element type or number of dimensions that is not read.
    #[error("{file}: {what} is not supported, {allowed}")]
    Unsupported {
        /// The file.
        file: String,
        /// What was found.
        what: String,
        /// What would be read.
        allowed: &'static str,
    },
    /// The compressed stream is damaged.
    #[error("{file}: damaged gzip data: {reason}")]
    BrokenGzip {
        /// The file.
        file: String,
        /// What the decompressor found.
        reason: String,
    },
    /// The header of a binary file makes no sense.
    #[error("{file}: bad header: {reason}")]
    BadHeader {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file ends too early.
    #[error("{file}: truncated: {expected} bytes announced, {found} found")]
    Truncated {
        /// The file.
        file: String,
        /// Bytes that the header promises, as text, because a gzip stream may promise none.
        expected: String,
        /// Bytes that are there.
        found: u64,
    },
    /// The file goes on behind its announced end.
    #[error("{file}: {extra} bytes are left over behind the announced {expected}")]
    TrailingBytes {
        /// The file.
        file: String,
        /// Bytes that the header promises.
        expected: u64,
        /// Bytes behind them.
        extra: u64,
    },
    /// More than the [`Limits`](super::Limits) allow.
    #[error("{file}: {found} {what}, allowed are at most {limit}")]
    TooLarge {
        /// The file.
        file: String,
        /// What is counted: bytes, rows, columns or values.
        what: &'static str,
        /// How many there are, "more than …" if counting stopped.
        found: String,
        /// The bound.
        limit: u64,
    },
    /// Text that is not UTF-8.
    #[error("{file}: line {line} is not valid UTF-8")]
    NotUtf8 {
        /// The file.
        file: String,
        /// Line of the file, from 1.
        line: u64,
    },
    /// The first line holds values, not names.
    #[error("{file}: no header: the first line holds only numbers ({first})")]
    NoHeader {
        /// The file.
        file: String,
        /// The start of that line.
        first: String,
    },
    /// A header without a row.
    #[error("{file}: a header and no rows")]
    HeaderOnly {
        /// The file.
        file: String,
    },
    /// Two columns of one name.
    #[error("{file}: two columns are called \"{column}\"")]
    DuplicateColumn {
        /// The file.
        file: String,
        /// The name.
        column: String,
    },
    /// A row with another number of fields than the header.
    #[error("{file}: row {row} (line {line}) has {found} fields, the header has {expected}")]
    Ragged {
        /// The file.
        file: String,
        /// Row, from 1; the header is not counted.
        row: u64,
        /// Line of the file, from 1.
        line: u64,
        /// Fields of the header.
        expected: usize,
        /// Fields of the row.
        found: usize,
    },
    /// The wanted target is no column of the file.
    #[error("{file}: no column \"{column}\"")]
    UnknownColumn {
        /// The file.
        file: String,
        /// The wanted name.
        column: String,
        /// The closest name that exists.
        nearest: Option<String>,
        /// The names that exist, at most sixteen of them.
        columns: Vec<String>,
    },
    /// `--target` on data whose labels lie in a file of their own.
    #[error("{file}: a target column \"{column}\" was named, but this data has no named columns")]
    NoNamedColumns {
        /// The data.
        file: String,
        /// The wanted name.
        column: String,
    },
    /// A row without a target.
    #[error("{file}: row {row} has no target: column \"{column}\" holds \"{value}\"")]
    MissingTarget {
        /// The file.
        file: String,
        /// Row, from 1.
        row: u64,
        /// The target column.
        column: String,
        /// What stands there.
        value: String,
    },
    /// Regression on something that is not a number.
    #[error("{file}: row {row}: target \"{column}\" is \"{value}\", regression needs numbers")]
    TargetNotNumeric {
        /// The file.
        file: String,
        /// Row, from 1.
        row: u64,
        /// The target column.
        column: String,
        /// What stands there.
        value: String,
    },
    /// Every row has the same target.
    #[error("{file}: the target \"{column}\" has only one class, \"{class}\"")]
    OneClass {
        /// The file.
        file: String,
        /// The target.
        column: String,
        /// The one class.
        class: String,
    },
    /// A regression target that never changes.
    #[error("{file}: the target \"{column}\" is {value} in every row")]
    ConstantTarget {
        /// The file.
        file: String,
        /// The target.
        column: String,
        /// The one value.
        value: f64,
    },
    /// So many classes that the target looks like a name or an id.
    #[error(
        "{file}: the target \"{column}\" has {found} classes in {rows} rows, allowed are at most {limit}"
    )]
    TooManyClasses {
        /// The file.
        file: String,
        /// The target.
        column: String,
        /// Distinct values.
        found: usize,
        /// Rows.
        rows: usize,
        /// The bound: half the rows, and [`MAX_CLASSES`](super::MAX_CLASSES).
        limit: usize,
    },
    /// A label that is no class number.
    #[error("{file}: row {row} has label {label}, allowed are 0 to {max}")]
    LabelOutOfRange {
        /// The labels file.
        file: String,
        /// Row, from 1.
        row: u64,
        /// The label.
        label: i64,
        /// The largest class number.
        max: u32,
    },
    /// Features and labels of different counts.
    #[error("{file}: {rows} rows of features, but {labels} labels in {labels_file}")]
    CountMismatch {
        /// The features file.
        file: String,
        /// The labels file.
        labels_file: String,
        /// Rows of features.
        rows: u64,
        /// Labels.
        labels: u64,
    },
    /// Infinity, not-a-number, or a number too large for 32 bits.
    #[error("{file}: row {row}, column {column}: {value} is not a finite 32-bit number")]
    NonFinite {
        /// The file.
        file: String,
        /// Row, from 1.
        row: u64,
        /// Column name, or its number from 0 in an array.
        column: String,
        /// What stands there.
        value: String,
    },
    /// Text in a column that held numbers in training.
    #[error(
        "{file}: row {row}, column \"{column}\": \"{value}\" is not a number, the model was trained on numbers"
    )]
    NotNumeric {
        /// The file.
        file: String,
        /// Row, from 1.
        row: u64,
        /// The column.
        column: String,
        /// What stands there.
        value: String,
    },
    /// Nothing is left to learn from.
    #[error("{file}: no usable feature column beside the target \"{target}\"")]
    NoFeatures {
        /// The file.
        file: String,
        /// The target.
        target: String,
    },
    /// Columns that the model needs are not there.
    #[error("{file}: the model needs the columns {}, which are missing", columns.join(", "))]
    MissingColumns {
        /// The file.
        file: String,
        /// Their names, quoted.
        columns: Vec<String>,
    },
    /// The data has another shape than the model.
    #[error("{file}: the model takes {model}, the data is {data}")]
    ShapeMismatch {
        /// The data.
        file: String,
        /// What the model takes.
        model: String,
        /// What the data is.
        data: String,
    },
    /// A split that leaves a part empty.
    #[error("{rows} rows are too few: the {part} part would be empty")]
    TooFewRows {
        /// Rows to split.
        rows: usize,
        /// The part.
        part: &'static str,
    },
    /// A share outside its range.
    #[error("{field} is {value} thousandths, allowed are {allowed}")]
    BadShare {
        /// The field of the split's configuration.
        field: &'static str,
        /// Its value in thousandths.
        value: u16,
        /// The range.
        allowed: &'static str,
    },
    /// A row number beyond the table.
    #[error("row index {row} is out of range, the table has {rows} rows")]
    NoSuchRow {
        /// The index, from 0.
        row: u32,
        /// Rows of the table.
        rows: usize,
    },
    /// A stored preprocessing description that cannot be true.
    #[error("the stored preprocessing is damaged: {reason}")]
    BadPreprocess {
        /// What is wrong with it.
        reason: String,
    },
    /// A table was asked for its target and has none.
    #[error("{file}: the data has no target")]
    NoTarget {
        /// The data.
        file: String,
    },
}

/// What kind of failure a [`DataError`] is, for exit codes and counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DataErrorClass {
    /// Something named by the caller does not exist.
    NotFound,
    /// The operating system failed to read.
    Io,
    /// The file's form is broken.
    Malformed,
    /// The file's form is sound but not read by this program, or larger than allowed.
    Unsupported,
    /// The values cannot be learned from.
    Unusable,
    /// Data and model, or data and request, do not fit together.
    Mismatch,
}

impl DataError {
    /// The kind of failure.
    #[must_use]
    pub const fn class(&self) -> DataErrorClass {
        match self {
            Self::Missing { .. }
            | Self::NoFashionMnist { .. }
            | Self::NothingInFolder { .. }
            | Self::NoLabels { .. } => DataErrorClass::NotFound,
            Self::Read { .. } => DataErrorClass::Io,
            Self::Unsupported { .. } | Self::TooLarge { .. } => DataErrorClass::Unsupported,
            Self::MissingTarget { .. }
            | Self::TargetNotNumeric { .. }
            | Self::OneClass { .. }
            | Self::ConstantTarget { .. }
            | Self::TooManyClasses { .. }
            | Self::LabelOutOfRange { .. }
            | Self::NonFinite { .. }
            | Self::NoFeatures { .. }
            | Self::TooFewRows { .. } => DataErrorClass::Unusable,
            Self::UnknownColumn { .. }
            | Self::NoNamedColumns { .. }
            | Self::NotNumeric { .. }
            | Self::MissingColumns { .. }
            | Self::ShapeMismatch { .. }
            | Self::BadShare { .. }
            | Self::NoSuchRow { .. }
            | Self::NoTarget { .. } => DataErrorClass::Mismatch,
            _ => DataErrorClass::Malformed,
        }
    }

    /// One line on what to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Missing {
                nearest: Some(name), ..
            } => format!("did you mean the built-in data set `{name}`?"),
            Self::UnknownColumn {
                nearest: Some(name), ..
            } => format!("did you mean `{name}`?"),
            Self::UnknownColumn { columns, .. } => format!("the columns are: {}", columns.join(", ")),
            Self::NoLabels { looked_for, .. } => {
                format!(
                    "put the labels beside the features as {}",
                    looked_for.join(" or ")
                )
            }
            Self::TargetNotNumeric { value, .. } => {
                format!("remove rows like \"{value}\", or state classification")
            }
            other => other.fixed_hint().to_owned(),
        }
    }

    /// The hints that need nothing from the error itself: finding and reading files.
    const fn fixed_hint(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "name `digits`, `fashion-mnist`, or the path of a .csv, .npy or idx file",
            Self::Read { .. } => "check the permissions of the file and of the folders above it",
            Self::NoFashionMnist { .. } => {
                "install the package dataset-fashion-mnist, or set DAA_FASHION_MNIST to the folder of its four idx files"
            }
            Self::NothingInFolder { .. } => {
                "the folder needs train-images* and train-labels* (idx), or X.npy and y.npy"
            }
            Self::Empty { .. } | Self::HeaderOnly { .. } => "check that the file was written to its end",
            Self::WrongMagic { .. } => "check that the file is what its name says",
            Self::Unsupported { .. } => "convert the data to CSV with a header, npy, or idx",
            Self::BrokenGzip { .. }
            | Self::Truncated { .. }
            | Self::TrailingBytes { .. }
            | Self::BadHeader { .. } => "the file is damaged: copy or download it again",
            Self::TooLarge { .. } => "take a sample of the rows, or split the file",
            other => other.content_hint(),
        }
    }

    /// The hints on what the rows and columns hold.
    const fn content_hint(&self) -> &'static str {
        match self {
            Self::NotUtf8 { .. } => "save the file as UTF-8",
            Self::NoHeader { .. } => "put a line with the column names first",
            Self::DuplicateColumn { .. } => "rename one of them",
            Self::Ragged { .. } => "check that row for a missing field, or for a comma outside quotes",
            Self::NoNamedColumns { .. } => "leave out --target: the labels come with the data",
            Self::MissingTarget { .. } => "fill in the target or remove the row",
            Self::OneClass { .. } | Self::ConstantTarget { .. } => {
                "there is nothing to tell apart: name another column with --target"
            }
            Self::TooManyClasses { .. } => {
                "this looks like a name or an id: name another column with --target"
            }
            Self::LabelOutOfRange { .. } => "number the classes from 0",
            Self::CountMismatch { .. } => "check that both files belong together",
            Self::NonFinite { .. } => "remove the row, or leave the field empty in a CSV file",
            Self::NotNumeric { .. } => "correct the value, or leave the field empty",
            Self::NoFeatures { .. } => "add a column with numbers, or with repeating words",
            Self::MissingColumns { .. } => "use a file with the columns that the model was trained on",
            Self::ShapeMismatch { .. } => "use data of the kind that the model was trained on",
            Self::TooFewRows { .. } => "add rows, or make the part's share larger",
            Self::BadShare { .. } => "leave rows for training",
            Self::NoSuchRow { .. } => "use the rows of the table that was split",
            Self::NoTarget { .. } => "add the target's column, or its labels file",
            _ => "use the model.json that was stored with the model",
        }
    }
}
