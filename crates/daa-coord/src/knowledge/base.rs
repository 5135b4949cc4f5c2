//! The newest insight of each author and topic.

use super::insight::{Insight, InsightError, SignedInsight};
use super::trust::{TrustBook, Usefulness};
use crate::genesis::ChainId;
use crate::keys::{PublicKey, SignatureScheme};
use crate::text::ShortText;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What one author may take up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnowledgeConfig {
    /// Topics of one author.
    pub topics_per_author: usize,
    /// Payload bytes of one author over all topics.
    pub bytes_per_author: usize,
}

impl Default for KnowledgeConfig {
    fn default() -> Self {
        Self {
            topics_per_author: 64,
            bytes_per_author: 256 << 10,
        }
    }
}

/// What came in, and why some of it was dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KnowledgeCounters {
    /// Taken.
    pub accepted: u64,
    /// By authors that are not listened to.
    pub unknown_author: u64,
    /// Old or repeated.
    pub stale: u64,
    /// Too large, or beyond what an author may take up.
    pub oversized: u64,
    /// With a signature that does not hold.
    pub forged: u64,
    /// A second one under a number that was used.
    pub conflicting: u64,
}

#[derive(Debug, Clone)]
struct Topic {
    newest: Arc<SignedInsight>,
    /// Up to this version usefulness was reported, exclusive.
    open_from: u64,
}

#[derive(Debug, Clone, Default)]
struct Shelf {
    topics: BTreeMap<ShortText, Topic>,
    bytes: usize,
}

/// An insight with what is remembered about it, as it is kept in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptInsight {
    /// The newest of its author and topic.
    pub signed: SignedInsight,
    /// The first version whose usefulness can still be reported.
    pub open_from: u64,
}

/// What the authors that are listened to say, and the trust in them.
///
/// Its size is bounded by their number times what one may take up. A topic is never pushed out, and with it goes no
/// memory of its newest version: as long as an author is listened to, nothing old is ever new again.
#[derive(Debug, Clone)]
pub struct KnowledgeBase {
    chain: ChainId,
    config: KnowledgeConfig,
    shelves: BTreeMap<PublicKey, Shelf>,
    trust: TrustBook,
    counters: KnowledgeCounters,
}

impl KnowledgeBase {
    /// An empty base for the members of `chain`; nobody is listened to yet.
    #[must_use]
    pub const fn new(chain: ChainId, config: KnowledgeConfig, trust: TrustBook) -> Self {
        Self {
            chain,
            config,
            shelves: BTreeMap::new(),
            trust,
            counters: KnowledgeCounters {
                accepted: 0,
                unknown_author: 0,
                stale: 0,
                oversized: 0,
                forged: 0,
                conflicting: 0,
            },
        }
    }

    /// Listens to exactly these authors from now on: the ledger's members, whose number the ledger bounds. What others
    /// said is forgotten, and so is the trust in them.
    pub fn set_authors(&mut self, authors: impl IntoIterator<Item = PublicKey>) {
        let mut before = std::mem::take(&mut self.shelves);
        for author in authors {
            let shelf = before.remove(&author).unwrap_or_default();
            self.shelves.insert(author, shelf);
        }
        self.trust.retain(|author| self.shelves.contains_key(author));
    }

    /// Takes an insight, whoever passed it on. What costs least is checked first, the signature last.
    ///
    /// # Errors
    /// [`InsightError`]; the reason is counted. [`InsightError::Conflict`] also costs its author trust.
    pub fn take(
        &mut self,
        scheme: &dyn SignatureScheme,
        signed: SignedInsight,
    ) -> Result<Arc<SignedInsight>, InsightError> {
        let taken = self.judged(scheme, signed);
        let counter = match &taken {
            Ok(_) => &mut self.counters.accepted,
            Err(InsightError::UnknownAuthor { .. }) => &mut self.counters.unknown_author,
            Err(InsightError::Stale { .. }) => &mut self.counters.stale,
            Err(InsightError::Signature) => &mut self.counters.forged,
            Err(InsightError::Conflict { .. }) => &mut self.counters.conflicting,
            Err(_) => &mut self.counters.oversized,
        };
        *counter += 1;
        taken
    }

    fn judged(
        &mut self,
        scheme: &dyn SignatureScheme,
        signed: SignedInsight,
    ) -> Result<Arc<SignedInsight>, InsightError> {
        let insight = &signed.insight;
        insight.check_size()?;
        let author = insight.author;
        let shelf = self
            .shelves
            .get_mut(&author)
            .ok_or(InsightError::UnknownAuthor { author })?;
        let before = shelf.topics.get(&insight.topic);
        if let Some(before) = before {
            let have = before.newest.insight.version;
            let got = insight.version;
            if got < have || before.newest.insight == *insight {
                return Err(InsightError::Stale { have, got });
            }
            if got == have {
                signed.verify(scheme, self.chain)?;
                self.trust.harmed(&author);
                return Err(InsightError::Conflict { author, version: got });
            }
        } else if shelf.topics.len() >= self.config.topics_per_author {
            let most = self.config.topics_per_author;
            return Err(InsightError::TooManyTopics { most });
        }
        let freed = before.map_or(0, |topic| topic.newest.insight.payload.len());
        let bytes = shelf.bytes - freed + insight.payload.len();
        if bytes > self.config.bytes_per_author {
            let most = self.config.bytes_per_author;
            return Err(InsightError::TooManyBytes { bytes, most });
        }
        signed.verify(scheme, self.chain)?;
        let open_from = before.map_or(0, |topic| topic.open_from);
        let topic = signed.insight.topic.clone();
        let newest = Arc::new(signed);
        shelf.bytes = bytes;
        let kept = Topic {
            newest: newest.clone(),
            open_from,
        };
        shelf.topics.insert(topic, kept);
        Ok(newest)
    }

