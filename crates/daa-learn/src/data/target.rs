//! Which column is the target, and whether it names classes or measures something.
//!
//! Under [`TaskKind::Auto`] the target is taken for *classes* if any value is not a number, or if all values are whole
//! numbers, at most [`MAX_GUESSED_CLASSES`] of them distinct, and each on average in two rows or more; otherwise the
//! task is *regression*. Labels of idx files are class numbers unless regression is stated.

use super::columns::{fits_f32, is_missing, shown};
use super::table::{TableTarget, TargetChoice};
use super::text::{TextColumn, TextTable};
use super::{DataError, MAX_CLASSES, MAX_GUESSED_CLASSES, TargetEncoder};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What is to be learned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TaskKind {
    /// Told apart by the target's values.
    #[default]
    Auto,
    /// The target names classes.
    Classification,
    /// The target is a number.
    Regression,
}

impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Classification => "classification",
            Self::Regression => "regression",
        })
    }
}

/// Targets as a reader finds them.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum RawLabels {
    /// A column of text.
    Text(TextColumn),
    /// Numbers from an npy file.
    Numbers(Vec<f64>),
    /// Class numbers from an idx file.
    ClassNumbers(Vec<f64>),
    /// Class numbers of a data set whose classes have names.
    Named(Vec<f64>, Vec<String>),
}

/// Where a target stands, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) file: &'a str,
    pub(super) column: &'a str,
}

/// The index of the target column and how it was found: the one called `wanted`; otherwise the one called target,
/// label, class or y, in that order and in any case; otherwise the last one with a name.
pub(super) fn choose(
    file: &str,
    table: &TextTable,
    wanted: Option<&str>,
) -> Result<(usize, TargetChoice), DataError> {
    let header = &table.header;
    if let Some(wanted) = wanted {
        let wanted = wanted.trim();
        return match header.iter().position(|name| name == wanted && !name.is_empty()) {
            Some(at) => Ok((at, TargetChoice::Named)),
            None => Err(DataError::UnknownColumn {
                file: file.to_owned(),
                column: shown(wanted),
                nearest: nearest(wanted, header.iter().map(String::as_str)),
                columns: header
                    .iter()
                    .filter(|name| !name.is_empty())
                    .take(16)
                    .map(|name| shown(name))
                    .collect(),
            }),
        };
    }
    for known in ["target", "label", "class", "y"] {
        if let Some(at) = header.iter().position(|name| name.eq_ignore_ascii_case(known)) {
            return Ok((at, TargetChoice::WellKnown));
        }
    }
    let last = header.iter().rposition(|name| !name.is_empty());
    // A header without any name is refused when it is read.
    last.map(|at| (at, TargetChoice::LastColumn))
        .ok_or_else(|| DataError::NoHeader {
            file: file.to_owned(),
            first: String::new(),
        })
}

/// The name closest to `wanted`, if one is close at all, whatever its case.
pub(super) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let short: String = wanted.chars().take(64).collect::<String>().to_lowercase();
    let allowed = (short.chars().count() / 3).max(1);
    names
        .filter(|name| !name.is_empty())
        .map(|name| {
            let other: String = name.chars().take(64).collect::<String>().to_lowercase();
            (strsim::damerau_levenshtein(&short, &other), name)
        })
        .filter(|&(distance, _)| distance <= allowed)
        .min()
        .map(|(_, name)| name.to_owned())
}

impl RawLabels {
    /// The target of data to train on.
    pub(super) fn for_training(self, place: Place<'_>, task: TaskKind) -> Result<TableTarget, DataError> {
        match self {
            Self::Text(fields) => text_target(place, &fields, task),
            Self::Numbers(values) => number_target(place, &values, task),
            Self::ClassNumbers(values) | Self::Named(values, _) if task == TaskKind::Regression => {
                number_target(place, &values, task)
            }
            Self::ClassNumbers(values) => {
                let max = u32::try_from(MAX_CLASSES - 1).unwrap_or(u32::MAX);
                check_class_numbers(place.file, &values, max)?;
                classes_of_numbers(place, &values, MAX_CLASSES)
            }
            Self::Named(values, names) => {
                let max = u32::try_from(names.len().saturating_sub(1)).unwrap_or(u32::MAX);
                let labels = check_class_numbers(place.file, &values, max)?;
                Ok(TableTarget::Classes { labels, names })
            }
        }
    }
}

