//! The application under the engine: answers what the engine asks, decides when a height begins.
//!
//! # When a height begins
//! The engine waits for the application after each height, without a deadline, and meanwhile takes messages of later heights
//! in: they wait for the height to begin. So the application answers only when there is something to decide, when agreed
//! time has to pass, when it was asked to, or when another validator has begun or is ahead. No blocks are made without need,
//! and value sync is not held up. A node that starts begins the next height at once, because the engine listens to nobody
//! before its first height: each start may cost one empty block.
//!
//! # Commands
//! The engine has no channel for the application but that of proposal parts, on which everybody sends to everybody. Commands
//! and each node's height travel there beside pieces of blocks. Validators also take commands from agents' nodes that vote on
//! nothing, at a lower rate, and hand them on, because such a node need not be connected to all.

mod blocks;

use super::codec::Undecided;
use super::config::{EngineConfig, waits};
use super::links::{Links, key_of};
use super::parts::{self, Allowances, Origin, Parts, Place};
use super::{Request, Shared};
use crate::command::SignedCommand;
use crate::consensus::storage::{BlockFiles, StorageError};
use crate::consensus::{
    Application, ChainContext, ConsensusBlock, Height, HostCounters, HostError, MAX_COMMANDS, NamedBlock,
    Part,
};
use crate::keys::PublicKey;
use arc_malachitebft_app_channel::app::engine::host::Next;
use arc_malachitebft_app_channel::app::engine::util::events::Event;
use arc_malachitebft_app_channel::app::events::{RxEvent, TxEvent};
use arc_malachitebft_app_channel::app::streaming::{StreamContent, StreamId, StreamMessage};
use arc_malachitebft_app_channel::app::types::{
    LocallyProposedValue, PeerId, ProposedValue, SignedConsensusMsg,
};
use arc_malachitebft_app_channel::{AppMsg, Reply};
use arc_malachitebft_core_consensus::{Role, VoteExtensionError};
use arc_malachitebft_core_types::{Context as _, HeightParams, Round, VoteExtensionPolicy};
use bytes::Bytes;
use daa_base::Clock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::block_in_place;

/// Why the application ends.
#[derive(Debug)]
pub(super) struct End(pub(super) String);

impl From<StorageError> for End {
    fn from(error: StorageError) -> Self {
        Self(error.to_string())
    }
}

impl From<HostError> for End {
    fn from(error: HostError) -> Self {
        Self(error.to_string())
    }
}

/// See the [module documentation](self).
pub(super) struct App {
    pub(super) chain: Application,
    pub(super) storage: BlockFiles,
    pub(super) shared: Arc<Shared>,
    pub(super) undecided: Undecided,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) config: EngineConfig,
    pub(super) me: PublicKey,
    pub(super) links: Links,
    pub(super) events: TxEvent<ChainContext>,
    pub(super) rest: Rest,
    pub(super) tamper: Tamper,
}

/// What a liar makes of the blocks that it proposes, in tests; everybody else proposes them as they are.
pub(super) type Tamper = Option<fn(ConsensusBlock) -> ConsensusBlock>;

/// What a node knows beside its chain.
pub(super) struct Rest {
    parts: Parts,
    allowances: Allowances,
    /// Blocks of the height after the one in work, one per publisher.
    early: BTreeMap<PublicKey, (Place, NamedBlock)>,
    /// Rounds of the height in work for which blocks were judged, and how many.
    judged: BTreeMap<i64, usize>,
    /// The engine waits for this before it begins the next height.
    next: Option<Reply<Next<ChainContext>>>,
    /// What passes through the engine, while it waits.
    overheard: Option<RxEvent<ChainContext>>,
    /// How far other validators are.
    heights: BTreeMap<PublicKey, u64>,
    /// Somebody began the height in work before this node did.
    begun: bool,
    round: u32,
    round_began: Option<Duration>,
    /// Moving average of the time from a round's begin to its judged block.
    typical: Option<Duration>,
    stream: u64,
    counters: HostCounters,
}

impl Rest {
    pub(super) const fn new() -> Self {
        Self {
            parts: Parts::new(),
            allowances: Allowances::new(),
            early: BTreeMap::new(),
            judged: BTreeMap::new(),
            next: None,
            overheard: None,
            heights: BTreeMap::new(),
            begun: false,
            round: 0,
            round_began: None,
            typical: None,
            stream: 0,
            counters: HostCounters {
                decided: 0,
                synced: 0,
                extra_rounds: 0,
                invalid_blocks: 0,
                dropped: 0,
                spared: 0,
                evidence: 0,
                signed: 0,
                checks: crate::consensus::CheckCounts {
                    made: 0,
                    remembered: 0,
                    failed: 0,
                },
                offered: crate::consensus::Offered {
                    taken: 0,
                    known: 0,
                    useless: 0,
                    forged: 0,
                    full: 0,
                },
            },
        }
    }
}

