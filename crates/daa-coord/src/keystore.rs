//! Secret keys in files.
//!
//! A key file is text of three lines: the version, the public half for people to copy, and the secret half. The public
//! half is checked against the secret one, so a damaged file is found out.
//!
//! ```text
//! daa.key/1
//! public 8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c
//! secret 0101010101010101010101010101010101010101010101010101010101010101
//! ```
//!
//! On Unix a key file is made with mode 0600 and refused when its group or others have any access to it. On other systems
//! the folder's access rules are all that protects it.

use crate::keys::{AgentKey, HexError, PublicKey, decode_hex};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The first line of a key file.
pub const SCHEMA: &str = "daa.key/1";

/// Largest key file in bytes.
pub const MAX_KEY_FILE: u64 = 512;

/// The mode that key files are made with; of a key file that is read, no other bits may be set.
pub const KEY_FILE_MODE: u32 = 0o600;

/// Why a key file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// There is a file already.
    #[error("{}: there is a file already, and a lost key cannot be made again", path.display())]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// Others can reach the secret.
    #[error("{}: mode {found:04o} lets others at a secret key, allowed is at most {KEY_FILE_MODE:04o}", path.display())]
    Permissions {
        /// The path.
        path: PathBuf,
        /// The mode found, the lowest nine bits.
        found: u32,
    },
    /// It is a folder, a pipe or a device.
    #[error("{}: not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// It is too large to be a key.
    #[error("{}: more than {MAX_KEY_FILE} bytes, a key file has 154", path.display())]
    TooLarge {
        /// The path.
        path: PathBuf,
    },
    /// A line is not what it should be. The line itself is not told: it may hold a secret.
    #[error("{}: line {line}: {reason}", path.display())]
    Malformed {
        /// The path.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What it should be.
        reason: String,
    },
    /// The two halves are not of one pair.
    #[error("{}: the public key is not that of the secret one; the file is damaged", path.display())]
    Mismatch {
        /// The path.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// The operating system has no random numbers.
    #[error("the system's random source failed: {reason}")]
    Random {
        /// What it said.
        reason: String,
    },
}

impl KeyFileError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Permissions { path, .. } => Some(format!(
                "`chmod 600 {}`; if others had access, make a new key",
                path.display()
            )),
            Self::Exists { .. } => Some("choose another name; only --force replaces a key".to_owned()),
            Self::Malformed { .. }
            | Self::Mismatch { .. }
            | Self::TooLarge { .. }
            | Self::NotAFile { .. } => Some("`daa keys new FILE` makes a key file".to_owned()),
            _ => None,
        }
    }
}

/// What happens to a file that is there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and saving fails.
    #[default]
    Keep,
    /// It is replaced in one step.
    Replace,
}

/// A new key from the operating system's random source.
///
/// # Errors
/// [`KeyFileError::Random`].
pub fn generate() -> Result<AgentKey, KeyFileError> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut()).map_err(|error| KeyFileError::Random {
        reason: error.to_string(),
    })?;
    Ok(AgentKey::from_secret(&secret))
}

/// Writes `key` to `path`: whole or not at all, durable when this returns, and readable by the owner only from the first
/// byte on.
///
/// # Errors
/// [`KeyFileError::Exists`] or [`KeyFileError::Io`].
pub fn save(path: &Path, key: &AgentKey, existing: Existing) -> Result<(), KeyFileError> {
    let text = Zeroizing::new(text_of(key));
    write_whole(path, text.as_bytes(), Access::Owner, existing).map_err(|fault| fault.into_key(path))
}

/// Reads the key in `path`.
///
/// # Errors
/// Any [`KeyFileError`] but `Exists` and `Random`.
pub fn load(path: &Path) -> Result<AgentKey, KeyFileError> {
    let io = |action| {
        move |source| KeyFileError::Io {
            path: path.to_owned(),
            action,
            source,
        }
    };
    // Looked at before opening too: opening a pipe waits for its writer.
    let file = match fs::metadata(path).map_err(io("read"))? {
        found if found.is_file() => File::open(path).map_err(io("read"))?,
        _ => {
            return Err(KeyFileError::NotAFile {
                path: path.to_owned(),
            });
        }
    };
    let found = file.metadata().map_err(io("read"))?;
    if !found.is_file() {
        return Err(KeyFileError::NotAFile {
            path: path.to_owned(),
        });
    }
    check_mode(path, &found)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_KEY_FILE as usize + 1));
    file.take(MAX_KEY_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(io("read"))?;
    if bytes.len() as u64 > MAX_KEY_FILE {
        return Err(KeyFileError::TooLarge {
            path: path.to_owned(),
        });
    }
    parse(path, &bytes)
}

