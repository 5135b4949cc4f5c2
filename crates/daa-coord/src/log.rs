//! The port to whatever puts commands into one agreed order.
//!
//! # What a driver guarantees
//! - **One order.** All subscribers of all replicas see the same blocks: heights 1, 2, 3, … without gaps, and equal
//!   content at equal heights. A block that was delivered never changes.
//! - **Agreed time.** [`Block::time`] never decreases and follows real time closely enough for leases: blocks,
//!   possibly empty ones, keep coming while anything may have to expire.
//! - **Authentic or harmless.** Drivers need not check signatures: the ledger does. They must not alter entries.
//! - **Bounds.** A block has at most the genesis' `max_block_entries` entries. `submit` does not wait for agreement.
//! - **Catching up.** [`CommitLog::subscribe`] serves recent heights; where it no longer can, it says from which height
//!   it can, and [`CommitLog::snapshot`] gives a state from which to go on.
//!
//! # What a driver may do
//! - lose a submission although it returned `Ok`;
//! - return [`SubmitError::Timeout`] although the command is or will be committed;
//! - commit a command twice, or much later, or after commands that were submitted after it;
//! - put many commands into one block;
//! - cut a slow subscriber off ([`FeedError::Lagged`](crate::feed::FeedError::Lagged)).
//!
//! Sequence numbers and the ledger's in-order execution make all of this harmless: whoever needs a command committed
//! submits it again until the ledger answers ([`Outbox`](crate::client::Outbox)).

pub mod bft;
#[cfg(feature = "net")]
pub mod engine;
mod published;
pub mod sequencer;

use crate::command::SignedCommand;
use crate::consensus::evidence::Evidence;
use crate::feed::Feed;
use daa_base::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::sync::Arc;

/// Entries that were agreed on together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// 1 for the first block, then one more each.
    pub height: u64,
    /// Agreed time.
    pub time: Timestamp,
    /// Commands in agreed order, not yet checked.
    pub entries: Vec<SignedCommand>,
    /// Proofs that validators lied, at most [`MAX_BLOCK_EVIDENCE`](crate::consensus::MAX_BLOCK_EVIDENCE), not yet checked.
    pub evidence: Vec<Evidence>,
}

/// Blocks as they are agreed on, from a chosen height on.
pub type BlockStream = Feed<Arc<Block>>;

/// A ledger state from which a replica can go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSnapshot {
    /// Height of the last block in it; subscribe from the next.
    pub height: u64,
    /// For [`Ledger::restore`](crate::Ledger::restore).
    pub bytes: Arc<[u8]>,
}

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// Trying again later can help.
    Retry,
    /// Trying the same again cannot help.
    Fatal,
}

/// Why a submission was not confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// No confirmation came in time; the command may be committed all the same.
    #[error("the log did not confirm in time; the command may be committed all the same")]
    Timeout,
    /// The log takes no more submissions for now.
    #[error("{limit} submissions wait, the log takes no more for now")]
    Full {
        /// How many may wait.
        limit: usize,
    },
    /// The log has ended.
    #[error("the log has ended")]
    Closed,
    /// The command is larger than the log carries.
    #[error("the payload has {size} bytes, allowed are 0 to {limit}")]
    TooLarge {
        /// The payload's size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

impl SubmitError {
    /// What a caller can do about it.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Timeout | Self::Full { .. } => ErrorClass::Retry,
            Self::Closed | Self::TooLarge { .. } => ErrorClass::Fatal,
        }
    }

    /// Whether submitting the same command again can help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self.class(), ErrorClass::Retry)
    }
}

/// Why a subscription or a snapshot was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// Blocks that old are gone; start from a snapshot.
    #[error("height {wanted} is gone, the oldest kept is {oldest}")]
    TooOld {
        /// The height asked for.
        wanted: u64,
        /// The oldest that can be served.
        oldest: u64,
    },
    /// The height is beyond the next block.
    #[error("height {wanted} is beyond the next block {next}")]
    Ahead {
        /// The height asked for.
        wanted: u64,
        /// The height of the next block.
        next: u64,
    },
    /// As many subscribers as allowed are there.
    #[error("{limit} subscribers are there, more are not allowed")]
    TooMany {
        /// How many are allowed.
        limit: usize,
    },
    /// The log has ended.
    #[error("the log has ended")]
    Closed,
}

impl SubscribeError {
    /// What a caller can do about it.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::TooMany { .. } => ErrorClass::Retry,
            Self::TooOld { .. } | Self::Ahead { .. } | Self::Closed => ErrorClass::Fatal,
        }
    }
}

/// The port. See the [module documentation](self) for what a driver guarantees and what it may break.
pub trait CommitLog: Debug + Send + Sync {
    /// Offers a command for agreement; returns without waiting for it.
    ///
    /// # Errors
    /// [`SubmitError`]; neither `Ok` nor an error says whether the command will be committed.
    fn submit(&self, command: SignedCommand) -> Result<(), SubmitError>;

    /// All blocks from `from_height` (1 or more) on.
    ///
    /// # Errors
    /// [`SubscribeError`].
    fn subscribe(&self, from_height: u64) -> Result<BlockStream, SubscribeError>;

    /// The state before the oldest block that [`CommitLog::subscribe`] can serve, or a later one.
    ///
    /// # Errors
    /// [`SubscribeError::Closed`].
    fn snapshot(&self) -> Result<LogSnapshot, SubscribeError>;
}
