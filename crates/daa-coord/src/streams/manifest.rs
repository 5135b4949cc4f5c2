//! What content consists of.

use super::{StreamError, in_range};
use crate::keys::Digest;
use daa_base::codec;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{ErrorKind, Read};

/// Smallest chunk size in bytes.
pub const MIN_CHUNK: u32 = 1 << 10;

/// Largest chunk size in bytes.
pub const MAX_CHUNK: u32 = 256 << 10;

/// Chunks of one content, so at most 2 GiB; what is larger is several contents.
pub const MAX_CHUNKS: u32 = 8192;

/// Largest encoded [`Manifest`] in bytes.
pub const MAX_MANIFEST: usize = 32 * MAX_CHUNKS as usize + 64;

/// The name of content: the digest of its manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentId(pub Digest);

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "content {:.8}", self.0)
    }
}

/// Size and digests of the chunks of one content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Manifest {
    bytes: u64,
    chunk: u32,
    digests: Vec<Digest>,
}

/// A manifest whose numbers may not fit together.
#[derive(Debug, Deserialize)]
struct Parts {
    bytes: u64,
    chunk: u32,
    digests: Vec<Digest>,
}

impl TryFrom<Parts> for Manifest {
    type Error = StreamError;
    fn try_from(parts: Parts) -> Result<Self, StreamError> {
        let Parts {
            bytes,
            chunk,
            digests,
        } = parts;
        let manifest = Self {
            bytes,
            chunk,
            digests,
        };
        manifest.check()?;
        Ok(manifest)
    }
}

impl Manifest {
    /// The manifest of everything that `data` gives, in chunks of `chunk` bytes, [`MIN_CHUNK`] to [`MAX_CHUNK`].
    ///
    /// # Errors
    /// [`StreamError::OutOfRange`] for the chunk size or for more than [`MAX_CHUNKS`] chunks, [`StreamError::Read`].
    pub fn of(mut data: impl Read, chunk: u32) -> Result<Self, StreamError> {
        check_chunk(chunk)?;
        let mut manifest = Self {
            bytes: 0,
            chunk,
            digests: Vec::new(),
        };
        let mut buffer = vec![0; chunk as usize];
        loop {
            let filled = fill(&mut data, &mut buffer)?;
            if filled > 0 {
                manifest.digests.push(Digest::of(&buffer[..filled]));
                manifest.bytes += filled as u64;
                check_count(manifest.digests.len())?;
            }
            if filled < buffer.len() {
                return Ok(manifest);
            }
        }
    }

    /// The content's name.
    ///
    /// # Panics
    /// Never: a manifest is bounded.
    #[must_use]
    pub fn id(&self) -> ContentId {
        let mut hasher = blake3::Hasher::new_derive_key("daa-coord 2026 content id");
        hasher.update(&self.encode());
        ContentId(Digest(*hasher.finalize().as_bytes()))
    }

    /// Its canonical bytes, at most [`MAX_MANIFEST`].
    ///
    /// # Panics
    /// Never: a manifest is bounded.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode::<MAX_MANIFEST, _>(self).expect("8192 digests and three numbers fit")
    }

    /// The manifest in `bytes`, if it is that of `wanted` and its numbers fit together.
    ///
    /// # Errors
    /// [`StreamError::Malformed`] or [`StreamError::WrongManifest`].
    pub fn decode(wanted: ContentId, bytes: &[u8]) -> Result<Self, StreamError> {
        let manifest: Self = codec::decode_canonical::<MAX_MANIFEST, _>(bytes)?;
        if manifest.id() != wanted {
            return Err(StreamError::WrongManifest { wanted });
        }
        Ok(manifest)
    }

    fn check(&self) -> Result<(), StreamError> {
        check_chunk(self.chunk)?;
        check_count(self.digests.len())?;
        let chunks = self.digests.len() as u64;
        let most = chunks * u64::from(self.chunk);
        let least = match chunks {
            0 => 0,
            chunks => (chunks - 1) * u64::from(self.chunk) + 1,
        };
        in_range("bytes", self.bytes, least, most)
    }

    /// Size of the content in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many chunks there are.
    #[must_use]
    pub const fn chunks(&self) -> u32 {
        // At most `MAX_CHUNKS`.
        self.digests.len() as u32
    }

    /// Where chunk `index` lies: its offset and its length in bytes.
    ///
    /// # Errors
    /// [`StreamError::NoSuchChunk`].
    pub fn place(&self, index: u32) -> Result<(u64, u32), StreamError> {
        let chunks = self.chunks();
        if index >= chunks {
            return Err(StreamError::NoSuchChunk { index, chunks });
        }
        let offset = u64::from(index) * u64::from(self.chunk);
        // At most `chunk`.
        let length = (self.bytes - offset).min(u64::from(self.chunk)) as u32;
        Ok((offset, length))
    }

    /// Whether `bytes` are chunk `index`.
    ///
    /// # Errors
    /// [`StreamError::NoSuchChunk`] or [`StreamError::WrongChunk`].
    pub fn verify(&self, index: u32, bytes: &[u8]) -> Result<(), StreamError> {
        let (_, length) = self.place(index)?;
        // The length first: nothing too long is hashed.
        if bytes.len() != length as usize || Digest::of(bytes) != self.digests[index as usize] {
            return Err(StreamError::WrongChunk { index });
        }
        Ok(())
    }
}

fn check_chunk(chunk: u32) -> Result<(), StreamError> {
    in_range("chunk", chunk.into(), MIN_CHUNK.into(), MAX_CHUNK.into())
}

fn check_count(chunks: usize) -> Result<(), StreamError> {
    in_range("chunks", chunks as u64, 0, MAX_CHUNKS.into())
}

/// Reads until `buffer` is full or nothing comes any more.
fn fill(data: &mut impl Read, buffer: &mut [u8]) -> Result<usize, StreamError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match data.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(StreamError::Read {
                    reason: error.to_string(),
                });
            }
        }
    }
    Ok(filled)
}
