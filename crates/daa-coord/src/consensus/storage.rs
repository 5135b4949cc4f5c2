//! What a validator keeps on disk: its write-ahead log and the decided blocks.
//!
//! A folder holds
//! - `wal`: records of the height in work, written over from the start at each new height, so that its size seldom changes
//!   and a flush need not write the file's metadata;
//! - `blocks-<first height>`: decided blocks, appended; a new file every [`FileStorage::SEGMENT`] blocks;
//! - `ledger-<height>`: the ledger after the last block of a full file. Older files than the last two are removed.
//!
//! Frames carry checksums. A torn end is what a crash leaves, and is cut off; damage elsewhere is an error.

use super::block::Decided;
use super::host::Recovered;
use super::wal::{WalRecord, frame_bytes, read_frame, read_frame_bytes};
use crate::genesis::Genesis;
use crate::ledger::{Ledger, LedgerError};
use daa_base::codec::{self, CodecError};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest encoded decided block: a block and its certificate.
const MAX_DECIDED: usize = super::block::MAX_BLOCK + (16 << 10);

/// Why storage fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is damaged where no crash can have damaged it.
    #[error("{path} is damaged at byte {at}: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        at: u64,
        /// What is wrong.
        reason: String,
    },
    /// A stored ledger is refused.
    #[error("{path}: {source}")]
    Ledger {
        /// The file.
        path: PathBuf,
        /// Why.
        source: LedgerError,
    },
    /// Something is too large to be stored.
    #[error("not storable: {0}")]
    Codec(#[from] CodecError),
    /// Another process has the folder open.
    #[error("{path} is in use by another process")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
}

/// Where a driver keeps what its validator wants kept.
pub trait Storage: std::fmt::Debug + Send {
    /// Appends a record; need not be durable.
    ///
    /// # Errors
    /// [`StorageError`]; the validator must stop then.
    fn append(&mut self, record: &WalRecord) -> Result<(), StorageError>;

    /// Makes all appended records durable.
    ///
    /// # Errors
    /// [`StorageError`]; the validator must stop then.
    fn flush(&mut self) -> Result<(), StorageError>;

    /// Keeps a decided block, durably.
    ///
    /// # Errors
    /// [`StorageError`]; the validator must stop then.
    fn store(&mut self, decided: &Decided) -> Result<(), StorageError>;

    /// May keep the ledger after the last stored block, so that earlier blocks can go.
    ///
    /// # Errors
    /// [`StorageError`]; the validator must stop then.
    fn keep(&mut self, ledger: &Ledger) -> Result<(), StorageError>;

    /// Records before `height` are no longer needed.
    ///
    /// # Errors
    /// [`StorageError`]; the validator must stop then.
    fn reset(&mut self, height: u64) -> Result<(), StorageError>;

    /// Stored blocks from `first` on, at most `count`; fewer or none where they are gone.
    ///
    /// # Errors
    /// [`StorageError`].
    fn blocks(&mut self, first: u64, count: u32) -> Result<Vec<Decided>, StorageError>;
}

/// Keeps nothing: for validators that all live and die with one process.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoStorage;

impl Storage for NoStorage {
    fn append(&mut self, _record: &WalRecord) -> Result<(), StorageError> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    fn store(&mut self, _decided: &Decided) -> Result<(), StorageError> {
        Ok(())
    }

    fn keep(&mut self, _ledger: &Ledger) -> Result<(), StorageError> {
        Ok(())
    }

    fn reset(&mut self, _height: u64) -> Result<(), StorageError> {
        Ok(())
    }

    fn blocks(&mut self, _first: u64, _count: u32) -> Result<Vec<Decided>, StorageError> {
        Ok(Vec::new())
    }
}

/// Files in one folder, for one validator.
#[derive(Debug)]
pub struct FileStorage {
    folder: PathBuf,
    wal: File,
    /// Where the next record goes.
    wal_end: u64,
    /// Records that were appended and not written yet.
    waiting: Vec<u8>,
    segment: Option<(u64, File)>,
    /// Held as long as the storage lives, so that no second process signs with the same memory.
    _lock: File,
}

impl FileStorage {
    /// Blocks per file.
    pub const SEGMENT: u64 = 4096;

