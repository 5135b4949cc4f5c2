//! What correct validators may say, checked from outside: from the votes that they sent and from nothing else.
//!
//! The rules are those of Tendermint (Buchman, Kwon and Milosevic 2018, algorithm 1): one vote for each step; a precommit for
//! a block needs a quorum of prevotes for it in that round (line 36); who precommitted a block prevotes another only after a
//! quorum prevoted that one in the same or a later round (lines 22 and 28); a decision needs a quorum of precommits (line
//! 49). Liars may have voted for anything, so each counts as having done so: nothing that is found here can be excused.

use crate::consensus::{BlockId, Decided, Vote};
use arc_malachitebft_core_types::{NilOrVal, VoteType};
use std::collections::BTreeMap;

/// Heights that are remembered; votes for older ones can only repeat.
const HEIGHTS: usize = 64;

type Value = Option<BlockId>;

#[derive(Debug, Default)]
struct HeightVotes {
    /// By step, round and validator.
    cast: BTreeMap<(bool, u32, usize), Value>,
}

impl HeightVotes {
    /// The weight of those that voted so.
    fn weight(&self, step: (bool, u32), value: BlockId, except: Option<usize>, among: &Electorate) -> u64 {
        let (precommit, round) = step;
        self.cast
            .range((precommit, round, 0)..=(precommit, round, usize::MAX))
            .filter(|&(&(_, _, who), &cast)| cast == Some(value) && Some(who) != except)
            .map(|(&(_, _, who), _)| among.power(who))
            .sum()
    }
}

/// Who votes at a height, by weight.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Electorate {
    /// Of each correct validator; 0 for whoever does not vote.
    pub(super) powers: Vec<u64>,
    /// Of all liars together.
    pub(super) liars: u64,
    /// Of all together.
    pub(super) total: u64,
}

impl Electorate {
    fn power(&self, who: usize) -> u64 {
        self.powers.get(who).copied().unwrap_or(0)
    }

    const fn is_quorum(&self, correct: u64) -> bool {
        3 * (correct + self.liars) > 2 * self.total
    }
}

/// The votes of correct validators.
#[derive(Debug, Default)]
pub(super) struct Votes {
    heights: BTreeMap<u64, HeightVotes>,
}

impl Votes {
    /// Whether votes at `height` were so long ago that they are not remembered.
    fn is_forgotten(&self, height: u64) -> bool {
        let first = self.heights.first_key_value();
        self.heights.len() == HEIGHTS && first.is_some_and(|(&first, _)| first > height)
    }

    /// Correct validator `who` sends a vote of its own.
    ///
    /// # Errors
    /// The rule it breaks.
    pub(super) fn sent(&mut self, who: usize, vote: &Vote, among: &Electorate) -> Result<(), String> {
        let Some(round) = vote.round.as_u32() else {
            return Err(format!("validator {who} votes in no round"));
        };
        if self.is_forgotten(vote.height.0) {
            return Ok(());
        }
        let precommit = vote.kind == VoteType::Precommit;
        let value = match vote.value {
            NilOrVal::Nil => None,
            NilOrVal::Val(id) => Some(id),
        };
        let height = self.heights.entry(vote.height.0).or_default();
        let step = if precommit { "precommits" } else { "prevotes" };
        let place = format!("height {}, round {round}", vote.height);
        if let Some(&before) = height.cast.get(&(precommit, round, who)) {
            return if before == value {
                Ok(())
            } else {
                Err(format!(
                    "correct validator {who} {step} twice, differently, at {place}"
                ))
            };
        }
        if let Some(id) = value {
            if precommit {
                // Its own prevote counts for itself even before it is sent.
                let prevotes = height.weight((false, round), id, Some(who), among) + among.power(who);
                if !among.is_quorum(prevotes) {
                    return Err(format!(
                        "correct validator {who} precommits {id} at {place} on prevotes of weight {prevotes}"
                    ));
                }
            } else if let Some(locked) = height.lock(who, round)
                && locked.1 != id
                && !(locked.0..round).any(|at| among.is_quorum(height.weight((false, at), id, None, among)))
            {
                return Err(format!(
                    "correct validator {who} forgets its lock on {} at {place} and prevotes {id}",
                    locked.1
                ));
            }
        }
        height.cast.insert((precommit, round, who), value);
        while self.heights.len() > HEIGHTS {
            self.heights.pop_first();
        }
        Ok(())
    }

