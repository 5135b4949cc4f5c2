//! One agent's commands from wish to answer, as a pure core.

use crate::command::{Command, CommandError, RequestId, SignedCommand};
use crate::genesis::ChainId;
use crate::keys::Signer;
use crate::ledger::{Ledger, LedgerEvent};
use daa_base::{AgentId, Millis};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Sizes and times of an [`Outbox`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxConfig {
    /// Unanswered commands kept in all; at least 1. More are refused.
    pub capacity: usize,
    /// Unanswered commands submitted at one time; 1 to the ledger's `seq_window`.
    pub window: u64,
    /// A command without an answer is submitted again after so long, at least 1 ms; doubled each time.
    pub resubmit_after: Millis,
    /// Longest time between two submissions; at least `resubmit_after`.
    pub max_backoff: Millis,
    /// Submissions of one command before the outbox gives up; at least 1.
    pub max_attempts: u32,
}

impl Default for OutboxConfig {
    fn default() -> Self {
        Self {
            capacity: 256,
            window: 32,
            resubmit_after: Millis(500),
            max_backoff: Millis(5_000),
            max_attempts: 40,
        }
    }
}

/// Why a command is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// A field of the configuration is outside its range.
    #[error("{field} is {value}, allowed are {min} to {max}")]
    OutOfRange {
        /// The field's name.
        field: &'static str,
        /// Its value.
        value: u64,
        /// Smallest allowed value.
        min: u64,
        /// Largest allowed value.
        max: u64,
    },
    /// As many commands as allowed are unanswered.
    #[error("{limit} commands are unanswered, more are not allowed")]
    Full {
        /// How many may be.
        limit: usize,
    },
    /// The outbox gave up on a command, and later ones cannot overtake it. Make a new outbox from the ledger's view.
    #[error("the outbox gave up on command {seq}")]
    GaveUp {
        /// The command's number.
        seq: u64,
    },
    /// The command cannot be encoded.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// How a command ended, or how far it came.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolution {
    /// A request is in the ledger and waits; its end will follow. At most once per request.
    Waiting {
        /// The request.
        request: RequestId,
        /// The [`LedgerEvent::RequestQueued`]; `None` when it was seen in the ledger instead ([`Outbox::reconcile`]).
        event: Option<Box<LedgerEvent>>,
    },
    /// The command's final answer. For a request: granted, refused or cancelled.
    Done {
        /// The command's number.
        seq: u64,
        /// The answer.
        event: Box<LedgerEvent>,
    },
    /// The command was carried out, but its answer was in blocks that this replica skipped: read the ledger.
    AnswerMissed {
        /// The command's number.
        seq: u64,
    },
    /// The outbox gave up: the command may have been carried out or may be later.
    Unknown {
        /// The command's number.
        seq: u64,
    },
}

impl Resolution {
    /// The number of the command this ends; `None` for a request that goes on waiting.
    #[must_use]
    pub const fn ends(&self) -> Option<u64> {
        match self {
            Self::Waiting { .. } => None,
            Self::Done { seq, .. } | Self::AnswerMissed { seq } | Self::Unknown { seq } => Some(*seq),
        }
    }
}

/// What the caller has to do: submit `send` in order, hand `resolved` on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Effects {
    /// To be submitted to the log; errors that are retryable need no action.
    pub send: Vec<SignedCommand>,
    /// What became of commands. Each command is ended exactly once over the outbox's life.
    pub resolved: Vec<Resolution>,
}

#[derive(Debug)]
struct InFlight {
    command: SignedCommand,
    is_request: bool,
    attempts: u32,
    /// `None` until first submitted, and once the ledger holds it.
    due: Option<Duration>,
    held: bool,
}

/// Pure core of one agent's client. Times are the monotonic times of one clock.
#[derive(Debug)]
pub struct Outbox {
    config: OutboxConfig,
    key: Box<dyn Signer>,
    chain: ChainId,
    agent: AgentId,
    next_seq: u64,
    in_flight: BTreeMap<u64, InFlight>,
    /// Requests that wait in the ledger; bounded by its `max_open_per_agent`.
    waiting: BTreeSet<u64>,
    gave_up: Option<u64>,
}

