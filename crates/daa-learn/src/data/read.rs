//! Bytes from disk: bounded, decompressed by content, and told apart by their first bytes.

use super::{DataError, Limits};
use flate2::read::MultiGzDecoder;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// What a file holds, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Text with separated fields.
    Csv,
    /// An array of the MNIST kind.
    Idx,
    /// A NumPy array.
    Npy,
}

/// The decompressed content of `path`, at most `limits.file` bytes on disk and `limits.decoded` in memory.
pub(super) fn read_file(path: &Path, limits: &Limits) -> Result<Vec<u8>, DataError> {
    let broken = |source: std::io::Error| match source.kind() {
        ErrorKind::NotFound => DataError::Missing {
            path: path.to_owned(),
            nearest: None,
        },
        _ => DataError::Read {
            path: path.to_owned(),
            source,
        },
    };
    let file = path.display().to_string();
    // Asked before opening: opening a pipe would wait for its other end.
    let about = std::fs::metadata(path).map_err(broken)?;
    if !about.is_file() {
        return Err(DataError::Unsupported {
            file,
            what: "what lies at this path".to_owned(),
            allowed: "a regular file is needed",
        });
    }
    let limit = limits.file.get();
    check_bytes(&file, about.len(), limit)?;
    let mut bytes = Vec::new();
    // The file may grow while it is read: the bound holds for what is read, not for what was announced.
    let handle = std::fs::File::open(path).map_err(broken)?;
    handle
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(broken)?;
    check_bytes(&file, bytes.len() as u64, limit)?;
    decompress(&file, bytes, limits)
}

/// `bytes` as they are, or unpacked if they are gzip; never more than `limits.decoded`.
pub(super) fn decompress(file: &str, bytes: Vec<u8>, limits: &Limits) -> Result<Vec<u8>, DataError> {
    if bytes.is_empty() {
        return Err(DataError::Empty {
            file: file.to_owned(),
        });
    }
    let limit = limits.decoded.get();
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        check_bytes(file, bytes.len() as u64, limit)?;
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    let outcome = MultiGzDecoder::new(&bytes[..])
        .take(limit.saturating_add(1))
        .read_to_end(&mut unpacked);
    match outcome {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(DataError::Truncated {
            file: file.to_owned(),
            expected: "more compressed".to_owned(),
            found: bytes.len() as u64,
        }),
        Err(error) => Err(DataError::BrokenGzip {
            file: file.to_owned(),
            reason: error.to_string(),
        }),
        Ok(_) if unpacked.len() as u64 > limit => Err(DataError::TooLarge {
            file: file.to_owned(),
            what: "bytes after decompression",
            found: format!("more than {limit}"),
            limit,
        }),
        Ok(0) => Err(DataError::Empty {
            file: file.to_owned(),
        }),
        Ok(_) => Ok(unpacked),
    }
}

fn check_bytes(file: &str, found: u64, limit: u64) -> Result<(), DataError> {
    if found <= limit {
        return Ok(());
    }
    Err(DataError::TooLarge {
        file: file.to_owned(),
        what: "bytes",
        found: found.to_string(),
        limit,
    })
}

/// The format of `bytes`. The name decides only what a file without a known start was meant to be.
pub(super) fn sniff(file: &str, bytes: &[u8]) -> Result<Format, DataError> {
    if bytes.starts_with(b"\x93NUMPY") {
        return Ok(Format::Npy);
    }
    if let [0, 0, kind, 1..=8, ..] = bytes
        && matches!(kind, 0x08 | 0x09 | 0x0b..=0x0e)
    {
        return Ok(Format::Idx);
    }
    let known: [(&[u8], &str); 4] = [
        (b"PK\x03\x04", "a zip or npz archive"),
        (b"PAR1", "a Parquet file"),
        (b"ARROW1", "an Arrow file"),
        (b"\x89HDF", "an HDF5 file"),
    ];
    for (magic, what) in known {
        if bytes.starts_with(magic) {
            return Err(DataError::Unsupported {
                file: file.to_owned(),
                what: what.to_owned(),
                allowed: "read are CSV, npy and idx, each also as .gz",
            });
        }
    }
    let name = Path::new(file.strip_suffix(".gz").unwrap_or(file));
    let name = name
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let expected = if name.ends_with(".npy") {
        "an npy file"
    } else if name.ends_with(".idx") || name.contains("-idx") || name.ends_with("ubyte") {
        "an idx file"
    } else if bytes.iter().take(4096).any(|&byte| byte == 0) {
        "CSV, npy or idx data"
    } else {
        return Ok(Format::Csv);
    };
    Err(wrong_magic(file, expected, bytes))
}

/// The error for `bytes` that should have been `expected`.
pub(super) fn wrong_magic(file: &str, expected: &'static str, bytes: &[u8]) -> DataError {
    let found: Vec<String> = bytes.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    DataError::WrongMagic {
        file: file.to_owned(),
        expected,
        found: found.join(" "),
    }
}