    /// Opens or makes the folder of a validator of `genesis` and reads what is there.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn open(folder: &Path, genesis: &Genesis) -> Result<(Self, Recovered), StorageError> {
        std::fs::create_dir_all(folder).map_err(|source| io_error(folder, source))?;
        let lock_path = folder.join("lock");
        let lock = open_file(&lock_path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(StorageError::InUse {
                    path: folder.to_owned(),
                });
            }
            Err(std::fs::TryLockError::Error(source)) => return Err(io_error(&lock_path, source)),
        }
        let (base, blocks, segment) = read_blocks(folder, genesis)?;
        let wal_path = folder.join("wal");
        let mut wal = open_file(&wal_path)?;
        let mut bytes = Vec::new();
        wal.read_to_end(&mut bytes)
            .map_err(|source| io_error(&wal_path, source))?;
        let stored = blocks
            .last()
            .or(base.as_ref().map(|(_, block)| block))
            .map_or(0, |decided: &Arc<Decided>| decided.height());
        let (records, wal_end) = current_records(&bytes, stored + 1);
        let storage = Self {
            folder: folder.to_owned(),
            wal,
            wal_end,
            waiting: Vec::new(),
            segment,
            _lock: lock,
        };
        let recovered = Recovered {
            base,
            blocks,
            wal: records,
        };
        Ok((storage, recovered))
    }

    /// The first block that is stored, if one is.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn oldest(&self) -> Result<Option<u64>, StorageError> {
        Ok(numbered(&self.folder, "blocks-")?.first().copied())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write_out(&mut self) -> Result<(), StorageError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let path = self.path("wal");
        self.wal
            .seek(SeekFrom::Start(self.wal_end))
            .and_then(|_| self.wal.write_all(&self.waiting))
            .map_err(|source| io_error(&path, source))?;
        self.wal_end += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    /// Closes a full file: keeps the ledger after it, begins the next, removes what is no longer needed.
    fn rotate(&mut self, height: u64, ledger: &Ledger) -> Result<(), StorageError> {
        let path = self.path(&format!("ledger-{height}"));
        let draft = self.path("ledger-draft");
        let write = || -> io::Result<()> {
            let mut file = File::create(&draft)?;
            file.write_all(&ledger.snapshot())?;
            file.sync_all()?;
            std::fs::rename(&draft, &path)
        };
        write().map_err(|source| io_error(&path, source))?;
        self.segment = None;
        sync_folder(&self.folder)?;
        let segments = numbered(&self.folder, "blocks-")?;
        for &first in segments.iter().rev().skip(2) {
            remove(&self.path(&format!("blocks-{first}")))?;
        }
        let oldest = segments.iter().rev().nth(1).copied().unwrap_or(1);
        for height in numbered(&self.folder, "ledger-")? {
            if height + 1 < oldest {
                remove(&self.path(&format!("ledger-{height}")))?;
            }
        }
        Ok(())
    }
}

impl Storage for FileStorage {
    fn append(&mut self, record: &WalRecord) -> Result<(), StorageError> {
        self.waiting.extend_from_slice(&record.frame()?);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        self.write_out()?;
        let path = self.path("wal");
        self.wal.sync_data().map_err(|source| io_error(&path, source))
    }

    fn store(&mut self, decided: &Decided) -> Result<(), StorageError> {
        let height = decided.height();
        let first = (height - 1) / Self::SEGMENT * Self::SEGMENT + 1;
        let path = self.path(&format!("blocks-{first}"));
        let bytes = frame_bytes(&codec::encode::<MAX_DECIDED, _>(decided)?);
        let file = match &mut self.segment {
            Some((open, file)) if *open == first => file,
            _ => {
                let file = open_file(&path)?;
                sync_folder(&self.folder)?;
                &mut self.segment.insert((first, file)).1
            }
        };
        file.seek(SeekFrom::End(0))
            .and_then(|_| file.write_all(&bytes))
            .and_then(|()| file.sync_data())
            .map_err(|source| io_error(&path, source))
    }

    fn keep(&mut self, ledger: &Ledger) -> Result<(), StorageError> {
        let height = ledger.height();
        if height.is_multiple_of(Self::SEGMENT) {
            self.rotate(height, ledger)?;
        }
        Ok(())
    }

    fn reset(&mut self, _height: u64) -> Result<(), StorageError> {
        self.waiting.clear();
        self.wal_end = 0;
        Ok(())
    }

    fn blocks(&mut self, first: u64, count: u32) -> Result<Vec<Decided>, StorageError> {
        let segment = first.saturating_sub(1) / Self::SEGMENT * Self::SEGMENT + 1;
        let path = self.path(&format!("blocks-{segment}"));
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(io_error(&path, source)),
        };
        let (all, _) = decode_blocks(&bytes);
        let wanted = all.into_iter().filter(|decided| decided.height() >= first);
        Ok(wanted.take(count as usize).collect())
    }
}

