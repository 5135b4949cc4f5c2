//! Who votes: changes of the set of validators, decided on the ledger and in force two blocks later.
//!
//! A change decided in block h counts from block h + 2: while block h + 1 is agreed on, some validators do not know block
//! h yet, and all of them must know who votes with them.
//!
//! # What one block may change
//! Compared with the set that votes next, all changes of one block together must
//! - leave somebody;
//! - lose at most a third of the weight. Those who stay hold two thirds of it, more than any third that may lie, so
//!   honest ones of every set carry the ledger into the next; a mistyped or stolen operator's command removes no
//!   majority at once. Larger changes take several blocks.
//! - leave those who stay a quorum of the new set, where three or more vote: newcomers that never start cannot stop the
//!   others. (Smaller sets tolerate no fault in any case, and could not grow under this rule.)
//!
//! A validator that changes its key stays: it proves with both keys that it is the same.

use super::change::MembershipChange;
use super::dispatch::operator_only;
use super::event::LedgerEvent;
use super::reason::Rejection;
use super::state::State;
use crate::command::{Said, Statement, When};
use crate::genesis::Quorum;
use crate::keys::PublicKey;
use crate::validators::{Validator, ValidatorSet};
use daa_base::AgentId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many keys that vote no more are remembered, the last ones.
const MAX_FORMER: usize = 512;

/// Who votes, and who did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Members {
    /// Who votes on the last block, the next, and the one after that.
    sets: [ValidatorSet; 3],
    /// Changes so far.
    pub(super) epoch: u64,
    /// Keys that went, with the height at which they did.
    former: BTreeMap<PublicKey, Former>,
    /// Rotations of the block in work: the new key and the one in the set that votes next. Empty between blocks.
    #[serde(skip)]
    renamed: BTreeMap<PublicKey, PublicKey>,
}

/// A key that votes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Former {
    /// Height of the block that decided it.
    left: u64,
    /// The key that took its place.
    successor: Option<PublicKey>,
}

impl Members {
    pub(super) fn new(set: &ValidatorSet) -> Self {
        Self {
            sets: [set.clone(), set.clone(), set.clone()],
            ..Self::default()
        }
    }

    /// Who votes `ahead` blocks after the last one, for 0, 1 and 2.
    pub(super) fn set(&self, ahead: u64) -> Option<&ValidatorSet> {
        self.sets.get(usize::try_from(ahead).ok()?)
    }

    pub(super) const fn next(&self) -> &ValidatorSet {
        &self.sets[1]
    }

    /// Whether [`Members::advance`] would change anything.
    pub(super) fn is_settled(&self) -> bool {
        self.renamed.is_empty() && self.sets[0] == self.sets[1] && self.sets[1] == self.sets[2]
    }

    /// A new block is looked at: who votes next voted on it.
    pub(super) fn advance(&mut self) {
        self.sets.rotate_left(1);
        self.sets[2] = self.sets[1].clone();
        self.renamed.clear();
    }

    /// The key that now stands for `key`, if it still votes.
    pub(super) fn present(&self, key: PublicKey) -> Option<PublicKey> {
        let mut key = key;
        // Keys are given up in order, so that the chain has no circle; the bound is for damaged states.
        for _ in 0..=MAX_FORMER {
            match self.former.get(&key).and_then(|former| former.successor) {
                Some(next) => key = next,
                None => return self.sets[2].get(&key).map(|validator| validator.key),
            }
        }
        None
    }

    /// Whether `key` votes, or voted lately.
    pub(super) fn knows(&self, key: &PublicKey) -> bool {
        self.former.contains_key(key) || self.sets.iter().any(|set| set.get(key).is_some())
    }

    fn origin(&self, key: PublicKey) -> PublicKey {
        self.renamed.get(&key).copied().unwrap_or(key)
    }

    fn check_change(&self, after: &ValidatorSet, quorum: Quorum) -> Result<(), Rejection> {
        let before = self.next();
        if after.is_empty() {
            return Err(Rejection::LastValidator);
        }
        let total = before.total_power();
        let (mut kept, mut staying) = (0, 0);
        for validator in after.as_slice() {
            if let Some(old) = before.get(&self.origin(validator.key)) {
                kept += old.power.min(validator.power);
                staying += validator.power;
            }
        }
        let lost = total - kept;
        if 3 * lost > total {
            return Err(Rejection::TooMuchLost { lost, total });
        }
        let total = after.total_power();
        if before.len() >= 3 && !quorum.is_reached(staying, total) {
            return Err(Rejection::TooMuchNew {
                new: total - staying,
                total,
            });
        }
        Ok(())
    }

