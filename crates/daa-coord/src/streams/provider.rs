//! The end that has content.

use super::manifest::{ContentId, Manifest};
use super::{StreamError, in_range};
use crate::keys::PublicKey;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a [`Provider`] does at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderConfig {
    /// Contents, 1 to 65 536.
    pub contents: usize,
    /// Reads under way for one peer, 1 to 1024.
    pub reads_per_peer: usize,
    /// Reads under way for all peers, `reads_per_peer` to 65 536.
    pub reads: usize,
}

impl Default for ProviderConfig {
    fn default() -> Self {
        Self {
            contents: 256,
            reads_per_peer: 8,
            reads: 64,
        }
    }
}

/// A chunk to be read and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadChunk {
    /// Of which content.
    pub id: ContentId,
    /// From which byte on.
    pub offset: u64,
    /// How many bytes.
    pub length: u32,
}

/// What is provided, and the reads under way. It holds manifests only; the data lie where the caller keeps them.
#[derive(Debug, Clone)]
pub struct Provider {
    config: ProviderConfig,
    contents: BTreeMap<ContentId, Arc<Manifest>>,
    reads: BTreeMap<PublicKey, usize>,
    total: usize,
}

impl Provider {
    /// A provider of nothing yet.
    ///
    /// # Errors
    /// [`StreamError::OutOfRange`].
    pub fn new(config: ProviderConfig) -> Result<Self, StreamError> {
        in_range("contents", config.contents as u64, 1, 65_536)?;
        in_range("reads_per_peer", config.reads_per_peer as u64, 1, 1024)?;
        in_range("reads", config.reads as u64, config.reads_per_peer as u64, 65_536)?;
        Ok(Self {
            config,
            contents: BTreeMap::new(),
            reads: BTreeMap::new(),
            total: 0,
        })
    }

    /// Provides content from now on.
    ///
    /// # Errors
    /// [`StreamError::OutOfRange`] when there is too much already.
    pub fn publish(&mut self, manifest: Arc<Manifest>) -> Result<ContentId, StreamError> {
        let id = manifest.id();
        if !self.contents.contains_key(&id) {
            let most = self.config.contents as u64;
            in_range("contents", self.contents.len() as u64 + 1, 1, most)?;
        }
        self.contents.insert(id, manifest);
        Ok(id)
    }

    /// No longer provides it. Reads under way go on.
    pub fn withdraw(&mut self, id: &ContentId) {
        self.contents.remove(id);
    }

    /// The manifest of `id`.
    ///
    /// # Errors
    /// [`StreamError::UnknownContent`].
    pub fn manifest(&self, id: ContentId) -> Result<&Arc<Manifest>, StreamError> {
        self.contents.get(&id).ok_or(StreamError::UnknownContent { id })
    }

    /// `peer` asks for a chunk. What is returned counts as under way until [`Provider::finished`].
    ///
    /// # Errors
    /// [`StreamError::UnknownContent`], [`StreamError::NoSuchChunk`], [`StreamError::PeerBusy`] or [`StreamError::Busy`].
    pub fn asked(&mut self, peer: PublicKey, id: ContentId, index: u32) -> Result<ReadChunk, StreamError> {
        let (offset, length) = self.manifest(id)?.place(index)?;
        if self.reads_of(&peer) >= self.config.reads_per_peer {
            let most = self.config.reads_per_peer;
            return Err(StreamError::PeerBusy { peer, most });
        }
        if self.total >= self.config.reads {
            let most = self.config.reads;
            return Err(StreamError::Busy { most });
        }
        *self.reads.entry(peer).or_default() += 1;
        self.total += 1;
        Ok(ReadChunk { id, offset, length })
    }

    /// A read for `peer` ended, whether it was sent or failed.
    pub fn finished(&mut self, peer: &PublicKey) {
        if let Some(reads) = self.reads.get_mut(peer) {
            *reads -= 1;
            self.total -= 1;
            if *reads == 0 {
                self.reads.remove(peer);
            }
        }
    }

    /// Reads under way for `peer`.
    #[must_use]
    pub fn reads_of(&self, peer: &PublicKey) -> usize {
        self.reads.get(peer).copied().unwrap_or(0)
    }

    /// Reads under way for all.
    #[must_use]
    pub const fn reads(&self) -> usize {
        self.total
    }
}
