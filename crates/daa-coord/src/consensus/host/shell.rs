//! The host's side of each of the core's effects: signing, checking, logging, sending, timers, deciding.

use super::peers::Peers;
use super::{Bug, Effect, HostConfig, HostCounters, HostError, Now, TimerId};
use crate::consensus::application::{Application, Finished, Judged};
use crate::consensus::block::NamedBlock;
use crate::consensus::context::{BlockId, ChainContext, Height};
use crate::consensus::wal::{JudgedBlock, WalRecord};
use crate::consensus::wire::{BlockMessage, Message, Sealed};
use crate::keys::{PublicKey, Signature, Signed, Signer};
use arc_malachitebft_core_consensus as engine;
use arc_malachitebft_core_types::{CommitCertificate, Round, SignedMessage, ValueOrigin, ValueResponse};
use engine::{ConsensusMsg, LocallyProposedValue, ProposedValue, SignedConsensusMsg};
use engine::{Input, LivenessMsg, Resumable as _, Resume};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Everything of a validator but the engine's core.
#[derive(Debug)]
pub(super) struct Shell {
    pub(super) config: HostConfig,
    pub(super) me: PublicKey,
    pub(super) signer: Box<dyn Signer>,
    /// The chain, what waits, and the blocks of the height in work.
    pub(super) app: Application,
    pub(super) now: Now,
    pub(super) inbox: VecDeque<Input<ChainContext>>,
    pub(super) effects: Vec<Effect>,
    /// Own signed messages that wait for their records to be durable.
    pub(super) outgoing: Vec<Message>,
    /// Blocks that signed proposals of this height name.
    pub(super) wanted: BTreeSet<BlockId>,
    /// Rounds for which the core was told of a block.
    pub(super) told: BTreeSet<(u32, BlockId)>,
    /// The core wants a block to propose in this round.
    pub(super) asked: Option<(Height, Round)>,
    pub(super) replaying: bool,
    /// While the log is replayed: this validator's own messages in it.
    pub(super) recorded: Vec<WalRecord>,
    /// Records were appended and not flushed.
    pub(super) unflushed: bool,
    pub(super) finished: Option<Finished>,
    pub(super) halted: bool,
    pub(super) timers: BTreeSet<TimerId>,
    pub(super) round_began: Option<Duration>,
    /// Moving average of the time from a round's begin to its judged block.
    pub(super) typical: Option<Duration>,
    pub(super) peers: Peers,
    pub(super) counters: HostCounters,
}

type Core = engine::Effect<ChainContext>;
type Resumed = Resume<ChainContext>;

impl Shell {
    /// The height in work.
    pub(super) fn height(&self) -> u64 {
        self.app.height()
    }

    pub(super) fn judge(&mut self, named: &NamedBlock) -> &Judged {
        self.app.judge(named, self.now.wall)
    }

    pub(super) fn halt(&mut self, error: HostError) {
        if !self.halted {
            tracing::error!(%error, "validator halts");
            self.halted = true;
            self.effects.push(Effect::Halt(error));
        }
    }

    /// Answers one effect of the core. After a halt everything is answered so that the core comes to an end, and nothing is
    /// done any more.
    pub(super) fn handle(&mut self, effect: Core) -> Resumed {
        match effect {
            Core::CancelAllTimeouts(r) => {
                self.cancel_round_timers();
                r.resume_with(())
            }
            Core::CancelTimeout(timeout, r) => {
                self.cancel(TimerId::Round(Height(self.height()), timeout));
                r.resume_with(())
            }
            Core::ScheduleTimeout(timeout, r) => {
                let after = self.config.timeouts.duration(timeout, self.typical);
                self.schedule(TimerId::Round(Height(self.height()), timeout), after);
                r.resume_with(())
            }
            Core::StartRound(_, round, _, _, r) => {
                self.round_began = Some(self.now.monotonic);
                self.counters.extra_rounds += u64::from(round > Round::ZERO);
                r.resume_with(())
            }
            Core::GetValue(height, round, _, r) => {
                self.asked = Some((height, round));
                r.resume_with(())
            }
            Core::RestreamProposal(_, round, _, _, id, r) => {
                self.send_block(round, id);
                r.resume_with(())
            }
            Core::SignVote(vote, r) => {
                let signature = self.sign(&vote.signing_bytes(self.app.ledger.chain_id()));
                r.resume_with(SignedMessage::new(vote, signature))
            }
            Core::SignProposal(proposal, r) => {
                let signature = self.sign(&proposal.signing_bytes(self.app.ledger.chain_id()));
                r.resume_with(SignedMessage::new(proposal, signature))
            }
            Core::WalAppend(_, input, r) => {
                self.append(input);
                r.resume_with(())
            }
            Core::PublishConsensusMsg(message, r) => {
                self.publish(message);
                r.resume_with(())
            }
            other => self.handle_rest(other),
        }
    }

