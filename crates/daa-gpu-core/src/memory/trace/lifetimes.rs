//! Lifetimes as CSV with the columns `id,lower,upper,size`, the form in which traces for static planners are published.

use super::{MAX_ALLOCATION, MAX_TICK, Trace, TraceBuilder, Usage};
use crate::memory::layout::Lifetime;
use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read};

const COLUMNS: [&str; 4] = ["id", "lower", "upper", "size"];

/// Most rows of a file.
pub(super) const MAX_ROWS: usize = 1 << 20;

/// Longest line, in bytes.
const MAX_LINE: u64 = 1024;

/// Longest id, in bytes.
const MAX_ID: usize = 64;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifetimeRow {
    /// Names it in this file, 1 to 64 bytes.
    pub id: String,
    /// First tick in which it lives.
    pub lower: u64,
    /// The tick in which it no longer lives, after `lower` and at most [`MAX_TICK`].
    pub upper: u64,
    /// Size in bytes, 1 to [`MAX_ALLOCATION`].
    pub size: u64,
}

/// The rows of a file in their order; ids are unique.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lifetimes {
    rows: Vec<LifetimeRow>,
}

/// Why a file of lifetimes is refused. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LifetimesError {
    /// The source cannot be read.
    #[error("line {line}: cannot be read: {message}")]
    Io {
        /// The line.
        line: usize,
        /// What kind of failure.
        kind: io::ErrorKind,
        /// The operating system's words.
        message: String,
    },
    /// There is no header.
    #[error("the file is empty, it must begin with the header `id,lower,upper,size`")]
    Empty,
    /// The header lacks a column.
    #[error("line {line}: the header has no column `{column}`, needed are id, lower, upper and size")]
    Missing {
        /// The header's line.
        line: usize,
        /// The column.
        column: &'static str,
    },
    /// The header has a column twice.
    #[error("line {line}: the header has the column `{column}` more than once")]
    Twice {
        /// The header's line.
        line: usize,
        /// The column.
        column: &'static str,
    },
    /// More bytes than the caller allows.
    #[error("line {line}: the file has more than {limit} bytes, no more are allowed")]
    TooLarge {
        /// The line that goes beyond.
        line: usize,
        /// What the caller allows.
        limit: u64,
    },
    /// More rows than there may be.
    #[error("line {line}: there are more than {MAX_ROWS} rows, no more are allowed")]
    TooManyRows {
        /// The first line too many.
        line: usize,
    },
    /// A line is too long.
    #[error("line {line}: has more than {MAX_LINE} bytes, no more are allowed")]
    Long {
        /// The line.
        line: usize,
    },
    /// A line is not UTF-8.
    #[error("line {line}: is not UTF-8")]
    Text {
        /// The line.
        line: usize,
    },
    /// A row has another number of fields than the header.
    #[error("line {line}: has {found} fields, the header has {expected}")]
    Fields {
        /// The line.
        line: usize,
        /// Fields of the line.
        found: usize,
        /// Fields of the header.
        expected: usize,
    },
    /// A field is not what its column needs.
    #[error("line {line}: `{column}` is `{}`, allowed are {allowed}", value.escape_debug())]
    Field {
        /// The line.
        line: usize,
        /// The column.
        column: &'static str,
        /// What stands there, cut after 64 bytes.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// A lifetime is empty or runs backwards.
    #[error("line {line}: `upper` is {upper}, it must be more than `lower`, {lower}")]
    Order {
        /// The line.
        line: usize,
        /// First tick.
        lower: u64,
        /// The tick after the last.
        upper: u64,
    },
    /// Two rows have one id.
    #[error("line {line}: the id `{}` is there already", id.escape_debug())]
    Id {
        /// The second line.
        line: usize,
        /// The id.
        id: String,
    },
}

impl Lifetimes {
    /// Reads a CSV file with a header. Columns are found by name, others are passed over; empty lines too. Fields are
    /// plain: quotes have no meaning.
    ///
    /// # Errors
    /// [`LifetimesError`] that names the first line that is wrong; anything over `limit` bytes is refused.
    pub fn read(source: impl Read, limit: u64) -> Result<Self, LifetimesError> {
        let mut lines = Lines::new(source, limit);
        let Some(header) = lines.next_line()? else {
            return Err(LifetimesError::Empty);
        };
        let columns = Columns::find(header.trim_start_matches('\u{feff}'), lines.line)?;
        let mut rows: Vec<LifetimeRow> = Vec::new();
        let mut ids = HashSet::new();
        while let Some(text) = lines.next_line()? {
            let line = lines.line;
            if rows.len() == MAX_ROWS {
                return Err(LifetimesError::TooManyRows { line });
            }
            let row = columns.row(&text, line)?;
            if !ids.insert(row.id.clone()) {
                return Err(LifetimesError::Id { line, id: row.id });
            }
            rows.push(row);
        }
        Ok(Self { rows })
    }

    /// The rows in the file's order.
    #[must_use]
    pub fn rows(&self) -> &[LifetimeRow] {
        &self.rows
    }