    /// The newest insight of `author` on `topic`.
    #[must_use]
    pub fn newest(&self, author: &PublicKey, topic: &ShortText) -> Option<&Arc<SignedInsight>> {
        Some(&self.shelves.get(author)?.topics.get(topic)?.newest)
    }

    /// The newest insights of `author`, by topic.
    pub fn by(&self, author: &PublicKey) -> impl Iterator<Item = &Arc<SignedInsight>> {
        let shelf = self.shelves.get(author);
        shelf
            .into_iter()
            .flat_map(|shelf| shelf.topics.values().map(|topic| &topic.newest))
    }

    /// The newest insights on `topic` by author, with the author's weight. Those without weight come too: the layers
    /// above may try them where they can do no harm.
    pub fn on<'a>(
        &'a self,
        topic: &'a ShortText,
    ) -> impl Iterator<Item = (&'a Arc<SignedInsight>, u32)> + 'a {
        self.shelves.iter().filter_map(move |(author, shelf)| {
            Some((&shelf.topics.get(topic)?.newest, self.trust.weight(author)))
        })
    }

    /// Reports how useful an insight was measured to be. Each counts once; one that a newer version replaced while it was
    /// used counts too, unless a newer one was reported already.
    ///
    /// # Errors
    /// [`InsightError::UnknownAuthor`] or [`InsightError::NotOpen`].
    pub fn report(
        &mut self,
        author: &PublicKey,
        topic: &ShortText,
        version: u64,
        usefulness: Usefulness,
    ) -> Result<(), InsightError> {
        let unknown = InsightError::UnknownAuthor { author: *author };
        let shelf = self.shelves.get_mut(author).ok_or(unknown)?;
        let topic = shelf.topics.get_mut(topic);
        let open = topic.filter(|topic| (topic.open_from..=topic.newest.insight.version).contains(&version));
        let topic = open.ok_or(InsightError::NotOpen { version })?;
        // The last number of all stays open; there is none after it to protect.
        topic.open_from = version.saturating_add(1);
        self.trust.measured(author, usefulness);
        Ok(())
    }

    /// Everything that is known, to be kept in a file: insights by author and topic. The weights are
    /// [`TrustBook::measured_weights`].
    pub fn kept(&self) -> impl Iterator<Item = KeptInsight> + '_ {
        let topics = self.shelves.values().flat_map(|shelf| shelf.topics.values());
        topics.map(|topic| KeptInsight {
            signed: SignedInsight::clone(&topic.newest),
            open_from: topic.open_from,
        })
    }

    /// Takes up what was kept. A file is believed no more than a peer: authors that are not listened to, what is beyond
    /// the bounds, and signatures that do not hold are passed over; returns how many insights were. Nothing is counted
    /// as having come in.
    pub fn restore(
        &mut self,
        scheme: &dyn SignatureScheme,
        kept: impl IntoIterator<Item = KeptInsight>,
        weights: impl IntoIterator<Item = (PublicKey, u32)>,
    ) -> usize {
        let mut refused = 0;
        for KeptInsight { signed, open_from } in kept {
            let Ok(newest) = self.judged(scheme, signed) else {
                refused += 1;
                continue;
            };
            let Insight {
                author,
                topic,
                version,
                ..
            } = &newest.insight;
            let shelf = self.shelves.get_mut(author);
            if let Some(topic) = shelf.and_then(|shelf| shelf.topics.get_mut(topic)) {
                topic.open_from = open_from.min(version.saturating_add(1));
            }
        }
        for (author, weight) in weights {
            if self.shelves.contains_key(&author) {
                self.trust.restore(&author, weight);
            }
        }
        refused
    }

    /// The authors that are listened to, with the number of their insights and their weight.
    pub fn authors(&self) -> impl Iterator<Item = (PublicKey, usize, u32)> + '_ {
        let one =
            |(author, shelf): (&PublicKey, &Shelf)| (*author, shelf.topics.len(), self.trust.weight(author));
        self.shelves.iter().map(one)
    }

    /// The trust in authors.
    #[must_use]
    pub const fn trust(&self) -> &TrustBook {
        &self.trust
    }

    /// Lets trust that was not renewed fade by one step. Whoever calls decides how often, for example once an hour.
    pub fn fade(&mut self) {
        self.trust.fade();
    }

    /// What came in.
    #[must_use]
    pub const fn counters(&self) -> &KnowledgeCounters {
        &self.counters
    }

    /// Payload bytes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.shelves.values().map(|shelf| shelf.bytes).sum()
    }
}
