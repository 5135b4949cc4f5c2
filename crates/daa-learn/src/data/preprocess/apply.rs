//! Applying a [`Preprocess`] to a table.

use super::fit::check_rows;
use super::{ColumnEncoder, ColumnKind, InputEncoder, Preprocess, TargetEncoder};
use crate::data::columns::shown;
use crate::data::table::{Column, ColumnValues, DenseValues, Features, MISSING_CODE, Table, TableTarget};
use crate::data::target::number_name;
use crate::data::{DataError, Dataset, InputShape, Limits, Matrix, Target};
use std::collections::BTreeMap;

/// Largest size of a normalized value.
const CUT_OFF: f64 = 1e6;

impl Preprocess {
    /// Refuses a table of another shape than the one this was fitted on. Columns are matched by name when rows are
    /// transformed, not here.
    ///
    /// # Errors
    /// [`DataError::ShapeMismatch`] with both shapes.
    pub fn check_shape(&self, table: &Table) -> Result<(), DataError> {
        let (model, data) = match (&self.input, table.features()) {
            (InputEncoder::Columns(_), Features::Columns(_)) => return Ok(()),
            (InputEncoder::Dense { shape: model, .. }, Features::Dense { shape, .. }) => {
                if model == shape {
                    return Ok(());
                }
                (model.to_string(), shape.to_string())
            }
            (InputEncoder::Columns(encoders), Features::Dense { shape, .. }) => (
                format!("a table with {} named columns", encoders.len()),
                shape.to_string(),
            ),
            (InputEncoder::Dense { shape, .. }, Features::Columns(columns)) => (
                shape.to_string(),
                format!("a table with {} named columns", columns.len()),
            ),
        };
        Err(DataError::ShapeMismatch {
            file: table.file().to_owned(),
            model,
            data,
        })
    }

    /// The features of `rows` as a network takes them.
    ///
    /// # Errors
    /// Those of [`check_shape`](Self::check_shape), [`DataError::MissingColumns`], [`DataError::NotNumeric`],
    /// [`DataError::NoSuchRow`], and [`DataError::TooLarge`] above the default [`Limits`]' number of values.
    pub fn transform(&self, table: &Table, rows: &[u32]) -> Result<Matrix, DataError> {
        self.check_shape(table)?;
        check_rows(table, rows)?;
        let columns = self.shape().values();
        let limits = Limits {
            rows: usize::MAX,
            columns: usize::MAX,
            ..Limits::default()
        };
        crate::data::table::check_size(table.file(), rows.len(), columns, &limits)?;
        let mut values = vec![0.0_f32; rows.len() * columns];
        match (&self.input, table.features()) {
            (InputEncoder::Dense { shape, mean, std }, Features::Dense { values: raw, .. }) => match raw {
                DenseValues::Bytes(bytes) => dense(*shape, (mean, std), bytes, rows, f64::from, &mut values),
                DenseValues::Floats(floats) => {
                    dense(*shape, (mean, std), floats, rows, f64::from, &mut values)
                }
            },
            (InputEncoder::Columns(encoders), Features::Columns(found)) => {
                let mut at = 0;
                for (encoder, column) in matched(table.file(), encoders, found)? {
                    let out = Strided {
                        values: &mut values,
                        at,
                        columns,
                    };
                    encode_column(table.file(), &encoder.kind, column, rows, out)?;
                    at += encoder.kind.width();
                }
            }
            // Refused by `check_shape`.
            _ => {}
        }
        Ok(Matrix {
            rows: rows.len(),
            columns,
            values,
        })
    }

    /// The table's targets as a network is trained towards them.
    ///
    /// # Errors
    /// [`DataError::NoTarget`], and [`DataError::ShapeMismatch`] for a class that this was not fitted on or a
    /// regression target where classes are due and the other way round.
    pub fn encode_target(&self, table: &Table) -> Result<Target, DataError> {
        let mismatch = |model: String, data: String| {
            let file = table.file().to_owned();
            DataError::ShapeMismatch { file, model, data }
        };
        match (&self.target, table.target()) {
            (_, None) => Err(DataError::NoTarget {
                file: table.file().to_owned(),
            }),
            (TargetEncoder::Values { mean, std }, Some(TableTarget::Values(values))) => Ok(Target::Values(
                values
                    .iter()
                    .map(|&value| standardized(value, *mean, *std))
                    .collect(),
            )),
            (TargetEncoder::Classes { names }, Some(TableTarget::Classes { labels, names: own })) => {
                let index: BTreeMap<&String, u32> = names.iter().zip(0..).collect();
                let codes: Vec<Option<u32>> = own.iter().map(|name| index.get(name).copied()).collect();
                let code = |&label: &u32| {
                    let unknown = || format!("of class \"{}\" too", shown(&own[label as usize]));
                    codes[label as usize]
                        .ok_or_else(|| mismatch(format!("{} other classes", names.len()), unknown()))
                };
                let labels = labels.iter().map(code).collect::<Result<_, _>>()?;
                Ok(Target::Classes {
                    labels,
                    classes: names.len(),
                })
            }
            (TargetEncoder::Values { .. }, Some(_)) => {
                Err(mismatch("numbers as target".into(), "in classes".into()))
            }
            (TargetEncoder::Classes { .. }, Some(_)) => {
                Err(mismatch("classes as target".into(), "measured in numbers".into()))
            }
        }
    }

