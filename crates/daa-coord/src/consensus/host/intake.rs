//! Messages and commands of others: what is dropped, what is checked, what reaches the core.

use super::{Effect, Host, TimerId};
use crate::command::SignedCommand;
use crate::consensus::context::{BlockId, ChainContext, Height, Vote};
use crate::consensus::evidence::Evidence;
use crate::consensus::mempool::Offered;
use crate::consensus::wire::{BlockMessage, MAX_COMMANDS, Message, SignedProposal, SignedVote};
use crate::keys::PublicKey;
use arc_malachitebft_core_consensus::Input;
use arc_malachitebft_core_types::{self as core, Context as _, NilOrVal, Round};
use std::collections::BTreeMap;

/// Blocks for one round that are judged although no proposal asks for them: an honest proposer sends one.
const BLOCKS_PER_ROUND: usize = 2;

/// Blocks of one height that are judged in all.
const BLOCKS_PER_HEIGHT: usize = 64;

/// Rounds beyond the core's that are looked at.
const ROUNDS_AHEAD: u32 = 10;

/// Who voted, on what height, whether it was a precommit, and in which round.
type VoteKey = (u64, PublicKey, bool, u32);

/// Votes by what they answer; each has one answer of an honest validator.
pub(super) type Votes = BTreeMap<VoteKey, SignedVote>;

/// Votes that are remembered until their height is over. Some rounds of a large set: who contradicts itself later than that is
/// found out by others, or by the core.
const MAX_REMEMBERED: usize = 8192;

fn key(vote: &Vote) -> VoteKey {
    let precommit = vote.kind == core::VoteType::Precommit;
    (
        vote.height.0,
        vote.validator,
        precommit,
        vote.round.as_u32().unwrap_or(0),
    )
}

/// What came for the height after the one in work.
#[derive(Debug, Default)]
pub(super) struct Early {
    /// One block per sender.
    blocks: BTreeMap<PublicKey, BlockMessage>,
    /// Whether a validator has voted or proposed.
    begun: bool,
}

/// Where a message's height lies.
enum Place {
    Past,
    Current,
    Next,
    Future,
}

impl Host {
    pub(super) fn on_message(&mut self, from: PublicKey, message: Message) {
        match message {
            Message::Vote(vote) => self.on_vote(from, vote),
            Message::Proposal(proposal) => self.on_proposal(from, proposal),
            Message::Block(block) => self.on_block(from, block),
            Message::Polka(polka) => {
                if self.is_current(from, polka.height) {
                    self.shell
                        .inbox
                        .push_back(Input::PolkaCertificate((&polka).into()));
                }
            }
            Message::RoundProof(proof) => {
                if self.is_current(from, proof.height) {
                    self.shell
                        .inbox
                        .push_back(Input::RoundCertificate((&proof).into()));
                }
            }
            Message::Commands(commands) => self.on_commands(commands, false),
            Message::Status { height } => self.on_status(from, height),
            Message::SyncRequest { from: first, count } => self.on_sync_request(from, first, count),
            Message::SyncResponse(blocks) => self.on_sync_response(from, blocks),
        }
    }

    pub(super) fn on_commands(&mut self, mut commands: Vec<SignedCommand>, spread: bool) {
        commands.truncate(MAX_COMMANDS);
        let sent = spread.then(|| commands.clone());
        let shell = &mut self.shell;
        let Offered {
            taken,
            known,
            useless,
            forged,
            full,
        } = shell.app.offer(commands);
        let all = &mut shell.counters.offered;
        all.taken += taken;
        all.known += known;
        all.useless += useless;
        all.forged += forged;
        all.full += full;
        if taken > 0
            && let Some(commands) = sent
        {
            shell.broadcast(Message::Commands(commands));
        }
        if taken > 0 && shell.app.pool.has_work(&shell.app.ledger) {
            self.start_height();
        }
    }

    /// Sorts by height, and takes note of who is ahead or behind.
    fn place(&mut self, from: PublicKey, height: u64) -> Place {
        let current = self.shell.height();
        let now = self.shell.now.monotonic;
        if height < current {
            self.tell_behind(from);
            return Place::Past;
        }
        if height > current {
            // Whoever votes on a height has decided the one before.
            self.shell.peers.is_at(from, height - 1, now);
            self.notice_gap();
        }
        match height - current {
            0 => Place::Current,
            1 => Place::Next,
            _ => Place::Future,
        }
    }

