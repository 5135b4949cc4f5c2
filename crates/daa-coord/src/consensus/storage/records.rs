//! The file of the write-ahead log.

use super::{StorageError, io_error, open_file};
use crate::consensus::wal::{WalRecord, read_frame};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Records of the height in work, written over from the start at each new height, so that the file's size seldom changes and
/// a flush need not write the file's metadata. Records of earlier heights that lie behind are told by their height.
#[derive(Debug)]
pub(crate) struct WalFile {
    path: PathBuf,
    file: File,
    /// Where the next record goes.
    end: u64,
    /// Records that were appended and not written yet.
    waiting: Vec<u8>,
    /// As long as this file may be written, the folder is in use.
    _lock: Arc<File>,
}

impl WalFile {
    /// Opens or makes the log in `folder` and reads the records of `height` and later.
    ///
    /// What lies behind them is cut off: a record that was torn must not come back to life when what is before it has been
    /// written again.
    ///
    /// # Errors
    /// [`StorageError`].
    pub(super) fn open(
        folder: &Path,
        lock: &Arc<File>,
        height: u64,
    ) -> Result<(Self, Vec<WalRecord>), StorageError> {
        let path = folder.join("wal");
        let mut file = open_file(&path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|source| io_error(&path, source))?;
        let (records, end) = current_records(&bytes, height);
        // A process that was killed may have left records that only the system's memory holds. What follows from them leaves
        // this validator again soon: they have to be durable as well.
        file.set_len(end)
            .and_then(|()| file.sync_all())
            .map_err(|source| io_error(&path, source))?;
        let opened = Self {
            path,
            file,
            end,
            waiting: Vec::new(),
            _lock: Arc::clone(lock),
        };
        Ok((opened, records))
    }

    /// Appends a record; it is durable after the next [`WalFile::flush`].
    ///
    /// # Errors
    /// [`StorageError::Codec`].
    pub(crate) fn append(&mut self, record: &WalRecord) -> Result<(), StorageError> {
        self.waiting.extend_from_slice(&record.frame()?);
        Ok(())
    }

    /// Makes all appended records durable.
    ///
    /// # Errors
    /// [`StorageError::Io`]. What was appended may or may not be durable then: the validator must stop.
    pub(crate) fn flush(&mut self) -> Result<(), StorageError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.file
            .seek(SeekFrom::Start(self.end))
            .and_then(|_| self.file.write_all(&self.waiting))
            .and_then(|()| self.file.sync_data())
            .map_err(|source| io_error(&self.path, source))?;
        self.end += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    /// Begins a later height, for which the records so far are of no use. Nothing need be durable: their height tells.
    pub(crate) fn restart(&mut self) {
        self.waiting.clear();
        self.end = 0;
    }

    /// Forgets all records, durably.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    #[cfg(feature = "net")]
    pub(crate) fn clear(&mut self) -> Result<(), StorageError> {
        self.restart();
        self.file
            .set_len(0)
            .and_then(|()| self.file.sync_all())
            .map_err(|source| io_error(&self.path, source))
    }
}

/// Records of `height` at the start of the log, and where they end.
fn current_records(bytes: &[u8], height: u64) -> (Vec<WalRecord>, u64) {
    let mut records = Vec::new();
    let mut end = 0;
    let mut rest = bytes;
    while let Some((record, used)) = read_frame(rest) {
        // A log of a later height than stored blocks allow is the host's to refuse.
        if record.height() < height {
            break;
        }
        records.push(record);
        end += used as u64;
        rest = &rest[used..];
    }
    (records, end)
}
