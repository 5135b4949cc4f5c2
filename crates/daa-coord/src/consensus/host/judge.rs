//! Making blocks and judging those of others.

use super::shell::Shell;
use super::{Bug, HostError};
use crate::consensus::block::{ConsensusBlock, Header, MAX_BLOCK_EVIDENCE, NamedBlock};
use crate::consensus::context::BlockId;
use crate::ledger::{Ledger, LedgerEvent};
use daa_base::{Millis, Timestamp};
use std::sync::Arc;

/// A block of the height in work, with what it would do to the ledger.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    pub(super) named: NamedBlock,
    /// The ledger after it and the events on the way; `None`: it breaks a rule whoever judges it.
    pub(super) outcome: Option<Arc<Outcome>>,
    /// Whether this validator would vote for it now: sound, and its time is not ahead of the clock.
    pub(super) valid: bool,
}

#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) ledger: Arc<Ledger>,
    pub(super) events: Arc<[LedgerEvent]>,
}

/// Why a block of another validator is not voted for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BlockFault {
    #[error("its header does not follow from the previous block")]
    Header,
    #[error("its time is before the previous block's")]
    Backwards,
    #[error("the ledger refuses it: {0}")]
    Ledger(#[from] crate::ledger::LedgerError),
    #[error("the ledger would drop an entry: {0}")]
    Entry(String),
}

impl Shell {
    /// Judges a block of the height in work; what was judged before is not judged again.
    pub(super) fn judge(&mut self, named: &NamedBlock) -> &Judged {
        let id = named.id();
        if !self.candidates.contains_key(&id) {
            let outcome = match self.outcome(named.block()) {
                Ok(outcome) => Some(Arc::new(outcome)),
                Err(fault) => {
                    self.counters.invalid_blocks += 1;
                    tracing::debug!(height = named.height(), block = %id, %fault, "invalid block");
                    None
                }
            };
            let early = self.is_early(named.block().header.time);
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
    fn is_early(&self, time: Timestamp) -> bool {
        let drift = u64::try_from(self.config.max_drift.as_millis()).unwrap_or(u64::MAX);
        time > self.now.wall.after(Millis(drift))
    }

    fn outcome(&self, block: &ConsensusBlock) -> Result<Outcome, BlockFault> {
        let header = &block.header;
        let expected = Header {
            time: header.time,
            proposer: header.proposer,
            ..self.next_header()
        };
        if *header != expected {
            return Err(BlockFault::Header);
        }
        if header.time < self.ledger.time() {
            return Err(BlockFault::Backwards);
        }
        let mut ledger = Ledger::clone(&self.ledger);
        let events = ledger.apply_checked(&block.ledger_block(), &self.signatures)?;
        let dropped = events.iter().find(|event| event.is_foul());
        if let Some(dropped) = dropped.filter(|_| !super::is_planted(Bug::UncheckedEntries)) {
            return Err(BlockFault::Entry(dropped.to_string()));
        }
        Ok(Outcome {
            ledger: Arc::new(ledger),
            events: events.into(),
        })
    }

    fn next_header(&self) -> Header {
        Header {
            chain: self.ledger.chain_id(),
            height: self.ledger.height() + 1,
            time: self.now.wall.max(self.ledger.time()),
            parent: self.parent,
            state: self.state_hash,
            proposer: self.me,
        }
    }

    /// Puts a block together from what waits.
    pub(super) fn make_block(&mut self) -> Result<NamedBlock, HostError> {
        let max_entries = self.ledger.genesis().config().max_block_entries as usize;
        let entries = self
            .pool
            .pick(&self.ledger, max_entries, self.config.max_block_bytes);
        let wanted = self
            .evidence
            .values()
            .filter(|proof| self.ledger.wants_evidence(proof));
        let evidence = wanted.take(MAX_BLOCK_EVIDENCE).cloned().collect();
        let block = ConsensusBlock {
            header: self.next_header(),
            entries,
            evidence,
        };
        NamedBlock::new(block).map_err(|error| HostError::Internal {
            reason: format!("an own block does not encode: {error}"),
        })
    }

    /// The block called `id` if it is known at this height.
    pub(super) fn candidate(&self, id: BlockId) -> Option<&Judged> {
        self.candidates.get(&id)
    }
}
