//! From what stands behind `--data` to a table.

use super::array::{Array, Elements};
use super::beside::{ArrayFiles, beside, in_folder};
use super::columns::{self, shown};
use super::idx::decode_idx;
use super::npy::decode_npy;
use super::preprocess::{ColumnKind, InputEncoder};
use super::read::{Format, decompress, read_file, sniff, wrong_magic};
use super::table::{DenseValues, Features, TargetChoice};
use super::target::{Place, RawLabels, choose, nearest};
use super::text::{TextTable, decode_csv};
use super::{DataError, DataWarning, InputShape, Limits, Preprocess, Table, TaskKind};
use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The folder where the Debian package `dataset-fashion-mnist` puts its files.
const FASHION_MNIST_FOLDER: &str = "/usr/share/datasets/fashion-mnist";

/// Fashion-MNIST's classes in the order of their numbers (Xiao, Rasul, Vollgraf 2017).
const FASHION_MNIST_CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

static DIGITS: &[u8] = include_bytes!("../../data/digits.csv.gz");

/// Data by name or by path.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataSource {
    /// 1797 handwritten digits of 8×8 pixels, part of this program.
    Digits,
    /// Fashion-MNIST, from the folder in `DAA_FASHION_MNIST` or from `/usr/share/datasets/fashion-mnist`.
    FashionMnist,
    /// A file (CSV, idx or npy, each also compressed with gzip) or a folder of idx or npy files.
    Path(PathBuf),
}

impl FromStr for DataSource {
    type Err = Infallible;

    /// `digits`, `fashion-mnist`, or else a path; write `./digits` for a file of that name.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "digits" => Self::Digits,
            "fashion-mnist" => Self::FashionMnist,
            path => Self::Path(PathBuf::from(path)),
        })
    }
}

impl fmt::Display for DataSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digits => f.write_str("digits"),
            Self::FashionMnist => f.write_str("fashion-mnist"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// How data is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadOptions {
    /// The target column of a CSV file. Without one it is the column called target, label, class or y (in that
    /// order, in any case), otherwise the last one.
    pub target: Option<String>,
    /// Classification or regression, stated or told apart.
    pub task: TaskKind,
    /// How much is read at most.
    pub limits: Limits,
    /// Where Fashion-MNIST lies; without it the environment is asked, then the usual folder.
    pub fashion_mnist: Option<PathBuf>,
}

impl LoadOptions {
    /// The default options with a named target column.
    #[must_use]
    pub fn with_target(target: impl Into<String>) -> Self {
        Self {
            target: Some(target.into()),
            ..Self::default()
        }
    }
}

/// Files as they were decoded.
enum Content {
    Text(TextTable),
    Dense {
        // Boxed: it is several times as large as the other variant.
        table: Box<Table>,
        labels: Option<RawLabels>,
        labels_file: String,
        looked_for: Vec<String>,
    },
}

impl DataSource {
    /// Reads data to train on: every row has a target.
    ///
    /// # Errors
    /// Any [`DataError`] of reading: see its variants.
    pub fn load(&self, options: &LoadOptions) -> Result<Table, DataError> {
        let file = self.to_string();
        match self.open(options)? {
            Content::Text(text) => text_for_training(&file, text, options),
            Content::Dense {
                table,
                labels,
                labels_file,
                looked_for,
            } => {
                if let Some(column) = &options.target {
                    return Err(DataError::NoNamedColumns {
                        file,
                        column: shown(column),
                    });
                }
                let path = PathBuf::from(&file);
                let labels = labels.ok_or(DataError::NoLabels { path, looked_for })?;
                let place = Place {
                    file: &labels_file,
                    column: "label",
                };
                let target = labels.for_training(place, options.task)?;
                table.with_target(Some(target), "label", &labels_file)
            }
        }
    }

    /// Reads data to predict with a trained model: columns are found by name, columns the model does not know are
    /// ignored, and the target may be there or not. If it is there and every row's means something to the model, it
    /// is in the table in the model's terms; otherwise the table has none, and a
    /// [`DataWarning::TargetIgnored`] says why if there was something to ignore. `options.target` and
    /// `options.task` do not count: the model knows both.
    ///
    /// # Errors
    /// Any [`DataError`] of reading, [`DataError::MissingColumns`], [`DataError::NotNumeric`], and
    /// [`DataError::ShapeMismatch`] if the model was trained on data of another shape.
    pub fn load_for(&self, model: &Preprocess, options: &LoadOptions) -> Result<Table, DataError> {
        let file = self.to_string();
        match self.open(options)? {
            Content::Text(text) => text_for_model(&file, text, model, &options.limits),
            Content::Dense {
                mut table,
                labels,
                labels_file,
                ..
            } => {
                model.check_shape(&table)?;
                if let Some(Err(reason)) = apply_labels(&mut table, labels, model) {
                    table.warnings.push(DataWarning::TargetIgnored { reason });
                }
                let target = table.target.take();
                table.with_target(target, model.target_name(), &labels_file)
            }
        }
    }

