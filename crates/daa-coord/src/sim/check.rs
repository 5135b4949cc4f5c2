//! The judge: one chain, decided by nobody's leave but a quorum's, that obeys every rule and that nobody ever unsays.

use super::audit::Audit;
use super::books::Books;
use super::keys::{key_number, validator_key};
use super::plan::DRIFT_MS;
use super::shown::votes_in;
use super::votes::{Electorate, Votes};
use super::witness::Witness;
use crate::consensus::{BlockId, ConsensusBlock, Decided, Message, Vote};
use crate::genesis::{ChainId, Genesis};
use crate::keys::{Digest, PublicKey, SignatureScheme, Signed};
use crate::ledger::{Ledger, LedgerError, LedgerEvent, MembershipChange};
use crate::validators::ValidatorSet;
use daa_base::{Millis, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What every correct node has to agree on at one height.
#[derive(Debug)]
struct Agreed {
    id: BlockId,
    state: Digest,
    events: Arc<[LedgerEvent]>,
}

/// What is known of a run from outside.
#[derive(Debug)]
pub(super) struct Checker {
    scheme: Arc<dyn SignatureScheme>,
    chain: ChainId,
    /// Both keys of every correct validator, with its number and whether it is the second.
    correct: BTreeMap<PublicKey, (usize, bool)>,
    /// From which height on a correct validator votes under its second key, or its first again.
    reigns: BTreeMap<usize, Vec<(u64, bool)>>,
    oracle: Ledger,
    agreed: Vec<Agreed>,
    /// Who votes at heights 1, 2, 3, ...
    sets: Vec<(ValidatorSet, Electorate)>,
    pub(super) books: Books,
    pub(super) audit: Audit,
    votes: Votes,
    max_drift: Millis,
    /// Proofs of misbehaviour in decided blocks.
    pub(super) evidence: u64,
}

type Wrong = Result<(), String>;

fn require(holds: bool, what: impl FnOnce() -> String) -> Wrong {
    if holds { Ok(()) } else { Err(what()) }
}

impl Checker {
    /// `correct` are the numbers of the correct ones of `nodes` validators.
    pub(super) fn new(
        genesis: &Genesis,
        scheme: Arc<dyn SignatureScheme>,
        (nodes, correct): (usize, &[usize]),
        max_drift: Millis,
    ) -> Result<Self, LedgerError> {
        let oracle = Ledger::new(genesis.clone())?;
        let keys = correct.iter().flat_map(|&validator| {
            [false, true].map(|second| {
                let key = validator_key(key_number(nodes, validator, second));
                (key, (validator, second))
            })
        });
        let mut checker = Self {
            scheme,
            chain: genesis.chain_id(),
            votes: Votes::default(),
            sets: Vec::new(),
            correct: keys.collect(),
            reigns: BTreeMap::new(),
            oracle,
            agreed: Vec::new(),
            books: Books::default(),
            audit: Audit::default(),
            max_drift,
            evidence: 0,
        };
        checker.note_voters();
        Ok(checker)
    }

    /// Who votes on the next block.
    fn note_voters(&mut self) {
        let set = self.oracle.validators();
        let mut among = Electorate {
            total: set.total_power(),
            ..Electorate::default()
        };
        for one in set.as_slice() {
            match self.correct.get(&one.key) {
                Some(&(who, _)) => {
                    let needed = among.powers.len().max(who + 1);
                    among.powers.resize(needed, 0);
                    among.powers[who] += one.power;
                }
                None => among.liars += one.power,
            }
        }
        self.sets.push((set.clone(), among));
    }

    /// Whether a correct validator works on `height` under its second key.
    pub(super) fn is_second(&self, validator: usize, height: u64) -> bool {
        let mut reigns = self.reigns.get(&validator).into_iter().flatten();
        let last = reigns.rfind(|(from, _)| *from <= height);
        last.is_some_and(|&(_, second)| second)
    }

    /// Takes notice of keys that will count.
    fn note_keys(&mut self, event: &LedgerEvent) {
        let LedgerEvent::ValidatorsChanged { change, from, .. } = event else {
            return;
        };
        if let MembershipChange::Joined { key, .. } | MembershipChange::Rotated { to: key, .. } = change
            && let Some(&(validator, second)) = self.correct.get(key)
        {
            self.reigns.entry(validator).or_default().push((*from, second));
        }
    }

    /// The ledger as this second account has it.
    pub(super) const fn ledger(&self) -> &Ledger {
        &self.oracle
    }

    /// Notes what a liar who votes says to a correct node that works on `height`.
    pub(super) fn witness(&self, witness: &mut Witness, height: u64, message: &Message) {
        let Message::Vote(vote) = message else { return };
        let who = vote.message.validator;
        let (set, _) = &self.sets[self.at(height)];
        if self.correct.contains_key(&who) || set.get(&who).is_none() {
            return;
        }
        witness.hear(height, message, |vote| {
            let message = vote.message.signing_bytes(self.chain);
            self.scheme.verify(&Signed {
                key: who,
                message: &message,
                signature: vote.signature,
            })
        });
    }

    fn is_of(&self, validator: usize, key: &PublicKey) -> bool {
        self.correct.get(key).is_some_and(|&(who, _)| who == validator)
    }

    /// The height up to which something was decided.
    pub(super) fn height(&self) -> u64 {
        self.agreed.len() as u64
    }

    /// Who votes at `height`. A correct node that works on a height has decided the one before.
    fn at(&self, height: u64) -> usize {
        let at = usize::try_from(height.saturating_sub(1)).unwrap_or(usize::MAX);
        at.min(self.sets.len() - 1)
    }

    /// The events of a height that was decided.
    pub(super) fn events(&self, height: u64) -> Option<Arc<[LedgerEvent]>> {
        let at = usize::try_from(height.checked_sub(1)?).ok()?;
        self.agreed.get(at).map(|agreed| Arc::clone(&agreed.events))
    }

    /// A correct node sends a message. Its own votes count as sent in whatever they travel, and only durable ones may travel:
    /// `is_durable` says which are, because the log or a stored block tells of them after a crash.
    pub(super) fn on_sent(
        &mut self,
        validator: usize,
        message: &Message,
        is_durable: impl Fn(&Vote) -> bool,
    ) -> Wrong {
        for vote in votes_in(message) {
            if !self.is_of(validator, &vote.validator) {
                continue;
            }
            let (height, at) = (vote.height, self.at(vote.height.0));
            require(is_durable(&vote), || {
                let step = vote.kind;
                format!(
                    "validator {validator} shows its {step:?} at height {height} and could still forget it"
                )
            })?;
            self.votes.sent(validator, &vote, &self.sets[at].1)?;
        }
        Ok(())
    }

    /// A decided block is durable at a correct node. It decides before it sends its own precommit, and may crash in between:
    /// the certificate is then the first to show that vote.
    ///
    /// A block that was not durable yet when its node crashed shows nothing: nobody has seen it, nor ever will, and the
    /// validator, which remembers neither the block nor the vote, is free to vote again.
    pub(super) fn on_stored(&mut self, validator: usize, decided: &Decided) -> Wrong {
        let at = self.at(decided.height());
        let mut votes = decided.certificate.votes(decided.height(), decided.id());
        match votes.find(|(vote, _)| self.is_of(validator, &vote.validator)) {
            Some((vote, _)) => self.votes.sent(validator, &vote, &self.sets[at].1),
            None => Ok(()),
        }
    }

    /// A correct node has decided and stored a block; `state` is its ledger's hash after it.
    pub(super) fn on_committed(
        &mut self,
        validator: usize,
        wall: Timestamp,
        decided: &Decided,
        events: &[LedgerEvent],
        state: Digest,
    ) -> Wrong {
        let height = decided.height();
        let at = self.at(decided.height());
        self.votes.decided(validator, decided, &self.sets[at].1)?;
        self.certificate(decided)?;
        if height == self.height() + 1 {
            self.extend(wall, decided)?;
        }
        let Some(agreed) = usize::try_from(height - 1)
            .ok()
            .and_then(|at| self.agreed.get(at))
        else {
            return Err(format!(
                "validator {validator} decides height {height} after {}",
                self.height()
            ));
        };
        require(agreed.id == decided.id(), || {
            format!(
                "disagreement at height {height}: validator {validator} decides {}, another decided {}",
                decided.id(),
                agreed.id
            )
        })?;
        require(*agreed.events == *events, || {
            format!("validator {validator} tells other events at height {height}")
        })?;
        require(state == agreed.state, || {
            format!("validator {validator} has another ledger at height {height}")
        })
    }

    /// A correct node had stored a block and crashed before it could say so.
    pub(super) fn adopt(&mut self, validator: usize, wall: Timestamp, decided: &Decided) -> Wrong {
        let at = self.at(decided.height());
        self.votes.decided(validator, decided, &self.sets[at].1)?;
        self.certificate(decided)?;
        self.extend(wall, decided)
    }

    /// Whether a correct node's ledger is the agreed one of its height.
    pub(super) fn on_ledger(&self, validator: usize, ledger: &Ledger) -> Wrong {
        let height = ledger.height();
        let agreed = usize::try_from(height).ok().and_then(|height| {
            let at = height.checked_sub(1)?;
            self.agreed.get(at)
        });
        require(
            agreed.is_none_or(|agreed| agreed.state == ledger.state_hash()),
            || format!("validator {validator} has another ledger at height {height}"),
        )
    }

    /// Who signed, each once, and that a quorum did: counted here, not by the code under test.
    fn certificate(&self, decided: &Decided) -> Wrong {
        let (height, id) = (decided.height(), decided.id());
        let (set, _) = &self.sets[self.at(height)];
        let mut signers = BTreeMap::new();
        for (vote, signature) in decided.certificate.votes(height, id) {
            let message = vote.signing_bytes(self.chain);
            let signed = Signed {
                key: vote.validator,
                message: &message,
                signature,
            };
            if let Some(member) = set.get(&vote.validator)
                && self.scheme.verify(&signed)
            {
                signers.insert(vote.validator, member.power);
            }
        }
        let (weight, total) = (signers.values().sum::<u64>(), set.total_power());
        require(3 * weight > 2 * total, || {
            format!("the certificate of height {height} has good signatures of weight {weight} of {total}")
        })
    }

    /// The first correct node decides a height: the block has to obey every rule.
    fn extend(&mut self, wall: Timestamp, decided: &Decided) -> Wrong {
        let block: &ConsensusBlock = decided.block();
        let (header, height) = (&block.header, decided.height());
        let parent = self.agreed.last().map(|agreed| agreed.id).unwrap_or_default();
        let sound = header.chain == self.chain
            && header.parent == parent
            && header.state == self.oracle.state_hash()
            && header.time >= self.oracle.time();
        require(sound, || {
            format!("block {height} does not follow from its predecessor")
        })?;
        let latest = wall.after(self.max_drift).after(Millis(DRIFT_MS));
        require(header.time <= latest, || {
            let (stamped, now) = (header.time.get(), wall.get());
            format!("block {height} is stamped {stamped} at {now} ms")
        })?;
        for proof in &block.evidence {
            let offence = proof
                .verify(self.scheme.as_ref(), self.chain)
                .map_err(|error| format!("block {height} has evidence that proves nothing: {error}"))?;
            let accused = self.correct.contains_key(&offence.validator);
            require(!accused, || {
                format!("block {height} accuses a correct validator: {offence}")
            })?;
            self.evidence += 1;
        }
        let events = self
            .oracle
            .apply_checked(&block.ledger_block(), self.scheme.as_ref())
            .map_err(|error| format!("block {height} is refused: {error}"))?;
        let dropped = events
            .iter()
            .find(|event| matches!(event, LedgerEvent::Dropped { .. }));
        if let Some(dropped) = dropped {
            return Err(format!("block {height} has a useless entry: {dropped}"));
        }
        self.oracle
            .check_invariants()
            .map_err(|error| format!("after block {height}: {error}"))?;
        let (audit, scheme) = (&mut self.audit, self.scheme.as_ref());
        audit.enter(block);
        self.books
            .enter(self.oracle.time(), &events, &mut |books, event| {
                audit.look(scheme, books, event)
            })
            .map_err(|error| format!("after block {height}: {error}"))?;
        self.note_voters();
        for event in &events {
            self.note_keys(event);
        }
        self.agreed.push(Agreed {
            id: decided.id(),
            state: self.oracle.state_hash(),
            events: events.into(),
        });
        Ok(())
    }
}
