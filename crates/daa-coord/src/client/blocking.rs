//! One agent's client for callers that can wait.

use super::node::{LedgerNode, NodeError, NodeUpdate, NodeUpdates};
use super::outbox::{Effects, Outbox, OutboxConfig, OutboxError, Resolution};
use crate::command::Command;
use crate::feed::FeedError;
use crate::keys::AgentKey;
use crate::ledger::LedgerEvent;
use daa_base::{AgentId, Clock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Updates buffered for one client.
const BUFFER: usize = 1024;

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The outbox does not take the command.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The node has ended.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// No answer came in time; [`BlockingClient::wait`] may be called again.
    #[error("command {seq} has no answer after {limit:?}")]
    Timeout {
        /// The command's number.
        seq: u64,
        /// How long was waited.
        limit: Duration,
    },
    /// The command was carried out, but its answer was missed: read the ledger.
    #[error("command {seq} was carried out, its answer was missed")]
    AnswerMissed {
        /// The command's number.
        seq: u64,
    },
    /// The log ended or did not answer: the command may have been carried out.
    #[error("nobody knows whether command {seq} was carried out")]
    Unknown {
        /// The command's number.
        seq: u64,
    },
    /// No such command is open.
    #[error("command {seq} is not open")]
    NotOpen {
        /// The number asked for.
        seq: u64,
    },
}

/// An [`Outbox`] on a [`LedgerNode`], driven by the calling thread.
#[derive(Debug)]
pub struct BlockingClient {
    node: Arc<LedgerNode>,
    clock: Arc<dyn Clock>,
    outbox: Outbox,
    updates: NodeUpdates,
    /// Commands started and not yet collected: without and with their end. Bounded by the outbox.
    started: BTreeMap<u64, Option<Resolution>>,
    limit: usize,
}

impl BlockingClient {
    /// A client of `agent`, whose commands go on from the ledger's view of it.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn new(
        node: Arc<LedgerNode>,
        clock: Arc<dyn Clock>,
        key: AgentKey,
        agent: AgentId,
        config: OutboxConfig,
    ) -> Result<Self, CallError> {
        let (_, updates) = node.subscribe(BUFFER)?;
        let (chain, next) = node.view(|ledger| (ledger.chain_id(), ledger.next_seq(agent).unwrap_or(0)));
        let limit = config.capacity;
        let outbox = Outbox::new(key, chain, agent, next, config)?;
        Ok(Self {
            node,
            clock,
            outbox,
            updates,
            started: BTreeMap::new(),
            limit,
        })
    }

    /// Starts a command and returns its number.
    ///
    /// # Errors
    /// [`CallError::Outbox`], also when too many ends were not collected with [`BlockingClient::wait`].
    pub fn start(&mut self, command: &Command) -> Result<u64, CallError> {
        if self.started.len() >= self.limit {
            return Err(OutboxError::Full { limit: self.limit }.into());
        }
        let (seq, effects) = self.outbox.submit(command, self.clock.monotonic())?;
        self.started.insert(seq, None);
        self.perform(effects);
        Ok(seq)
    }

    /// Waits for the end of command `seq`, at most `limit` of the clock's time: a request's grant, refusal or
    /// cancellation, any other command's answer.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn wait(&mut self, seq: u64, limit: Duration) -> Result<LedgerEvent, CallError> {
        let deadline = self.clock.monotonic().saturating_add(limit);
        let mut last_turn = false;
        loop {
            match self.started.get(&seq) {
                None => return Err(CallError::NotOpen { seq }),
                Some(None) => {}
                Some(Some(_)) => break,
            }
            if last_turn {
                return Err(CallError::Timeout { seq, limit });
            }
            // Even without time left, what has come already is taken in.
            let now = self.clock.monotonic();
            last_turn = now >= deadline;
            let until = self.outbox.next_due().map_or(deadline, |due| due.min(deadline));
            self.turn(until.saturating_sub(now));
        }
        match self.started.remove(&seq).flatten() {
            Some(Resolution::Done { event, .. }) => Ok(*event),
            Some(Resolution::AnswerMissed { .. }) => Err(CallError::AnswerMissed { seq }),
            _ => Err(CallError::Unknown { seq }),
        }
    }

    /// Starts a command and waits for its end.
    ///
    /// # Errors
    /// [`CallError`]. After [`CallError::Timeout`] the command stays open, see [`BlockingClient::wait`].
    pub fn call(&mut self, command: &Command, limit: Duration) -> Result<LedgerEvent, CallError> {
        let seq = self.start(command)?;
        self.wait(seq, limit)
    }

    /// Takes in what the node tells within `wait`, then does what is due.
    fn turn(&mut self, wait: Duration) {
        let now = self.clock.monotonic();
        match self.updates.recv_timeout(wait) {
            Ok(NodeUpdate::Applied { events, .. }) => {
                for event in events.iter() {
                    let effects = self.outbox.on_event(event, now);
                    self.perform(effects);
                }
            }
            Ok(NodeUpdate::Resynced { .. }) => self.reconcile(),
            Err(FeedError::Timeout) => {}
            Err(FeedError::Lagged) => match self.node.subscribe(BUFFER) {
                Ok((_, updates)) => {
                    self.updates = updates;
                    self.reconcile();
                }
                Err(_) => self.close(),
            },
            Ok(NodeUpdate::Ended(_)) | Err(FeedError::Closed) => self.close(),
        }
        let effects = self.outbox.on_tick(self.clock.monotonic());
        self.perform(effects);
    }

    /// Events between the subscription and this view are seen twice, which the outbox ignores.
    fn reconcile(&mut self) {
        let (node, now) = (Arc::clone(&self.node), self.clock.monotonic());
        let effects = node.view(|ledger| self.outbox.reconcile(ledger, now));
        self.perform(effects);
    }

    fn close(&mut self) {
        let effects = self.outbox.close();
        self.perform(effects);
    }

    fn perform(&mut self, effects: Effects) {
        for resolution in effects.resolved {
            if let Some(slot) = resolution.ends().and_then(|seq| self.started.get_mut(&seq)) {
                *slot = Some(resolution);
            }
        }
        for command in effects.send {
            if let Err(error) = self.node.log().submit(command)
                && !error.is_retryable()
            {
                tracing::warn!(%error, "the log takes no more commands");
                let closing = self.outbox.close();
                return self.perform(closing);
            }
        }
    }
}