    fn open(&self, options: &LoadOptions) -> Result<Content, DataError> {
        let limits = &options.limits;
        match self {
            Self::Digits => digits(limits),
            Self::FashionMnist => {
                let folder = fashion_folder(options);
                if !folder.is_dir() {
                    return Err(DataError::NoFashionMnist { folder });
                }
                let names = FASHION_MNIST_CLASSES.map(str::to_owned).to_vec();
                arrays("fashion-mnist", &in_folder(&folder)?, Some(names), limits)
            }
            Self::Path(path) if path.is_dir() => {
                arrays(&path.display().to_string(), &in_folder(path)?, None, limits)
            }
            Self::Path(path) => {
                let file = path.display().to_string();
                let bytes = read_file(path, limits).map_err(suggest_built_in)?;
                match sniff(&file, &bytes)? {
                    Format::Csv => Ok(Content::Text(decode_csv(&file, &bytes, limits)?)),
                    Format::Idx | Format::Npy => {
                        drop(bytes);
                        arrays(&file, &beside(path), None, limits)
                    }
                }
            }
        }
    }
}

/// A path that does not exist may be a built-in name with a typing error.
fn suggest_built_in(error: DataError) -> DataError {
    match error {
        DataError::Missing { path, .. } => {
            let nearest = nearest(&path.to_string_lossy(), ["digits", "fashion-mnist"].into_iter());
            DataError::Missing { path, nearest }
        }
        other => other,
    }
}

fn fashion_folder(options: &LoadOptions) -> PathBuf {
    options
        .fashion_mnist
        .clone()
        .or_else(|| {
            std::env::var_os("DAA_FASHION_MNIST")
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        })
        .unwrap_or_else(|| PathBuf::from(FASHION_MNIST_FOLDER))
}

/// Reads and decodes one array file.
fn array_file(path: &Path, limits: &Limits) -> Result<(Array, Format), DataError> {
    let file = path.display().to_string();
    let bytes = read_file(path, limits)?;
    let format = sniff(&file, &bytes)?;
    let array = match format {
        Format::Idx => decode_idx(&file, &bytes)?,
        Format::Npy => decode_npy(&file, &bytes)?,
        Format::Csv => return Err(wrong_magic(&file, "an idx or npy file", &bytes)),
    };
    Ok((array, format))
}

/// Labels with whether they are class numbers by their format.
fn label_file(path: &Path, limits: &Limits) -> Result<(Vec<f64>, bool), DataError> {
    let (array, format) = array_file(path, limits)?;
    let whole = matches!(array.elements, Elements::Bytes(_) | Elements::Whole(_));
    let labels = array.into_labels(&path.display().to_string(), limits)?;
    Ok((labels, whole && format == Format::Idx))
}

fn check_counts(features: &Path, array: &Array, labels_path: &Path, labels: &[f64]) -> Result<(), DataError> {
    let rows = array.dims.first().copied().unwrap_or(0);
    if rows == labels.len() {
        return Ok(());
    }
    Err(DataError::CountMismatch {
        file: features.display().to_string(),
        labels_file: labels_path.display().to_string(),
        rows: rows as u64,
        labels: labels.len() as u64,
    })
}

/// Reads features, labels and the test part behind both.
fn arrays(
    name: &str,
    files: &ArrayFiles,
    class_names: Option<Vec<String>>,
    limits: &Limits,
) -> Result<Content, DataError> {
    let (mut array, _) = array_file(&files.features, limits)?;
    let mut labels = None;
    let mut test_start = None;
    if let Some(path) = &files.labels {
        let (mut values, class_numbers) = label_file(path, limits)?;
        check_counts(&files.features, &array, path, &values)?;
        if let Some((test_features, test_labels)) = &files.test {
            let (tail, _) = array_file(test_features, limits)?;
            let (more, _) = label_file(test_labels, limits)?;
            check_counts(test_features, &tail, test_labels, &more)?;
            test_start = Some(values.len());
            array = array.append(&test_features.display().to_string(), tail)?;
            values.extend(more);
        }
        labels = Some(match class_names {
            Some(names) => RawLabels::Named(values, names),
            None if class_numbers => RawLabels::ClassNumbers(values),
            None => RawLabels::Numbers(values),
        });
    }
    let mut table = Box::new(array.into_table(name, limits)?);
    table.test_start = test_start;
    let labels_file = files
        .labels
        .as_ref()
        .map_or_else(|| name.to_owned(), |path| path.display().to_string());
    Ok(Content::Dense {
        table,
        labels,
        labels_file,
        looked_for: files.looked_for.clone(),
    })
}