impl RawLabels {
    /// The target of data that a trained model is to be compared with, in the model's terms.
    ///
    /// # Errors
    /// The reason, in words, if any row's target means nothing to the model.
    pub(super) fn for_model(self, encoder: &TargetEncoder) -> Result<TableTarget, String> {
        match encoder {
            TargetEncoder::Classes { names } => {
                let index: BTreeMap<&str, u32> = names.iter().map(String::as_str).zip(0..).collect();
                let find = |at: usize, name: &str| {
                    let unknown = || {
                        format!(
                            "row {} holds \"{}\", which is no class of the model",
                            at + 1,
                            shown(name)
                        )
                    };
                    index.get(name).copied().ok_or_else(unknown)
                };
                let labels: Result<Vec<u32>, String> = self
                    .class_texts()
                    .enumerate()
                    .map(|(at, name)| find(at, &name))
                    .collect();
                Ok(TableTarget::Classes {
                    labels: labels?,
                    names: names.clone(),
                })
            }
            TargetEncoder::Values { .. } => {
                let values: Result<Vec<f64>, String> = self
                    .numbers()
                    .enumerate()
                    .map(|(at, value)| {
                        value
                            .filter(|&value| fits_f32(value))
                            .ok_or_else(|| format!("row {} holds no number", at + 1))
                    })
                    .collect();
                values.map(TableTarget::Values)
            }
        }
    }

    /// Per row the class in the spelling that training gave it.
    fn class_texts(&self) -> Box<dyn Iterator<Item = String> + '_> {
        match self {
            Self::Text(fields) => {
                let numeric = fields.fields().all(|field| field.parse::<f64>().is_ok());
                Box::new(fields.fields().map(move |field| match field.parse::<f64>() {
                    Ok(value) if numeric => number_name(value),
                    _ => field.to_owned(),
                }))
            }
            Self::Numbers(values) | Self::ClassNumbers(values) => {
                Box::new(values.iter().map(|&value| number_name(value)))
            }
            Self::Named(values, names) => Box::new(values.iter().map(|&value| {
                let name = names
                    .get(value as usize)
                    .filter(|_| value >= 0.0 && value.fract() == 0.0);
                name.cloned().unwrap_or_else(|| number_name(value))
            })),
        }
    }

    /// Per row the number, where there is one.
    fn numbers(&self) -> Box<dyn Iterator<Item = Option<f64>> + '_> {
        match self {
            Self::Text(fields) => Box::new(fields.fields().map(|field| field.parse().ok())),
            Self::Numbers(values) | Self::ClassNumbers(values) | Self::Named(values, _) => {
                Box::new(values.iter().copied().map(Some))
            }
        }
    }
}

/// Class numbers from 0 to `max`.
fn check_class_numbers(file: &str, values: &[f64], max: u32) -> Result<Vec<u32>, DataError> {
    values
        .iter()
        .enumerate()
        .map(|(at, &value)| {
            if value.fract() == 0.0 && (0.0..=f64::from(max)).contains(&value) {
                return Ok(value as u32);
            }
            let (file, row, label) = (file.to_owned(), at as u64 + 1, value as i64);
            Err(DataError::LabelOutOfRange {
                file,
                row,
                label,
                max,
            })
        })
        .collect()
}