    fn is_current(&mut self, from: PublicKey, height: Height) -> bool {
        match self.place(from, height.0) {
            Place::Current => {
                self.start_height();
                true
            }
            Place::Past => false,
            Place::Next | Place::Future => {
                self.shell.counters.dropped += 1;
                false
            }
        }
    }

    fn on_vote(&mut self, from: PublicKey, vote: SignedVote) {
        let message = &vote.message;
        if message.round.as_u32().is_none()
            || self
                .shell
                .app
                .ledger
                .validators()
                .get(&message.validator)
                .is_none()
        {
            self.shell.counters.dropped += 1;
            return;
        }
        match self.place(from, message.height.0) {
            Place::Past => {}
            Place::Future => self.shell.counters.dropped += 1,
            Place::Next => {
                if self.shell.app.signatures.vote(message, &vote.signature) {
                    self.early.begun = true;
                    self.remember(&vote);
                    self.shell.inbox.push_back(Input::Vote(vote.into_engine()));
                } else {
                    self.shell.counters.dropped += 1;
                }
            }
            Place::Current => self.on_current_vote(vote),
        }
    }

    fn on_current_vote(&mut self, vote: SignedVote) {
        let message = &vote.message;
        if self.is_far(message.round) {
            self.shell.counters.dropped += 1;
            return;
        }
        let key = key(message);
        if self.started && self.is_settled(message) && !self.is_contradicted(message) {
            self.shell.counters.spared += 1;
            self.spared.entry(key).or_insert(vote);
            return;
        }
        // Who contradicts a vote that was put aside gives evidence: both votes are needed.
        let aside = self
            .spared
            .get(&key)
            .filter(|other| other.message != vote.message)
            .cloned();
        for vote in aside.into_iter().chain([vote]) {
            if self.shell.app.signatures.vote(&vote.message, &vote.signature) {
                self.remember(&vote);
                self.start_height();
                self.shell.inbox.push_back(Input::Vote(vote.into_engine()));
            } else {
                self.shell.counters.dropped += 1;
            }
        }
    }

    /// Whether the vote can change nothing because a quorum has voted the same.
    fn is_settled(&self, vote: &Vote) -> bool {
        let votes = self.core.driver.votes();
        let threshold = match &vote.value {
            NilOrVal::Nil => core::Threshold::Nil,
            NilOrVal::Val(id) => core::Threshold::Value(*id),
        };
        votes.per_round(vote.round).is_some() && votes.is_threshold_met(&vote.round, vote.kind, threshold)
    }

    /// Whether its validator has voted otherwise before: then the vote changes no decision, but it is a proof.
    fn is_contradicted(&self, vote: &Vote) -> bool {
        let round = self.core.driver.votes().per_round(vote.round);
        let in_core = round.and_then(|votes| votes.get_vote(vote.kind, &vote.validator));
        in_core.is_some_and(|before| before.message.value != vote.value)
            || self
                .heard
                .get(&key(vote))
                .is_some_and(|before| before.message.value != vote.value)
    }

    /// Remembers a vote whose signature holds; if it contradicts an earlier one, both are kept as proof. The core finds
    /// contradictions too, but lets votes of earlier rounds go when a block is locked.
    fn remember(&mut self, vote: &SignedVote) {
        let key = key(&vote.message);
        match self.heard.get(&key) {
            Some(before) if before.message != vote.message => {
                let proof = Evidence::of_votes(before.clone(), vote.clone());
                self.shell.app.accuse(proof);
            }
            Some(_) => {}
            None if self.heard.len() < MAX_REMEMBERED => {
                self.heard.insert(key, vote.clone());
            }
            None => {}
        }
    }

    /// Only rounds near the core's are kept: a peer cannot make this validator keep many.
    fn is_far(&self, round: Round) -> bool {
        let reference = if self.started {
            self.core.round().as_u32().unwrap_or(0)
        } else {
            0
        };
        round
            .as_u32()
            .is_none_or(|round| round > reference.saturating_add(ROUNDS_AHEAD))
    }