    /// The set of the block after the next one with `change` made, if the rules allow it.
    fn change(
        &mut self,
        (from, to): (Option<PublicKey>, Option<Validator>),
        quorum: Quorum,
        height: u64,
    ) -> Result<(), Rejection> {
        let others = self.sets[2].as_slice().iter().copied();
        let after = others.filter(|other| Some(other.key) != from).chain(to);
        let after = ValidatorSet::new(after).map_err(|reason| Rejection::BadValidator { reason })?;
        self.check_change(&after, quorum)?;
        self.sets[2] = after;
        self.epoch += 1;
        let successor = to.map(|to| to.key);
        if let Some(from) = from.filter(|&from| successor != Some(from)) {
            let left = height;
            self.former.insert(from, Former { left, successor });
            while self.former.len() > MAX_FORMER {
                let oldest = self
                    .former
                    .iter()
                    .min_by_key(|(key, former)| (former.left, **key));
                let Some(oldest) = oldest.map(|(&key, _)| key) else {
                    break;
                };
                self.former.remove(&oldest);
            }
        }
        Ok(())
    }

    /// What must hold between blocks.
    pub(super) fn is_sound(&self, genesis: &ValidatorSet) -> bool {
        let empty = genesis.is_empty();
        self.sets.iter().all(|set| set.is_empty() == empty) && self.former.len() <= MAX_FORMER
    }
}

impl State {
    /// What is remembered only while a block is carried out.
    pub(super) fn finish_block(&mut self) {
        if !self.members.renamed.is_empty() {
            self.members.renamed.clear();
        }
    }

    /// Takes the changes over that come into force.
    pub(super) fn advance_members(&mut self) {
        if !self.members.is_settled() {
            self.members.advance();
        }
    }

    pub(super) fn set_validator(
        &mut self,
        (agent, seq): (AgentId, u64),
        key: PublicKey,
        power: u64,
    ) -> Result<LedgerEvent, Rejection> {
        operator_only(agent)?;
        if self.members.next().is_empty() {
            return Err(Rejection::NoValidators);
        }
        let before = self.members.sets[2].get(&key).map(|validator| validator.power);
        let retired = self.members.former.get(&key);
        let change = match (before, power) {
            (None, 0) => return Err(Rejection::NotValidator { key }),
            (None, _) if retired.is_some_and(|former| former.successor.is_some()) => {
                return Err(Rejection::KeyRetired { key });
            }
            (None, _) if self.offences.is_banned(&key) => return Err(Rejection::Offender { key }),
            (None, power) => MembershipChange::Joined { key, power },
            (Some(_), 0) => MembershipChange::Left { key },
            (Some(before), power) => MembershipChange::Weighed { key, before, power },
        };
        let to = (power > 0).then_some(Validator { key, power });
        let from = before.map(|_| key);
        if before != Some(power) {
            self.change_members((from, to))?;
        }
        if to.is_some() {
            self.members.former.remove(&key);
        }
        Ok(self.members_changed((agent, seq), change))
    }

    pub(super) fn change_members(
        &mut self,
        change: (Option<PublicKey>, Option<Validator>),
    ) -> Result<(), Rejection> {
        let (quorum, height) = (self.genesis.quorum(), self.height);
        self.members.change(change, quorum, height)
    }

    const fn members_changed(&self, (agent, seq): (AgentId, u64), change: MembershipChange) -> LedgerEvent {
        LedgerEvent::ValidatorsChanged {
            agent,
            seq,
            change,
            from: self.height + 2,
        }
    }

    /// A validator's own word about its membership; its signatures hold.
    pub(super) fn change_by_statement(
        &mut self,
        who: (AgentId, u64),
        statement: &Statement,
    ) -> Result<LedgerEvent, Rejection> {
        let from = statement.validator;
        let power = self.members.sets[2].get(&from).map(|validator| validator.power);
        let Some(power) = power else {
            return Err(Rejection::NotValidator { key: from });
        };
        let change = match statement.said {
            Said::Rotate { when, to: key, .. } => {
                self.check_when(when)?;
                if self.members.knows(&key) {
                    return Err(Rejection::KeyRetired { key });
                }
                let origin = self.members.origin(from);
                self.members.renamed.insert(key, origin);
                let changed = self.change_members((Some(from), Some(Validator { key, power })));
                if let Err(reason) = changed {
                    self.members.renamed.remove(&key);
                    return Err(reason);
                }
                MembershipChange::Rotated { from, to: key }
            }
            Said::Leave { when } => {
                self.check_when(when)?;
                self.change_members((Some(from), None))?;
                MembershipChange::Left { key: from }
            }
            Said::Gone { .. } => return Err(Rejection::Malformed),
        };
        Ok(self.members_changed(who, change))
    }

    fn check_when(&self, when: When) -> Result<(), Rejection> {
        let epoch = self.members.epoch;
        if when.epoch != epoch {
            return Err(Rejection::OtherEpoch {
                named: when.epoch,
                epoch,
            });
        }
        if when.until < self.height {
            return Err(Rejection::StatementLate {
                until: when.until,
                height: self.height,
            });
        }
        Ok(())
    }
}