/// The embedded digits: 64 pixels from 0 to 16 and the digit per line, without a header.
fn digits(limits: &Limits) -> Result<Content, DataError> {
    let bytes = decompress("digits", DIGITS.to_vec(), limits)?;
    let bad = |reason: String| DataError::BadHeader {
        file: "digits".to_owned(),
        reason,
    };
    let text = std::str::from_utf8(&bytes).map_err(|error| bad(error.to_string()))?;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let fields: Result<Vec<u8>, _> = line.split(',').map(str::parse).collect();
        let fields = fields.map_err(|error| bad(format!("{error} in \"{line}\"")))?;
        let Some((label, values)) = fields.split_last().filter(|(_, values)| values.len() == 64) else {
            return Err(bad(format!("{} fields in a line", fields.len())));
        };
        pixels.extend_from_slice(values);
        labels.push(f64::from(*label));
    }
    let shape = InputShape::Image {
        channels: 1,
        height: 8,
        width: 8,
    };
    let table = Box::new(Table::dense("digits", shape, DenseValues::Bytes(pixels), limits)?);
    let names = (0..10).map(|digit| digit.to_string()).collect();
    Ok(Content::Dense {
        table,
        labels: Some(RawLabels::Named(labels, names)),
        labels_file: "digits".to_owned(),
        looked_for: Vec::new(),
    })
}

fn text_for_training(file: &str, mut text: TextTable, options: &LoadOptions) -> Result<Table, DataError> {
    let (at, target_choice) = choose(file, &text, options.target.as_deref())?;
    let labels = RawLabels::Text(std::mem::take(&mut text.columns[at]));
    let target_name = std::mem::take(&mut text.header[at]);
    let target = labels.for_training(
        Place {
            file,
            column: &target_name,
        },
        options.task,
    )?;
    let mut warnings = Vec::new();
    let mut found = Vec::new();
    for (position, (name, fields)) in text.header.iter().zip(&mut text.columns).enumerate() {
        let fields = std::mem::take(fields);
        if position == at {
            continue;
        }
        if name.is_empty() {
            warnings.push(DataWarning::Unnamed {
                position: position + 1,
            });
        } else if let Some(column) = columns::infer(file, name, &fields, &mut warnings)? {
            found.push(column);
        }
    }
    if found.is_empty() {
        return Err(DataError::NoFeatures {
            file: file.to_owned(),
            target: shown(&target_name),
        });
    }
    Ok(Table {
        file: file.to_owned(),
        rows: text.rows,
        features: Features::Columns(found),
        target: Some(target),
        target_name,
        target_choice,
        test_start: None,
        warnings,
    })
}

fn text_for_model(
    file: &str,
    mut text: TextTable,
    model: &Preprocess,
    limits: &Limits,
) -> Result<Table, DataError> {
    let InputEncoder::Columns(encoders) = model.input() else {
        return Err(DataError::ShapeMismatch {
            file: file.to_owned(),
            model: model.shape().to_string(),
            data: format!("a CSV file of {} columns", text.header.len()),
        });
    };
    let place = |name: &str| text.header.iter().position(|other| other == name);
    let places: Vec<Option<usize>> = encoders.iter().map(|encoder| place(&encoder.name)).collect();
    let target_at = place(model.target_name());
    if places.iter().any(Option::is_none) {
        let missing = encoders.iter().zip(&places).filter(|(_, place)| place.is_none());
        let columns = missing
            .map(|(encoder, _)| format!("\"{}\"", shown(&encoder.name)))
            .collect();
        return Err(DataError::MissingColumns {
            file: file.to_owned(),
            columns,
        });
    }
    super::table::check_size(file, text.rows, model.shape().values(), limits)?;
    let mut found = Vec::with_capacity(encoders.len());
    for (encoder, at) in encoders.iter().zip(places.into_iter().flatten()) {
        let fields = std::mem::take(&mut text.columns[at]);
        let values = match &encoder.kind {
            ColumnKind::Numeric { .. } => columns::numeric(file, &encoder.name, &fields)?,
            ColumnKind::Categorical { .. } => columns::categorical(&fields),
        };
        found.push(super::Column {
            name: encoder.name.clone(),
            values,
        });
    }
    let mut table = Table {
        file: file.to_owned(),
        rows: text.rows,
        features: Features::Columns(found),
        target: None,
        target_name: model.target_name().to_owned(),
        target_choice: TargetChoice::Named,
        test_start: None,
        warnings: Vec::new(),
    };
    let labels = target_at.map(|at| RawLabels::Text(std::mem::take(&mut text.columns[at])));
    if let Some(Err(reason)) = apply_labels(&mut table, labels, model) {
        table.warnings.push(DataWarning::TargetIgnored { reason });
    }
    Ok(table)
}

/// Puts the labels into the table in the model's terms, or says why not.
fn apply_labels(
    table: &mut Table,
    labels: Option<RawLabels>,
    model: &Preprocess,
) -> Option<Result<(), String>> {
    Some(
        labels?
            .for_model(model.target())
            .map(|target| table.target = Some(target)),
    )
}
