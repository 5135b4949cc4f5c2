//! The commit log of one process: one thread numbers what it is given. For one owner on one machine.
//!
//! There is nobody to disagree with here, so agreement is the order in which the thread takes commands, and agreed
//! time is the injected clock. Everything else is as in any other driver: batches, empty blocks that let time pass,
//! bounded memory, subscribers that are cut off when they fall behind. [`SequencerFaults`] makes it as unreliable as a
//! driver may be.

mod core;
mod faults;
#[cfg(test)]
mod tests;

pub use self::core::SequencerCore;
pub use self::faults::{FaultCounts, SequencerFaults};

use crate::command::SignedCommand;
use crate::feed::{FeedSender, feed};
use crate::genesis::Genesis;
use crate::ledger::LedgerError;
use crate::log::{Block, BlockStream, CommitLog, LogSnapshot, SubmitError, SubscribeError};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use daa_base::{Clock, Millis};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Sizes and times of a [`Sequencer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequencerConfig {
    /// An empty block follows when nothing was committed for so long; 1 to 60 000 ms.
    pub tick: Millis,
    /// Submissions that may wait for a block; 1 to 1 048 576.
    pub max_pending: usize,
    /// Blocks kept for subscribers that come late; 1 to 1 048 576.
    pub history: usize,
    /// Blocks buffered for one subscriber before it is cut off; 1 to 65 536.
    pub subscriber_buffer: usize,
    /// Subscribers at one time; 1 to 65 536.
    pub max_subscribers: usize,
    /// Misbehaviour to show, for tests.
    pub faults: Option<SequencerFaults>,
}

impl Default for SequencerConfig {
    fn default() -> Self {
        Self {
            tick: Millis(50),
            max_pending: 4096,
            history: 4096,
            subscriber_buffer: 1024,
            max_subscribers: 256,
            faults: None,
        }
    }
}

/// Why a sequencer does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SequencerError {
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
    /// The genesis is refused.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The system gives no thread.
    #[error("no thread for the sequencer: {reason}")]
    Thread {
        /// What the system said.
        reason: String,
    },
}

impl SequencerConfig {
    /// Whether every field is within its range.
    ///
    /// # Errors
    /// [`SequencerError::OutOfRange`] for the first field that is not.
    pub fn validate(&self) -> Result<(), SequencerError> {
        let fields = [
            ("tick", self.tick.get(), 60_000),
            ("max_pending", self.max_pending as u64, 1 << 20),
            ("history", self.history as u64, 1 << 20),
            ("subscriber_buffer", self.subscriber_buffer as u64, 1 << 16),
            ("max_subscribers", self.max_subscribers as u64, 1 << 16),
        ];
        match fields
            .into_iter()
            .find(|(_, value, max)| !(1..=*max).contains(value))
        {
            Some((field, value, max)) => Err(SequencerError::OutOfRange {
                field,
                value,
                min: 1,
                max,
            }),
            None => Ok(()),
        }
    }
}

#[derive(Debug)]
struct Inner {
    core: SequencerCore,
    subscribers: Vec<FeedSender<Arc<Block>>>,
    closed: bool,
}

impl Inner {
    fn cut(&mut self, elapsed: std::time::Duration) {
        for block in self.core.cut(elapsed) {
            self.subscribers
                .retain(|subscriber| subscriber.offer(Arc::clone(&block)));
        }
    }
}

/// The running driver. Dropping it commits what waits, ends all streams and joins its thread.
#[derive(Debug)]
pub struct Sequencer {
    inner: Arc<Mutex<Inner>>,
    config: SequencerConfig,
    clock: Arc<dyn Clock>,
    /// One place: a wake-up that is already due need not be repeated. `None` once shut down.
    wake: Sender<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Sequencer {
    /// Starts the log of `genesis`. Agreed time begins at the clock's time of day and then follows its monotonic time,
    /// so that a clock that is set back or forth moves no lease.
    ///
    /// # Errors
    /// [`SequencerError`].
    pub fn start(
        genesis: Genesis,
        config: SequencerConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SequencerError> {
        config.validate()?;
        let begin = clock.monotonic();
        let core = SequencerCore::new(genesis, config.clone(), clock.wall(), begin)?;
        let inner = Arc::new(Mutex::new(Inner {
            core,
            subscribers: Vec::new(),
            closed: false,
        }));
        let (wake, woken) = bounded(1);
        let (thread_inner, thread_clock) = (Arc::clone(&inner), Arc::clone(&clock));
        let tick = config.tick;
        let thread = std::thread::Builder::new()
            .name("daa-sequencer".to_owned())
            .spawn(move || drive(&thread_inner, thread_clock.as_ref(), &woken, tick))
            .map_err(|error| SequencerError::Thread {
                reason: error.to_string(),
            })?;
        Ok(Self {
            inner,
            config,
            clock,
            wake,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Height of the last block.
    #[must_use]
    pub fn height(&self) -> u64 {
        lock(&self.inner).core.height()
    }

    /// How often each fault has happened so far.
    #[must_use]
    pub fn fault_counts(&self) -> FaultCounts {
        lock(&self.inner).core.fault_counts()
    }

    /// Commits what waits, ends all streams and joins the thread. What a fault still delays is lost. Idempotent.
    pub fn shutdown(&self) {
        {
            let mut inner = lock(&self.inner);
            if !inner.closed {
                inner.cut(self.clock.monotonic());
                inner.closed = true;
                inner.subscribers.clear();
            }
        }
        // A full channel means that the thread will wake anyway.
        let _already_due = self.wake.try_send(());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the sequencer's thread panicked");
        }
    }
}

impl Drop for Sequencer {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl CommitLog for Sequencer {
    fn submit(&self, command: SignedCommand) -> Result<(), SubmitError> {
        let confirmed = {
            let mut inner = lock(&self.inner);
            if inner.closed {
                return Err(SubmitError::Closed);
            }
            inner.core.submit(command)
        };
        let _already_due = self.wake.try_send(());
        confirmed
    }

    fn subscribe(&self, from_height: u64) -> Result<BlockStream, SubscribeError> {
        let mut inner = lock(&self.inner);
        if inner.closed {
            return Err(SubscribeError::Closed);
        }
        // Cut-off and abandoned subscribers leave when the next block comes; count after that.
        let limit = self.config.max_subscribers;
        if inner.subscribers.len() >= limit {
            return Err(SubscribeError::TooMany { limit });
        }
        let backlog = inner.core.blocks_from(from_height)?;
        let (sender, stream) = feed(backlog, self.config.subscriber_buffer);
        inner.subscribers.push(sender);
        Ok(stream)
    }

    fn snapshot(&self) -> Result<LogSnapshot, SubscribeError> {
        let inner = lock(&self.inner);
        if inner.closed {
            return Err(SubscribeError::Closed);
        }
        Ok(inner.core.snapshot())
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes for submissions and for ticks. With a clock that stands still no tick becomes due, but the thread looks again
/// every tick of real time, so that turning the clock is noticed.
fn drive(inner: &Mutex<Inner>, clock: &dyn Clock, woken: &Receiver<()>, tick: Millis) {
    loop {
        let wait = lock(inner).core.until_tick(clock.monotonic()).min(tick.into());
        if woken.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        let mut inner = lock(inner);
        if inner.closed {
            return;
        }
        inner.cut(clock.monotonic());
    }
}
