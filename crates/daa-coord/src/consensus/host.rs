//! One validator as a pure core: inputs and the time in, effects out.
//!
//! # Contract with the driver
//! Effects are carried out in order; a validator that stops between any two of them, and starts again from what was durable
//! then, never contradicts itself. [`Effect::Flush`] and [`Effect::Store`] are durable before the next effect begins. If one
//! of them fails, the driver stops the validator: whatever follows must not happen.
//!
//! The driver says in [`HostInput::Message`] who sent a message, and vouches for that (an authenticated channel). It bounds
//! what one peer may send per time; the host bounds what a peer can make it keep or compute per message.

mod config;
mod intake;
mod peers;
mod recover;
mod shell;
mod sync;
#[cfg(test)]
mod tests;

pub use config::{HostConfig, HostCounters, RangeError, Timeouts};
pub use recover::Recovered;

use super::block::Decided;
use super::context::{BlockId, ChainContext, Height};
use super::evidence::Evidence;
use super::wal::WalRecord;
use super::wire::{BlockMessage, Message};
use crate::command::SignedCommand;
use crate::genesis::ConfigError;
use crate::keys::PublicKey;
use crate::ledger::{Ledger, LedgerError, LedgerEvent};
use crate::validators::ValidatorSet;
use arc_malachitebft_core_consensus as engine;
use arc_malachitebft_core_types::{self as core, Timeout, VoteExtensionPolicy};
use daa_base::Timestamp;
use engine::{Input, State, process};
use shell::Shell;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// What time it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// For waits; never goes backwards.
    pub monotonic: Duration,
    /// Time of day, for the time of proposed blocks.
    pub wall: Timestamp,
}

/// Names a timer. Timers of a height that is over mean nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimerId {
    /// One of the agreement's own, at this height.
    Round(Height, Timeout),
    /// Agreed time has to pass.
    Tick,
    /// This validator is behind.
    Sync,
    /// To say how far this validator is.
    Status,
}

impl TimerId {
    /// Any fixed order does; it only keeps sets of timers deterministic.
    fn rank(self) -> (u8, u64, i64, u8, u128) {
        match self {
            Self::Round(height, timeout) => {
                let (kind, extra) = match timeout.kind {
                    core::TimeoutKind::Propose => (0, 0),
                    core::TimeoutKind::Prevote => (1, 0),
                    core::TimeoutKind::Precommit => (2, 0),
                    core::TimeoutKind::Rebroadcast => (3, 0),
                    core::TimeoutKind::FinalizeHeight(wait) => (4, wait.as_nanos()),
                };
                (0, height.0, timeout.round.as_i64(), kind, extra)
            }
            Self::Tick => (1, 0, 0, 0, 0),
            Self::Sync => (2, 0, 0, 0, 0),
            Self::Status => (3, 0, 0, 0, 0),
        }
    }
}

impl PartialOrd for TimerId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TimerId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

/// What happens to a validator.
#[derive(Debug, Clone)]
pub enum HostInput {
    /// A peer says something.
    Message {
        /// Which peer; authenticated by the channel.
        from: PublicKey,
        /// What it says.
        message: Message,
    },
    /// A timer that was set has run out.
    Timer(TimerId),
    /// Commands of clients.
    Submit {
        /// The commands.
        commands: Vec<SignedCommand>,
        /// Whether to hand them on to the other validators; not needed where the client gives them to all.
        spread: bool,
    },
    /// Decide on a block even though nothing waits for one.
    Ask,
}

/// What a validator wants done, in order.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Append to the write-ahead log; need not be durable yet.
    Wal(WalRecord),
    /// Make all that was appended durable.
    Flush,
    /// Keep a decided block, durably.
    Store(Arc<Decided>),
    /// Records of heights before this one are no longer needed.
    WalReset {
        /// The height that begins.
        height: u64,
    },
    /// Send to all other validators.
    Broadcast(Message),
    /// Send to one peer.
    Send {
        /// To whom.
        to: PublicKey,
        /// What.
        message: Message,
    },
    /// A peer wants decided blocks that are no longer in memory; the driver may send them from where they are stored.
    ServeOld {
        /// To whom.
        to: PublicKey,
        /// The first height.
        first: u64,
        /// At most how many.
        count: u32,
    },
    /// Set a timer, in place of one of the same name.
    SetTimer {
        /// Its name.
        id: TimerId,
        /// How long from now.
        after: Duration,
    },
    /// Forget a timer.
    CancelTimer(TimerId),
    /// A block is decided and stored.
    Committed {
        /// The block and its certificate.
        decided: Arc<Decided>,
        /// What it changed in the ledger.
        events: Arc<[LedgerEvent]>,
        /// The ledger after it.
        ledger: Arc<Ledger>,
    },
    /// The validator has stopped; nothing follows.
    Halt(HostError),
}