    /// Correct validator `who` decides.
    ///
    /// # Errors
    /// When fewer than a quorum can have voted so.
    pub(super) fn decided(&self, who: usize, decided: &Decided, among: &Electorate) -> Result<(), String> {
        let (height, id, round) = (decided.height(), decided.id(), decided.certificate.round);
        if self.is_forgotten(height) {
            return Ok(());
        }
        let seen = self.heights.get(&height);
        let seen = seen.map_or(0, |votes| votes.weight((true, round), id, Some(who), among));
        let precommits = seen + among.power(who);
        if among.is_quorum(precommits) {
            return Ok(());
        }
        Err(format!(
            "validator {who} decides {id} at height {height}, round {round} on precommits of weight {precommits} of correct ones"
        ))
    }
}

impl HeightVotes {
    /// The last block that `who` precommitted before `round`, and when.
    fn lock(&self, who: usize, round: u32) -> Option<(u32, BlockId)> {
        self.cast
            .range((true, 0, 0)..(true, round, 0))
            .rev()
            .find_map(|(&(_, at, voter), &value)| {
                (voter == who).then_some(value).flatten().map(|id| (at, id))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::Height;
    use crate::keys::Digest;
    use crate::sim::keys::validator_key;
    use arc_malachitebft_core_types::Round;

    fn vote(kind: VoteType, round: u32, who: usize, block: Option<u8>) -> Vote {
        Vote {
            kind,
            height: Height(3),
            round: Round::new(round),
            value: block.map_or(NilOrVal::Nil, |n| NilOrVal::Val(BlockId(Digest([n; 32])))),
            validator: validator_key(who),
        }
    }

    const PRE: VoteType = VoteType::Prevote;
    const COM: VoteType = VoteType::Precommit;

    /// Four validators, number 3 lies.
    fn play(steps: &[(VoteType, u32, usize, Option<u8>)]) -> Option<String> {
        let mut votes = Votes::default();
        let among = Electorate {
            powers: vec![1, 1, 1, 0],
            liars: 1,
            total: 4,
        };
        steps.iter().find_map(|&(kind, round, who, block)| {
            votes.sent(who, &vote(kind, round, who, block), &among).err()
        })
    }

    #[test]
    fn what_the_rules_allow_is_not_found_fault_with() {
        let lock_and_move = [
            (PRE, 0, 0, Some(1)),
            (PRE, 0, 1, Some(1)),
            (COM, 0, 0, Some(1)),
            (COM, 0, 0, Some(1)),
            (PRE, 1, 1, Some(2)),
            (PRE, 1, 2, Some(2)),
            (COM, 1, 1, Some(2)),
            (PRE, 2, 0, Some(2)),
        ];
        assert_eq!(play(&lock_and_move), None);
    }

    #[test]
    fn each_rule_is_held() {
        let two_faced = [(PRE, 0, 0, Some(1)), (PRE, 0, 0, None)];
        assert!(play(&two_faced).is_some_and(|what| what.contains("twice, differently")));
        let hasty = [(PRE, 0, 0, Some(1)), (COM, 0, 0, Some(1))];
        assert!(play(&hasty).is_some_and(|what| what.contains("on prevotes of weight 1")));
        let forgetful = [
            (PRE, 0, 0, Some(1)),
            (PRE, 0, 1, Some(1)),
            (COM, 0, 0, Some(1)),
            (PRE, 1, 0, Some(2)),
        ];
        assert!(play(&forgetful).is_some_and(|what| what.contains("forgets its lock")));
    }
}
