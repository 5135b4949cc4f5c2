//! What a node knows for its owner: insights of all members, and its own trust in their authors.
//!
//! Insights come from the members themselves, signed. What the runs of the owner found is signed here, under the node's key,
//! and [sent](super::teller) to the other nodes. Only runs of the owner are told what is known, and only they are believed
//! about how useful it was. All of it outlasts the process, in one file.

mod file;

use crate::knowledge::{self, Source};
use crate::work::{Ask, MAX_REPORTS, MeasuredInsight, Tell, short};
use daa_base::Timestamp;
use daa_coord::genesis::ChainId;
use daa_coord::knowledge::{
    InsightError, KnowledgeBase, KnowledgeConfig, SignedInsight, TrustBook, TrustConfig, Usefulness,
};
use daa_coord::{AgentKey, Ed25519, PublicKey, ShortText};
use file::Kept;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Authors that are listened to at most.
pub(super) const MAX_AUTHORS: usize = 256;

/// Topics of one author.
const MAX_TOPICS: usize = 32;

/// Payload bytes of one author.
const MAX_BYTES: usize = 64 << 10;

/// Insights of one topic that a run is told.
const MAX_TOLD: usize = 16;

/// Time after which trust that was not renewed fades by one step, in milliseconds: a day.
const FADE_EVERY: u64 = 24 * 60 * 60 * 1000;

/// Steps that are made up for at once; after so many nothing is left to fade.
const MAX_STEPS: u64 = 256;

/// What a node knows, for its status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KnowledgeStatus {
    /// Insights, the newest of each author and topic.
    pub insights: usize,
    /// Insights that came in since the node started and were taken; its own are among them.
    pub accepted: u64,
    /// Those that were not: repeated, too large, forged, or by nobody that is listened to.
    pub refused: u64,
    /// Authors that said something or of whom something was measured, by key.
    pub authors: Vec<AuthorStatus>,
}

/// One author of insights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuthorStatus {
    /// Its key.
    pub author: String,
    /// Insights of it.
    pub insights: usize,
    /// This node's trust in it, 0 to 1000; 100 for whoever is new.
    pub weight: u32,
}

