//! Files of one JSON object per line, which are appended to and may end in a line that a crash cut off.

use super::open_append;
use crate::error::FolderError;
use crate::events::Event;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// Most bytes of a file of lines that is read back.
pub(super) const MAX_LINES: u64 = 256 << 20;

/// Most bytes of one line; the longest events hold a path or a few warnings.
pub(super) const MAX_LINE: usize = 1 << 20;

/// Latest time of an event that is believed, in milliseconds of a run: longer than any run, far from overflow.
const MAX_AT_MS: u64 = 1 << 52;

/// Bytes that are looked at together for the end of the last whole line.
pub(super) const BLOCK: usize = 64 << 10;

/// Opens a file of lines for appending, without the last line if a crash cut it off.
pub(super) fn open_lines(path: &Path) -> Result<File, FolderError> {
    let io = |source| FolderError::Io {
        path: path.to_owned(),
        doing: "open",
        source,
    };
    let mut file = open_append(path)?;
    let length = file.metadata().map_err(io)?.len();
    let whole = end_of_last_line(&mut file, length).map_err(io)?;
    if whole < length {
        file.set_len(whole).map_err(io)?;
    }
    Ok(file)
}

/// Where the last whole line of `file` ends, looking backwards from `length`; 0 when it holds none.
fn end_of_last_line(file: &mut File, length: u64) -> std::io::Result<u64> {
    let mut block = vec![0; BLOCK];
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let block = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(block)?;
        if let Some(at) = block.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Adds the events of the file at `path` to `events`, and gives the number of lines that are none.
pub(super) fn read_lines(path: &Path, events: &mut Vec<Event>) -> Result<u64, FolderError> {
    let io = |source| FolderError::Io {
        path: path.to_owned(),
        doing: "read",
        source,
    };
    let file = File::open(path).map_err(io)?;
    let found = file.metadata().map_err(io)?.len();
    if found > MAX_LINES {
        return Err(FolderError::TooLarge {
            path: path.to_owned(),
            found,
            limit: MAX_LINES,
        });
    }
    // The file may grow while it is read.
    take_lines(BufReader::new(file.take(MAX_LINES)), events).map_err(io)
}

/// Adds the events of `lines` to `events`, and gives the number of lines that are none.
pub(crate) fn take_lines(mut lines: impl BufRead, events: &mut Vec<Event>) -> std::io::Result<u64> {
    let mut line = Vec::new();
    let mut damaged = 0;
    while read_line(&mut lines, &mut line)? {
        let event = serde_json::from_slice::<Event>(&line).ok();
        match event.filter(|event| event.at_ms <= MAX_AT_MS) {
            Some(event) => events.push(event),
            None => damaged += 1,
        }
    }
    Ok(damaged)
}

/// Reads the next line into `line`, without its end; whether there was one. Of a line that is too long to be an
/// event, only the beginning is kept.
fn read_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    let mut is_any = false;
    loop {
        let block = lines.fill_buf()?;
        if block.is_empty() {
            return Ok(is_any);
        }
        is_any = true;
        let end = block.iter().position(|&byte| byte == b'\n');
        let part = &block[..end.unwrap_or(block.len())];
        let room = MAX_LINE.saturating_sub(line.len()).min(part.len());
        line.extend_from_slice(&part[..room]);
        let used = part.len() + usize::from(end.is_some());
        lines.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}
