//! The file that compiled pipelines are kept in between processes.

use super::frame::{Checked, MAX_FILE, Refused, decode, encode};
use super::key::{Digest, Identity};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// One adapter's file in a folder of such files.
#[derive(Debug, Clone)]
pub(super) struct Store {
    folder: PathBuf,
    stem: String,
    identity: Identity,
}

/// What became of a save.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Saved {
    /// The file is new.
    Written,
    /// Another process is writing it just now.
    Busy,
    /// What the driver holds is larger than a file may be. The file is gone, so that the next process begins anew.
    TooLarge,
}

impl Store {
    pub(super) fn new(folder: &Path, identity: Identity) -> Self {
        Self {
            folder: folder.to_owned(),
            stem: identity.file_stem(),
            identity,
        }
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.stem))
    }

    /// What an earlier process saved; `None` when none did.
    pub(super) fn load(&self) -> Result<Option<Checked>, Refused> {
        let unreadable = |error: io::Error| Refused::Unreadable {
            message: error.to_string(),
        };
        let file = match File::open(self.path("bin")) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        let meta = file.metadata().map_err(unreadable)?;
        if !meta.is_file() {
            return Err(Refused::NotOurs);
        }
        if meta.len() > MAX_FILE {
            return Err(Refused::TooLarge { bytes: meta.len() });
        }
        if exposed(&meta, &fs::metadata(&self.folder).map_err(unreadable)?) {
            return Err(Refused::Exposed);
        }
        let mut bytes = Vec::new();
        // It may grow while it is read.
        file.take(MAX_FILE + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        decode(&bytes, &self.identity).map(Some)
    }

    /// Replaces the file as a whole: a reader, and whoever comes after a crash, finds the old one or the new one. What
    /// a loss of power leaves is caught by the checksum, so nothing waits for the disk.
    pub(super) fn save(&self, keys: &BTreeSet<Digest>, data: &[u8]) -> io::Result<Saved> {
        make_private_folder(&self.folder)?;
        // A file of its own, since a lock belongs to a file and the other two are replaced. The system gives the lock
        // back when the process ends in any way.
        let lock = private()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.path("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Saved::Busy),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let Some(bytes) = encode(&self.identity, keys, data) else {
            return match fs::remove_file(self.path("bin")) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => Ok(Saved::TooLarge),
            };
        };
        // One name for all: whoever has the lock overwrites what a process that was killed left.
        let new = self.path("new");
        let mut file = private().write(true).create(true).truncate(true).open(&new)?;
        file.write_all(&bytes)?;
        drop(file);
        fs::rename(&new, self.path("bin"))?;
        Ok(Saved::Written)
    }
}

/// Options for files that only their owner may read and write.
fn private() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "the mode is set where there is one"))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn make_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Whether somebody else could have written the file: drivers take what is in it for their own.
#[cfg(unix)]
fn exposed(file: &fs::Metadata, folder: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    const OTHERS_WRITE: u32 = 0o022;
    (file.mode() | folder.mode()) & OTHERS_WRITE != 0 || file.uid() != folder.uid()
}

/// Elsewhere the user's own folders are closed to others by default, and modes do not say it.
#[cfg(not(unix))]
const fn exposed(_file: &fs::Metadata, _folder: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests;
