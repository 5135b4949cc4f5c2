//! What others say about a peer's health.

use crate::keys::PublicKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Opinions in one message, so that a message has a bound.
pub const MAX_OPINIONS: usize = 128;

/// What one node says about one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Opinion {
    /// About whom.
    pub about: PublicKey,
    /// Its suspicion in thousandths of φ, as the speaker sees it.
    pub phi_milli: u32,
}

/// Why what a peer says is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpinionError {
    /// It says too much at once.
    #[error("{found} opinions in one message, allowed are 0 to {MAX_OPINIONS}")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// It has no voice.
    #[error("{speaker} is not a member, its opinions do not count")]
    NotAMember {
        /// Who speaks.
        speaker: PublicKey,
    },
}

/// How opinions count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpinionsConfig {
    /// Thousandths of φ from which on an opinion is a suspicion.
    pub threshold_milli: u32,
    /// How long an opinion counts.
    pub valid_for: Duration,
}

impl Default for OpinionsConfig {
    fn default() -> Self {
        Self {
            threshold_milli: 8_000,
            valid_for: Duration::from_secs(10),
        }
    }
}

/// The members' opinions about each other: at most one per speaker and subject.
#[derive(Debug, Clone)]
pub struct Opinions {
    config: OpinionsConfig,
    /// Who has a voice, with its weight.
    members: BTreeMap<PublicKey, u64>,
    /// (about, speaker) to whether it suspects, and when it said so.
    said: BTreeMap<(PublicKey, PublicKey), (bool, Duration)>,
}

impl Opinions {
    /// Opinions of `members` with their weights; in memory at most the square of their number.
    #[must_use]
    pub fn new(config: OpinionsConfig, members: impl IntoIterator<Item = (PublicKey, u64)>) -> Self {
        let mut opinions = Self {
            config,
            members: BTreeMap::new(),
            said: BTreeMap::new(),
        };
        opinions.set_members(members);
        opinions
    }

    /// Replaces the members. What was said by or about others is forgotten. The members are bounded by what the caller
    /// passes: the ledger's validators.
    pub fn set_members(&mut self, members: impl IntoIterator<Item = (PublicKey, u64)>) {
        self.members = members.into_iter().collect();
        let members = &self.members;
        self.said
            .retain(|(about, speaker), _| members.contains_key(about) && members.contains_key(speaker));
    }

    /// Takes what `speaker`, authenticated by the transport, says. Opinions about itself and about non-members are
    /// passed over; a later opinion of the same speaker replaces the earlier one.
    ///
    /// # Errors
    /// [`OpinionError`]; then nothing is taken.
    pub fn hear(&mut self, speaker: PublicKey, said: &[Opinion], now: Duration) -> Result<(), OpinionError> {
        if said.len() > MAX_OPINIONS {
            return Err(OpinionError::TooMany { found: said.len() });
        }
        if !self.members.contains_key(&speaker) {
            return Err(OpinionError::NotAMember { speaker });
        }
        for opinion in said {
            if opinion.about != speaker && self.members.contains_key(&opinion.about) {
                let suspects = opinion.phi_milli >= self.config.threshold_milli;
                self.said.insert((opinion.about, speaker), (suspects, now));
            }
        }
        Ok(())
    }

    /// The weight of the members that now suspect `about`: each counts once, with its own weight, whatever and however
    /// often it speaks.
    #[must_use]
    pub fn weight_against(&self, about: &PublicKey, now: Duration) -> u64 {
        let (least, most) = (PublicKey([0; 32]), PublicKey([0xff; 32]));
        self.said
            .range((*about, least)..=(*about, most))
            .filter(|(_, (suspects, at))| *suspects && now.saturating_sub(*at) <= self.config.valid_for)
            .filter_map(|((_, speaker), _)| self.members.get(speaker))
            .fold(0, |sum, weight| sum.saturating_add(*weight))
    }

    /// Whether the suspecting weight is more than a third of all: then at least one of them is correct while less than a
    /// third lie, and a vote in the ledger is worth proposing. It is no decision.
    #[must_use]
    pub fn worth_a_vote(&self, about: &PublicKey, now: Duration) -> bool {
        let total: u128 = self.members.values().map(|&weight| u128::from(weight)).sum();
        u128::from(self.weight_against(about, now)) * 3 > total
    }

    /// Opinions in memory.
    #[must_use]
    pub fn len(&self) -> usize {
        self.said.len()
    }

    /// Whether nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.said.is_empty()
    }
}
