//! The agents' side: commands out, answers back, a replica to read.
//!
//! [`Outbox`] is the pure core (numbers, signs, repeats, resolves), [`LedgerNode`] the thread that follows a log,
//! [`BlockingClient`] both together for callers that can wait.

mod blocking;
mod node;
mod outbox;

#[cfg(test)]
mod tests;

pub use blocking::{BlockingClient, CallError};
pub use node::{LedgerNode, NodeEnd, NodeError, NodeUpdate, NodeUpdates};
pub use outbox::{Effects, Outbox, OutboxConfig, OutboxError, Resolution};