/// The next thing that passes through the engine; never, while nobody listens.
async fn overhear(events: &mut Option<RxEvent<ChainContext>>) -> Option<Event<ChainContext>> {
    match events {
        // Whoever falls behind misses some; what matters is sent again.
        Some(events) => events.recv().await.ok(),
        None => std::future::pending().await,
    }
}

async fn after(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

impl App {
    /// Answers until the engine ends or the node is stopped.
    pub(super) async fn run(
        mut self,
        mut engine: mpsc::Receiver<AppMsg<ChainContext>>,
        mut requests: mpsc::Receiver<Request>,
    ) -> End {
        let mut status = tokio::time::interval(self.config.host.status_every);
        status.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let tick = self.until_tick();
            let done = tokio::select! {
                message = engine.recv() => match message {
                    Some(message) => self.answer(message),
                    None => Err(End("the engine has ended".to_owned())),
                },
                request = requests.recv() => self.serve(request, &mut requests),
                event = overhear(&mut self.rest.overheard) => {
                    self.on_event(event);
                    Ok(())
                }
                _ = status.tick() => {
                    self.send_status();
                    self.greet_newcomers();
                    Ok(())
                }
                () = after(tick) => {
                    self.begin();
                    Ok(())
                }
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    fn answer(&mut self, message: AppMsg<ChainContext>) -> Result<(), End> {
        match message {
            AppMsg::ConsensusReady { reply } => {
                let _gone = reply.send((Height(self.chain.height()), self.height_params()));
            }
            AppMsg::StartedRound {
                height,
                round,
                role,
                reply_value,
                ..
            } => {
                let values = self.started_round(height, round, role);
                let _gone = reply_value.send(values);
            }
            AppMsg::GetValue {
                height, round, reply, ..
            } => return self.propose(height, round, reply),
            AppMsg::ExtendVote { reply, .. } => {
                let _gone = reply.send(None);
            }
            AppMsg::VerifyVoteExtensions {
                extensions, reply, ..
            } => {
                let refused = extensions
                    .into_iter()
                    .map(|(who, ())| (who, Err(VoteExtensionError::InvalidVoteExtension)));
                let _gone = reply.send(refused.collect());
            }
            AppMsg::RestreamProposal {
                height,
                round,
                valid_round,
                address,
                value_id,
            } => {
                if let Some(judged) = self.chain.candidate(value_id) {
                    let block = judged.named.block().clone();
                    let place = Place {
                        height,
                        round,
                        pol_round: valid_round,
                        proposer: address,
                    };
                    return self.send_block(&block, place);
                }
            }
            AppMsg::ReceivedProposalPart {
                from,
                published_by,
                part,
                reply,
            } => self.on_part(from, published_by, part, reply),
            other => return self.answer_rest(other),
        }
        Ok(())
    }

    fn answer_rest(&mut self, message: AppMsg<ChainContext>) -> Result<(), End> {
        match message {
            AppMsg::GetHistoryMinHeight { reply } => {
                let oldest = block_in_place(|| self.storage.oldest())?;
                let _gone = reply.send(Height(oldest.unwrap_or(1)));
            }
            AppMsg::Decided {
                certificate, reply, ..
            } => {
                self.decide(&certificate)?;
                let _gone = reply.send(());
            }
            AppMsg::Finalized { evidence, reply, .. } => {
                self.chain.collect(&evidence);
                self.rest.next = Some(reply);
                self.begin_if_needed();
                if self.rest.next.is_some() {
                    self.rest.overheard = Some(self.events.subscribe());
                }
            }
            AppMsg::GetDecidedValues { range, reply } => {
                let values = self.decided_values(&range)?;
                let _gone = reply.send(values);
            }
            AppMsg::ProcessSyncedValue {
                height,
                round,
                proposer,
                value_bytes,
                reply,
            } => {
                let outcome = self.take_synced((height, round), proposer, &value_bytes);
                let _gone = reply.send(outcome);
            }
            // The arms of `answer`.
            _ => {}
        }
        Ok(())
    }

    fn height_params(&self) -> HeightParams<ChainContext> {
        let set = self.chain.ledger.validators().clone();
        let height = Height(self.chain.height());
        let proposer = ChainContext.select_proposer(&set, height, Round::ZERO).key;
        let there = proposer == self.me || self.links.is_connected(&proposer);
        let waits = waits(&self.config.host.timeouts, self.rest.typical, there);
        HeightParams::new(set, waits, None).with_vote_extension_policy(VoteExtensionPolicy::Disabled)
    }

    /// Blocks of this round that came before it began.
    fn started_round(
        &mut self,
        height: Height,
        round: Round,
        role: Role,
    ) -> Vec<ProposedValue<ChainContext>> {
        self.rest.counters.extra_rounds += u64::from(round > Round::ZERO);
        self.rest.round = round.as_u32().unwrap_or(0);
        let waits = round == Round::ZERO && role != Role::Proposer;
        self.rest.round_began = waits.then(|| self.clock.monotonic());
        if height.0 != self.chain.height() {
            return Vec::new();
        }
        // After a restart these came back with the log, and may be decided without being proposed again.
        for named in self.undecided.at(height.0) {
            self.chain.judge(&named, self.clock.wall());
        }
        let early = std::mem::take(&mut self.rest.early);
        early
            .into_iter()
            .filter(|(_, (place, _))| place.height == height)
            .filter_map(|(publisher, (place, named))| self.judge(publisher, place, &named))
            .collect()
    }

    /// Answers the engine's wish for a block to propose.
    fn propose(
        &mut self,
        height: Height,
        round: Round,
        reply: Reply<LocallyProposedValue<ChainContext>>,
    ) -> Result<(), End> {
        if height.0 != self.chain.height() {
            return Ok(());
        }
        let wall = self.clock.wall();
        let named = self
            .chain
            .make_block(wall)
            .map_err(|error| End(format!("an own block does not encode: {error}")))?;
        let named = match self.tamper {
            None => named,
            Some(tamper) => NamedBlock::new(tamper(named.block().as_ref().clone()))
                .map_err(|error| End(format!("a forged block does not encode: {error}")))?,
        };
        if self.chain.judge(&named, wall).outcome.is_none() && self.tamper.is_none() {
            return Err(End("an own block breaks a rule".to_owned()));
        }
        self.undecided.insert(named.clone());
        let place = Place {
            height,
            round,
            pol_round: Round::Nil,
            proposer: self.me,
        };
        self.send_block(named.block(), place)?;
        let _gone = reply.send(LocallyProposedValue::new(height, round, named.id()));
        Ok(())
    }

    fn send_block(&mut self, block: &ConsensusBlock, place: Place) -> Result<(), End> {
        let bytes = block
            .encode()
            .map_err(|error| End(format!("a judged block does not encode: {error}")))?;
        self.send(parts::cut(&bytes, place).into_iter().map(Part::Block));
        Ok(())
    }

    /// Sends parts of one stream to everybody who is connected.
    fn send(&mut self, parts: impl Iterator<Item = Part>) {
        self.rest.stream += 1;
        let stream = self.stream_id();
        for (part, sequence) in parts.zip(0..) {
            let message = StreamMessage::new(stream.clone(), sequence, StreamContent::Data(part));
            self.links.publish(&message);
        }
    }

    fn send_status(&mut self) {
        let height = self.chain.ledger.height();
        self.send(std::iter::once(Part::Status { height }));
    }

    /// Tells who has just connected what waits here: it was sent once, before that peer could hear it.
    fn greet_newcomers(&mut self) {
        for peer in self.links.newcomers() {
            let waiting: Vec<_> = self.chain.waiting().take(MAX_COMMANDS).cloned().collect();
            if !waiting.is_empty() {
                self.rest.stream += 1;
                let content = StreamContent::Data(Part::Commands(waiting));
                let message = StreamMessage::new(self.stream_id(), 0, content);
                self.links.tell(&peer, &message);
            }
        }
    }

    /// Names the stream begun last.
    fn stream_id(&self) -> StreamId {
        StreamId::new(Bytes::copy_from_slice(&self.rest.stream.to_le_bytes()))
    }

    fn is_validator(&self, key: &PublicKey) -> bool {
        self.chain.ledger.validators().get(key).is_some()
    }

    fn on_part(
        &mut self,
        from: PeerId,
        published_by: Option<PeerId>,
        part: StreamMessage<Part>,
        reply: Reply<Option<ProposedValue<ChainContext>>>,
    ) {
        let sender = key_of(from);
        let publisher = published_by.map_or(sender, key_of);
        let stream = part.stream_id.to_bytes();
        let (Some(sender), Some(publisher)) = (sender, publisher) else {
            self.rest.counters.dropped += 1;
            let _gone = reply.send(None);
            return;
        };
        let value = match part.content {
            StreamContent::Data(Part::Commands(commands)) => {
                self.on_commands(sender, commands);
                None
            }
            _ if !self.is_validator(&publisher) => {
                self.rest.counters.dropped += 1;
                None
            }
            StreamContent::Data(Part::Block(part)) => {
                let origin = Origin {
                    publisher,
                    sender,
                    stream: &stream,
                };
                self.on_block_part(origin, part)
            }
            StreamContent::Data(Part::Status { height }) => {
                self.rest.heights.insert(publisher, height);
                self.shared.told.send_if_modified(|told| {
                    let higher = told.is_none_or(|told| told < height);
                    *told = (*told).max(Some(height));
                    higher
                });
                None
            }
            StreamContent::Fin => None,
        };
        let _gone = reply.send(value);
        self.begin_if_needed();
    }

    /// Commands of a peer. A validator has sent its own to everybody; those of others may have come to this node only.
    fn on_commands(&mut self, sender: PublicKey, mut commands: Vec<SignedCommand>) {
        let guest = !self.is_validator(&sender);
        let rate = if guest {
            self.config.guest_rate
        } else {
            self.config.command_rate
        };
        let wanted = commands.len();
        let now = self.clock.monotonic();
        let granted = self.rest.allowances.grant(sender, wanted, rate, now);
        self.rest.counters.dropped += (wanted - granted) as u64;
        commands.truncate(granted);
        if !guest {
            self.offer(commands);
        } else if self.offer(commands.clone()) && self.is_validator(&self.me) {
            self.send(std::iter::once(Part::Commands(commands)));
        }
    }

    /// Takes commands in; says whether one of them was new.
    fn offer(&mut self, commands: Vec<SignedCommand>) -> bool {
        let offered = self.chain.offer(commands);
        let all = &mut self.rest.counters.offered;
        all.taken += offered.taken;
        all.known += offered.known;
        all.useless += offered.useless;
        all.forged += offered.forged;
        all.full += offered.full;
        offered.taken > 0
    }

    fn serve(&mut self, request: Option<Request>, requests: &mut mpsc::Receiver<Request>) -> Result<(), End> {
        let mut commands = Vec::new();
        let mut next = request;
        loop {
            match next {
                Some(Request::Submit(command)) => commands.push(command),
                Some(Request::Ask) => self.begin(),
                Some(Request::Accuse(proof)) => self.chain.accuse(*proof),
                Some(Request::Stop) | None => return Err(End("the node was stopped".to_owned())),
            }
            if commands.len() >= MAX_COMMANDS {
                break;
            }
            match requests.try_recv() {
                Ok(request) => next = Some(request),
                Err(_) => break,
            }
        }
        if !commands.is_empty() && self.offer(commands.clone()) {
            self.send(std::iter::once(Part::Commands(commands)));
        }
        self.begin_if_needed();
        Ok(())
    }

    /// Whether somebody speaks of the height that this node has not begun.
    fn on_event(&mut self, event: Option<Event<ChainContext>>) {
        let Some(Event::Received(message)) = event else {
            return;
        };
        let current = Height(self.chain.height());
        let signatures = &self.chain.signatures;
        let genuine = match &message {
            SignedConsensusMsg::Vote(vote) => {
                vote.height >= current
                    && self.is_validator(&vote.validator)
                    && signatures.vote(vote, &vote.signature)
            }
            SignedConsensusMsg::Proposal(proposal) => {
                proposal.height >= current
                    && self.is_validator(&proposal.proposer)
                    && signatures.proposal(proposal, &proposal.signature)
            }
        };
        if genuine {
            self.begin();
        }
    }

    fn begin_if_needed(&mut self) {
        let behind = self.is_behind();
        if self.rest.next.is_some() && (self.rest.begun || behind || self.chain.has_work()) {
            self.begin();
        }
    }

    /// Whether more than a third of the weight says that it is ahead: at least one of those is honest.
    fn is_behind(&self) -> bool {
        let own = self.chain.ledger.height();
        let set = self.chain.ledger.validators();
        let ahead = self.rest.heights.iter().filter(|&(_, &height)| height > own);
        let weight = ahead.filter_map(|(key, _)| set.get(key)).map(|one| one.power);
        3 * weight.sum::<u64>() > set.total_power()
    }

    /// Has the engine begin the next height, if it waits for that.
    fn begin(&mut self) {
        if let Some(reply) = self.rest.next.take() {
            self.rest.overheard = None;
            let height = Height(self.chain.height());
            let _gone = reply.send(Next::Start(height, self.height_params()));
        }
    }

    /// How long until agreed time has to pass; `None` while a height is in work or nothing runs out.
    fn until_tick(&self) -> Option<Duration> {
        self.rest.next.as_ref()?;
        let deadline = self.chain.ledger.next_deadline()?;
        let wait = Duration::from_millis(deadline.since(self.clock.wall()).get());
        Some(wait.max(self.config.host.tick_min))
    }
}