/// Why a validator does not start, or stops.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// A field of the configuration is outside its range.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// The genesis is refused.
    #[error("genesis: {0}")]
    Genesis(#[from] ConfigError),
    /// There is nobody who votes.
    #[error("the genesis names no validators")]
    NoValidators,
    /// Stored blocks do not follow from each other.
    #[error("stored block {height}: {reason}")]
    Store {
        /// The block's height.
        height: u64,
        /// What is wrong.
        reason: String,
    },
    /// The write-ahead log is ahead of the stored blocks: blocks were lost.
    #[error(
        "the write-ahead log is at height {wal}, stored blocks end at {stored}: decided blocks were lost"
    )]
    WalAhead {
        /// The height of the log.
        wal: u64,
        /// The last stored height.
        stored: u64,
    },
    /// Replaying the log gave other messages than were sent: going on could contradict them.
    #[error("the write-ahead log does not replay: {reason}")]
    Divergence {
        /// What the engine found.
        reason: String,
    },
    /// A quorum decided what breaks a rule: a third or more of the weight lies, or programs differ.
    #[error("a quorum decided block {block} at height {height}, which breaks a rule")]
    InvalidDecided {
        /// The height.
        height: u64,
        /// The block.
        block: BlockId,
    },
    /// The engine broke its contract.
    #[error("the engine failed: {reason}")]
    Internal {
        /// What happened.
        reason: String,
    },
}

impl From<LedgerError> for HostError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Config(error) => Self::Genesis(error),
            other => Self::Internal {
                reason: other.to_string(),
            },
        }
    }
}

/// The core counts into this when the engine's driver is built in, because that switches its counting on.
#[cfg(feature = "net")]
use arc_malachitebft_metrics::Metrics;
#[cfg(not(feature = "net"))]
type Metrics = ();

/// One validator. See the [module documentation](self).
pub struct Host {
    metrics: Metrics,
    core: State<ChainContext>,
    shell: Shell,
    /// The core works on the height after the last decided one.
    started: bool,
    early: intake::Early,
    /// Votes that could change nothing when they came: needed again if their author contradicts them.
    spared: intake::Votes,
    /// Votes that went to the core, to prove contradictions by.
    heard: intake::Votes,
    /// Blocks that came before their height.
    pending_blocks: Vec<(PublicKey, BlockMessage)>,
    /// Decided blocks from a peer, on their way to the core.
    synced: VecDeque<Decided>,
    /// The last of them may not have been the last there is.
    more_to_sync: bool,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("validator", &self.shell.me)
            .field("height", &self.height())
            .field("started", &self.started)
            .finish_non_exhaustive()
    }
}

impl Host {
    /// Takes one input and says what is to be done.
    pub fn step(&mut self, now: Now, input: HostInput) -> Vec<Effect> {
        if self.shell.halted {
            return Vec::new();
        }
        self.shell.now = Now {
            monotonic: self.shell.now.monotonic.max(now.monotonic),
            wall: now.wall,
        };
        match input {
            HostInput::Message { from, message } => self.on_message(from, message),
            HostInput::Timer(id) => self.on_timer(id),
            HostInput::Submit { commands, spread } => self.on_commands(commands, spread),
            HostInput::Ask => self.start_height(),
        }
        self.run();
        self.shell.settle();
        let (app, counters) = (&self.shell.app, &mut self.shell.counters);
        counters.checks = app.signatures.counts();
        counters.invalid_blocks = app.invalid_blocks;
        counters.evidence = app.evidence_found;
        std::mem::take(&mut self.shell.effects)
    }

    /// The ledger after the last decided block.
    #[must_use]
    pub const fn ledger(&self) -> &Arc<Ledger> {
        &self.shell.app.ledger
    }

