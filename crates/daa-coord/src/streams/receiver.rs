//! The end that wants content.

use super::manifest::{ContentId, Manifest};
use super::{StreamError, in_range};
use crate::keys::PublicKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What a [`Receiver`] does at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiverConfig {
    /// Chunks asked for and not yet stored, 1 to 1024: with the chunk size the bound on memory.
    pub window: usize,
    /// Requests to one source at a time, 1 to 1024.
    pub per_source: usize,
    /// How long an answer may take, 1 ms to an hour.
    pub patience: Duration,
    /// Failures after which a source is dropped, 1 to 1000; a lie drops it at once.
    pub failures: u32,
}

impl Default for ReceiverConfig {
    fn default() -> Self {
        Self {
            window: 16,
            per_source: 4,
            patience: Duration::from_secs(10),
            failures: 8,
        }
    }
}

impl ReceiverConfig {
    /// Whether every field is in its range.
    ///
    /// # Errors
    /// [`StreamError::OutOfRange`] for the first that is not.
    pub fn validate(&self) -> Result<(), StreamError> {
        in_range("window", self.window as u64, 1, 1024)?;
        in_range("per_source", self.per_source as u64, 1, 1024)?;
        let millis = u64::try_from(self.patience.as_millis()).unwrap_or(u64::MAX);
        in_range("patience", millis, 1, 3_600_000)?;
        in_range("failures", self.failures.into(), 1, 1000)
    }
}

/// What a receiver asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// The manifest.
    Manifest,
    /// A chunk.
    Chunk(u32),
}

/// A request to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// To whom.
    pub peer: PublicKey,
    /// Of which content.
    pub id: ContentId,
    /// What of it.
    pub what: Wanted,
}

/// A verified chunk to be stored; [`Receiver::stored`] makes room for the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreChunk {
    /// Which chunk.
    pub index: u32,
    /// Where it belongs, in bytes.
    pub offset: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Source {
    open: usize,
    failures: u32,
    /// When it was last asked, as a count: the one asked longest ago is next.
    turn: u64,
}

/// The fetching of one content.
#[derive(Debug, Clone)]
pub struct Receiver {
    config: ReceiverConfig,
    id: ContentId,
    manifest: Option<Arc<Manifest>>,
    sources: BTreeMap<PublicKey, Source>,
    /// Not there, not asked for, not waiting to be stored.
    missing: BTreeSet<u32>,
    /// Asked for, with the source and the moment when patience ends.
    asked: BTreeMap<Wanted, (PublicKey, Duration)>,
    /// Verified and not yet stored.
    storing: BTreeSet<u32>,
    turns: u64,
}

impl Receiver {
    /// Fetches `id` from `sources`, of which at most 1024 are used.
    ///
    /// # Errors
    /// [`StreamError::OutOfRange`] for the configuration.
    pub fn new(
        config: ReceiverConfig,
        id: ContentId,
        sources: impl IntoIterator<Item = PublicKey>,
    ) -> Result<Self, StreamError> {
        config.validate()?;
        let sources = sources.into_iter().take(1024);
        Ok(Self {
            config,
            id,
            manifest: None,
            sources: sources.map(|peer| (peer, Source::default())).collect(),
            missing: BTreeSet::new(),
            asked: BTreeMap::new(),
            storing: BTreeSet::new(),
            turns: 0,
        })
    }

    /// Goes on with content whose manifest and some chunks are there. Whoever calls has checked these chunks with
    /// [`Manifest::verify`]: a file may have been cut or written over since.
    ///
    /// # Errors
    /// [`StreamError::OutOfRange`] for the configuration.
    pub fn resume(
        config: ReceiverConfig,
        manifest: Arc<Manifest>,
        have: &BTreeSet<u32>,
        sources: impl IntoIterator<Item = PublicKey>,
    ) -> Result<Self, StreamError> {
        let mut receiver = Self::new(config, manifest.id(), sources)?;
        receiver.missing = (0..manifest.chunks())
            .filter(|index| !have.contains(index))
            .collect();
        receiver.manifest = Some(manifest);
        Ok(receiver)
    }

    /// Which content.
    #[must_use]
    pub const fn id(&self) -> ContentId {
        self.id
    }

    /// The manifest, once it came.
    #[must_use]
    pub const fn manifest(&self) -> Option<&Arc<Manifest>> {
        self.manifest.as_ref()
    }

