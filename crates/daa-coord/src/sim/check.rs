//! The judge: one chain, decided by nobody's leave but a quorum's, that obeys every rule and that nobody ever unsays.

use super::books::Books;
use super::plan::DRIFT_MS;
use super::votes::{Electorate, Votes};
use crate::consensus::{BlockId, ConsensusBlock, Decided, Message};
use crate::genesis::{ChainId, Genesis};
use crate::keys::{Digest, PublicKey, SignatureScheme, Signed};
use crate::ledger::{Ledger, LedgerError, LedgerEvent};
use crate::validators::ValidatorSet;
use daa_base::{Millis, Timestamp};
use std::collections::BTreeSet;
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
    /// Keys of correct validators, in the order of their numbers; `None` for liars and twins.
    correct: Vec<Option<PublicKey>>,
    oracle: Ledger,
    agreed: Vec<Agreed>,
    /// Who votes at heights 1, 2, 3, ...
    sets: Vec<ValidatorSet>,
    pub(super) books: Books,
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
    /// `correct` has one entry for each validator.
    pub(super) fn new(
        genesis: &Genesis,
        scheme: Arc<dyn SignatureScheme>,
        correct: Vec<Option<PublicKey>>,
        max_drift: Millis,
    ) -> Result<Self, LedgerError> {
        let oracle = Ledger::new(genesis.clone())?;
        Ok(Self {
            scheme,
            chain: genesis.chain_id(),
            votes: Votes::default(),
            sets: vec![oracle.validators().clone()],
            correct,
            oracle,
            agreed: Vec::new(),
            books: Books::default(),
            max_drift,
            evidence: 0,
        })
    }

    /// The height up to which something was decided.
    pub(super) fn height(&self) -> u64 {
        self.agreed.len() as u64
    }

    /// Who votes at `height`. A correct node that works on a height has decided the one before.
    fn voters(&self, height: u64) -> &ValidatorSet {
        let at = usize::try_from(height.saturating_sub(1)).unwrap_or(usize::MAX);
        &self.sets[at.min(self.sets.len() - 1)]
    }

    fn electorate(&self, height: u64) -> Electorate {
        let set = self.voters(height).as_slice();
        let correct = set
            .iter()
            .filter(|one| self.correct.contains(&Some(one.key)))
            .count();
        Electorate {
            validators: set.len(),
            liars: set.len() - correct,
        }
    }

    /// The events of a height that was decided.
    pub(super) fn events(&self, height: u64) -> Option<Arc<[LedgerEvent]>> {
        let at = usize::try_from(height.checked_sub(1)?).ok()?;
        self.agreed.get(at).map(|agreed| Arc::clone(&agreed.events))
    }

    /// A correct node sends a message.
    pub(super) fn on_sent(&mut self, validator: usize, message: &Message) -> Wrong {
        let Message::Vote(vote) = message else {
            return Ok(());
        };
        let own = self.correct.get(validator).copied().flatten() == Some(vote.message.validator);
        if own {
            let among = self.electorate(vote.message.height.0);
            self.votes.sent(validator, &vote.message, among)
        } else {
            Ok(())
        }
    }

    /// A correct node stores a decided block. It decides before it sends its own precommit, and may crash in between: the
    /// certificate is then the first to show that vote.
    pub(super) fn on_stored(&mut self, validator: usize, decided: &Decided) -> Wrong {
        let own = self.correct.get(validator).copied().flatten();
        let among = self.electorate(decided.height());
        let mut votes = decided.certificate.votes(decided.height(), decided.id());
        match votes.find(|(vote, _)| Some(vote.validator) == own) {
            Some((vote, _)) => self.votes.sent(validator, &vote, among),
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
        let among = self.electorate(decided.height());
        self.votes.decided(validator, decided, among)?;
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
        let among = self.electorate(decided.height());
        self.votes.decided(validator, decided, among)?;
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
        let set = self.voters(height);
        let mut signers = BTreeSet::new();
        for (vote, signature) in decided.certificate.votes(height, id) {
            let message = vote.signing_bytes(self.chain);
            let signed = Signed {
                key: vote.validator,
                message: &message,
                signature,
            };
            let member = set.get(&vote.validator).is_some();
            if member && self.scheme.verify(&signed) {
                signers.insert(vote.validator);
            }
        }
        let total = set.len();
        require(3 * signers.len() > 2 * total, || {
            format!(
                "the certificate of height {height} has {} good signatures of {total}",
                signers.len()
            )
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
            format!("block {height} is stamped {:?} at {wall:?}", header.time)
        })?;
        for proof in &block.evidence {
            let offence = proof
                .verify(self.scheme.as_ref(), self.chain)
                .map_err(|error| format!("block {height} has evidence that proves nothing: {error}"))?;
            let accused = self.correct.contains(&Some(offence.validator));
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
        self.books
            .enter(self.oracle.time(), &events)
            .map_err(|error| format!("after block {height}: {error}"))?;
        self.sets.push(self.oracle.validators().clone());
        self.agreed.push(Agreed {
            id: decided.id(),
            state: self.oracle.state_hash(),
            events: events.into(),
        });
        Ok(())
    }
}