impl Outbox {
    /// An outbox for `agent` on `chain` whose first command gets number `next_seq`: 0 for a new agent, else
    /// [`Ledger::next_seq`]. One key must not be used by two outboxes at a time: they would use the same numbers.
    ///
    /// # Errors
    /// [`OutboxError::OutOfRange`].
    pub fn new(
        key: impl Signer + 'static,
        chain: ChainId,
        agent: AgentId,
        next_seq: u64,
        config: OutboxConfig,
    ) -> Result<Self, OutboxError> {
        let out_of_range = |field, value, min, max| OutboxError::OutOfRange {
            field,
            value,
            min,
            max,
        };
        if config.capacity == 0 {
            return Err(out_of_range("capacity", 0, 1, usize::MAX as u64));
        }
        if !(1..=64).contains(&config.window) {
            return Err(out_of_range("window", config.window, 1, 64));
        }
        if config.resubmit_after.get() == 0 {
            return Err(out_of_range("resubmit_after", 0, 1, u64::MAX));
        }
        if config.max_backoff < config.resubmit_after {
            let (value, min) = (config.max_backoff.get(), config.resubmit_after.get());
            return Err(out_of_range("max_backoff", value, min, u64::MAX));
        }
        if config.max_attempts == 0 {
            return Err(out_of_range("max_attempts", 0, 1, u64::from(u32::MAX)));
        }
        Ok(Self {
            config,
            key: Box::new(key),
            chain,
            agent,
            next_seq,
            in_flight: BTreeMap::new(),
            waiting: BTreeSet::new(),
            gave_up: None,
        })
    }

    /// The agent.
    #[must_use]
    pub const fn agent(&self) -> AgentId {
        self.agent
    }

