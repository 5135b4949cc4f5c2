//! What came in and went out, and why some of it was dropped.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts since the start.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Traffic {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: AtomicU64,)*
        }

        impl Counters {
            pub(super) fn read(&self) -> Traffic {
                Traffic { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Requests read from peers, served or not.
    requests,
    /// Bytes of them.
    request_bytes,
    /// Requests handed to whoever serves them, or answered at once.
    served,
    /// Connections refused by the policy, or to cut off peers.
    refused_connections,
    /// Connection attempts beyond what one address may have under way.
    crowded,
    /// Requests of peers that the policy no longer allows.
    not_allowed,
    /// Requests beyond a peer's budget of requests.
    over_requests,
    /// Requests beyond a peer's budget of bytes.
    over_bytes,
    /// Requests of peers that are cut off, or beyond the number of peers.
    cut_off,
    /// Requests beyond a peer's place in the queue.
    queue_full,
    /// Requests and answers that could not be read: too large, cut, or not canonical.
    malformed,
    /// Requests that nobody answered in time.
    unanswered,
    /// Own requests that were sent.
    sent,
    /// Own requests that failed on the way.
    failed,
    /// Opinions of peers that were not taken.
    opinions_refused,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }

    pub(super) fn count(counter: &AtomicU64) {
        Self::add(counter, 1);
    }
}
