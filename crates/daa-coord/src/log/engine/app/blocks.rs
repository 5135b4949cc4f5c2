//! Blocks under the engine: judging what others propose, deciding, serving and taking decided ones.

use super::{App, End};
use crate::consensus::{
    BlockPart, ChainContext, ConsensusBlock, Height, HostCounters, JudgedBlock, MAX_SYNC_BLOCKS, NamedBlock,
};
use crate::keys::PublicKey;
use crate::log::engine::parts::{Origin, Place};
use arc_malachitebft_app_channel::app::engine::host::SyncedValueOutcome;
use arc_malachitebft_app_channel::app::types::ProposedValue;
use arc_malachitebft_core_types::{CommitCertificate, Context as _, Round};
use arc_malachitebft_sync::RawDecidedValue;
use bytes::Bytes;
use std::ops::RangeInclusive;
use std::sync::Arc;
use tokio::task::block_in_place;

/// Blocks of one height that are judged in all, and of one round.
const BLOCKS_PER_HEIGHT: usize = 64;
const BLOCKS_PER_ROUND: usize = 2;

impl App {
    pub(super) fn on_block_part(
        &mut self,
        origin: Origin<'_>,
        part: BlockPart,
    ) -> Option<ProposedValue<ChainContext>> {
        let current = self.chain.height();
        if part.height.0 < current || part.height.0 > current + 1 {
            self.rest.counters.dropped += 1;
            return None;
        }
        let ahead = part.height.0 > current;
        let round = if ahead { 0 } else { self.rest.round };
        let (place, named) = self.rest.parts.take(origin, part, round)?;
        if ahead {
            self.rest.early.insert(origin.publisher, (place, named));
            return None;
        }
        self.rest.begun = true;
        self.judge(origin.publisher, place, &named)
    }

    /// Judges a block that is for the proposer of its round to send, unless there are too many.
    pub(super) fn judge(
        &mut self,
        publisher: PublicKey,
        place: Place,
        named: &NamedBlock,
    ) -> Option<ProposedValue<ChainContext>> {
        let set = self.chain.ledger.validators();
        let proposer = ChainContext.select_proposer(set, place.height, place.round).key;
        let in_round = self.rest.judged.entry(place.round.as_i64()).or_default();
        let known = self.chain.candidate(named.id()).is_some();
        let room = *in_round < BLOCKS_PER_ROUND && self.chain.candidates.len() < BLOCKS_PER_HEIGHT;
        if proposer != publisher || (!known && !room) {
            self.rest.counters.dropped += 1;
            return None;
        }
        *in_round += usize::from(!known);
        let valid = self.chain.judge(named, self.clock.wall()).valid;
        self.note_pace(place.round);
        self.undecided.insert(named.clone());
        let judged = JudgedBlock {
            round: place.round,
            pol_round: place.pol_round,
            proposer,
            valid,
            synced: false,
            named: named.clone(),
        };
        Some(judged.proposed())
    }

    fn note_pace(&mut self, round: Round) {
        let began = self.rest.round_began.take().filter(|_| round == Round::ZERO);
        if let Some(began) = began {
            let took = self.clock.monotonic().saturating_sub(began);
            // An eighth of each new figure, as for round trips in TCP (RFC 6298).
            let typical = self.rest.typical.map_or(took, |old| (old * 7 + took) / 8);
            self.rest.typical = Some(typical);
        }
    }

    pub(super) fn decide(&mut self, certificate: &CommitCertificate<ChainContext>) -> Result<(), End> {
        if certificate.height.0 != self.chain.height() {
            let (found, expected) = (certificate.height, self.chain.height());
            return Err(End(format!("height {found} was decided, expected is {expected}")));
        }
        let finished = self.chain.decide(certificate)?;
        block_in_place(|| self.storage.store(&finished.decided))?;
        self.chain.advance(&finished);
        block_in_place(|| self.storage.keep(&self.chain.ledger))?;
        let height = certificate.height.0;
        self.undecided.prune(height);
        let rest = &mut self.rest;
        rest.parts.prune(height + 1);
        rest.judged.clear();
        rest.round = 0;
        rest.round_began = None;
        rest.begun = rest.early.values().any(|(place, _)| place.height.0 == height + 1);
        let ledger = &self.chain.ledger;
        let member = |key: &PublicKey| ledger.validators().get(key).is_some();
        rest.heights.retain(|key, _| member(key));
        rest.allowances
            .retain(|key| member(key) || self.links.is_connected(key));
        rest.counters.decided += 1;
        rest.counters.checks = self.chain.signatures.counts();
        rest.counters.invalid_blocks = self.chain.invalid_blocks;
        rest.counters.evidence = self.chain.evidence_found;
        let counters = HostCounters {
            dropped: rest.counters.dropped + self.links.dropped(),
            ..rest.counters
        };
        self.shared
            .publish(&finished.decided, Arc::clone(ledger), counters);
        Ok(())
    }

    /// Decided blocks of `range` that are here, without a gap from its begin on.
    pub(super) fn decided_values(
        &mut self,
        range: &RangeInclusive<Height>,
    ) -> Result<Vec<RawDecidedValue<ChainContext>>, End> {
        let (first, last) = (range.start().0, range.end().0.min(self.chain.ledger.height()));
        if first == 0 || first > last {
            return Ok(Vec::new());
        }
        let count = (last - first + 1).min(MAX_SYNC_BLOCKS as u64);
        let recent: Vec<_> = (first..first + count)
            .map_while(|height| self.chain.decided(height).cloned())
            .collect();
        let blocks = if recent.is_empty() {
            let stored = block_in_place(|| self.storage.blocks(first, count as u32))?;
            stored.into_iter().map(Arc::new).collect()
        } else {
            recent
        };
        let values = blocks.iter().map_while(|decided| {
            let bytes = decided.block().encode().ok()?;
            let certificate = decided.certificate.to_extended(decided.height(), decided.id());
            Some(RawDecidedValue::new(bytes.into(), certificate))
        });
        Ok(values.collect())
    }

    /// A certificate for this block holds. What a quorum has decided is not too early, whatever this node's clock says.
    pub(super) fn take_synced(
        &mut self,
        (height, round): (Height, Round),
        proposer: PublicKey,
        bytes: &Bytes,
    ) -> SyncedValueOutcome<ChainContext> {
        let Some(named) = ConsensusBlock::decode(bytes)
            .ok()
            .and_then(|block| NamedBlock::new(block).ok())
            .filter(|named| named.height() == height.0)
        else {
            return SyncedValueOutcome::PeerFault;
        };
        if height.0 != self.chain.height() {
            return SyncedValueOutcome::LocalTransientError;
        }
        let sound = self.chain.judge(&named, self.clock.wall()).outcome.is_some();
        self.undecided.insert(named.clone());
        self.rest.counters.synced += 1;
        let judged = JudgedBlock {
            round,
            pol_round: Round::Nil,
            proposer,
            valid: sound,
            synced: true,
            named,
        };
        SyncedValueOutcome::Verdict(judged.proposed())
    }
}