/// Why a run's request about knowledge is not met.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoreError {
    #[error("it asks for what a node does only for agents of its owner")]
    Stranger,
    #[error("{count} reports at once, allowed are 0 to {MAX_REPORTS}")]
    TooMany { count: usize },
    #[error(transparent)]
    Insight(#[from] InsightError),
    #[error("it cannot be kept: {0}")]
    File(#[from] crate::error::FolderError),
}

#[derive(Debug)]
struct Inner {
    base: KnowledgeBase,
    /// When trust faded last, by the time of day.
    faded: Timestamp,
    /// There is something that the file lacks.
    unsaved: bool,
}

/// What a node knows.
#[derive(Debug)]
pub(super) struct Lore {
    key: AgentKey,
    chain: ChainId,
    path: PathBuf,
    inner: Mutex<Inner>,
    /// Held while the file is written, so that nothing older replaces something newer.
    writing: Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lore {
    /// Takes up what the file at `path` holds. A file that is damaged is set aside.
    ///
    /// # Errors
    /// When there is a file that cannot be read or set aside.
    pub(super) fn open(
        key: AgentKey,
        chain: ChainId,
        path: PathBuf,
        now: Timestamp,
    ) -> Result<Self, crate::error::AgentError> {
        let trust = TrustBook::new(TrustConfig::default())
            .map_err(|error| crate::error::AgentError::internal("the trust in authors", error))?;
        let mut config = KnowledgeConfig::default();
        (config.topics_per_author, config.bytes_per_author) = (MAX_TOPICS, MAX_BYTES);
        let mut base = KnowledgeBase::new(chain, config, trust);
        let mut faded = now;
        let me = key.public();
        base.set_authors([me]);
        if let Some(kept) = file::load(&path, chain)? {
            // Who is no member any more is forgotten once the ledger is known.
            base.set_authors(kept.authors.iter().copied().take(MAX_AUTHORS).chain([me]));
            let refused = base.restore(&Ed25519, kept.insights, kept.weights);
            if refused > 0 {
                tracing::warn!(refused, "insights of the file do not hold and are passed over");
            }
            faded = kept.faded.min(now);
        }
        Ok(Self {
            key,
            chain,
            path,
            inner: Mutex::new(Inner {
                base,
                faded,
                unsaved: false,
            }),
            writing: Mutex::default(),
        })
    }

    /// Listens to the members of the ledger. Before it is `settled`, which is when the node has caught up, nobody is
    /// forgotten: members that joined later are not known yet.
    pub(super) fn listen_to(&self, members: &BTreeSet<PublicKey>, settled: bool) {
        let mut inner = lock(&self.inner);
        let before: BTreeSet<PublicKey> = inner.base.authors().map(|(author, ..)| author).collect();
        let mut wanted = BTreeSet::from([self.key.public()]);
        let kept = before
            .iter()
            .filter(|author| !settled || members.contains(author));
        for author in kept.chain(members) {
            if wanted.len() < MAX_AUTHORS {
                wanted.insert(*author);
            }
        }
        if wanted != before {
            inner.base.set_authors(wanted);
            inner.unsaved = true;
        }
    }

    /// Takes an insight, whoever passed it on.
    pub(super) fn take(&self, signed: SignedInsight) -> Result<(), InsightError> {
        let mut inner = lock(&self.inner);
        let taken = inner.base.take(&Ed25519, signed);
        // A contradiction changes trust.
        inner.unsaved |= matches!(taken, Ok(_) | Err(InsightError::Conflict { .. }));
        taken.map(|_| ())
    }

    /// Answers an agent; `own`: it is one of the node's owner. Writes a file: not for threads that must not block.
    pub(super) fn answer(&self, own: bool, ask: &Ask, now: Timestamp) -> Tell {
        let answer = if own {
            self.answer_own(ask, now)
        } else {
            Err(LoreError::Stranger)
        };
        answer.unwrap_or_else(|error| Tell::Invalid {
            reason: short(&error.to_string()),
        })
    }

    fn answer_own(&self, ask: &Ask, now: Timestamp) -> Result<Tell, LoreError> {
        match ask {
            Ask::Known { topic, place } => Ok(Tell::Known {
                said: self.known(topic, *place),
            }),
            Ask::Measured { topic, reports } => {
                let reports = self.measured(topic, reports)?;
                Ok(Tell::Counted { reports })
            }
            Ask::Found { topic, payload } => {
                let version = self.found(topic, payload, now)?;
                Ok(Tell::Signed { version })
            }
            // Another part of the node answers these.
            _ => Ok(Tell::Unknown),
        }
    }

    /// The insight at `place` on `topic`, by weight; authors without weight are left out.
    fn known(&self, topic: &ShortText, place: u32) -> Option<(SignedInsight, u32)> {
        let inner = lock(&self.inner);
        let mut said: Vec<_> = inner.base.on(topic).filter(|(_, weight)| *weight > 0).collect();
        // Authors come in the order of their keys, which decides between equals.
        said.sort_by_key(|(_, weight)| Reverse(*weight));
        let (signed, weight) = said.into_iter().take(MAX_TOLD).nth(place as usize)?;
        Some((SignedInsight::clone(signed), weight))
    }

    fn measured(&self, topic: &ShortText, reports: &[MeasuredInsight]) -> Result<u32, LoreError> {
        let count = reports.len();
        if count > MAX_REPORTS {
            return Err(LoreError::TooMany { count });
        }
        let reports: Vec<(Source, Usefulness)> = reports
            .iter()
            .map(|report| {
                let source = Source {
                    author: report.author,
                    version: report.version,
                };
                (source, Usefulness::new(report.thousandths.into()))
            })
            .collect();
        let counted = {
            let mut inner = lock(&self.inner);
            let counted = knowledge::report(&mut inner.base, topic, &reports);
            inner.unsaved |= counted > 0;
            counted
        };
        self.save()?;
        // At most `MAX_REPORTS`.
        Ok(counted as u32)
    }

    /// Signs what a run found, under a version that no earlier one had, even if the file was lost: it is the time of day
    /// in milliseconds, or one more than the last. What is told already keeps its version.
    fn found(&self, topic: &ShortText, payload: &[u8], now: Timestamp) -> Result<u64, LoreError> {
        let version = {
            let mut inner = lock(&self.inner);
            let last = inner.base.newest(&self.key.public(), topic);
            let last = last.map(|signed| (signed.insight.version, signed.insight.payload == payload));
            match last {
                Some((version, true)) => version,
                _ => {
                    let next = last.map_or(0, |(version, _)| version.saturating_add(1));
                    let version = now.get().max(next);
                    let (topic, payload) = (topic.clone(), payload.to_vec());
                    let signed = SignedInsight::sign(&self.key, self.chain, topic, version, payload)?;
                    inner.base.take(&Ed25519, signed)?;
                    inner.unsaved = true;
                    version
                }
            }
        };
        self.save()?;
        Ok(version)
    }

    /// Lets trust fade if it is time, and brings the file up to date.
    pub(super) fn tend(&self, now: Timestamp) -> Result<(), LoreError> {
        {
            let mut inner = lock(&self.inner);
            let steps = now.get().saturating_sub(inner.faded.get()) / FADE_EVERY;
            for _ in 0..steps.min(MAX_STEPS) {
                inner.base.fade();
            }
            // A clock that was set back makes nothing fade twice.
            let faded = inner
                .faded
                .get()
                .saturating_add(steps * FADE_EVERY)
                .min(now.get());
            if faded != inner.faded.get() {
                inner.faded = Timestamp(faded);
                inner.unsaved = true;
            }
        }
        self.save()
    }

    /// The node's own insights, to be sent. Brings the file up to date first: nothing is told that a crash would make the
    /// node forget.
    pub(super) fn to_tell(&self) -> Result<Vec<Arc<SignedInsight>>, LoreError> {
        self.save()?;
        let inner = lock(&self.inner);
        Ok(inner.base.by(&self.key.public()).cloned().collect())
    }

    /// Whether `peer` is listened to: a member, and so perhaps a node.
    pub(super) fn listens_to(&self, peer: &PublicKey) -> bool {
        lock(&self.inner)
            .base
            .authors()
            .any(|(author, ..)| author == *peer)
    }

    pub(super) fn status(&self) -> KnowledgeStatus {
        let inner = lock(&self.inner);
        let base = &inner.base;
        let counters = base.counters();
        let measured: BTreeSet<PublicKey> = base
            .trust()
            .measured_weights()
            .map(|(author, _)| author)
            .collect();
        let authors = base
            .authors()
            .filter(|(author, insights, _)| *insights > 0 || measured.contains(author));
        KnowledgeStatus {
            insights: base.authors().map(|(_, insights, _)| insights).sum(),
            accepted: counters.accepted,
            refused: counters.unknown_author
                + counters.stale
                + counters.oversized
                + counters.forged
                + counters.conflicting,
            authors: authors
                .map(|(author, insights, weight)| AuthorStatus {
                    author: author.to_hex(),
                    insights,
                    weight,
                })
                .collect(),
        }
    }

    fn save(&self) -> Result<(), LoreError> {
        let _writing = lock(&self.writing);
        let kept = {
            let mut inner = lock(&self.inner);
            if !inner.unsaved {
                return Ok(());
            }
            inner.unsaved = false;
            Kept {
                chain: self.chain,
                authors: inner.base.authors().map(|(author, ..)| author).collect(),
                insights: inner.base.kept().collect(),
                weights: inner.base.trust().measured_weights().collect(),
                faded: inner.faded,
            }
        };
        let saved = file::save(&self.path, &kept);
        if saved.is_err() {
            lock(&self.inner).unsaved = true;
        }
        Ok(saved?)
    }
}

#[cfg(test)]
mod tests;