    fn handle_rest(&mut self, effect: Core) -> Resumed {
        match effect {
            Core::PublishLivenessMsg(message, r) => {
                // A certificate may hold an own vote of this very step, whose record is not durable yet.
                self.outgoing.push(match message {
                    LivenessMsg::Vote(vote) => Message::Vote(vote.into()),
                    LivenessMsg::PolkaCertificate(polka) => Message::Polka((&polka).into()),
                    LivenessMsg::SkipRoundCertificate(proof) => Message::RoundProof((&proof).into()),
                });
                r.resume_with(())
            }
            Core::RepublishVote(vote, r) => {
                self.broadcast(Message::Vote(vote.into()));
                r.resume_with(())
            }
            Core::RepublishRoundCertificate(proof, r) => {
                self.broadcast(Message::RoundProof((&proof).into()));
                r.resume_with(())
            }
            Core::VerifySignature(message, key, r) => r.resume_with(self.check_message(&message, &key)),
            Core::VerifyCommitCertificate(certificate, set, thresholds, r) => r.resume_with(
                self.app
                    .signatures
                    .commit_certificate(&certificate, &set, thresholds),
            ),
            Core::VerifyExtendedCommitCertificate(certificate, set, thresholds, policy, r) => r.resume_with(
                self.app
                    .signatures
                    .extended_certificate(&certificate, &set, thresholds, policy),
            ),
            Core::VerifyPolkaCertificate(certificate, set, thresholds, r) => r.resume_with(
                self.app
                    .signatures
                    .polka_certificate(&certificate, &set, thresholds),
            ),
            Core::VerifyRoundCertificate(certificate, set, thresholds, r) => r.resume_with(
                self.app
                    .signatures
                    .round_certificate(&certificate, &set, thresholds),
            ),
            Core::ExtendVote(.., r) => r.resume_with(None),
            Core::VerifyVoteExtension(.., r) => {
                r.resume_with(Err(engine::VoteExtensionError::InvalidVoteExtension))
            }
            Core::CertVerifiedSyncValue(response, proposer, r) => {
                self.take_synced(&response, proposer);
                r.resume_with(())
            }
            Core::CertRejectedSyncValue(_, height, error, r) => {
                tracing::debug!(%height, %error, "a certificate from a peer does not hold");
                self.peers.blame_sync();
                self.counters.dropped += 1;
                r.resume_with(())
            }
            Core::Decide(certificate, _, r) => {
                self.decide(&certificate);
                r.resume_with(())
            }
            Core::Finalize(_, _, evidence, r) => {
                self.app.collect(&evidence);
                r.resume_with(())
            }
            // The arms of `handle`.
            _ => Resume::Continue,
        }
    }

    pub(super) fn emit(&mut self, effect: Effect) {
        if !self.halted {
            self.effects.push(effect);
        }
    }

    pub(super) fn broadcast(&mut self, message: Message) {
        self.emit(Effect::Broadcast(message));
    }

    fn sign(&mut self, bytes: &[u8]) -> Signature {
        let signature = self.signer.sign(bytes);
        self.counters.signed += 1;
        self.app.signatures.remember(&Signed {
            key: self.me,
            message: bytes,
            signature,
        });
        signature
    }

