//! Who votes, changed while a run goes on: validators leave and come back, under their old key or a new one, or change their
//! key on the spot. One at a time: what comes next depends on what the ledger said to the last.

use super::clients::Moment;
use super::draw::Draw;
use super::keys::{Signatures, key_number, validator_key};
use crate::command::{Command, Statement, When};
use crate::genesis::{ChainId, OPERATOR};
use crate::ledger::{LedgerEvent, MembershipChange};
use daa_base::Rng;

/// A statement counts for so many heights.
const COUNTS_FOR: u64 = 60;

/// A validator that may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Movable {
    pub(super) validator: usize,
    pub(super) power: u64,
}

/// The operator's plans with the set of validators.
#[derive(Debug)]
pub(super) struct Movers {
    signatures: Signatures,
    chain: ChainId,
    nodes: usize,
    movable: Vec<Movable>,
    /// For each of these, whether it votes under its second key.
    second: Vec<bool>,
    /// The one that has left, by its place among the movable.
    away: Option<usize>,
    /// The number of the command that was not answered yet.
    pending: Option<u64>,
}

impl Movers {
    pub(super) fn new(signatures: Signatures, chain: ChainId, nodes: usize, movable: Vec<Movable>) -> Self {
        Self {
            signatures,
            chain,
            nodes,
            second: vec![false; movable.len()],
            movable,
            away: None,
            pending: None,
        }
    }

    /// What the operator wishes next, if it waits for no answer.
    pub(super) fn next(&mut self, rng: &mut Rng, at: Moment) -> Option<Command> {
        if self.movable.is_empty() || self.pending.is_some() {
            return None;
        }
        let number =
            |place: usize, second: bool| key_number(self.nodes, self.movable[place].validator, second);
        if let Some(place) = self.away {
            // Whoever comes back may come with a new key, and keeps it.
            let second = self.second[place] || rng.chance(500);
            let key = validator_key(number(place, second));
            let power = self.movable[place].power;
            return Some(Command::SetValidator { key, power });
        }
        let place = rng.below(self.movable.len());
        let old = number(place, self.second[place]);
        if self.second[place] || rng.chance(500) {
            let key = validator_key(old);
            return Some(Command::SetValidator { key, power: 0 });
        }
        let (old, new) = (
            self.signatures.validator(old),
            self.signatures.validator(number(place, true)),
        );
        let when = When {
            epoch: at.epoch,
            until: at.height + COUNTS_FOR,
        };
        let statement = Statement::rotate(old.as_ref(), new.as_ref(), self.chain, when);
        Some(Command::Statement(statement))
    }

    /// The command has this number.
    pub(super) const fn sent(&mut self, seq: u64) {
        self.pending = Some(seq);
    }

    /// Takes the ledger's word.
    pub(super) fn read(&mut self, event: &LedgerEvent) {
        if self
            .pending
            .is_some_and(|seq| event.answers() == Some((OPERATOR, seq)))
        {
            self.pending = None;
        }
        let LedgerEvent::ValidatorsChanged { change, .. } = event else {
            return;
        };
        let place = |key| {
            let numbers = [false, true].map(|second| {
                self.movable
                    .iter()
                    .position(|one| validator_key(key_number(self.nodes, one.validator, second)) == key)
                    .map(|place| (place, second))
            });
            numbers.into_iter().flatten().next()
        };
        match *change {
            MembershipChange::Left { key } => self.away = place(key).map(|(place, _)| place),
            MembershipChange::Joined { key, .. } => {
                self.away = None;
                if let Some((place, second)) = place(key) {
                    self.second[place] = second;
                }
            }
            MembershipChange::Rotated { to, .. } => {
                if let Some((place, second)) = place(to) {
                    self.second[place] = second;
                }
            }
            _ => {}
        }
    }
}
