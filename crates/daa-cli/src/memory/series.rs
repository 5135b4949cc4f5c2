//! Series of samples as CSV: the first column is time, each other one a run.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Largest file that is read.
const MAX_FILE: u64 = 64 << 20;
/// Most series.
const MAX_SERIES: usize = 4096;
/// Most values over all series.
const MAX_VALUES: usize = 4 << 20;

/// Runs sampled at the same times.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    /// Names of the runs: what the header calls them, else their places from 1.
    pub(super) names: Vec<String>,
    /// Samples of each run; a run may end before others.
    pub(super) runs: Vec<Vec<f64>>,
    /// Whether samples are evenly spaced, give or take a half.
    pub(super) is_even: bool,
}

/// Why a file is no table of series. Lines count from 1, the header among them.
#[derive(Debug, thiserror::Error)]
pub(super) enum SeriesError {
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("is larger than {} MiB, which is the most", MAX_FILE >> 20)]
    TooLarge,
    #[error("is not CSV: {0}")]
    Csv(#[from] csv::Error),
    #[error("line {line} has {found} columns, the first line has {expected}")]
    Ragged {
        line: u64,
        found: usize,
        expected: usize,
    },
    #[error("line {line}, column {column}: `{text}` is not a number")]
    Number { line: u64, column: usize, text: String },
    #[error(
        "line {line}, column {column}: {value} is no amount of memory, allowed are finite numbers from 0 to 1e18"
    )]
    Amount { line: u64, column: usize, value: f64 },
    #[error("line {line}: time {time} is not after {before}, the line before's")]
    Time { line: u64, time: f64, before: f64 },
    #[error(
        "line {line}, column {column}: a value after an empty cell; a series may end early but not pause"
    )]
    Gap { line: u64, column: usize },
    #[error("holds {found} series, at least {least} are needed: half of them are fitted, the rest reported")]
    TooFew { found: usize, least: usize },
    #[error("holds {found} series or values, at most {most} are read")]
    TooMany { found: usize, most: usize },
}

/// Reads the table in the file at `path`.
pub(super) fn read(path: &Path) -> Result<Table, SeriesError> {
    let mut bytes = Vec::new();
    // One more than allowed tells that there is more, even of a file without a length.
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(SeriesError::TooLarge);
    }
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<Table, SeriesError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let mut reading: Option<Reading> = None;
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record)? {
        let line = record.position().map_or(0, csv::Position::line);
        match &mut reading {
            Some(reading) => reading.row(line, &record)?,
            None => {
                let is_header = record.get(0).is_none_or(|text| text.parse::<f64>().is_err());
                let mut begun = Reading::begin(&record, is_header)?;
                if !is_header {
                    begun.row(line, &record)?;
                }
                reading = Some(begun);
            }
        }
    }
    let Some(reading) = reading else {
        return Err(SeriesError::TooFew { found: 0, least: 2 });
    };
    Ok(reading.end())
}

/// A table that is being read.
struct Reading {
    names: Vec<String>,
    runs: Vec<Vec<f64>>,
    ended: Vec<bool>,
    times: Vec<f64>,
    values: usize,
}

impl Reading {
    fn begin(first: &csv::StringRecord, is_header: bool) -> Result<Self, SeriesError> {
        let series = first.len().saturating_sub(1);
        if series < 2 {
            return Err(SeriesError::TooFew {
                found: series,
                least: 2,
            });
        }
        if series > MAX_SERIES {
            return Err(SeriesError::TooMany {
                found: series,
                most: MAX_SERIES,
            });
        }
        let name = |(at, text): (usize, &str)| {
            if is_header && !text.is_empty() {
                text.to_owned()
            } else {
                (at + 1).to_string()
            }
        };
        Ok(Self {
            names: first.iter().skip(1).enumerate().map(name).collect(),
            runs: vec![Vec::new(); series],
            ended: vec![false; series],
            times: Vec::new(),
            values: 0,
        })
    }