    /// The last decided height, 0 before the first block.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.shell.app.ledger.height()
    }

    /// This validator's key.
    #[must_use]
    pub const fn validator(&self) -> PublicKey {
        self.shell.me
    }

    /// Commands that wait for a block.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.shell.app.pool.len()
    }

    /// Proofs of misbehaviour that wait for a block of this validator.
    pub fn evidence(&self) -> impl Iterator<Item = &Evidence> {
        self.shell.app.pending_evidence()
    }

    /// What it has counted.
    #[must_use]
    pub const fn counters(&self) -> &HostCounters {
        &self.shell.counters
    }

    /// A decided block, if it is recent enough to be in memory.
    #[must_use]
    pub fn decided(&self, height: u64) -> Option<&Arc<Decided>> {
        self.shell.app.decided(height)
    }

    fn on_timer(&mut self, id: TimerId) {
        // A timer that was cancelled may run out all the same.
        if !self.shell.timers.remove(&id) && !is_planted(Bug::OldTimer) {
            return;
        }
        match id {
            TimerId::Round(height, timeout) => {
                let current = height.0 == self.shell.height() || is_planted(Bug::OldTimer);
                if current && self.started {
                    self.shell.inbox.push_back(Input::TimeoutElapsed(timeout));
                }
            }
            TimerId::Tick => self.start_height(),
            TimerId::Sync => self.on_sync_timer(),
            TimerId::Status => self.on_status_timer(),
        }
    }

    /// Begins to decide on the next block, if that has not begun.
    fn start_height(&mut self) {
        if self.started || self.shell.halted {
            return;
        }
        self.started = true;
        let height = self.shell.height();
        self.shell.cancel(TimerId::Tick);
        self.shell.settle();
        self.shell.emit(Effect::WalReset { height });
        let start = start_input(height, self.shell.app.ledger.validators().clone(), false);
        self.shell.inbox.push_back(start);
        self.release_early_blocks();
    }

    /// Feeds the core until it has nothing more to do, from height to height.
    fn run(&mut self) {
        loop {
            while let Some(input) = self.shell.inbox.pop_front() {
                self.feed(input);
                if self.shell.halted {
                    return;
                }
                if !self.shell.replaying && self.shell.asked.is_some() {
                    self.shell.propose();
                }
            }
            self.take_pending_blocks();
            if self.shell.inbox.is_empty() && !self.advance() && !self.next_synced() {
                return self.sync_on();
            }
        }
    }

    /// Moves on to the next height after a decision; `false` when nothing was decided.
    fn advance(&mut self) -> bool {
        let Some(finished) = self.shell.finished.take() else {
            return false;
        };
        let shell = &mut self.shell;
        shell.app.advance(&finished);
        shell.wanted.clear();
        shell.told.clear();
        shell.asked = None;
        self.started = false;
        if self.has_work() {
            self.start_height();
        } else {
            self.await_work();
        }
        true
    }

    /// Whether the next block would have something in it, or somebody else has begun it.
    fn has_work(&self) -> bool {
        self.shell.app.has_work() || self.is_begun_by_others()
    }

    /// Nothing to decide: the height begins when something comes, or when agreed time has to pass.
    fn await_work(&mut self) {
        let shell = &mut self.shell;
        // Nothing is in work, so nothing has to be sent again.
        shell.cancel_round_timers();
        if let Some(deadline) = shell.app.ledger.next_deadline() {
            let wait = Duration::from_millis(deadline.since(shell.now.wall).get());
            let wait = wait.max(shell.config.tick_min);
            shell.schedule(TimerId::Tick, wait);
        }
    }

    /// Gives one input to the core and answers its effects.
    #[expect(
        clippy::result_large_err,
        reason = "the engine's own error type, made on failure only"
    )]
    fn feed(&mut self, input: Input<ChainContext>) {
        let (state, shell, metrics) = (&mut self.core, &mut self.shell, &self.metrics);
        // Malachite asserts its own invariants; a panic must stop this validator only, and let it publish nothing more.
        let outcome = catch_unwind(AssertUnwindSafe(|| -> Result<(), engine::Error<ChainContext>> {
            process!(input: input, state: state, metrics: metrics, with: effect => {
                Ok::<_, engine::Error<ChainContext>>(shell.handle(effect))
            })
        }));
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.on_engine_error(&error),
            Err(_) => self.shell.halt(HostError::Internal {
                reason: "the consensus core panicked".to_owned(),
            }),
        }
    }

    fn on_engine_error(&mut self, error: &engine::Error<ChainContext>) {
        use engine::Error;
        let reason = error.to_string();
        match error {
            Error::ReplayDivergence(..) | Error::WalCorrupted(_) => {
                self.shell.halt(HostError::Divergence { reason });
            }
            Error::UnexpectedResume(..) | Error::DecisionNotFound(..) => {
                self.shell.halt(HostError::Internal { reason });
            }
            // The others refuse one input, which a peer may have made; the core has not changed then.
            _ => {
                self.shell.counters.dropped += 1;
                tracing::debug!(%reason, "the core refused an input");
            }
        }
    }
}

fn start_input(height: u64, validators: ValidatorSet, restart: bool) -> Input<ChainContext> {
    Input::StartHeight(
        Height(height),
        validators,
        restart,
        None,
        VoteExtensionPolicy::Disabled,
    )
}

pub(crate) use super::planted::{Bug, is_planted};