    /// Whether everything is stored.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.manifest.is_some() && self.missing.is_empty() && self.asked.is_empty() && self.storing.is_empty()
    }

    /// Chunks asked for or waiting to be stored; never more than the window.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.asked.len() + self.storing.len()
    }

    /// The sources that are left.
    pub fn sources(&self) -> impl Iterator<Item = &PublicKey> {
        self.sources.keys()
    }

    /// The next request, if one may be sent now. To be called until it gives `None`.
    ///
    /// # Errors
    /// [`StreamError::NoSource`] when something is missing and nobody is left to ask.
    pub fn next(&mut self, now: Duration) -> Result<Option<Want>, StreamError> {
        let what = match &self.manifest {
            None if self.asked.is_empty() => Some(Wanted::Manifest),
            None => None,
            Some(_) => self.missing.first().copied().map(Wanted::Chunk),
        };
        let Some(what) = what else { return Ok(None) };
        if self.sources.is_empty() {
            return Err(StreamError::NoSource { id: self.id });
        }
        if self.in_flight() >= self.config.window {
            return Ok(None);
        }
        let most = self.config.per_source;
        let free = self.sources.iter_mut().filter(|(_, source)| source.open < most);
        let Some((&peer, source)) = free.min_by_key(|(_, source)| source.turn) else {
            return Ok(None);
        };
        self.turns += 1;
        source.turn = self.turns;
        source.open += 1;
        if let Wanted::Chunk(index) = what {
            self.missing.remove(&index);
        }
        self.asked
            .insert(what, (peer, now.saturating_add(self.config.patience)));
        Ok(Some(Want {
            peer,
            id: self.id,
            what,
        }))
    }

    /// The manifest came from `peer`.
    ///
    /// # Errors
    /// [`StreamError::Unasked`], or what [`Manifest::decode`] finds: then the source is dropped.
    pub fn manifest_came(&mut self, peer: &PublicKey, bytes: &[u8]) -> Result<(), StreamError> {
        self.answered(peer, Wanted::Manifest)?;
        match Manifest::decode(self.id, bytes) {
            Ok(manifest) => {
                self.missing = (0..manifest.chunks()).collect();
                self.manifest = Some(Arc::new(manifest));
                Ok(())
            }
            Err(error) => {
                self.drop_source(peer);
                Err(error)
            }
        }
    }

    /// A chunk came from `peer`.
    ///
    /// # Errors
    /// [`StreamError::Unasked`], or [`StreamError::WrongChunk`]: then the source is dropped and the chunk asked for
    /// elsewhere.
    pub fn chunk_came(
        &mut self,
        peer: &PublicKey,
        index: u32,
        bytes: &[u8],
    ) -> Result<StoreChunk, StreamError> {
        self.answered(peer, Wanted::Chunk(index))?;
        let Some(manifest) = self.manifest.clone() else {
            return Err(StreamError::Unasked { peer: *peer });
        };
        if let Err(error) = manifest.verify(index, bytes) {
            self.missing.insert(index);
            self.drop_source(peer);
            return Err(error);
        }
        let (offset, _) = manifest.place(index)?;
        self.storing.insert(index);
        Ok(StoreChunk { index, offset })
    }

    /// A chunk that came is stored.
    pub fn stored(&mut self, index: u32) {
        self.storing.remove(&index);
    }

    /// A chunk that came could not be stored: it is asked for again.
    pub fn not_stored(&mut self, index: u32) {
        if self.storing.remove(&index) {
            self.missing.insert(index);
        }
    }

    /// `peer` refused, or the way to it failed. What was asked is asked elsewhere if there is an elsewhere.
    pub fn failed(&mut self, peer: &PublicKey, what: Wanted) {
        if self.answered(peer, what).is_ok() {
            self.give_back(peer, what);
        }
    }

    /// Gives up on what took too long. To be called at [`Receiver::deadline`].
    pub fn expire(&mut self, now: Duration) {
        let late: Vec<(PublicKey, Wanted)> = self
            .asked
            .iter()
            .filter(|(_, (_, until))| *until <= now)
            .map(|(what, (peer, _))| (*peer, *what))
            .collect();
        for (peer, what) in late {
            self.failed(&peer, what);
        }
    }

    /// When the next answer is late, if any is awaited.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.asked.values().map(|(_, until)| *until).min()
    }

    fn answered(&mut self, peer: &PublicKey, what: Wanted) -> Result<(), StreamError> {
        match self.asked.get(&what) {
            Some((asked, _)) if asked == peer => {}
            _ => return Err(StreamError::Unasked { peer: *peer }),
        }
        self.asked.remove(&what);
        if let Some(source) = self.sources.get_mut(peer) {
            source.open = source.open.saturating_sub(1);
        }
        Ok(())
    }

    fn give_back(&mut self, peer: &PublicKey, what: Wanted) {
        if let Wanted::Chunk(index) = what {
            self.missing.insert(index);
        }
        if let Some(source) = self.sources.get_mut(peer) {
            source.failures += 1;
            if source.failures >= self.config.failures {
                self.drop_source(peer);
            }
        }
    }

    fn drop_source(&mut self, peer: &PublicKey) {
        self.sources.remove(peer);
        let open: Vec<Wanted> = self
            .asked
            .iter()
            .filter(|(_, (asked, _))| asked == peer)
            .map(|(what, _)| *what)
            .collect();
        for what in open {
            self.asked.remove(&what);
            if let Wanted::Chunk(index) = what {
                self.missing.insert(index);
            }
        }
    }
}
