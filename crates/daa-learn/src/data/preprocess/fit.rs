//! Learning a [`Preprocess`] from the training rows.

use super::{ColumnEncoder, ColumnKind, InputEncoder, Preprocess, TargetEncoder};
use crate::data::table::{Column, ColumnValues, DenseValues, Features, MISSING_CODE, Table, TableTarget};
use crate::data::{DataError, InputShape};
use std::collections::BTreeSet;

impl Preprocess {
    /// Fits means, deviations and categories on the rows `train` of `table`; no other row is looked at.
    ///
    /// # Errors
    /// [`DataError::NoTarget`], [`DataError::TooFewRows`] if `train` is empty, [`DataError::NoSuchRow`].
    pub fn fit(table: &Table, train: &[u32]) -> Result<Self, DataError> {
        let Some(target) = table.target() else {
            return Err(DataError::NoTarget {
                file: table.file().to_owned(),
            });
        };
        if train.is_empty() {
            return Err(DataError::TooFewRows {
                rows: table.rows(),
                part: "training",
            });
        }
        check_rows(table, train)?;
        let input = match table.features() {
            Features::Columns(columns) => {
                InputEncoder::Columns(columns.iter().map(|column| fit_column(column, train)).collect())
            }
            Features::Dense { shape, values } => {
                let (mean, std) = match values {
                    DenseValues::Bytes(bytes) => fit_dense(*shape, bytes, train, f64::from),
                    DenseValues::Floats(floats) => fit_dense(*shape, floats, train, f64::from),
                };
                InputEncoder::Dense {
                    shape: *shape,
                    mean,
                    std,
                }
            }
        };
        let target = match target {
            TableTarget::Classes { names, .. } => TargetEncoder::Classes { names: names.clone() },
            TableTarget::Values(values) => {
                let (mean, std) = moments(train.iter().map(|&row| values[row as usize]));
                TargetEncoder::Values { mean, std }
            }
        };
        Ok(Self {
            input,
            target_name: table.target_name().to_owned(),
            target,
        })
    }
}

/// Refuses rows that the table does not have.
pub(super) fn check_rows(table: &Table, rows: &[u32]) -> Result<(), DataError> {
    match rows.iter().find(|&&row| row as usize >= table.rows()) {
        Some(&row) => Err(DataError::NoSuchRow {
            row,
            rows: table.rows(),
        }),
        None => Ok(()),
    }
}

fn fit_column(column: &Column, train: &[u32]) -> ColumnEncoder {
    let kind = match &column.values {
        ColumnValues::Numeric(values) => {
            let picked = train.iter().map(|&row| values[row as usize]);
            let indicator = picked.clone().any(f64::is_nan);
            let (mean, std) = moments(picked.filter(|value| !value.is_nan()));
            ColumnKind::Numeric {
                mean,
                std,
                fill: mean,
                indicator,
            }
        }
        ColumnValues::Categorical { categories, codes } => {
            let seen: BTreeSet<u32> = train.iter().map(|&row| codes[row as usize]).collect();
            let categories = seen
                .iter()
                .filter(|&&code| code != MISSING_CODE)
                .map(|&code| categories[code as usize].clone())
                .collect();
            ColumnKind::Categorical {
                categories,
                missing: seen.contains(&MISSING_CODE),
            }
        }
    };
    ColumnEncoder {
        name: column.name.clone(),
        kind,
    }
}

/// Mean and population deviation in two passes; 0 and 1 without values, and 1 for a deviation that is nothing but
/// rounding.
fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count();
    if count == 0 {
        return (0.0, 1.0);
    }
    // Rounding may carry the mean of the largest numbers beyond them.
    let largest = f64::from(f32::MAX);
    let mean = (values.clone().sum::<f64>() / count as f64).clamp(-largest, largest);
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / count as f64;
    (mean, sound_deviation(mean, variance.sqrt()))
}

fn sound_deviation(mean: f64, std: f64) -> f64 {
    if std > 1e-12 * mean.abs() && std.is_normal() {
        std.min(f64::from(f32::MAX))
    } else {
        1.0
    }
}

/// Mean and deviation of each group of values, over the training rows.
fn fit_dense<T: Copy>(
    shape: InputShape,
    values: &[T],
    train: &[u32],
    number: impl Fn(T) -> f64,
) -> (Vec<f64>, Vec<f64>) {
    let (groups, size) = shape.groups();
    let width = groups * size;
    let count = (train.len() * size) as f64;
    let pass = |term: &dyn Fn(usize, f64) -> f64| {
        let mut sums = vec![0.0_f64; groups];
        for &row in train {
            let row = &values[row as usize * width..][..width];
            for (group, part) in row.chunks_exact(size).enumerate() {
                sums[group] += part.iter().map(|&value| term(group, number(value))).sum::<f64>();
            }
        }
        sums.iter().map(|sum| sum / count).collect::<Vec<f64>>()
    };
    let largest = f64::from(f32::MAX);
    let mean: Vec<f64> = pass(&|_, value| value)
        .into_iter()
        .map(|mean| mean.clamp(-largest, largest))
        .collect();
    let variance = pass(&|group, value| (value - mean[group]).powi(2));
    let std = mean
        .iter()
        .zip(variance)
        .map(|(&mean, variance)| sound_deviation(mean, variance.sqrt()))
        .collect();
    (mean, std)
}
