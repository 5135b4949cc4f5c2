//! What a column of text means: numbers or words.
//!
//! A field is *missing* if it is empty, `?`, or `NA`, `NaN` or `null` in any mix of upper and lower case. A column is
//! *numeric* if every other field of it reads as a number, and *categorical* otherwise. Numbers must be finite as
//! 32-bit floats. Left out, with a warning, are: columns without a name, columns without a value, and categorical
//! columns that look like names or ids, which have more than [`MAX_CATEGORIES`] distinct words, or, from twenty
//! values on, distinct words in more than half of them.

use super::table::{Column, ColumnValues, MISSING_CODE};
use super::text::TextColumn;
use super::{DataError, DataWarning, MAX_CATEGORIES};
use std::collections::{BTreeMap, BTreeSet};

/// From how many values on a column of hardly repeating words is taken for names or ids.
const NAMES_FROM: usize = 20;

/// Whether the field stands for "no value".
pub(super) fn is_missing(field: &str) -> bool {
    matches!(field, "" | "?")
        || ["na", "nan", "null"]
            .iter()
            .any(|word| field.eq_ignore_ascii_case(word))
}

/// Whether the number is finite as a 32-bit float too.
pub(super) fn fits_f32(value: f64) -> bool {
    value.abs() <= f64::from(f32::MAX)
}

/// What the column holds, judged by all its fields; `None`, with a warning, if it is left out.
pub(super) fn infer(
    file: &str,
    name: &str,
    fields: &TextColumn,
    warnings: &mut Vec<DataWarning>,
) -> Result<Option<Column>, DataError> {
    let present = || fields.fields().filter(|field| !is_missing(field));
    if present().next().is_none() {
        warnings.push(DataWarning::AllMissing { column: shown(name) });
        return Ok(None);
    }
    let values = if present().all(|field| field.parse::<f64>().is_ok()) {
        numeric(file, name, fields)?
    } else {
        let rows = present().count();
        let words: BTreeSet<&str> = present().collect();
        let (column, distinct) = (shown(name), words.len());
        if rows >= NAMES_FROM && distinct * 2 > rows {
            warnings.push(DataWarning::NearlyUnique {
                column,
                distinct,
                rows,
            });
            return Ok(None);
        }
        if distinct > MAX_CATEGORIES {
            warnings.push(DataWarning::TooManyCategories { column, distinct });
            return Ok(None);
        }
        categorical(fields)
    };
    Ok(Some(Column {
        name: name.to_owned(),
        values,
    }))
}

/// The fields as numbers, NaN where missing.
pub(super) fn numeric(file: &str, name: &str, fields: &TextColumn) -> Result<ColumnValues, DataError> {
    let mut values = Vec::new();
    for (at, field) in fields.fields().enumerate() {
        let (file, row, column) = (file.to_owned(), at as u64 + 1, shown(name));
        if is_missing(field) {
            values.push(f64::NAN);
            continue;
        }
        match field.parse::<f64>() {
            // `parse` takes "-nan" too, which is no missing value but no number either.
            Ok(value) if fits_f32(value) => values.push(value),
            Ok(_) => {
                return Err(DataError::NonFinite {
                    file,
                    row,
                    column,
                    value: shown(field),
                });
            }
            Err(_) => {
                return Err(DataError::NotNumeric {
                    file,
                    row,
                    column,
                    value: shown(field),
                });
            }
        }
    }
    Ok(ColumnValues::Numeric(values))
}

/// The fields as indices into the sorted distinct words.
pub(super) fn categorical(fields: &TextColumn) -> ColumnValues {
    let words: BTreeSet<&str> = fields.fields().filter(|field| !is_missing(field)).collect();
    let index: BTreeMap<&str, u32> = words.iter().copied().zip(0..).collect();
    let codes = fields
        .fields()
        .map(|field| index.get(field).copied().unwrap_or(MISSING_CODE))
        .collect();
    ColumnValues::Categorical {
        categories: words.into_iter().map(str::to_owned).collect(),
        codes,
    }
}

/// A field as it is shown in messages: short, and on one line.
pub(super) fn shown(field: &str) -> String {
    let short: String = field.chars().take(40).collect();
    let short = short.escape_debug().to_string();
    if field.chars().nth(40).is_some() {
        short + "…"
    } else {
        short
    }
}
