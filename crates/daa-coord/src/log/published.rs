//! What one validator has decided, for those who follow it in this process.

use crate::consensus::Decided;
use crate::feed::{FeedSender, feed};
use crate::ledger::Ledger;
use crate::log::{Block, BlockStream, LogSnapshot, SubscribeError};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much a [`Publisher`] keeps.
#[derive(Debug, Clone, Copy)]
pub(super) struct PublishLimits {
    /// Blocks for subscribers that come late.
    pub(super) history: usize,
    /// Blocks buffered for one subscriber before it is cut off.
    pub(super) subscriber_buffer: usize,
    /// Subscribers at one time.
    pub(super) max_subscribers: usize,
}

#[derive(Debug)]
struct State {
    subscribers: Vec<FeedSender<Arc<Block>>>,
    /// The last blocks without a gap.
    history: VecDeque<Arc<Block>>,
    ledger: Arc<Ledger>,
    end: Option<String>,
}

/// Hands decided blocks to subscribers without ever waiting for them.
#[derive(Debug)]
pub(super) struct Publisher {
    state: Mutex<State>,
    limits: PublishLimits,
}

impl Publisher {
    /// `history` ends at the ledger's height.
    pub(super) const fn new(
        ledger: Arc<Ledger>,
        history: VecDeque<Arc<Block>>,
        limits: PublishLimits,
    ) -> Self {
        let state = State {
            subscribers: Vec::new(),
            history,
            ledger,
            end: None,
        };
        Self {
            state: Mutex::new(state),
            limits,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn publish(&self, decided: &Decided, ledger: Arc<Ledger>) {
        let block = Arc::new(decided.block().ledger_block());
        let mut state = self.lock();
        state
            .subscribers
            .retain(|subscriber| subscriber.offer(Arc::clone(&block)));
        state.history.push_back(block);
        if state.history.len() > self.limits.history {
            state.history.pop_front();
        }
        state.ledger = ledger;
    }

    /// Nothing will be published any more.
    pub(super) fn end(&self, why: String) {
        let mut state = self.lock();
        state.subscribers.clear();
        state.end.get_or_insert(why);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().end.is_some()
    }

    /// Why nothing will be published any more.
    pub(super) fn ended(&self) -> Option<String> {
        self.lock().end.clone()
    }

    /// The ledger after the last block.
    pub(super) fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.lock().ledger)
    }

    /// The height of the last block.
    #[cfg(feature = "net")]
    pub(super) fn height(&self) -> u64 {
        self.lock().ledger.height()
    }

    pub(super) fn subscribe(&self, from_height: u64) -> Result<BlockStream, SubscribeError> {
        let mut state = self.lock();
        if state.end.is_some() {
            return Err(SubscribeError::Closed);
        }
        let limit = self.limits.max_subscribers;
        if state.subscribers.len() >= limit {
            return Err(SubscribeError::TooMany { limit });
        }
        let next = state.ledger.height() + 1;
        let oldest = next - state.history.len() as u64;
        let wanted = from_height;
        if wanted > next {
            return Err(SubscribeError::Ahead { wanted, next });
        }
        if wanted < oldest {
            return Err(SubscribeError::TooOld { wanted, oldest });
        }
        let skip = usize::try_from(wanted - oldest).unwrap_or(usize::MAX);
        let backlog = state.history.iter().skip(skip).cloned().collect();
        let (sender, stream) = feed(backlog, self.limits.subscriber_buffer);
        state.subscribers.push(sender);
        Ok(stream)
    }

    pub(super) fn snapshot(&self) -> Result<LogSnapshot, SubscribeError> {
        if self.has_ended() {
            return Err(SubscribeError::Closed);
        }
        let ledger = self.ledger();
        Ok(LogSnapshot {
            height: ledger.height(),
            bytes: ledger.snapshot().into(),
        })
    }
}
