//! A replica that follows a commit log on its own thread and tells others what happens.

use crate::feed::{Feed, FeedError, feed};
use crate::genesis::Genesis;
use crate::ledger::{Ledger, LedgerError, LedgerEvent};
use crate::log::{BlockStream, CommitLog, SubscribeError};
use crossbeam::channel::{Receiver, Sender, bounded};
use daa_base::Timestamp;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;

/// Subscribers and sinks of one node.
const MAX_SINKS: usize = 4096;

/// Snapshots tried before a log counts as too fast to follow.
const CONNECT_ATTEMPTS: u32 = 16;

/// Why a node stopped following its log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeEnd {
    /// It was asked to.
    #[error("the node was stopped")]
    Stopped,
    /// The log ended.
    #[error("the log has ended")]
    LogClosed,
    /// The log refuses to serve it.
    #[error("the log does not serve the node: {0}")]
    Refused(SubscribeError),
    /// The log forgets blocks faster than the node can restore snapshots.
    #[error("the log was ahead of its own snapshot {attempts} times; it keeps too few blocks")]
    Outrun {
        /// How often it was tried.
        attempts: u32,
    },
    /// The log gave a block or snapshot that breaks its contract.
    #[error("the log broke its contract: {0}")]
    Broken(LedgerError),
}

/// Why a node does not start, or takes no more subscribers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The genesis is refused.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The system gives no thread.
    #[error("no thread for the node: {reason}")]
    Thread {
        /// What the system said.
        reason: String,
    },
    /// As many subscribers as allowed are there.
    #[error("{limit} subscribers are there, more are not allowed")]
    TooMany {
        /// How many are allowed.
        limit: usize,
    },
    /// The node has ended, or could not begin to follow its log.
    #[error(transparent)]
    Ended(NodeEnd),
}

/// What a node tells its subscribers, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeUpdate {
    /// A block was applied.
    Applied {
        /// Its height.
        height: u64,
        /// Agreed time.
        time: Timestamp,
        /// What it changed, in order; often nothing.
        events: Arc<[LedgerEvent]>,
    },
    /// The node fell behind and went on from a snapshot: the events up to `height` are missing. Read the ledger.
    Resynced {
        /// Height of the snapshot.
        height: u64,
        /// Agreed time of the snapshot.
        time: Timestamp,
    },
    /// The node has ended; nothing follows.
    Ended(NodeEnd),
}

impl NodeUpdate {
    const fn height(&self) -> u64 {
        match self {
            Self::Applied { height, .. } | Self::Resynced { height, .. } => *height,
            Self::Ended(_) => u64::MAX,
        }
    }
}

/// Updates of a node for one subscriber.
pub type NodeUpdates = Feed<NodeUpdate>;

type SinkFn = Box<dyn FnMut(&NodeUpdate) -> bool + Send>;

struct Sink {
    /// Only later blocks are told.
    after: u64,
    deliver: SinkFn,
}

struct Shared {
    replica: RwLock<Ledger>,
    sinks: Mutex<Vec<Sink>>,
    end: Mutex<Option<NodeEnd>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (height, sinks) = (self.read(Ledger::height), lock(&self.sinks).len());
        write!(f, "height {height}, {sinks} subscribers")
    }
}