/// The key in the bytes of a key file; `path` is for messages.
///
/// # Errors
/// [`KeyFileError::Malformed`] or [`KeyFileError::Mismatch`].
pub fn parse(path: &Path, bytes: &[u8]) -> Result<AgentKey, KeyFileError> {
    let malformed = |line, reason: String| KeyFileError::Malformed {
        path: path.to_owned(),
        line,
        reason,
    };
    let text = std::str::from_utf8(bytes).map_err(|_| malformed(1, "not text".to_owned()))?;
    let mut lines = text.lines();
    if lines.next() != Some(SCHEMA) {
        return Err(malformed(1, format!("not `{SCHEMA}`")));
    }
    let mut half = |line, name: &str| {
        let digits = lines
            .next()
            .and_then(|text| text.strip_prefix(name)?.strip_prefix(' '));
        let digits = digits.ok_or_else(|| malformed(line, format!("not `{name} ` and 64 digits")))?;
        decode_hex(digits).map_err(|error: HexError| malformed(line, error.to_string()))
    };
    let public = PublicKey(half(2, "public")?);
    let secret = Zeroizing::new(half(3, "secret")?);
    if lines.next().is_some() {
        return Err(malformed(4, "more than three lines".to_owned()));
    }
    let key = AgentKey::from_secret(&secret);
    if key.public() != public {
        return Err(KeyFileError::Mismatch {
            path: path.to_owned(),
        });
    }
    Ok(key)
}

fn text_of(key: &AgentKey) -> String {
    let secret: [u8; 32] = key.secret().try_into().expect("an Ed25519 secret has 32 bytes");
    let digits = Zeroizing::new(PublicKey(*Zeroizing::new(secret)).to_hex());
    format!("{SCHEMA}\npublic {}\nsecret {}\n", key.public().to_hex(), *digits)
}

#[cfg(unix)]
fn check_mode(path: &Path, found: &fs::Metadata) -> Result<(), KeyFileError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = found.permissions().mode() & 0o777;
    if mode & !KEY_FILE_MODE != 0 {
        return Err(KeyFileError::Permissions {
            path: path.to_owned(),
            found: mode,
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &fs::Metadata) -> Result<(), KeyFileError> {
    Ok(())
}

/// Who may read a file that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Its owner only.
    Owner,
    /// Everybody, as far as the process's mask allows.
    All,
}

/// Why a file was not written.
#[derive(Debug)]
pub(crate) enum WriteFault {
    Exists,
    Io(&'static str, io::Error),
}

impl WriteFault {
    fn into_key(self, path: &Path) -> KeyFileError {
        let path = path.to_owned();
        match self {
            Self::Exists => KeyFileError::Exists { path },
            Self::Io(action, source) => KeyFileError::Io { path, action, source },
        }
    }
}

/// Writes a file under a temporary name, makes it durable and gives it its name in one step.
pub(crate) fn write_whole(
    path: &Path,
    bytes: &[u8],
    access: Access,
    existing: Existing,
) -> Result<(), WriteFault> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".daa-");
    #[cfg(unix)]
    if access == Access::All {
        use std::os::unix::fs::PermissionsExt as _;
        // Less the process's mask, as for every new file.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    #[cfg(not(unix))]
    let _ = access;
    let mut file = builder
        .tempfile_in(folder)
        .map_err(|error| WriteFault::Io("write beside it", error))?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .map_err(|error| WriteFault::Io("write", error))?;
    let named = match existing {
        Existing::Keep => file.persist_noclobber(path),
        Existing::Replace => file.persist(path),
    };
    named.map_err(|refused| match refused.error.kind() {
        io::ErrorKind::AlreadyExists => WriteFault::Exists,
        _ => WriteFault::Io("write", refused.error),
    })?;
    sync_folder(folder).map_err(|error| WriteFault::Io("make the folder durable", error))
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests;