/// Records of `height` at the start of the log; what was written for earlier heights lies behind them.
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

fn decode_blocks(bytes: &[u8]) -> (Vec<Decided>, usize) {
    let (mut blocks, mut whole) = (Vec::new(), 0);
    while let Some((body, used)) = read_frame_bytes(&bytes[whole..]) {
        let Ok(decided) = codec::decode_canonical::<MAX_DECIDED, Decided>(body) else {
            break;
        };
        blocks.push(decided);
        whole += used;
    }
    (blocks, whole)
}

type Base = Option<(Ledger, Arc<Decided>)>;
type Stored = (Base, Vec<Arc<Decided>>, Option<(u64, File)>);

fn read_blocks(folder: &Path, genesis: &Genesis) -> Result<Stored, StorageError> {
    let segments = numbered(folder, "blocks-")?;
    let (mut blocks, mut open) = (Vec::new(), None);
    for (at, &first) in segments.iter().enumerate() {
        let path = folder.join(format!("blocks-{first}"));
        let bytes = std::fs::read(&path).map_err(|source| io_error(&path, source))?;
        let (read, whole) = decode_blocks(&bytes);
        if whole < bytes.len() && at + 1 < segments.len() {
            return Err(StorageError::Damaged {
                path,
                at: whole as u64,
                reason: "a block does not decode, and later files exist".to_owned(),
            });
        }
        let file = open_file(&path)?;
        if whole < bytes.len() {
            tracing::warn!(path = %path.display(), torn = bytes.len() - whole, "a torn block is cut off");
            file.set_len(whole as u64)
                .and_then(|()| file.sync_all())
                .map_err(|source| io_error(&path, source))?;
        }
        blocks.extend(read.into_iter().map(Arc::new));
        open = Some((first, file));
    }
    let kept = numbered(folder, "ledger-")?;
    let base = match (blocks.first().map(|decided| decided.height()), kept.last()) {
        (_, Some(&height)) => Some(read_base(folder, genesis, &mut blocks, height)?),
        (None | Some(1), None) => None,
        (Some(first), None) => {
            return Err(StorageError::Damaged {
                path: folder.join(format!("blocks-{first}")),
                at: 0,
                reason: "earlier blocks are gone, and no ledger was kept".to_owned(),
            });
        }
    };
    Ok((base, blocks, open))
}

/// The ledger to go on from and the block that made it; `blocks` keeps what follows.
fn read_base(
    folder: &Path,
    genesis: &Genesis,
    blocks: &mut Vec<Arc<Decided>>,
    height: u64,
) -> Result<(Ledger, Arc<Decided>), StorageError> {
    let path = folder.join(format!("ledger-{height}"));
    let bytes = std::fs::read(&path).map_err(|source| io_error(&path, source))?;
    let ledger = Ledger::restore(genesis, &bytes).map_err(|source| StorageError::Ledger {
        path: path.clone(),
        source,
    })?;
    let at = blocks.iter().position(|decided| decided.height() == height);
    let Some(at) = at else {
        return Err(StorageError::Damaged {
            path,
            at: 0,
            reason: format!("the block of height {height} is not stored"),
        });
    };
    let rest = blocks.split_off(at + 1);
    let block = std::mem::replace(blocks, rest).swap_remove(at);
    Ok((ledger, block))
}

fn numbered(folder: &Path, prefix: &str) -> Result<Vec<u64>, StorageError> {
    let entries = std::fs::read_dir(folder).map_err(|source| io_error(folder, source))?;
    let mut numbers = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| io_error(folder, source))?;
        let name = entry.file_name();
        let number: Option<u64> = name
            .to_str()
            .and_then(|name| name.strip_prefix(prefix))
            .and_then(|number| number.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn open_file(path: &Path) -> Result<File, StorageError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|source| io_error(path, source))
}

fn remove(path: &Path) -> Result<(), StorageError> {
    std::fs::remove_file(path).map_err(|source| io_error(path, source))
}

/// A new name is durable only once its folder is.
fn sync_folder(folder: &Path) -> Result<(), StorageError> {
    File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(|source| io_error(folder, source))
}

fn io_error(path: &Path, source: io::Error) -> StorageError {
    StorageError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