    /// Commands without an answer, not counting requests that wait in the ledger.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether every command has come to its end.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.waiting.is_empty()
    }

    /// Numbers and signs `command`. The number also makes up the [`RequestId`] of a request.
    ///
    /// # Errors
    /// [`OutboxError::Full`], [`OutboxError::GaveUp`] or [`OutboxError::Command`]; no number is used then.
    pub fn submit(&mut self, command: &Command, now: Duration) -> Result<(u64, Effects), OutboxError> {
        if let Some(seq) = self.gave_up {
            return Err(OutboxError::GaveUp { seq });
        }
        let limit = self.config.capacity;
        if self.in_flight.len() >= limit {
            return Err(OutboxError::Full { limit });
        }
        let seq = self.next_seq;
        let signed = SignedCommand::sign(self.key.as_ref(), self.chain, self.agent, seq, command)?;
        self.next_seq += 1;
        let entry = InFlight {
            command: signed,
            is_request: matches!(command, Command::Request(_)),
            attempts: 0,
            due: None,
            held: false,
        };
        self.in_flight.insert(seq, entry);
        let mut effects = Effects::default();
        self.send_window(now, &mut effects);
        Ok((seq, effects))
    }

    /// Takes in one event of the ledger; events must come in order and without gaps (else [`Outbox::reconcile`]).
    pub fn on_event(&mut self, event: &LedgerEvent, now: Duration) -> Effects {
        let mut effects = Effects::default();
        if let LedgerEvent::Held { agent, seq, missing } = event
            && *agent == self.agent
        {
            self.on_held(*seq, *missing, now);
        }
        if let Some(request) = event.ends_request()
            && request.agent == self.agent
        {
            self.finish(request.seq, event, &mut effects);
        }
        if let Some((agent, seq)) = event.answers()
            && agent == self.agent
        {
            match event {
                LedgerEvent::RequestQueued { request, .. } => {
                    if self.in_flight.remove(&seq).is_some() {
                        self.waiting.insert(seq);
                        effects.resolved.push(Resolution::Waiting {
                            request: *request,
                            event: Some(Box::new(event.clone())),
                        });
                    }
                }
                _ => self.finish(seq, event, &mut effects),
            }
        }
        self.send_window(now, &mut effects);
        effects
    }

    /// A held command is in the ledger and needs no repeating; the one it waits for was probably lost.
    fn on_held(&mut self, seq: u64, missing: u64, now: Duration) {
        if let Some(entry) = self.in_flight.get_mut(&seq) {
            entry.held = true;
            entry.due = None;
        }
        if let Some(entry) = self.in_flight.get_mut(&missing)
            && let Some(due) = &mut entry.due
        {
            *due = (*due).min(now.saturating_add(self.config.resubmit_after.into()));
        }
    }

    fn finish(&mut self, seq: u64, event: &LedgerEvent, effects: &mut Effects) {
        let was_open = self.in_flight.remove(&seq).is_some() | self.waiting.remove(&seq);
        if was_open {
            effects.resolved.push(Resolution::Done {
                seq,
                event: Box::new(event.clone()),
            });
        }
    }

    /// Submits again what has no answer for too long. Call at [`Outbox::next_due`] or regularly.
    pub fn on_tick(&mut self, now: Duration) -> Effects {
        let mut effects = Effects::default();
        let (first, max) = (self.config.resubmit_after, self.config.max_attempts);
        let mut exhausted = None;
        for (&seq, entry) in &mut self.in_flight {
            if entry.due.is_none_or(|due| due > now) {
                continue;
            }
            if entry.attempts >= max {
                exhausted = Some(seq);
                break;
            }
            let doublings = entry.attempts.min(32);
            entry.attempts += 1;
            let backoff = first.get().saturating_mul(1 << doublings);
            let backoff = Duration::from_millis(backoff.min(self.config.max_backoff.get()));
            entry.due = Some(now.saturating_add(backoff));
            effects.send.push(entry.command.clone());
        }
        if let Some(seq) = exhausted {
            self.give_up(seq, &mut effects);
        }
        effects
    }

    /// When [`Outbox::on_tick`] has something to do.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.in_flight.values().filter_map(|entry| entry.due).min()
    }

    /// The log takes no more commands: everything open ends as [`Resolution::Unknown`].
    pub fn close(&mut self) -> Effects {
        let mut effects = Effects::default();
        let first = self.in_flight.keys().next().copied().unwrap_or(self.next_seq);
        self.give_up(first, &mut effects);
        for seq in std::mem::take(&mut self.waiting) {
            effects.resolved.push(Resolution::Unknown { seq });
        }
        effects
    }

    fn give_up(&mut self, seq: u64, effects: &mut Effects) {
        self.gave_up.get_or_insert(seq);
        effects.send.clear();
        for (seq, _) in std::mem::take(&mut self.in_flight) {
            effects.resolved.push(Resolution::Unknown { seq });
        }
    }

    /// Catches up with a replica that skipped blocks, and with it the answers in them.
    pub fn reconcile(&mut self, ledger: &Ledger, now: Duration) -> Effects {
        let mut effects = Effects::default();
        let next = ledger.next_seq(self.agent).unwrap_or(0);
        let later = self.in_flight.split_off(&next);
        let applied = std::mem::replace(&mut self.in_flight, later);
        for (seq, entry) in applied {
            let request = self.request(seq);
            if entry.is_request && ledger.is_waiting(request) {
                self.waiting.insert(seq);
                effects
                    .resolved
                    .push(Resolution::Waiting { request, event: None });
            } else {
                effects.resolved.push(resolve_unseen(ledger, request));
            }
        }
        for seq in std::mem::take(&mut self.waiting) {
            let request = self.request(seq);
            if ledger.is_waiting(request) {
                self.waiting.insert(seq);
            } else {
                effects.resolved.push(resolve_unseen(ledger, request));
            }
        }
        self.send_window(now, &mut effects);
        effects
    }

    const fn request(&self, seq: u64) -> RequestId {
        RequestId {
            agent: self.agent,
            seq,
        }
    }

    /// Submits for the first time what the window allows: numbers near the oldest unanswered one.
    fn send_window(&mut self, now: Duration, effects: &mut Effects) {
        let Some((&oldest, _)) = self.in_flight.first_key_value() else {
            return;
        };
        let due = now.saturating_add(self.config.resubmit_after.into());
        let end = oldest.saturating_add(self.config.window);
        for (_, entry) in self.in_flight.range_mut(oldest..end) {
            if entry.attempts == 0 && !entry.held {
                entry.attempts = 1;
                entry.due = Some(due);
                effects.send.push(entry.command.clone());
            }
        }
    }
}

/// A lease that is still live proves a grant; other answers left no trace.
fn resolve_unseen(ledger: &Ledger, request: RequestId) -> Resolution {
    let seq = request.seq;
    match ledger.leases().find(|lease| lease.request == request) {
        Some(lease) => Resolution::Done {
            seq,
            event: Box::new(LedgerEvent::LeaseGranted(lease.clone())),
        },
        None => Resolution::AnswerMissed { seq },
    }
}