    fn check_message(
        &self,
        signed: &SignedMessage<ChainContext, ConsensusMsg<ChainContext>>,
        key: &PublicKey,
    ) -> bool {
        match &signed.message {
            ConsensusMsg::Vote(vote) => {
                vote.validator == *key && self.app.signatures.vote(vote, &signed.signature)
            }
            ConsensusMsg::Proposal(proposal) => {
                proposal.proposer == *key && self.app.signatures.proposal(proposal, &signed.signature)
            }
        }
    }

    /// What the core wants remembered. Certificates of rounds and inputs that can be had again are not logged by the core.
    ///
    /// While the log is replayed it holds all that the core is given. But what this validator says because of that may not have
    /// become durable before it stopped: it does now, before it leaves.
    fn append(&mut self, input: Input<ChainContext>) {
        let record = match input {
            Input::Vote(vote) => WalRecord::Vote(vote.into()),
            Input::Proposal(proposal) => WalRecord::Proposal(proposal.into()),
            _ if self.replaying => return,
            Input::TimeoutElapsed(timeout) => WalRecord::Timeout(Height(self.height()), timeout),
            Input::PolkaCertificate(polka) => WalRecord::Polka((&polka).into()),
            Input::ProposedValue(value, origin) => match self.app.candidates.get(&value.value) {
                Some(judged) => WalRecord::Block(judged_block(&value, origin, judged.named.clone())),
                None => {
                    return self.halt(HostError::Internal {
                        reason: "the core logs a block that was never judged".to_owned(),
                    });
                }
            },
            other => {
                return self.halt(HostError::Internal {
                    reason: format!("the core logs an input that it should not: {other:?}"),
                });
            }
        };
        if self.replaying && (!record.is_of(&self.me) || self.recorded.contains(&record)) {
            return;
        }
        self.unflushed = true;
        self.emit(Effect::Wal(record));
    }

    fn flush(&mut self) {
        if std::mem::take(&mut self.unflushed) && !super::is_planted(Bug::MissingFlush) {
            self.emit(Effect::Flush);
        }
    }

    /// What follows from a record leaves only after the record is durable: at the end of the step, with one flush for all.
    fn publish(&mut self, message: SignedConsensusMsg<ChainContext>) {
        let message = match message {
            SignedConsensusMsg::Vote(vote) => Message::Vote(vote.into()),
            SignedConsensusMsg::Proposal(proposal) => Message::Proposal(proposal.into()),
        };
        if super::is_planted(Bug::FlushAfterPublish) {
            return self.broadcast(message);
        }
        self.outgoing.push(message);
    }

    /// Makes durable what was logged, then lets go what follows from it.
    pub(super) fn settle(&mut self) {
        if !self.outgoing.is_empty() {
            self.flush();
        }
        for message in std::mem::take(&mut self.outgoing) {
            self.broadcast(message);
        }
    }

    pub(super) fn send_block(&mut self, round: Round, id: BlockId) {
        let named = self.app.candidate(id).map(|judged| judged.named.clone());
        if let (Some(named), Some(round)) = (named, round.as_u32()) {
            self.broadcast(Message::Block(BlockMessage { round, named }));
        }
    }

    pub(super) fn schedule(&mut self, id: TimerId, after: Duration) {
        self.timers.insert(id);
        self.emit(Effect::SetTimer { id, after });
    }

    pub(super) fn cancel(&mut self, id: TimerId) {
        if self.timers.remove(&id) {
            self.emit(Effect::CancelTimer(id));
        }
    }

    pub(super) fn cancel_round_timers(&mut self) {
        let rounds: Vec<_> = self
            .timers
            .iter()
            .copied()
            .filter(|id| matches!(id, TimerId::Round(..)))
            .collect();
        for id in rounds {
            self.cancel(id);
        }
    }

