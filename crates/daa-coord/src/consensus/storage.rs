//! What a validator keeps on disk: its write-ahead log and the decided blocks.
//!
//! A folder holds
//! - `wal`: records of the height in work;
//! - `blocks-<first height>`: decided blocks, appended; a new file every [`FileStorage::SEGMENT`] blocks;
//! - `ledger-<height>`: the ledger after the last block of a full file; the last two are kept;
//! - `lock`: held while the folder is in use.
//!
//! The oldest files of blocks are removed, so that [`FileStorage::KEPT`] full ones remain: others can catch up from them.
//!
//! Frames carry checksums. A torn end is what a crash leaves, and is cut off; damage elsewhere is an error.

mod records;

pub(crate) use self::records::WalFile;
use super::block::Decided;
use super::host::Recovered;
use super::wal::{WalRecord, frame_bytes, frame_length, read_frame_bytes};
use crate::genesis::Genesis;
use crate::ledger::{Ledger, LedgerError};
use daa_base::codec::{self, CodecError};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
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

/// Decided blocks and ledgers in the files of one folder.
#[derive(Debug)]
pub(crate) struct BlockFiles {
    folder: PathBuf,
    segment: Option<(u64, File)>,
    /// Held as long as the storage lives, so that no second process signs with the same memory.
    _lock: Arc<File>,
}

/// Files in one folder, for one validator.
#[derive(Debug)]
pub struct FileStorage {
    blocks: BlockFiles,
    wal: WalFile,
}

impl FileStorage {
    /// Blocks per file.
    pub const SEGMENT: u64 = 4096;

    /// Full files of blocks that are kept.
    pub const KEPT: usize = 64;

    /// Opens or makes the folder of a validator of `genesis` and reads what is there.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn open(folder: &Path, genesis: &Genesis) -> Result<(Self, Recovered), StorageError> {
        make_folder(folder)?;
        let lock = lock_folder(folder)?;
        let (base, blocks, segment) = read_blocks(folder, genesis)?;
        let stored = blocks
            .last()
            .or(base.as_ref().map(|(_, block)| block))
            .map_or(0, |decided: &Arc<Decided>| decided.height());
        let (wal, records) = WalFile::open(folder, &lock, stored + 1)?;
        // The names of new files; what is written into them is made durable on its own.
        sync_folder(folder)?;
        let storage = Self {
            blocks: BlockFiles {
                folder: folder.to_owned(),
                segment,
                _lock: lock,
            },
            wal,
        };
        let recovered = Recovered {
            base,
            blocks,
            wal: records,
        };
        Ok((storage, recovered))
    }

    /// The two halves, for a driver that writes them in different places.
    #[cfg(feature = "net")]
    pub(crate) fn split(self) -> (BlockFiles, WalFile) {
        (self.blocks, self.wal)
    }
}

fn make_folder(folder: &Path) -> Result<(), StorageError> {
    if folder.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(folder).map_err(|source| io_error(folder, source))?;
    for above in folder.ancestors().skip(1) {
        let above = if above.as_os_str().is_empty() {
            Path::new(".")
        } else {
            above
        };
        // Whatever was there before is the system's; not every folder above may be opened.
        if sync_folder(above).is_err() {
            break;
        }
    }
    Ok(())
}

fn lock_folder(folder: &Path) -> Result<Arc<File>, StorageError> {
    let path = folder.join("lock");
    let lock = open_file(&path)?;
    match lock.try_lock() {
        Ok(()) => Ok(Arc::new(lock)),
        Err(std::fs::TryLockError::WouldBlock) => Err(StorageError::InUse {
            path: folder.to_owned(),
        }),
        Err(std::fs::TryLockError::Error(source)) => Err(io_error(&path, source)),
    }
}

#[cfg(feature = "net")]
impl BlockFiles {
    /// The first block that is stored, if one is.
    ///
    /// # Errors
    /// [`StorageError`].
    pub(crate) fn oldest(&self) -> Result<Option<u64>, StorageError> {
        Ok(numbered(&self.folder, "blocks-")?.first().copied())
    }
}

impl BlockFiles {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
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
        for &first in numbered(&self.folder, "blocks-")?
            .iter()
            .rev()
            .skip(FileStorage::KEPT)
        {
            remove(&self.path(&format!("blocks-{first}")))?;
        }
        for height in numbered(&self.folder, "ledger-")?.iter().rev().skip(2) {
            remove(&self.path(&format!("ledger-{height}")))?;
        }
        Ok(())
    }
}