    fn row(&mut self, line: u64, record: &csv::StringRecord) -> Result<(), SeriesError> {
        let expected = self.runs.len() + 1;
        if record.len() != expected {
            return Err(SeriesError::Ragged {
                line,
                found: record.len(),
                expected,
            });
        }
        let time = number(line, 1, &record[0])?;
        if !time.is_finite() {
            return Err(SeriesError::Number {
                line,
                column: 1,
                text: record[0].to_owned(),
            });
        }
        if let Some(&before) = self.times.last().filter(|before| **before >= time) {
            return Err(SeriesError::Time { line, time, before });
        }
        self.times.push(time);
        for (at, text) in record.iter().skip(1).enumerate() {
            let column = at + 2;
            if text.is_empty() {
                self.ended[at] = true;
                continue;
            }
            if self.ended[at] {
                return Err(SeriesError::Gap { line, column });
            }
            let value = number(line, column, text)?;
            if !(0.0..=daa_gpu_core::pressure::forecast::MAX_VALUE).contains(&value) {
                return Err(SeriesError::Amount { line, column, value });
            }
            self.values += 1;
            if self.values > MAX_VALUES {
                return Err(SeriesError::TooMany {
                    found: self.values,
                    most: MAX_VALUES,
                });
            }
            self.runs[at].push(value);
        }
        Ok(())
    }

    fn end(self) -> Table {
        let steps = || self.times.windows(2).map(|pair| pair[1] - pair[0]);
        let mean = steps().sum::<f64>() / steps().count().max(1) as f64;
        Table {
            is_even: steps().all(|step| (0.5 * mean..=1.5 * mean).contains(&step)),
            names: self.names,
            runs: self.runs,
        }
    }
}

fn number(line: u64, column: usize, text: &str) -> Result<f64, SeriesError> {
    text.parse::<f64>().map_err(|_| SeriesError::Number {
        line,
        column,
        text: text.chars().take(40).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_may_end_early_and_need_no_header() {
        let table = parse(b"t,a,\n0,1,2\n1,3,4.5\n2,,5\n").expect("a table");
        assert_eq!(table.names, ["a", "2"]);
        assert_eq!(table.runs, [vec![1.0, 3.0], vec![2.0, 4.5, 5.0]]);
        assert!(table.is_even);
        let bare = parse(b"0, 1, 2\n10, 3, 4\n11,5,6\n").expect("a table");
        assert_eq!(
            (bare.names, bare.runs[0].len()),
            (vec!["1".to_owned(), "2".to_owned()], 3)
        );
        assert!(!bare.is_even);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let cases = [
            ("", "holds 0 series"),
            ("t,a\n0,1\n", "holds 1 series"),
            ("t,a,b\n0,1\n", "line 2 has 2 columns, the first line has 3"),
            ("t,a,b\n0,1,x\n", "line 2, column 3: `x` is not a number"),
            ("t,a,b\nx,1,1\n", "line 2, column 1: `x` is not a number"),
            ("t,a,b\nnan,1,1\n", "line 2, column 1: `nan` is not a number"),
            ("t,a,b\n0,1,-1\n", "line 2, column 3: -1 is no amount"),
            ("t,a,b\n0,NaN,1\n", "line 2, column 2: NaN is no amount"),
            ("t,a,b\n0,inf,1\n", "line 2, column 2: inf is no amount"),
            ("t,a,b\n1,1,1\n1,1,1\n", "line 3: time 1 is not after 1"),
            (
                "t,a,b\n1,1,\n2,1,1\n",
                "line 3, column 3: a value after an empty cell",
            ),
        ];
        for (text, expected) in cases {
            let error = parse(text.as_bytes()).expect_err(text).to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        assert!(matches!(parse(b"t,a,b\n0,\xff,1\n"), Err(SeriesError::Csv(_))));
        let wide = format!("t{}\n", ",x".repeat(MAX_SERIES + 1));
        assert!(matches!(parse(wide.as_bytes()), Err(SeriesError::TooMany { .. })));
    }
}
