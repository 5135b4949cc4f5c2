//! The file in which a node keeps what it knows.
//!
//! ```text
//! "daa.knowledge/1\n" · BLAKE3 of the rest, 32 bytes · canonical bytes of what is kept
//! ```

use crate::error::FolderError;
use daa_base::Timestamp;
use daa_base::codec;
use daa_coord::PublicKey;
use daa_coord::genesis::ChainId;
use daa_coord::knowledge::KeptInsight;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::Path;

const MAGIC: &[u8] = b"daa.knowledge/1\n";

/// Largest file in bytes: more than what all authors may take up.
const MAX_FILE: usize = 32 << 20;

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) chain: ChainId,
    /// Those that were listened to.
    pub(super) authors: Vec<PublicKey>,
    pub(super) insights: Vec<KeptInsight>,
    pub(super) weights: Vec<(PublicKey, u32)>,
    /// When trust faded last.
    pub(super) faded: Timestamp,
}

/// Writes `kept` to `path`, whole or not at all.
pub(super) fn save(path: &Path, kept: &Kept) -> Result<(), FolderError> {
    let body = codec::encode::<MAX_FILE, _>(kept).map_err(|error| FolderError::Json {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    let bytes = [MAGIC, blake3::hash(&body).as_bytes(), &body].concat();
    daa_learn::files::write_whole(path, &bytes).map_err(|source| FolderError::Io {
        path: path.to_owned(),
        doing: "write",
        source,
    })
}

/// What the file at `path` holds; `None` when there is none. One that is damaged, or of another ledger, is set aside under
/// the name with `.damaged` behind it, and a warning says so.
pub(super) fn load(path: &Path, chain: ChainId) -> Result<Option<Kept>, FolderError> {
    let io = |doing| {
        move |source| FolderError::Io {
            path: path.to_owned(),
            doing,
            source,
        }
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("read")(error)),
    };
    let mut bytes = Vec::new();
    let most = (MAX_FILE + MAGIC.len() + 33) as u64;
    file.take(most).read_to_end(&mut bytes).map_err(io("read"))?;
    let reason = match read(&bytes) {
        Ok(kept) if kept.chain == chain => return Ok(Some(kept)),
        Ok(_) => "it is of another ledger".to_owned(),
        Err(reason) => reason,
    };
    let aside = path.with_extension("damaged");
    fs::rename(path, &aside).map_err(io("set aside"))?;
    tracing::warn!(
        path = %path.display(),
        aside = %aside.display(),
        %reason,
        "what the node knew cannot be read and is set aside"
    );
    Ok(None)
}

fn read(bytes: &[u8]) -> Result<Kept, String> {
    let rest = bytes
        .strip_prefix(MAGIC)
        .ok_or("it does not begin with `daa.knowledge/1`")?;
    let (digest, body) = rest.split_first_chunk::<32>().ok_or("it is cut off")?;
    if blake3::hash(body).as_bytes() != digest {
        return Err("its digest is not that of its contents".to_owned());
    }
    codec::decode_canonical::<MAX_FILE, Kept>(body).map_err(|error| error.to_string())
}