impl BlockFiles {
    /// See [`Storage::store`].
    pub(crate) fn store(&mut self, decided: &Decided) -> Result<(), StorageError> {
        let height = decided.height();
        let first = segment_of(height);
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

    /// See [`Storage::keep`].
    pub(crate) fn keep(&mut self, ledger: &Ledger) -> Result<(), StorageError> {
        let height = ledger.height();
        if height.is_multiple_of(FileStorage::SEGMENT) {
            self.rotate(height, ledger)?;
        }
        Ok(())
    }

    /// See [`Storage::blocks`]. Reads one file and decodes what is asked for.
    pub(crate) fn blocks(&self, first: u64, count: u32) -> Result<Vec<Decided>, StorageError> {
        let segment = segment_of(first.max(1));
        let path = self.path(&format!("blocks-{segment}"));
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(io_error(&path, source)),
        };
        let mut rest = bytes.as_slice();
        for _ in segment..first {
            let Some(length) = frame_length(rest) else {
                return Ok(Vec::new());
            };
            rest = &rest[length..];
        }
        let mut blocks = Vec::new();
        while blocks.len() < count as usize
            && let Some((decided, used)) = decode_block(rest)
        {
            blocks.push(decided);
            rest = &rest[used..];
        }
        Ok(blocks)
    }
}

impl Storage for FileStorage {
    fn append(&mut self, record: &WalRecord) -> Result<(), StorageError> {
        self.wal.append(record)
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        self.wal.flush()
    }

    fn store(&mut self, decided: &Decided) -> Result<(), StorageError> {
        self.blocks.store(decided)
    }

    fn keep(&mut self, ledger: &Ledger) -> Result<(), StorageError> {
        self.blocks.keep(ledger)
    }

    fn reset(&mut self, _height: u64) -> Result<(), StorageError> {
        self.wal.restart();
        Ok(())
    }

    fn blocks(&mut self, first: u64, count: u32) -> Result<Vec<Decided>, StorageError> {
        self.blocks.blocks(first, count)
    }
}

/// The first height of the file in which `height`, 1 or more, is.
const fn segment_of(height: u64) -> u64 {
    (height - 1) / FileStorage::SEGMENT * FileStorage::SEGMENT + 1
}

fn decode_block(bytes: &[u8]) -> Option<(Decided, usize)> {
    let (body, used) = read_frame_bytes(bytes)?;
    let decided = codec::decode_canonical::<MAX_DECIDED, Decided>(body).ok()?;
    Some((decided, used))
}

/// The blocks of one file, and how many bytes they take.
fn decode_blocks(bytes: &[u8]) -> (Vec<Arc<Decided>>, usize) {
    let (mut blocks, mut whole) = (Vec::new(), 0);
    while let Some((decided, used)) = decode_block(&bytes[whole..]) {
        blocks.push(Arc::new(decided));
        whole += used;
    }
    (blocks, whole)
}

type Base = Option<(Ledger, Arc<Decided>)>;
type Stored = (Base, Vec<Arc<Decided>>, Option<(u64, File)>);

/// The last kept ledger with its block, and the blocks after it. Earlier files are not looked at.
fn read_blocks(folder: &Path, genesis: &Genesis) -> Result<Stored, StorageError> {
    let kept = numbered(folder, "ledger-")?.last().copied();
    let mut segments = numbered(folder, "blocks-")?;
    segments.retain(|&first| first.saturating_add(FileStorage::SEGMENT) > kept.unwrap_or(0));
    let (mut blocks, mut open) = (Vec::new(), None);
    for (at, &first) in segments.iter().enumerate() {
        let path = folder.join(format!("blocks-{first}"));
        let bytes = std::fs::read(&path).map_err(|source| io_error(&path, source))?;
        let (read, whole) = decode_blocks(&bytes);
        let file = open_file(&path)?;
        if whole < bytes.len() {
            let last = at + 1 == segments.len();
            cut_torn((&path, &file), &bytes, whole, last)?;
        } else if at + 1 == segments.len() {
            // The last block may be whole and yet not durable, if only the process was killed. The log of its height goes next.
            file.sync_all().map_err(|source| io_error(&path, source))?;
        }
        blocks.extend(read);
        open = Some((first, file));
    }
    let base = match (blocks.first().map(|decided| decided.height()), kept) {
        (_, Some(height)) => Some(read_base(folder, genesis, &mut blocks, height)?),
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

/// Cuts off what a crash left of the last write. Each block is durable before the next is written, so a whole block behind a
/// broken one is no crash's work: blocks that were acknowledged are damaged, and nobody must go on as if they never were.
fn cut_torn(
    (path, file): (&Path, &File),
    bytes: &[u8],
    whole: usize,
    last: bool,
) -> Result<(), StorageError> {
    let rest = &bytes[whole..];
    if !last || (1..rest.len()).any(|at| decode_block(&rest[at..]).is_some()) {
        return Err(StorageError::Damaged {
            path: path.to_owned(),
            at: whole as u64,
            reason: "a block does not decode, and later ones exist".to_owned(),
        });
    }
    tracing::warn!(path = %path.display(), torn = rest.len(), "a torn block is cut off");
    file.set_len(whole as u64)
        .and_then(|()| file.sync_all())
        .map_err(|source| io_error(path, source))
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
