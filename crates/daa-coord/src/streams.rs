//! Bulk data by hash: gradients, data sets, models; what is too large for the log.
//!
//! Content is cut into chunks of one size. Its [`Manifest`] lists their BLAKE3 digests, and the digest of the manifest is
//! the content's name, a [`ContentId`]: whoever knows the name, for example from the ledger, can fetch the content from
//! anybody and trusts nobody. The manifest is checked against the name, each chunk against the manifest, before anything
//! is kept.
//!
//! Both ends are pure. A [`Receiver`] asks for chunks, never for more at a time than its window, counted until they are
//! *stored*, so that a slow disk slows the sender down. It spreads requests over its sources, drops a source that lies or
//! fails too often, and can go on where an earlier one stopped. A [`Provider`] answers; what it reads for one peer at a
//! time, and for all, is bounded.

mod manifest;
mod provider;
mod receiver;

pub use manifest::{ContentId, MAX_CHUNK, MAX_CHUNKS, MAX_MANIFEST, MIN_CHUNK, Manifest};
pub use provider::{Provider, ProviderConfig, ReadChunk};
pub use receiver::{Receiver, ReceiverConfig, StoreChunk, Want, Wanted};

use crate::keys::PublicKey;
use daa_base::codec::CodecError;

/// Why content is not sent or not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// A limit was left.
    #[error("{field} is {value}, allowed are {min} to {max}")]
    OutOfRange {
        /// The field's name.
        field: &'static str,
        /// Its value.
        value: u64,
        /// Smallest allowed value.
        min: u64,
        /// Largest allowed value.
        max: u64,
    },
    /// The bytes are no manifest.
    #[error("manifest: {0}")]
    Malformed(#[from] CodecError),
    /// The manifest is not the one that was asked for.
    #[error("the manifest is not that of {wanted}")]
    WrongManifest {
        /// What was asked for.
        wanted: ContentId,
    },
    /// The data could not be read.
    #[error("the data cannot be read: {reason}")]
    Read {
        /// What the system said.
        reason: String,
    },
    /// The content is not provided here.
    #[error("{id} is not provided here")]
    UnknownContent {
        /// Which content.
        id: ContentId,
    },
    /// There is no such chunk.
    #[error("chunk {index} does not exist, there are {chunks}")]
    NoSuchChunk {
        /// Which chunk.
        index: u32,
        /// How many there are.
        chunks: u32,
    },
    /// A chunk's bytes are not those that the manifest names.
    #[error("chunk {index} is not the one that the manifest names")]
    WrongChunk {
        /// Which chunk.
        index: u32,
    },
    /// A chunk came that was not asked of this peer, or not any more.
    #[error("nothing like it was asked of {peer}")]
    Unasked {
        /// Who sent it.
        peer: PublicKey,
    },
    /// A peer has as many reads under way as allowed.
    #[error("{peer} has {most} reads under way, allowed are no more")]
    PeerBusy {
        /// Which peer.
        peer: PublicKey,
        /// How many reads.
        most: usize,
    },
    /// All peers together have as many reads under way as allowed.
    #[error("{most} reads are under way, allowed are no more")]
    Busy {
        /// How many reads.
        most: usize,
    },
    /// No source is left.
    #[error("no source of {id} is left")]
    NoSource {
        /// Which content.
        id: ContentId,
    },
}

impl StreamError {
    /// Whether it is the peer that broke the rules, and not chance.
    #[must_use]
    pub const fn blames_peer(&self) -> bool {
        matches!(
            self,
            Self::Malformed(_)
                | Self::WrongManifest { .. }
                | Self::WrongChunk { .. }
                | Self::NoSuchChunk { .. }
        )
    }
}

const fn in_range(field: &'static str, value: u64, min: u64, max: u64) -> Result<(), StreamError> {
    if value < min || value > max {
        return Err(StreamError::OutOfRange {
            field,
            value,
            min,
            max,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
