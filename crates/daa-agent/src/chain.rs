//! The ledger of one run: an in-process log with one replica, and a client per agent.
//!
//! The log is behind [`daa_coord::CommitLog`]; agents only ever submit commands and read committed events. It is four
//! validators that agree on every block, or one sequencer where [`Trust`](crate::config::Trust) says so.

use crate::config::Schedule;
use crate::error::AgentError;
use crate::events::{EventKind, LeaseEnd};
use crate::recorder::Recorder;
use crate::summary::AgreementSummary;
use daa_base::{AgentId, Bytes, Clock, DeviceId, Millis, OwnerId, Permille, Seed};
use daa_coord::client::Effects;
use daa_coord::log::bft::{BftCluster, BftConfig, public_keys, validator_keys};
use daa_coord::{
    AgentKey, Command, CommitLog, Genesis, LedgerConfig, LedgerEvent, LedgerNode, NodeUpdate, OPERATOR,
    Outbox, OutboxConfig, Resolution, Sequencer, SequencerConfig, SequencerFaults, ShortText, ValidatorSet,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// Updates buffered per agent; one that falls behind reads the ledger instead.
const UPDATE_BUFFER: usize = 1024;

/// The one device of a run.
pub(crate) const DEVICE: DeviceId = DeviceId(0);

/// Who puts the commands of a run into order.
#[derive(Debug)]
enum RunLog {
    Sequencer(Arc<Sequencer>),
    Validators(Box<BftCluster>),
}

impl RunLog {
    fn start(
        genesis: &Genesis,
        validators: Vec<AgentKey>,
        schedule: &Schedule,
        clock: &Arc<dyn Clock>,
    ) -> Result<(Self, Arc<dyn CommitLog>), AgentError> {
        if validators.is_empty() {
            let config = SequencerConfig {
                faults: faults(schedule),
                tick: Millis(20),
                ..SequencerConfig::default()
            };
            let sequencer = Sequencer::start(genesis.clone(), config, Arc::clone(clock))
                .map_err(|error| AgentError::internal("the log", error))?;
            let sequencer = Arc::new(sequencer);
            return Ok((Self::Sequencer(Arc::clone(&sequencer)), sequencer));
        }
        let cluster = BftCluster::start(genesis, validators, BftConfig::default(), clock)
            .map_err(|error| AgentError::internal("the validators", error))?;
        let log = cluster
            .log(0)
            .ok_or_else(|| AgentError::internal("the validators", "there are none"))?;
        Ok((Self::Validators(Box::new(cluster)), Arc::new(log)))
    }

    fn shutdown(&self) {
        match self {
            Self::Sequencer(sequencer) => sequencer.shutdown(),
            Self::Validators(cluster) => cluster.shutdown(),
        }
    }
}

/// The running ledger of a run.
#[derive(Debug)]
pub(crate) struct Chain {
    node: Arc<LedgerNode>,
    log: RunLog,
    clock: Arc<dyn Clock>,
    seed: Seed,
    resubmit_after: Millis,
}

impl Chain {
    /// Starts a ledger where `schedule.agents` agents share one device of `capacity` bytes.
    pub(crate) async fn start(
        seed: Seed,
        schedule: &Schedule,
        window: u32,
        capacity: Bytes,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AgentError> {
        let operator = key(seed, OPERATOR);
        let config = LedgerConfig {
            max_hold: schedule.lease,
            trial_window: window,
            // Agents of one process cannot fall silent without the run ending, so a claim never times out before it.
            claim_timeout: Millis(86_400_000),
            ..LedgerConfig::default()
        };
        let genesis = Genesis::new(ShortText::fitted("daa run"), operator.public(), config)
            .map_err(|error| AgentError::internal("the genesis", error))?;
        // A log that misbehaves on purpose is the sequencer's.
        let count = match schedule.delays {
            Some(_) => 0,
            None => schedule.trust.validators(schedule.agents),
        };
        let validators = validator_keys(&seed.stream("validator keys"), count);
        let set = ValidatorSet::equal(public_keys(&validators))
            .map_err(|error| AgentError::internal("the validators", error))?;
        let genesis = genesis.with_validators(set);
        let (log, commits) = RunLog::start(&genesis, validators, schedule, &clock)?;
        let node = LedgerNode::start(genesis, commits)
            .map_err(|error| AgentError::internal("the ledger node", error))?;
        let chain = Self {
            node: Arc::new(node),
            log,
            clock,
            seed,
            // A log that loses commands on purpose should not make tests wait for seconds.
            resubmit_after: Millis(if schedule.delays.is_some() { 10 } else { 250 }),
        };
        chain.register(operator, schedule, capacity).await?;
        Ok(chain)
    }

    /// Tells `recorder` of every lease that the ledger ends by itself. Called before any agent has a client: the
    /// replica tells in this order, so that no agent reports the lease that takes its place before.
    ///
    /// A replica that fell behind and went on from a snapshot skips events; a lease that ended meanwhile counts until
    /// its holder has left it.
    pub(crate) fn tell_of_lapsed_leases(&self, recorder: Arc<Recorder>) -> Result<(), AgentError> {
        let deliver = move |update: &NodeUpdate| {
            let NodeUpdate::Applied { events, .. } = update else {
                return true;
            };
            for event in events.iter() {
                let (lease, end) = match event {
                    LedgerEvent::LeaseExpired { lease } => (lease, LeaseEnd::Expired),
                    LedgerEvent::LeaseRevoked { lease, .. } | LedgerEvent::LeaseWithdrawn { lease, .. } => {
                        (lease, LeaseEnd::Revoked)
                    }
                    _ => continue,
                };
                let (agent, lease) = (lease.agent, lease.id);
                recorder.emit(EventKind::LeaseLapsed { agent, lease, end });
            }
            true
        };
        self.node
            .attach(deliver)
            .map_err(|error| AgentError::internal("the ledger node", error))?;
        Ok(())
    }

    /// A client that signs as the operator.
    #[cfg(test)]
    pub(crate) fn operator(&self) -> Result<ChainClient, AgentError> {
        self.client_with(OPERATOR, key(self.seed, OPERATOR), Duration::from_secs(60))
    }

    /// A client that signs as `agent`.
    pub(crate) fn client(&self, agent: AgentId, patience: Duration) -> Result<ChainClient, AgentError> {
        self.client_with(agent, key(self.seed, agent), patience)
    }

    /// Stops the log and the replica.
    pub(crate) fn shutdown(&self) {
        self.log.shutdown();
        self.node.shutdown();
    }

    /// How the run's commands were agreed on up to now.
    pub(crate) fn agreement(&self) -> AgreementSummary {
        let blocks = self.node.view(daa_coord::Ledger::height);
        match &self.log {
            RunLog::Sequencer(_) => AgreementSummary {
                validators: 0,
                blocks: Some(blocks),
                ..AgreementSummary::default()
            },
            RunLog::Validators(cluster) => {
                let counters = cluster.counters(0).unwrap_or_default();
                AgreementSummary {
                    validators: cluster.len(),
                    blocks: Some(blocks),
                    extra_rounds: Some(counters.extra_rounds),
                    signature_checks: Some(counters.checks.made),
                }
            }
        }
    }

    async fn register(
        &self,
        operator: AgentKey,
        schedule: &Schedule,
        capacity: Bytes,
    ) -> Result<(), AgentError> {
        let mut client = self.client_with(OPERATOR, operator, schedule.patience)?;
        client
            .call(&Command::RegisterDevice {
                device: DEVICE,
                capacity,
            })
            .await?;
        for agent in agent_ids(schedule.agents) {
            let key = key(self.seed, agent).public();
            client
                .call(&Command::RegisterAgent {
                    agent,
                    owner: OwnerId(0),
                    key,
                })
                .await?;
        }
        Ok(())
    }

    fn client_with(
        &self,
        agent: AgentId,
        key: AgentKey,
        patience: Duration,
    ) -> Result<ChainClient, AgentError> {
        ChainClient::new(
            &self.node,
            &self.clock,
            (agent, key),
            patience,
            self.resubmit_after,
        )
    }
}

/// The agents of a run: 1 to `count`. Number 0 is the operator.
pub(crate) fn agent_ids(count: usize) -> impl Iterator<Item = AgentId> {
    (1..=u32::try_from(count).unwrap_or(u32::MAX)).map(AgentId)
}

/// A fair part of the device for each of `agents`.
pub(crate) fn fair_share(agents: usize) -> Permille {
    let thousandths = u16::try_from(1000 / agents.max(1)).unwrap_or(1000).clamp(1, 1000);
    Permille::new(thousandths).unwrap_or(Permille::WHOLE)
}

fn key(seed: Seed, agent: AgentId) -> AgentKey {
    AgentKey::from_stream(&seed.stream("agent keys").child(u64::from(agent.get())))
}

fn faults(schedule: &Schedule) -> Option<SequencerFaults> {
    schedule.delays.map(|delays| SequencerFaults::harsh(delays.seed))
}

/// What a client learns in one turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Command `seq` has its final answer; none when the replica skipped the block that held it.
    Answered {
        seq: u64,
        event: Option<Box<LedgerEvent>>,
    },
    /// Request `seq` waits in line.
    Waiting { seq: u64, ahead: u32, reason: String },
    /// Something else that happened in the ledger.
    Event(LedgerEvent),
    /// Blocks were skipped: read the ledger.
    Resynced,
}

/// One agent's side of the ledger.
#[derive(Debug)]
pub(crate) struct ChainClient {
    agent: AgentId,
    node: Arc<LedgerNode>,
    outbox: Outbox,
    clock: Arc<dyn Clock>,
    updates: mpsc::Receiver<NodeUpdate>,
    lagged: Arc<AtomicBool>,
    patience: Duration,
}

impl ChainClient {
    /// A client of `node` that signs as an agent with its key.
    pub(crate) fn new(
        node: &Arc<LedgerNode>,
        clock: &Arc<dyn Clock>,
        (agent, key): (AgentId, AgentKey),
        patience: Duration,
        resubmit_after: Millis,
    ) -> Result<Self, AgentError> {
        let (chain, next_seq) = node.view(|ledger| (ledger.chain_id(), ledger.next_seq(agent).unwrap_or(0)));
        let config = OutboxConfig {
            resubmit_after,
            max_backoff: Millis(2_000),
            ..Default::default()
        };
        let outbox = Outbox::new(key, chain, agent, next_seq, config)
            .map_err(|error| AgentError::internal("the client of the ledger", error))?;
        let (sender, updates) = mpsc::channel(UPDATE_BUFFER);
        let lagged = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&lagged);
        let deliver = move |update: &NodeUpdate| match sender.try_send(update.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                flag.store(true, Ordering::Release);
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        };
        node.attach(deliver)
            .map_err(|error| AgentError::internal("the ledger node", error))?;
        let (node, clock) = (Arc::clone(node), Arc::clone(clock));
        Ok(Self {
            agent,
            node,
            outbox,
            clock,
            updates,
            lagged,
            patience,
        })
    }

    /// The replica.
    pub(crate) const fn node(&self) -> &Arc<LedgerNode> {
        &self.node
    }

    /// Who it is.
    pub(crate) const fn agent(&self) -> AgentId {
        self.agent
    }

    /// Signs and submits `command`; its answer comes as a [`Signal::Answered`] with the returned number.
    pub(crate) fn submit(&mut self, command: &Command) -> Result<u64, AgentError> {
        let (seq, effects) = self
            .outbox
            .submit(command, self.clock.monotonic())
            .map_err(|error| AgentError::internal("a command", error))?;
        self.send(&effects)?;
        Ok(seq)
    }

    /// Submits `command` and waits for its answer; `None` when it was missed.
    pub(crate) async fn call(&mut self, command: &Command) -> Result<Option<LedgerEvent>, AgentError> {
        let seq = self.submit(command)?;
        let patience = self.patience;
        let answer = async {
            loop {
                for signal in self.turn().await? {
                    if let Signal::Answered { seq: of, event } = signal
                        && of == seq
                    {
                        return Ok(event.map(|event| *event));
                    }
                }
            }
        };
        tokio::time::timeout(patience, answer)
            .await
            .unwrap_or(Err(AgentError::LogTimeout { patience }))
    }

    /// Tells the ledger that the agent is here, if a quorum of validators has seen it gone: its requests are refused until
    /// then.
    pub(crate) async fn be_present(&mut self) -> Result<(), AgentError> {
        let agent = self.agent;
        if let Some(gone) = self.node.view(|ledger| ledger.gone(agent)) {
            let challenge = gone.challenge;
            self.call(&Command::Present { challenge }).await?;
        }
        Ok(())
    }

    /// Waits for something to happen in the ledger, or for a command to be due again.
    ///
    /// # Cancel safety
    /// Nothing is lost when the wait is dropped: what has arrived is worked off without waiting.
    pub(crate) async fn turn(&mut self) -> Result<Vec<Signal>, AgentError> {
        let now = self.clock.monotonic();
        let due = self
            .outbox
            .next_due()
            .map_or(Duration::from_secs(3600), |due| due.saturating_sub(now));
        let update = tokio::select! {
            update = self.updates.recv() => Some(update.ok_or(AgentError::LogClosed)?),
            () = tokio::time::sleep(due) => None,
        };
        let mut signals = Vec::new();
        match update {
            Some(update) => self.take_in(update, &mut signals)?,
            None => {
                let effects = self.outbox.on_tick(self.clock.monotonic());
                self.apply(effects, &mut signals)?;
            }
        }
        if self.lagged.swap(false, Ordering::AcqRel) {
            while self.updates.try_recv().is_ok() {}
            self.resync(&mut signals)?;
        }
        Ok(signals)
    }

    fn take_in(&mut self, update: NodeUpdate, signals: &mut Vec<Signal>) -> Result<(), AgentError> {
        match update {
            NodeUpdate::Applied { events, .. } => {
                for event in events.iter() {
                    let effects = self.outbox.on_event(event, self.clock.monotonic());
                    self.apply(effects, signals)?;
                    if event.answers().is_none_or(|(agent, _)| agent != self.agent) {
                        signals.push(Signal::Event(event.clone()));
                    }
                }
                Ok(())
            }
            NodeUpdate::Resynced { .. } => self.resync(signals),
            _ => Err(AgentError::LogClosed),
        }
    }

    fn resync(&mut self, signals: &mut Vec<Signal>) -> Result<(), AgentError> {
        let (node, now) = (Arc::clone(&self.node), self.clock.monotonic());
        let effects = node.view(|ledger| self.outbox.reconcile(ledger, now));
        self.apply(effects, signals)?;
        signals.push(Signal::Resynced);
        Ok(())
    }

    fn apply(&mut self, effects: Effects, signals: &mut Vec<Signal>) -> Result<(), AgentError> {
        self.send(&effects)?;
        for resolution in effects.resolved {
            signals.push(match resolution {
                Resolution::Waiting { request, event } => {
                    let (ahead, reason) = match event.as_deref() {
                        Some(LedgerEvent::RequestQueued { ahead, why, .. }) => (*ahead, why.to_string()),
                        _ => (0, "it is in line".to_owned()),
                    };
                    Signal::Waiting {
                        seq: request.seq,
                        ahead,
                        reason,
                    }
                }
                Resolution::Done { seq, event } => Signal::Answered {
                    seq,
                    event: Some(event),
                },
                Resolution::AnswerMissed { seq } => Signal::Answered { seq, event: None },
                // The outbox repeated the command for minutes; the log does not answer any more.
                _ => {
                    return Err(AgentError::LogTimeout {
                        patience: self.patience,
                    });
                }
            });
        }
        Ok(())
    }

    fn send(&self, effects: &Effects) -> Result<(), AgentError> {
        for command in &effects.send {
            match self.node.log().submit(command.clone()) {
                Ok(()) => {}
                // The outbox submits again what finds no answer.
                Err(error) if error.is_retryable() => tracing::debug!(%error, "submission"),
                Err(error) => return Err(AgentError::internal("a submission", error)),
            }
        }
        Ok(())
    }
}