    /// Tells the core that a block is there and what it is worth, once per round.
    pub(super) fn tell_core(&mut self, round: u32, pol_round: Round, proposer: PublicKey, id: BlockId) {
        let Some(judged) = self.app.candidates.get(&id) else {
            return;
        };
        if !self.told.insert((round, id)) {
            return;
        }
        let block = JudgedBlock {
            round: Round::new(round),
            pol_round,
            proposer,
            valid: judged.valid || super::is_planted(Bug::ProposalOnly),
            synced: false,
            named: judged.named.clone(),
        };
        self.note_pace(round);
        let input = Input::ProposedValue(block.proposed(), ValueOrigin::Consensus);
        self.inbox.push_back(input);
    }

    fn note_pace(&mut self, round: u32) {
        let took = self
            .round_began
            .filter(|_| round == 0)
            .map(|began| self.now.monotonic.saturating_sub(began));
        if let Some(took) = took {
            // An eighth of each new figure, as for round trips in TCP (RFC 6298).
            let typical = self.typical.map_or(took, |old| (old * 7 + took) / 8);
            self.typical = Some(typical);
        }
    }

    /// Answers the core's wish for a block to propose.
    pub(super) fn propose(&mut self) {
        let Some((height, round)) = self.asked.take() else {
            return;
        };
        if height.0 != self.height() {
            return;
        }
        let named = match self.app.make_block(self.now.wall) {
            Ok(named) => named,
            Err(error) => {
                return self.halt(HostError::Internal {
                    reason: format!("an own block does not encode: {error}"),
                });
            }
        };
        let id = named.id();
        if self.judge(&named).outcome.is_none() {
            return self.halt(HostError::Internal {
                reason: "an own block breaks a rule".to_owned(),
            });
        }
        if let Some(round) = round.as_u32() {
            self.told.insert((round, id));
        }
        self.send_block(round, id);
        self.inbox
            .push_back(Input::Propose(LocallyProposedValue::new(height, round, id)));
    }

    /// A certificate for a block from a peer holds: the block itself has to be sound as well.
    fn take_synced(&mut self, response: &ValueResponse<ChainContext>, proposer: PublicKey) {
        let id = response.certificate.value_id;
        let Some(judged) = self.app.candidates.get(&id) else {
            return;
        };
        if judged.outcome.is_none() {
            return self.halt(HostError::InvalidDecided {
                height: self.height(),
                block: id,
            });
        }
        self.counters.synced += 1;
        let block = JudgedBlock {
            round: response.certificate.round,
            pol_round: Round::Nil,
            proposer,
            valid: true,
            synced: true,
            named: judged.named.clone(),
        };
        let input = Input::ProposedValue(block.proposed(), ValueOrigin::Sync);
        self.inbox.push_back(input);
    }

    pub(super) fn decide(&mut self, certificate: &CommitCertificate<ChainContext>) {
        let finished = match self.app.decide(certificate) {
            Ok(finished) => finished,
            Err(error) => return self.halt(error),
        };
        let Finished { outcome, decided } = &finished;
        self.emit(Effect::Store(Arc::clone(decided)));
        self.emit(Effect::Committed {
            decided: Arc::clone(decided),
            events: Arc::clone(&outcome.events),
            ledger: Arc::clone(&outcome.ledger),
        });
        if super::is_planted(Bug::AcknowledgeBeforeStore)
            && let [.., store, committed] = self.effects.as_mut_slice()
        {
            std::mem::swap(store, committed);
        }
        self.counters.decided += 1;
        self.finished = Some(finished);
    }
}

fn judged_block(value: &ProposedValue<ChainContext>, origin: ValueOrigin, named: NamedBlock) -> JudgedBlock {
    JudgedBlock {
        round: value.round,
        pol_round: value.valid_round,
        proposer: value.proposer,
        valid: value.validity.to_bool(),
        synced: origin.is_sync(),
        named,
    }
}

impl<T> Sealed<T> {
    pub(super) fn into_engine(self) -> SignedMessage<ChainContext, T> {
        self.into()
    }
}
