//! A bounded one-to-one feed: the sender never waits, and a receiver that falls behind is cut off and told so.
//!
//! Receivers first get a backlog that was complete at the moment of subscription, then what is offered afterwards, in
//! order and without gaps, until the end. A receiver that is cut off subscribes again from where it stopped.

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, TrySendError, bounded};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Why nothing came out of a [`Feed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// Nothing came in time; more may come.
    #[error("nothing came in time")]
    Timeout,
    /// The receiver was too slow and was cut off after what it has received so far. Subscribe again.
    #[error("the receiver fell behind and was cut off")]
    Lagged,
    /// The sender is gone; nothing will come.
    #[error("the sender is gone")]
    Closed,
}

/// The receiving end.
#[derive(Debug)]
pub struct Feed<T> {
    backlog: VecDeque<T>,
    receiver: Receiver<T>,
    lagged: Arc<AtomicBool>,
}

/// The sending end, kept by whoever drives the feed. Dropping it ends the feed.
#[derive(Debug)]
pub struct FeedSender<T> {
    sender: Sender<T>,
    lagged: Arc<AtomicBool>,
}

/// A feed that begins with `backlog` and buffers up to `capacity` items (at least 1) behind it.
#[must_use]
pub fn feed<T>(backlog: VecDeque<T>, capacity: usize) -> (FeedSender<T>, Feed<T>) {
    let (sender, receiver) = bounded(capacity.max(1));
    let lagged = Arc::new(AtomicBool::new(false));
    let feed = Feed {
        backlog,
        receiver,
        lagged: Arc::clone(&lagged),
    };
    (FeedSender { sender, lagged }, feed)
}

impl<T> FeedSender<T> {
    /// Hands `item` over without waiting. `false`: the receiver is gone or was too slow, and this end must be dropped.
    #[must_use]
    pub fn offer(&self, item: T) -> bool {
        match self.sender.try_send(item) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.lagged.store(true, Ordering::Release);
                false
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}

impl<T> Feed<T> {
    /// The next item, waiting for it at most `limit` of real time.
    ///
    /// # Errors
    /// [`FeedError`].
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<T, FeedError> {
        if let Some(item) = self.backlog.pop_front() {
            return Ok(item);
        }
        self.receiver.recv_timeout(limit).map_err(|error| match error {
            RecvTimeoutError::Timeout => FeedError::Timeout,
            RecvTimeoutError::Disconnected => self.end(),
        })
    }

    /// The next item if it is there already.
    ///
    /// # Errors
    /// [`FeedError::Timeout`] when nothing is there, else the reason for the feed's end.
    pub fn try_recv(&mut self) -> Result<T, FeedError> {
        if let Some(item) = self.backlog.pop_front() {
            return Ok(item);
        }
        self.receiver.try_recv().map_err(|error| match error {
            TryRecvError::Empty => FeedError::Timeout,
            TryRecvError::Disconnected => self.end(),
        })
    }

    /// The next item, or `None` once `stop` has lost its sender.
    pub(crate) fn recv_unless(&mut self, stop: &Receiver<()>) -> Option<Result<T, FeedError>> {
        if let Some(item) = self.backlog.pop_front() {
            return Some(Ok(item));
        }
        crossbeam::channel::select_biased! {
            recv(stop) -> _ => None,
            recv(self.receiver) -> item => Some(item.map_err(|_| self.end())),
        }
    }

    fn end(&self) -> FeedError {
        if self.lagged.load(Ordering::Acquire) {
            FeedError::Lagged
        } else {
            FeedError::Closed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backlog_comes_first_and_the_end_says_why() {
        let (sender, mut feed) = feed(VecDeque::from([1, 2]), 4);
        assert!(sender.offer(3));
        drop(sender);
        let all: Vec<_> = std::iter::repeat_with(|| feed.try_recv()).take(4).collect();
        assert_eq!(all, [Ok(1), Ok(2), Ok(3), Err(FeedError::Closed)]);
    }

    #[test]
    fn a_slow_receiver_gets_what_fitted_and_then_learns_that_it_lagged() {
        let (sender, mut feed) = feed(VecDeque::new(), 2);
        assert_eq!(feed.try_recv(), Err(FeedError::Timeout));
        assert!(sender.offer(1) && sender.offer(2));
        assert!(!sender.offer(3), "the buffer is full");
        drop(sender);
        let all: Vec<_> = std::iter::repeat_with(|| feed.recv_timeout(Duration::ZERO))
            .take(3)
            .collect();
        assert_eq!(all, [Ok(1), Ok(2), Err(FeedError::Lagged)]);
    }
}
