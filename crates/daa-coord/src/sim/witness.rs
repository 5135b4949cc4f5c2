//! What one correct node heard liars say: two votes that contradict each other at the height in work are an obligation to prove it.

use crate::consensus::{Message, SignedVote};
use crate::keys::PublicKey;
use arc_malachitebft_core_types::VoteType;
use std::collections::BTreeMap;

/// Votes for rounds up to this one are never too far ahead to be looked at.
const NEAR: u32 = 3;

/// Of one height.
#[derive(Debug, Default)]
pub(super) struct Witness {
    height: u64,
    first: BTreeMap<(PublicKey, bool, u32), SignedVote>,
    /// Who contradicted itself.
    caught: Vec<PublicKey>,
}

impl Witness {
    /// A message that the node takes in while it works on `height`. `holds` says whether a vote's signature does.
    pub(super) fn hear(&mut self, height: u64, message: &Message, holds: impl Fn(&SignedVote) -> bool) {
        if height != self.height {
            *self = Self {
                height,
                ..Self::default()
            };
        }
        let Message::Vote(vote) = message else { return };
        let said = &vote.message;
        let Some(round) = said.round.as_u32().filter(|&round| round <= NEAR) else {
            return;
        };
        if said.height.0 != height {
            return;
        }
        let place = (said.validator, said.kind == VoteType::Precommit, round);
        match self.first.get(&place) {
            None => {
                if holds(vote) {
                    self.first.insert(place, vote.clone());
                }
            }
            Some(first) => {
                let new = !self.caught.contains(&said.validator);
                if new && first.message.value != said.value && holds(vote) {
                    self.caught.push(said.validator);
                }
            }
        }
    }

    /// Who contradicted itself at `height`.
    pub(super) fn offenders(self, height: u64) -> impl Iterator<Item = PublicKey> {
        let caught = if self.height == height {
            self.caught
        } else {
            Vec::new()
        };
        caught.into_iter()
    }
}
