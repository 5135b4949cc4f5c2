//! What every driver of the agreement does with blocks: makes them, judges them, applies them, keeps what waits for the next.
//!
//! Pure: no clock, no files, no network. [`Host`](super::Host) uses it around Malachite's core, the engine's driver around
//! Malachite's engine, so the same blocks are valid under both.

use super::block::{Certificate, ConsensusBlock, Decided, Header, MAX_BLOCK_EVIDENCE, NamedBlock};
use super::context::{BlockId, ChainContext};
use super::evidence::Evidence;
use super::host::HostError;
use super::mempool::{Mempool, Offered};
use super::planted::{Bug, is_planted};
use super::verify::CheckedSignatures;
use crate::command::SignedCommand;
use crate::genesis::Genesis;
use crate::keys::{Digest, PublicKey, SignatureScheme};
use crate::ledger::{Ledger, LedgerEvent};
use arc_malachitebft_core_consensus::MisbehaviorEvidence;
use arc_malachitebft_core_types::{CommitCertificate, ThresholdParam, ThresholdParams};
use daa_base::{CodecError, Millis, Timestamp};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Proofs of misbehaviour that wait for a block.
const MAX_PENDING_EVIDENCE: usize = 256;

/// Turns of each validator to propose after which a proof is let go. By then this validator's blocks are not taken, as when its
/// clock is wrong; while it has a proof that nobody else has, it begins heights in which there is nothing else to decide.
const TURNS: u64 = 4;

/// A block of the height in work, with what it would do to the ledger.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub(crate) named: NamedBlock,
    /// The ledger after it and the events on the way; `None`: it breaks a rule whoever judges it.
    pub(crate) outcome: Option<Arc<Outcome>>,
    /// Whether this validator would vote for it now: sound, and its time is not ahead of the clock.
    pub(crate) valid: bool,
}

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) events: Arc<[LedgerEvent]>,
}

/// A proof that waits for a block.
#[derive(Debug)]
struct Pending {
    /// The last block when it was found.
    since: u64,
    proof: Evidence,
}

/// A finished height, until the next begins.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) outcome: Arc<Outcome>,
    pub(crate) decided: Arc<Decided>,
}

/// Why a block of another validator is not voted for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum BlockFault {
    #[error("its header does not follow from the previous block")]
    Header,
    #[error("its time is before the previous block's")]
    Backwards,
    #[error("the ledger refuses it: {0}")]
    Ledger(#[from] crate::ledger::LedgerError),
    #[error("the ledger would drop an entry: {0}")]
    Entry(String),
}

/// What an [`Application`] may use.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// How far a proposed block's time may be ahead of this validator's clock.
    pub(crate) max_drift: Duration,
    /// Commands that may wait for a block.
    pub(crate) max_waiting: usize,
    /// Bytes of commands in one block.
    pub(crate) max_block_bytes: usize,
    /// Decided blocks kept in memory.
    pub(crate) history: usize,
}

/// The chain as one validator has it, and the block in work.
#[derive(Debug)]
pub(crate) struct Application {
    limits: Limits,
    me: PublicKey,
    pub(crate) signatures: Arc<CheckedSignatures>,
    /// After the last decided block.
    pub(crate) ledger: Arc<Ledger>,
    state_hash: Digest,
    parent: BlockId,
    recent: VecDeque<Arc<Decided>>,
    pub(crate) pool: Mempool,
    evidence: BTreeMap<Digest, Pending>,
    /// Blocks of the height in work.
    pub(crate) candidates: BTreeMap<BlockId, Judged>,
    /// Blocks of others found invalid so far.
    pub(crate) invalid_blocks: u64,
    /// Proofs of misbehaviour collected so far.
    pub(crate) evidence_found: u64,
}

/// A ledger to go on from with the block that made it, where earlier blocks are gone, and all blocks after it.
pub(crate) type Stored = (Option<(Ledger, Arc<Decided>)>, Vec<Arc<Decided>>);

impl Application {
    /// The chain of `genesis` up to its last stored block.
    ///
    /// # Errors
    /// [`HostError`] when the genesis names no validators or the blocks do not follow from each other.
    pub(crate) fn recover(
        genesis: Genesis,
        me: PublicKey,
        scheme: Arc<dyn SignatureScheme>,
        limits: Limits,
        stored: Stored,
    ) -> Result<Self, HostError> {
        if genesis.validators().is_empty() {
            return Err(HostError::NoValidators);
        }
        let signatures = Arc::new(CheckedSignatures::new(genesis.chain_id(), scheme));
        let (ledger, parent, recent) = replay_blocks(genesis, stored, &signatures, limits.history)?;
        Ok(Self {
            me,
            signatures,
            state_hash: ledger.state_hash(),
            parent,
            ledger: Arc::new(ledger),
            recent,
            pool: Mempool::new(limits.max_waiting),
            evidence: BTreeMap::new(),
            candidates: BTreeMap::new(),
            invalid_blocks: 0,
            evidence_found: 0,
            limits,
        })
    }