impl Shared {
    fn read<R>(&self, look: impl FnOnce(&Ledger) -> R) -> R {
        look(&self.replica.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<R>(&self, change: impl FnOnce(&mut Ledger) -> R) -> R {
        change(&mut self.replica.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lock order: sinks, then replica. The replica is not locked while sinks run, so they may read it.
    fn tell(&self, update: &NodeUpdate) {
        let height = update.height();
        lock(&self.sinks).retain_mut(|sink| sink.after >= height || (sink.deliver)(update));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A replica of the ledger that follows a [`CommitLog`]. Dropping it stops and joins its thread.
#[derive(Debug)]
pub struct LedgerNode {
    log: Arc<dyn CommitLog>,
    shared: Arc<Shared>,
    /// Dropped to stop the thread.
    stop: Mutex<Option<Sender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl LedgerNode {
    /// Starts a replica of `genesis` at the beginning of `log`, or at its snapshot where the beginning is gone.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn start(genesis: Genesis, log: Arc<dyn CommitLog>) -> Result<Self, NodeError> {
        let mut ledger = Ledger::new(genesis)?;
        let (stream, restored) = connect(log.as_ref(), &ledger).map_err(NodeError::Ended)?;
        if let Some(restored) = restored {
            ledger = restored;
        }
        let shared = Arc::new(Shared {
            replica: RwLock::new(ledger),
            sinks: Mutex::new(Vec::new()),
            end: Mutex::new(None),
        });
        let (stop, stopped) = bounded(1);
        let (thread_shared, thread_log) = (Arc::clone(&shared), Arc::clone(&log));
        let thread = std::thread::Builder::new()
            .name("daa-ledger-node".to_owned())
            .spawn(move || {
                let end = follow(&thread_shared, thread_log.as_ref(), stream, &stopped);
                tracing::debug!(%end, "ledger node ended");
                *lock(&thread_shared.end) = Some(end.clone());
                thread_shared.tell(&NodeUpdate::Ended(end));
                lock(&thread_shared.sinks).clear();
            })
            .map_err(|error| NodeError::Thread {
                reason: error.to_string(),
            })?;
        Ok(Self {
            log,
            shared,
            stop: Mutex::new(Some(stop)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// The log it follows, for submissions.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn CommitLog> {
        &self.log
    }

    /// Reads the replica. Blocks wait meanwhile, so `look` should be short; it must not call [`LedgerNode::view`].
    pub fn view<R>(&self, look: impl FnOnce(&Ledger) -> R) -> R {
        self.shared.read(look)
    }

    /// Why the node has ended; `None` while it runs.
    #[must_use]
    pub fn end(&self) -> Option<NodeEnd> {
        lock(&self.shared.end).clone()
    }

    /// Calls `deliver` on the node's thread with every update after the returned height, until it returns `false` or
    /// the node ends. It must not wait, and must not attach or subscribe; it may [`view`](LedgerNode::view).
    ///
    /// # Errors
    /// [`NodeError::TooMany`] or [`NodeError::Ended`].
    pub fn attach(
        &self,
        deliver: impl FnMut(&NodeUpdate) -> bool + Send + 'static,
    ) -> Result<u64, NodeError> {
        let mut sinks = lock(&self.shared.sinks);
        if let Some(end) = self.end() {
            return Err(NodeError::Ended(end));
        }
        if sinks.len() >= MAX_SINKS {
            return Err(NodeError::TooMany { limit: MAX_SINKS });
        }
        let after = self.shared.read(Ledger::height);
        sinks.push(Sink {
            after,
            deliver: Box::new(deliver),
        });
        Ok(after)
    }

    /// Like [`LedgerNode::attach`], and shows the replica as it is after each update.
    ///
    /// # Errors
    /// Those of [`LedgerNode::attach`].
    pub fn attach_reading(
        &self,
        mut deliver: impl FnMut(&Ledger, &NodeUpdate) -> bool + Send + 'static,
    ) -> Result<u64, NodeError> {
        let shared = Arc::downgrade(&self.shared);
        self.attach(move |update| {
            let shared = shared.upgrade();
            shared.is_some_and(|shared| shared.read(|ledger| deliver(ledger, update)))
        })
    }

    /// Updates after the returned height, buffered up to `capacity`. A subscriber that falls behind is cut off with
    /// [`FeedError::Lagged`]: it subscribes again and reads the ledger ([`Outbox::reconcile`](super::Outbox)).
    ///
    /// # Errors
    /// [`NodeError::TooMany`] or [`NodeError::Ended`].
    pub fn subscribe(&self, capacity: usize) -> Result<(u64, NodeUpdates), NodeError> {
        let (sender, updates) = feed(VecDeque::new(), capacity);
        let after = self.attach(move |update| sender.offer(update.clone()))?;
        Ok((after, updates))
    }

    /// Stops following and joins the thread. Idempotent.
    pub fn shutdown(&self) {
        drop(lock(&self.stop).take());
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the ledger node's thread panicked");
        }
    }
}

impl Drop for LedgerNode {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// Subscribes after the ledger's height; where that is gone, restores the log's snapshot first.
fn connect(log: &dyn CommitLog, ledger: &Ledger) -> Result<(BlockStream, Option<Ledger>), NodeEnd> {
    let mut restored: Option<Ledger> = None;
    for _ in 0..CONNECT_ATTEMPTS {
        let height = restored.as_ref().unwrap_or(ledger).height();
        match log.subscribe(height + 1) {
            Ok(stream) => return Ok((stream, restored)),
            // The log may move on between its snapshot and the subscription: then a newer snapshot is needed.
            Err(SubscribeError::TooOld { .. }) => {}
            Err(SubscribeError::Closed) => return Err(NodeEnd::LogClosed),
            Err(error) => return Err(NodeEnd::Refused(error)),
        }
        let snapshot = log.snapshot().map_err(NodeEnd::Refused)?;
        restored = Some(Ledger::restore(ledger.genesis(), &snapshot.bytes).map_err(NodeEnd::Broken)?);
    }
    Err(NodeEnd::Outrun {
        attempts: CONNECT_ATTEMPTS,
    })
}

fn follow(shared: &Shared, log: &dyn CommitLog, mut stream: BlockStream, stop: &Receiver<()>) -> NodeEnd {
    loop {
        let block = match stream.recv_unless(stop) {
            None => return NodeEnd::Stopped,
            Some(Ok(block)) => block,
            Some(Err(FeedError::Lagged)) => match reconnect(shared, log) {
                Ok(next) => {
                    stream = next;
                    continue;
                }
                Err(end) => return end,
            },
            Some(Err(_)) => return NodeEnd::LogClosed,
        };
        let events = match shared.write(|replica| replica.apply(&block)) {
            Ok(events) => events,
            Err(error) => return NodeEnd::Broken(error),
        };
        let time = shared.read(Ledger::time);
        shared.tell(&NodeUpdate::Applied {
            height: block.height,
            time,
            events: events.into(),
        });
    }
}

fn reconnect(shared: &Shared, log: &dyn CommitLog) -> Result<BlockStream, NodeEnd> {
    let ledger = shared.read(Ledger::clone);
    tracing::warn!(
        height = ledger.height(),
        "the node fell behind its log and reconnects"
    );
    let (stream, restored) = connect(log, &ledger)?;
    if let Some(restored) = restored {
        let (height, time) = (restored.height(), restored.time());
        shared.write(|replica| *replica = restored);
        shared.tell(&NodeUpdate::Resynced { height, time });
    }
    Ok(stream)
}