    fn on_proposal(&mut self, from: PublicKey, proposal: SignedProposal) {
        let message = &proposal.message;
        let place = self.place(from, message.height.0);
        let usable = match place {
            Place::Past => return,
            Place::Future => false,
            Place::Current | Place::Next => {
                !self.is_far(message.round)
                    && self.is_turn_of(message.proposer, message.height, message.round)
                    && self.shell.app.signatures.proposal(message, &proposal.signature)
            }
        };
        if !usable {
            self.shell.counters.dropped += 1;
            return;
        }
        if matches!(place, Place::Next) {
            self.early.begun = true;
            self.shell
                .inbox
                .push_back(Input::Proposal(proposal.into_engine()));
            return;
        }
        self.start_height();
        let (round, pol_round, id) = (message.round, message.pol_round, message.value);
        let proposer = message.proposer;
        if self.shell.wanted.len() < BLOCKS_PER_HEIGHT {
            self.shell.wanted.insert(id);
        }
        self.shell
            .inbox
            .push_back(Input::Proposal(proposal.into_engine()));
        // A block that came for an earlier round counts for this one too.
        if let Some(round) = round.as_u32() {
            self.shell.tell_core(round, pol_round, proposer, id);
        }
    }

    /// Whether `who` proposes in this round, under the validators of the height in work.
    fn is_turn_of(&self, who: PublicKey, height: Height, round: Round) -> bool {
        let set = self.shell.app.ledger.validators();
        !set.is_empty() && ChainContext.select_proposer(set, height, round).key == who
    }

    fn on_block(&mut self, from: PublicKey, block: BlockMessage) {
        match self.place(from, block.named.height()) {
            Place::Past => {}
            Place::Future => self.shell.counters.dropped += 1,
            Place::Next => {
                let validator = self.shell.app.ledger.validators().get(&from).is_some();
                if validator {
                    self.early.blocks.insert(from, block);
                } else {
                    self.shell.counters.dropped += 1;
                }
            }
            Place::Current => {
                self.start_height();
                self.take_block(from, &block);
            }
        }
    }

    /// Judges a block and tells the core, unless its sender has had its share of judging.
    fn take_block(&mut self, from: PublicKey, block: &BlockMessage) {
        let height = Height(self.shell.height());
        let (round, id) = (block.round, block.named.id());
        if self.is_far(Round::new(round)) || !self.may_judge(from, round, id) {
            self.shell.counters.dropped += 1;
            return;
        }
        self.shell.judge(&block.named);
        let set = self.shell.app.ledger.validators();
        let proposer = ChainContext.select_proposer(set, height, Round::new(round)).key;
        self.shell.tell_core(round, Round::Nil, proposer, id);
    }

    /// A block is judged when it is known, when a signed proposal names it, or when the proposer of its round sends it and has
    /// not sent too many.
    fn may_judge(&self, from: PublicKey, round: u32, id: BlockId) -> bool {
        if self.shell.app.candidate(id).is_some() {
            return true;
        }
        if self.shell.app.candidates.len() >= BLOCKS_PER_HEIGHT {
            return false;
        }
        let height = Height(self.shell.height());
        let named = self.shell.wanted.contains(&id);
        let sent = self
            .shell
            .told
            .iter()
            .filter(|(other, _)| *other == round)
            .count();
        named || (sent < BLOCKS_PER_ROUND && self.is_turn_of(from, height, Round::new(round)))
    }

    pub(super) fn release_early_blocks(&mut self) {
        let early = std::mem::take(&mut self.early);
        self.spared.clear();
        let height = self.shell.height();
        self.heard.retain(|&(of, ..), _| of >= height);
        for (from, block) in early.blocks {
            if block.named.height() == self.shell.height() {
                self.pending_blocks.push((from, block));
            }
        }
    }

    /// Blocks that came early are judged once the height has begun.
    pub(super) fn take_pending_blocks(&mut self) {
        for (from, block) in std::mem::take(&mut self.pending_blocks) {
            self.take_block(from, &block);
        }
    }

    pub(super) const fn is_begun_by_others(&self) -> bool {
        self.early.begun
    }

    pub(super) fn send(&mut self, to: PublicKey, message: Message) {
        self.shell.emit(Effect::Send { to, message });
    }

    /// A gap that lasts is closed by asking for blocks.
    fn notice_gap(&mut self) {
        if !self.shell.timers.contains(&TimerId::Sync) {
            let after = self.shell.config.sync_after;
            self.shell.schedule(TimerId::Sync, after);
        }
    }
}