    /// The height in work.
    pub(crate) fn height(&self) -> u64 {
        self.ledger.height() + 1
    }

    /// A decided block, if it is recent enough to be in memory.
    pub(crate) fn decided(&self, height: u64) -> Option<&Arc<Decided>> {
        let first = self.recent.front()?.height();
        let at = usize::try_from(height.checked_sub(first)?).ok()?;
        self.recent.get(at)
    }

    /// The block called `id` if it is known at this height.
    pub(crate) fn candidate(&self, id: BlockId) -> Option<&Judged> {
        self.candidates.get(&id)
    }

    /// Takes commands in that wait for a block.
    pub(crate) fn offer(&mut self, commands: Vec<SignedCommand>) -> Offered {
        self.pool.offer(commands, &self.ledger, &self.signatures)
    }

    /// Commands that wait for a block.
    #[cfg(feature = "net")]
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &SignedCommand> {
        self.pool.waiting()
    }

    /// Whether a block made now would have something in it.
    pub(crate) fn has_work(&self) -> bool {
        self.pool.has_work(&self.ledger) || !self.evidence.is_empty()
    }

    /// Judges a block of the height in work; what was judged before is not judged again.
    pub(crate) fn judge(&mut self, named: &NamedBlock, wall: Timestamp) -> &Judged {
        let id = named.id();
        if !self.candidates.contains_key(&id) {
            let outcome = match self.outcome(named.block()) {
                Ok(outcome) => Some(Arc::new(outcome)),
                Err(fault) => {
                    self.invalid_blocks += 1;
                    tracing::debug!(height = named.height(), block = %id, %fault, "invalid block");
                    None
                }
            };
            let early = self.is_early(named.block().header.time, wall);
            let judged = Judged {
                named: named.clone(),
                valid: outcome.is_some() && !early,
                outcome,
            };
            self.candidates.insert(id, judged);
        }
        &self.candidates[&id]
    }

    /// A block from the future is not voted for; if a quorum finds otherwise, its clocks count and not this one.
    fn is_early(&self, time: Timestamp, wall: Timestamp) -> bool {
        let drift = u64::try_from(self.limits.max_drift.as_millis()).unwrap_or(u64::MAX);
        time > wall.after(Millis(drift))
    }

    fn outcome(&self, block: &ConsensusBlock) -> Result<Outcome, BlockFault> {
        let header = &block.header;
        let expected = Header {
            proposer: header.proposer,
            ..self.next_header(header.time)
        };
        if header.time < self.ledger.time() {
            return Err(BlockFault::Backwards);
        }
        if *header != expected {
            return Err(BlockFault::Header);
        }
        let mut ledger = Ledger::clone(&self.ledger);
        let events = ledger.apply_checked(&block.ledger_block(), self.signatures.as_ref())?;
        let dropped = events.iter().find(|event| event.is_foul());
        if let Some(dropped) = dropped.filter(|_| !is_planted(Bug::UncheckedEntries)) {
            return Err(BlockFault::Entry(dropped.to_string()));
        }
        Ok(Outcome {
            ledger: Arc::new(ledger),
            events: events.into(),
        })
    }

    fn next_header(&self, time: Timestamp) -> Header {
        Header {
            chain: self.ledger.chain_id(),
            height: self.height(),
            time: time.max(self.ledger.time()),
            parent: self.parent,
            state: self.state_hash,
            proposer: self.me,
        }
    }

    /// Puts a block together from what waits.
    ///
    /// # Errors
    /// [`CodecError`]: never within the ledger's and the configuration's bounds.
    pub(crate) fn make_block(&mut self, wall: Timestamp) -> Result<NamedBlock, CodecError> {
        let max_entries = self.ledger.genesis().config().max_block_entries as usize;
        let entries = self
            .pool
            .pick(&self.ledger, max_entries, self.limits.max_block_bytes);
        let wanted = self
            .pending_evidence()
            .filter(|proof| self.ledger.wants_evidence(proof));
        let evidence = wanted.take(MAX_BLOCK_EVIDENCE).cloned().collect();
        NamedBlock::new(ConsensusBlock {
            header: self.next_header(wall),
            entries,
            evidence,
        })
    }

