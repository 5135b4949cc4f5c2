//! CSV text as columns of fields, before anybody decides what they mean.
//!
//! The first line names the columns. The separator is a comma; if the first line holds no comma outside quotes it is
//! the semicolon or the tab, whichever that line holds. Quotes follow RFC 4180, lines end with LF or CRLF, a byte
//! order mark is skipped, and spaces around a field do not count. Empty lines are skipped.

use super::columns::shown;
use super::table::check_size;
use super::{DataError, Limits};
use csv::ByteRecord;
use std::collections::BTreeSet;

/// The fields of one column, one behind the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TextColumn {
    text: String,
    ends: Vec<u32>,
}

impl TextColumn {
    /// The fields in row order.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> + Clone {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let field = &self.text[start..end as usize];
            start = end as usize;
            field
        })
    }

    /// Appends a field, unless the column would hold more than 4 GiB.
    fn push(&mut self, field: &str) -> Option<()> {
        let end = u32::try_from(self.text.len() + field.len()).ok()?;
        self.text.push_str(field);
        self.ends.push(end);
        Some(())
    }
}

/// A CSV file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TextTable {
    /// Column names; empty for a column without one, otherwise distinct.
    pub(super) header: Vec<String>,
    /// As many columns as names, of one length.
    pub(super) columns: Vec<TextColumn>,
    /// At least one.
    pub(super) rows: usize,
}

/// Reads a whole CSV file.
pub(super) fn decode_csv(file: &str, bytes: &[u8], limits: &Limits) -> Result<TextTable, DataError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator(bytes))
        .from_reader(bytes);
    let mut record = ByteRecord::new();
    if !next(file, &mut reader, &mut record)? {
        return Err(DataError::Empty {
            file: file.to_owned(),
        });
    }
    let header = read_header(file, &record, limits)?;
    let mut columns = vec![TextColumn::default(); header.len()];
    let mut rows = 0;
    while next(file, &mut reader, &mut record)? {
        rows += 1;
        let line = line_of(&record);
        if record.len() != header.len() {
            return Err(DataError::Ragged {
                file: file.to_owned(),
                row: rows as u64,
                line,
                expected: header.len(),
                found: record.len(),
            });
        }
        check_size(file, rows, header.len(), limits)?;
        for (column, field) in columns.iter_mut().zip(&record) {
            let field = std::str::from_utf8(field).map_err(|_| not_utf8(file, line))?;
            column.push(field.trim()).ok_or_else(|| DataError::TooLarge {
                file: file.to_owned(),
                what: "bytes in one column",
                found: format!("more than {}", u32::MAX),
                limit: u64::from(u32::MAX),
            })?;
        }
    }
    if rows == 0 {
        return Err(DataError::HeaderOnly {
            file: file.to_owned(),
        });
    }
    Ok(TextTable {
        header,
        columns,
        rows,
    })
}

fn next(file: &str, reader: &mut csv::Reader<&[u8]>, record: &mut ByteRecord) -> Result<bool, DataError> {
    // Reading bytes from memory with flexible lengths has no way to fail; should the csv crate find one, say so.
    reader
        .read_byte_record(record)
        .map_err(|error| DataError::BadHeader {
            file: file.to_owned(),
            reason: error.to_string(),
        })
}

fn line_of(record: &ByteRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}

fn not_utf8(file: &str, line: u64) -> DataError {
    DataError::NotUtf8 {
        file: file.to_owned(),
        line,
    }
}

/// The separator of the first line.
fn separator(bytes: &[u8]) -> u8 {
    let mut quoted = false;
    let mut other = None;
    for &byte in bytes.iter().take_while(|&&byte| byte != b'\n') {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => return b',',
            b';' | b'\t' if !quoted => other = other.or(Some(byte)),
            _ => {}
        }
    }
    other.unwrap_or(b',')
}

fn read_header(file: &str, record: &ByteRecord, limits: &Limits) -> Result<Vec<String>, DataError> {
    check_size(file, 1, record.len(), limits)?;
    let mut header = Vec::with_capacity(record.len());
    for name in record {
        let name = std::str::from_utf8(name).map_err(|_| not_utf8(file, line_of(record)))?;
        header.push(name.trim().to_owned());
    }
    if header
        .iter()
        .all(|name| name.is_empty() || name.parse::<f64>().is_ok())
    {
        let first = shown(&header.join(","));
        return Err(DataError::NoHeader {
            file: file.to_owned(),
            first,
        });
    }
    let mut seen = BTreeSet::new();
    for name in header.iter().filter(|name| !name.is_empty()) {
        if !seen.insert(name) {
            return Err(DataError::DuplicateColumn {
                file: file.to_owned(),
                column: shown(name),
            });
        }
    }
    Ok(header)
}