    /// All rows of `table` with their targets, ready for training.
    ///
    /// # Errors
    /// Those of [`transform`](Self::transform) and [`encode_target`](Self::encode_target).
    pub fn dataset(&self, table: &Table) -> Result<Dataset, DataError> {
        let target = self.encode_target(table)?;
        let rows: Vec<u32> = (0..table.rows() as u32).collect();
        let features = self.transform(table, &rows)?.values;
        Dataset::new(self.shape(), features, target).map(|data| data.named(self.feature_names()))
    }
}

fn standardized(value: f64, mean: f64, std: f64) -> f32 {
    // The quotient is finite or infinite, never NaN: the difference is finite and the deviation above zero.
    ((value - mean) / std).clamp(-CUT_OFF, CUT_OFF) as f32
}

fn dense<T: Copy>(
    shape: InputShape,
    (mean, std): (&[f64], &[f64]),
    values: &[T],
    rows: &[u32],
    number: impl Fn(T) -> f64,
    out: &mut [f32],
) {
    let (groups, size) = shape.groups();
    let width = groups * size;
    for (&row, out) in rows.iter().zip(out.chunks_exact_mut(width)) {
        let row = &values[row as usize * width..][..width];
        for (index, (raw, out)) in row.chunks_exact(size).zip(out.chunks_exact_mut(size)).enumerate() {
            for (&value, out) in raw.iter().zip(out) {
                *out = standardized(number(value), mean[index], std[index]);
            }
        }
    }
}

/// Each encoder with the column of its name.
fn matched<'a>(
    file: &str,
    encoders: &'a [ColumnEncoder],
    found: &'a [Column],
) -> Result<Vec<(&'a ColumnEncoder, &'a Column)>, DataError> {
    let by_name: BTreeMap<&str, &Column> = found
        .iter()
        .map(|column| (column.name.as_str(), column))
        .collect();
    let pairs: Vec<_> = encoders
        .iter()
        .map(|encoder| (encoder, by_name.get(encoder.name.as_str())))
        .collect();
    let columns: Vec<String> = pairs
        .iter()
        .filter(|(_, column)| column.is_none())
        .map(|(encoder, _)| format!("\"{}\"", shown(&encoder.name)))
        .collect();
    if !columns.is_empty() {
        return Err(DataError::MissingColumns {
            file: file.to_owned(),
            columns,
        });
    }
    Ok(pairs
        .into_iter()
        .filter_map(|(encoder, column)| Some((encoder, *column?)))
        .collect())
}

/// The place of one column's numbers in the rows of a matrix.
struct Strided<'a> {
    values: &'a mut [f32],
    at: usize,
    columns: usize,
}

impl Strided<'_> {
    fn set(&mut self, row: usize, offset: usize, value: f32) {
        self.values[row * self.columns + self.at + offset] = value;
    }
}

fn encode_column(
    file: &str,
    kind: &ColumnKind,
    column: &Column,
    rows: &[u32],
    mut out: Strided<'_>,
) -> Result<(), DataError> {
    match kind {
        ColumnKind::Numeric {
            mean,
            std,
            fill,
            indicator,
        } => {
            let ColumnValues::Numeric(values) = &column.values else {
                return Err(not_numeric(file, column));
            };
            for (at, &row) in rows.iter().enumerate() {
                let value = values[row as usize];
                let present = if value.is_nan() { *fill } else { value };
                out.set(at, 0, standardized(present, *mean, *std));
                if *indicator && value.is_nan() {
                    out.set(at, 1, 1.0);
                }
            }
        }
        ColumnKind::Categorical { categories, missing } => {
            let missing = missing.then_some(categories.len());
            let index: BTreeMap<&str, usize> = categories.iter().map(String::as_str).zip(0..).collect();
            match &column.values {
                ColumnValues::Categorical {
                    categories: own,
                    codes,
                } => {
                    let places: Vec<Option<usize>> =
                        own.iter().map(|word| index.get(word.as_str()).copied()).collect();
                    for (at, &row) in rows.iter().enumerate() {
                        let code = codes[row as usize];
                        let place = if code == MISSING_CODE {
                            missing
                        } else {
                            places[code as usize]
                        };
                        place.into_iter().for_each(|place| out.set(at, place, 1.0));
                    }
                }
                // A file whose words all happen to be numbers.
                ColumnValues::Numeric(values) => {
                    for (at, &row) in rows.iter().enumerate() {
                        let value = values[row as usize];
                        let word = || index.get(number_name(value).as_str()).copied();
                        let place = if value.is_nan() { missing } else { word() };
                        place.into_iter().for_each(|place| out.set(at, place, 1.0));
                    }
                }
            }
        }
    }
    Ok(())
}

/// The first word of a column that should hold numbers.
fn not_numeric(file: &str, column: &Column) -> DataError {
    let (row, value) = match &column.values {
        ColumnValues::Categorical { categories, codes } => {
            let word = |code: u32| {
                categories
                    .get(code as usize)
                    .filter(|word| word.parse::<f64>().is_err())
            };
            let found = codes
                .iter()
                .enumerate()
                .find_map(|(row, &code)| Some((row, word(code)?)));
            found.map_or((0, String::new()), |(row, word)| (row, shown(word)))
        }
        ColumnValues::Numeric(_) => (0, String::new()),
    };
    DataError::NotNumeric {
        file: file.to_owned(),
        row: row as u64 + 1,
        column: shown(&column.name),
        value,
    }
}