    /// The decided block of the height in work with its outcome.
    ///
    /// # Errors
    /// [`HostError`] when the block is not here or breaks a rule: the validator must stop.
    pub(crate) fn decide(
        &self,
        certificate: &CommitCertificate<ChainContext>,
    ) -> Result<Finished, HostError> {
        let id = certificate.value_id;
        let judged = self.candidates.get(&id).ok_or_else(|| HostError::Internal {
            reason: format!("block {id} was decided and is not here"),
        })?;
        let outcome = judged.outcome.clone().ok_or(HostError::InvalidDecided {
            height: self.height(),
            block: id,
        })?;
        let decided = Arc::new(Decided {
            named: judged.named.clone(),
            certificate: Certificate::from_commit(certificate),
        });
        Ok(Finished { outcome, decided })
    }

    /// Moves on to the next height.
    pub(crate) fn advance(&mut self, finished: &Finished) {
        self.ledger = Arc::clone(&finished.outcome.ledger);
        self.state_hash = self.ledger.state_hash();
        self.parent = finished.decided.id();
        self.recent.push_back(Arc::clone(&finished.decided));
        if self.recent.len() > self.limits.history {
            self.recent.pop_front();
        }
        self.candidates.clear();
        self.pool.prune(&self.ledger);
        let ledger = &self.ledger;
        let turns = TURNS * ledger.validators().len() as u64;
        self.evidence.retain(|_, pending| {
            ledger.wants_evidence(&pending.proof) && ledger.height() < pending.since + turns
        });
    }

    /// Proofs that wait for a block.
    pub(crate) fn pending_evidence(&self) -> impl Iterator<Item = &Evidence> {
        self.evidence.values().map(|pending| &pending.proof)
    }

    /// Keeps what the core found against validators, for the next blocks.
    pub(crate) fn collect(&mut self, found: &MisbehaviorEvidence<ChainContext>) {
        let mut proofs = Vec::new();
        for validator in self.ledger.validators().as_slice() {
            for (a, b) in found.votes.get(&validator.key).into_iter().flatten() {
                proofs.push(Evidence::of_votes(a.clone().into(), b.clone().into()));
            }
            for (a, b) in found.proposals.get(&validator.key).into_iter().flatten() {
                proofs.push(Evidence::of_proposals(a.clone().into(), b.clone().into()));
            }
        }
        for proof in proofs {
            self.accuse(proof);
        }
    }

    /// Keeps a proof that was found outside the core, for the next blocks, if the ledger wants it.
    pub(crate) fn accuse(&mut self, proof: Evidence) {
        let digest = proof.digest();
        if self.evidence.len() < MAX_PENDING_EVIDENCE
            && !self.evidence.contains_key(&digest)
            && self.ledger.wants_evidence(&proof)
        {
            let since = self.ledger.height();
            self.evidence.insert(digest, Pending { since, proof });
            self.evidence_found += 1;
        }
    }
}

/// The weight that a decision needs. Integers only: no rounding can make two disjoint quorums.
pub(crate) fn thresholds(ledger: &Ledger) -> ThresholdParams {
    if is_planted(Bug::QuorumOffByOne) {
        let params = ThresholdParams::default();
        return ThresholdParams {
            quorum: params.honest,
            ..params
        };
    }
    let quorum = ledger.genesis().quorum();
    ThresholdParams {
        quorum: ThresholdParam::new(quorum.numerator, quorum.denominator),
        ..ThresholdParams::default()
    }
}

type Replayed = (Ledger, BlockId, VecDeque<Arc<Decided>>);

fn replay_blocks(
    genesis: Genesis,
    (base, blocks): Stored,
    signatures: &CheckedSignatures,
    history: usize,
) -> Result<Replayed, HostError> {
    let chain = genesis.chain_id();
    let (mut ledger, mut parent, mut recent) = match base {
        None => (Ledger::new(genesis)?, BlockId::default(), VecDeque::new()),
        Some((ledger, block)) => (ledger, block.id(), VecDeque::from([block])),
    };
    let last = blocks.len().saturating_sub(1);
    for (at, decided) in blocks.into_iter().enumerate() {
        let header = &decided.block().header;
        let height = header.height;
        let wrong = |reason: String| HostError::Store { height, reason };
        if (header.chain, header.parent, header.state) != (chain, parent, ledger.state_hash()) {
            return Err(wrong("it does not follow from the block before".to_owned()));
        }
        if at == last {
            decided
                .verify(ledger.validators(), thresholds(&ledger), signatures)
                .map_err(|error| wrong(error.to_string()))?;
        }
        ledger
            .apply_decided(&decided.block().ledger_block(), signatures)
            .map_err(|error| wrong(error.to_string()))?;
        parent = decided.id();
        recent.push_back(decided);
        if recent.len() > history {
            recent.pop_front();
        }
    }
    Ok((ledger, parent, recent))
}