fn text_target(place: Place<'_>, fields: &TextColumn, task: TaskKind) -> Result<TableTarget, DataError> {
    for (at, field) in fields.fields().enumerate() {
        if is_missing(field) {
            return Err(DataError::MissingTarget {
                file: place.file.to_owned(),
                row: at as u64 + 1,
                column: shown(place.column),
                value: field.to_owned(),
            });
        }
    }
    let mut values = Vec::new();
    for (at, field) in fields.fields().enumerate() {
        match field.parse::<f64>() {
            Ok(value) => values.push(value),
            Err(_) if task == TaskKind::Regression => {
                return Err(DataError::TargetNotNumeric {
                    file: place.file.to_owned(),
                    row: at as u64 + 1,
                    column: shown(place.column),
                    value: shown(field),
                });
            }
            Err(_) => return classes_of_words(place, fields),
        }
    }
    number_target(place, &values, task)
}

fn number_target(place: Place<'_>, values: &[f64], task: TaskKind) -> Result<TableTarget, DataError> {
    if let Some(at) = values.iter().position(|&value| !fits_f32(value)) {
        let (file, row, column) = (place.file.to_owned(), at as u64 + 1, shown(place.column));
        return Err(if values[at].is_nan() {
            DataError::MissingTarget {
                file,
                row,
                column,
                value: "NaN".to_owned(),
            }
        } else {
            DataError::NonFinite {
                file,
                row,
                column,
                value: values[at].to_string(),
            }
        });
    }
    let limit = MAX_CLASSES.min(values.len() / 2);
    let classes = match task {
        TaskKind::Classification => true,
        TaskKind::Regression => false,
        TaskKind::Auto => {
            let whole = values.iter().all(|value| value.fract() == 0.0);
            whole && distinct(values).len() <= MAX_GUESSED_CLASSES.min(limit.max(1))
        }
    };
    if classes {
        classes_of_numbers(place, values, limit)
    } else {
        measured(place, values.to_vec())
    }
}

/// The distinct values in numeric order; zero has no sign.
fn distinct(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().map(|value| value + 0.0).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.dedup();
    sorted
}

/// How a class that is a number is called, whatever way it was written.
pub(super) fn number_name(value: f64) -> String {
    (value + 0.0).to_string()
}

fn classes_of_numbers(place: Place<'_>, values: &[f64], limit: usize) -> Result<TableTarget, DataError> {
    let all = distinct(values);
    check_classes(place, all.len(), values.len(), limit, || {
        all.first().map(|&value| number_name(value)).unwrap_or_default()
    })?;
    let label = |value: f64| all.partition_point(|&other| other < value) as u32;
    let labels = values.iter().map(|&value| label(value)).collect();
    Ok(TableTarget::Classes {
        labels,
        names: all.iter().map(|&value| number_name(value)).collect(),
    })
}

fn classes_of_words(place: Place<'_>, fields: &TextColumn) -> Result<TableTarget, DataError> {
    let words: BTreeSet<&str> = fields.fields().collect();
    let rows = fields.fields().count();
    check_classes(place, words.len(), rows, MAX_CLASSES.min(rows / 2), || {
        words.first().map(|word| shown(word)).unwrap_or_default()
    })?;
    let index: BTreeMap<&str, u32> = words.iter().copied().zip(0..).collect();
    let labels = fields.fields().map(|field| index[field]).collect();
    Ok(TableTarget::Classes {
        labels,
        names: words.into_iter().map(str::to_owned).collect(),
    })
}

fn check_classes(
    place: Place<'_>,
    found: usize,
    rows: usize,
    limit: usize,
    first: impl Fn() -> String,
) -> Result<(), DataError> {
    let (file, column) = (place.file.to_owned(), shown(place.column));
    if found < 2 {
        return Err(DataError::OneClass {
            file,
            column,
            class: first(),
        });
    }
    if found > limit {
        return Err(DataError::TooManyClasses {
            file,
            column,
            found,
            rows,
            limit,
        });
    }
    Ok(())
}

fn measured(place: Place<'_>, values: Vec<f64>) -> Result<TableTarget, DataError> {
    match values.first() {
        Some(&first) if values.iter().all(|&value| value == first) => Err(DataError::ConstantTarget {
            file: place.file.to_owned(),
            column: shown(place.column),
            value: first,
        }),
        _ => Ok(TableTarget::Values(values)),
    }
}
