//! Proofs that a validator lied: recorded once, and by the genesis' rule followed by its removal.
//!
//! Anybody can check such a proof, so whoever proposes a block may put it in. It counts for the validator that signed, under
//! whatever key it votes by now; a key that was removed for an offence never votes again. Where the rules for one block
//! ([`super::members`]) forbid the removal, it is tried again with each later block.

use super::event::LedgerEvent;
use super::members::Members;
use super::reason::{EvidenceFault, Rejection};
use super::state::State;
use crate::consensus::evidence::{Evidence, Offence};
use crate::genesis::{ChainId, OnEvidence};
use crate::keys::{PublicKey, SignatureScheme};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Offences kept of one validator; more prove nothing new.
const MAX_PER_VALIDATOR: usize = 16;

/// Validators whose offences are kept.
const MAX_OFFENDERS: usize = 512;

/// What was proven.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Offences {
    /// One per validator and height.
    proven: BTreeMap<PublicKey, Vec<Offence>>,
    /// Present keys of validators that have to go and could not yet.
    condemned: BTreeSet<PublicKey>,
    /// Keys that were removed for an offence.
    banned: BTreeSet<PublicKey>,
}

impl Offences {
    pub(super) fn all(&self) -> impl Iterator<Item = &Offence> + Clone {
        self.proven.values().flatten()
    }

    pub(super) fn is_banned(&self, key: &PublicKey) -> bool {
        self.banned.contains(key)
    }

    pub(super) fn is_sound(&self) -> bool {
        let bounded = |all: &Vec<Offence>| (1..=MAX_PER_VALIDATOR).contains(&all.len());
        self.proven.len() <= MAX_OFFENDERS
            && self.proven.values().all(bounded)
            && self.condemned.len() + self.banned.len() <= MAX_OFFENDERS
    }

    /// What can be said without looking at signatures.
    fn check(&self, offence: &Offence, members: &Members, height: u64) -> Result<(), EvidenceFault> {
        let key = offence.validator;
        if !members.knows(&key) {
            return Err(EvidenceFault::NotValidator { key });
        }
        if offence.height == 0 || offence.height > height {
            return Err(EvidenceFault::Future {
                named: offence.height,
                height,
            });
        }
        let known = self.proven.get(&key).map_or(&[][..], Vec::as_slice);
        let full = if known.is_empty() {
            self.proven.len() >= MAX_OFFENDERS
        } else {
            known.len() >= MAX_PER_VALIDATOR
        };
        if full || known.iter().any(|one| one.height == offence.height) {
            return Err(EvidenceFault::Known { offence: *offence });
        }
        Ok(())
    }
}

impl State {
    /// Whether the evidence would be recorded in a block at `height`, if its signatures hold.
    pub(super) fn check_evidence(&self, evidence: &Evidence, height: u64) -> Result<Offence, EvidenceFault> {
        let offence = evidence.offence().map_err(|_| EvidenceFault::NoProof)?;
        self.offences.check(&offence, &self.members, height)?;
        Ok(offence)
    }

    pub(super) fn hear_evidence(
        &mut self,
        (scheme, chain): (&dyn SignatureScheme, ChainId),
        evidence: &Evidence,
        events: &mut Vec<LedgerEvent>,
    ) {
        let proven = match self.check_evidence(evidence, self.height) {
            // Only what holds may be passed over for being known: what proves nothing breaks a rule, whomever it is about.
            checked @ (Ok(_) | Err(EvidenceFault::Known { .. })) => match evidence.verify(scheme, chain) {
                Ok(_) => checked,
                Err(_) => Err(EvidenceFault::NoProof),
            },
            refused => refused,
        };
        match proven {
            Err(reason) => events.push(LedgerEvent::EvidenceRefused { reason }),
            Ok(offence) => {
                let known = self.offences.proven.entry(offence.validator).or_default();
                known.push(offence);
                events.push(LedgerEvent::OffenceRecorded { offence });
                if self.config().on_evidence == OnEvidence::Remove {
                    self.condemn(offence.validator, events);
                }
            }
        }
    }

    fn condemn(&mut self, offender: PublicKey, events: &mut Vec<LedgerEvent>) {
        let Some(key) = self.members.present(offender) else {
            return;
        };
        if let Err(reason) = self.remove_offender(key, events) {
            self.offences.condemned.insert(key);
            events.push(LedgerEvent::ValidatorStays { key, reason });
        }
    }

    fn remove_offender(&mut self, key: PublicKey, events: &mut Vec<LedgerEvent>) -> Result<(), Rejection> {
        self.change_members((Some(key), None))?;
        self.offences.banned.insert(key);
        let from = self.height + 2;
        events.push(LedgerEvent::ValidatorRemoved { key, from });
        Ok(())
    }

    /// Tries again to remove who had to stay.
    pub(super) fn retry_removals(&mut self, events: &mut Vec<LedgerEvent>) {
        if self.offences.condemned.is_empty() {
            return;
        }
        for key in self.offences.condemned.clone() {
            let present = self.members.present(key);
            let over = present.is_none_or(|present| self.remove_offender(present, events).is_ok());
            if over {
                self.offences.condemned.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