    /// The same for [`crate::memory::layout::pack`], in the file's order. Ticks beyond 32 bits are replaced by their
    /// rank, which changes no overlap.
    #[must_use]
    pub fn steps(&self) -> Vec<Lifetime> {
        let largest = self.rows.iter().map(|row| row.upper).max().unwrap_or(0);
        let mut ticks: Vec<u64> = Vec::new();
        if u32::try_from(largest).is_err() {
            ticks.extend(self.rows.iter().flat_map(|row| [row.lower, row.upper]));
            ticks.sort_unstable();
            ticks.dedup();
        }
        // There are at most two ticks a row, far fewer than 2^32.
        let step = |tick: u64| {
            let rank = || ticks.partition_point(|&other| other < tick);
            u32::try_from(if ticks.is_empty() { tick } else { rank() as u64 }).unwrap_or(u32::MAX)
        };
        let life = |row: &LifetimeRow| Lifetime {
            lower: step(row.lower),
            upper: step(row.upper),
            size: row.size,
        };
        self.rows.iter().map(life).collect()
    }

    /// The same as events of one tenant. In one tick everything is freed before anything is allocated, both in the
    /// file's order.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "the rows were checked")]
    pub fn trace(&self) -> Trace {
        let frees = self.rows.iter().enumerate();
        let frees = frees.map(|(index, row)| (row.upper, false, index));
        let allocations = self.rows.iter().enumerate();
        let allocations = allocations.map(|(index, row)| (row.lower, true, index));
        let mut order: Vec<(u64, bool, usize)> = frees.chain(allocations).collect();
        order.sort_unstable();
        let mut builder = TraceBuilder::new();
        let mut numbers = vec![0; self.rows.len()];
        let invariant =
            "ticks are sorted, sizes checked, and every row is allocated once and then freed once";
        let tenant = builder.tenant("lifetimes").expect("a short name");
        for (tick, allocates, index) in order {
            if allocates {
                let size = self.rows[index].size;
                numbers[index] = builder
                    .allocate(tick, tenant, Usage::ReadWrite, size)
                    .expect(invariant);
            } else {
                builder.free(tick, numbers[index]).expect(invariant);
            }
        }
        builder.finish()
    }
}

/// Where the columns are.
struct Columns {
    at: [usize; 4],
    fields: usize,
}

impl Columns {
    fn find(header: &str, line: usize) -> Result<Self, LifetimesError> {
        let names: Vec<&str> = header.split(',').map(str::trim).collect();
        let mut at = [0; 4];
        for (place, column) in at.iter_mut().zip(COLUMNS) {
            let mut found = (0..names.len()).filter(|&index| names[index] == column);
            *place = found.next().ok_or(LifetimesError::Missing { line, column })?;
            if found.next().is_some() {
                return Err(LifetimesError::Twice { line, column });
            }
        }
        Ok(Self {
            at,
            fields: names.len(),
        })
    }

    fn row(&self, text: &str, line: usize) -> Result<LifetimeRow, LifetimesError> {
        let fields: Vec<&str> = text.split(',').map(str::trim).collect();
        if fields.len() != self.fields {
            return Err(LifetimesError::Fields {
                line,
                found: fields.len(),
                expected: self.fields,
            });
        }
        let [id, lower, upper, size] = self.at.map(|index| fields[index]);
        if id.is_empty() || id.len() > MAX_ID {
            return Err(wrong(line, "id", id, "texts of 1 to 64 bytes"));
        }
        let tick = |column, text| number(text, 0..=MAX_TICK).ok_or_else(|| wrong(line, column, text, TICKS));
        let (lower, upper) = (tick("lower", lower)?, tick("upper", upper)?);
        let size = number(size, 1..=MAX_ALLOCATION).ok_or_else(|| wrong(line, "size", size, SIZES))?;
        if lower >= upper {
            return Err(LifetimesError::Order { line, lower, upper });
        }
        Ok(LifetimeRow {
            id: id.to_owned(),
            lower,
            upper,
            size,
        })
    }
}

const TICKS: &str = "whole numbers from 0 to 2^60";
const SIZES: &str = "whole numbers from 1 to 2^50";

fn number(text: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
    // `parse` would take a sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits)?;
    range.contains(&number).then_some(number)
}

fn wrong(line: usize, column: &'static str, value: &str, allowed: &'static str) -> LifetimesError {
    let cut = value.floor_char_boundary(MAX_ID);
    LifetimesError::Field {
        line,
        column,
        value: value[..cut].to_owned(),
        allowed,
    }
}

/// The lines of a source that are not empty.
struct Lines<R> {
    source: BufReader<R>,
    line: usize,
    left: u64,
    limit: u64,
}

impl<R: Read> Lines<R> {
    fn new(source: R, limit: u64) -> Self {
        Self {
            source: BufReader::new(source),
            line: 0,
            left: limit,
            limit,
        }
    }

    fn next_line(&mut self) -> Result<Option<String>, LifetimesError> {
        loop {
            self.line += 1;
            let line = self.line;
            let mut bytes = Vec::new();
            // One byte more than a line may have, with its end, tells that it is too long.
            let read = (&mut self.source)
                .take(MAX_LINE + 3)
                .read_until(b'\n', &mut bytes);
            let read = read.map_err(|error| LifetimesError::Io {
                line,
                kind: error.kind(),
                message: error.to_string(),
            })?;
            if read == 0 {
                return Ok(None);
            }
            self.left = self
                .left
                .checked_sub(read as u64)
                .ok_or(LifetimesError::TooLarge {
                    line,
                    limit: self.limit,
                })?;
            let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if text.len() as u64 > MAX_LINE {
                return Err(LifetimesError::Long { line });
            }
            let text = std::str::from_utf8(text).map_err(|_| LifetimesError::Text { line })?;
            if !text.trim().is_empty() {
                return Ok(Some(text.to_owned()));
            }
        }
    }
}
