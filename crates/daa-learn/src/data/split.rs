//! Training, validation and test rows.
//!
//! A part is held out in two steps: the test rows from all rows, then the validation rows from what is left. In each
//! step every class gives its share of its rows, rounded down or up: the rows that rounding down leaves over go to the
//! classes with the largest remainders (Hamilton's method), the lower class first among equals, so that each class is
//! within one row of its share and the part as a whole has its share of all rows. A class never gives its last row:
//! every class with at least one row is in training, even if the part stays a row short for it. A class with a single
//! row is therefore in training only.
//!
//! Regression targets are treated as classes of equal size by quantile: up to ten, of twenty rows or more.
//! Data that comes with a test part keeps it: only the validation rows are drawn then.

use super::{DataError, Table, TableTarget};
use daa_base::{Permille, Stream};
use serde::{Deserialize, Serialize};

/// How much is held out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitShares {
    /// Share of all rows that is for the final test, 0 to 999 thousandths; default 200. Without effect on data with
    /// a test part of its own.
    pub test: Permille,
    /// Share of the rest that validates during training, 0 to 999 thousandths; default 125.
    pub validation: Permille,
}

impl Default for SplitShares {
    fn default() -> Self {
        const fn share(thousandths: u16) -> Permille {
            match Permille::new(thousandths) {
                Ok(share) => share,
                Err(_) => Permille::ZERO,
            }
        }
        Self {
            test: share(200),
            validation: share(125),
        }
    }
}

/// Row indices of the parts, each ascending; together they are all rows, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Rows to learn from.
    pub train: Vec<u32>,
    /// Rows to choose by, while training.
    pub validation: Vec<u32>,
    /// Rows to score the chosen model with, once.
    pub test: Vec<u32>,
}

/// Splits the rows of `table`; the same table, shares and stream give the same split.
///
/// # Errors
/// [`DataError::BadShare`], [`DataError::NoTarget`], and [`DataError::TooFewRows`] if a part with a share above zero
/// gets no row.
pub fn split(table: &Table, shares: &SplitShares, stream: &Stream) -> Result<Split, DataError> {
    for (field, share) in [("test", shares.test), ("validation", shares.validation)] {
        if share >= Permille::WHOLE {
            return Err(DataError::BadShare {
                field,
                value: share.get(),
                allowed: "0 to 999",
            });
        }
    }
    let target = table.target().ok_or_else(|| DataError::NoTarget {
        file: table.file().to_owned(),
    })?;
    let pool = table.test_start().unwrap_or_else(|| table.rows());
    let mut groups = groups(target, pool);
    for (index, group) in groups.iter_mut().enumerate() {
        stream.child(index as u64).rng().shuffle(group);
    }
    let test = match table.test_start() {
        Some(start) => (start as u32..table.rows() as u32).collect(),
        None => hold_out(&mut groups, shares.test),
    };
    let validation = hold_out(&mut groups, shares.validation);
    let train = groups.concat();
    let wanted = |share: Permille| share > Permille::ZERO;
    for (part, rows, needed) in [
        ("test", &test, wanted(shares.test) || table.test_start().is_some()),
        ("validation", &validation, wanted(shares.validation)),
        ("training", &train, true),
    ] {
        if needed && rows.is_empty() {
            return Err(DataError::TooFewRows {
                rows: table.rows(),
                part,
            });
        }
    }
    let sorted = |mut rows: Vec<u32>| {
        rows.sort_unstable();
        rows
    };
    Ok(Split {
        train: sorted(train),
        validation: sorted(validation),
        test: sorted(test),
    })
}

/// The first `pool` rows by class, or by quantile of their value.
fn groups(target: &TableTarget, pool: usize) -> Vec<Vec<u32>> {
    match target {
        TableTarget::Classes { labels, names } => {
            let mut groups = vec![Vec::new(); names.len()];
            for (&label, row) in labels[..pool].iter().zip(0..) {
                groups[label as usize].push(row);
            }
            groups
        }
        TableTarget::Values(values) => {
            let mut rows: Vec<u32> = (0..pool as u32).collect();
            let value = |row: u32| values[row as usize];
            rows.sort_unstable_by(|&a, &b| value(a).total_cmp(&value(b)).then(a.cmp(&b)));
            let count = (pool / 20).clamp(1, 10);
            (0..count)
                .map(|bin| rows[bin * pool / count..(bin + 1) * pool / count].to_vec())
                .collect()
        }
    }
}

/// Takes `share` of the rows out of the groups.
fn hold_out(groups: &mut [Vec<u32>], share: Permille) -> Vec<u32> {
    let share = usize::from(share.get());
    let total: usize = groups.iter().map(Vec::len).sum();
    let wanted = (total * share + 500) / 1000;
    let mut counts: Vec<usize> = groups.iter().map(|group| group.len() * share / 1000).collect();
    let left_over = wanted.saturating_sub(counts.iter().sum());
    let remainder = |index: usize| groups[index].len() * share % 1000;
    let mut order: Vec<usize> = (0..groups.len())
        .filter(|&index| remainder(index) > 0 && counts[index] + 1 < groups[index].len())
        .collect();
    order.sort_by_key(|&index| std::cmp::Reverse(remainder(index)));
    for index in order.into_iter().take(left_over) {
        counts[index] += 1;
    }
    let mut held = Vec::with_capacity(wanted);
    for (group, count) in groups.iter_mut().zip(counts) {
        held.extend(group.drain(..count));
    }
    held
}
