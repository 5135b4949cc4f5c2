//! How nodes find and talk to each other, apart from the validators' votes.
//!
//! Connections are libp2p over TCP: Noise encrypts and authenticates them with the same Ed25519 key that signs commands,
//! so a peer *is* its [`PublicKey`]. Addresses come from what the user names (bootstrap peers), from a Kademlia table that
//! connected peers fill, and on a local network from mDNS. None of that makes a validator, or lets anybody in: a
//! [`Policy`] decides who is connected at all, and is asked again for every request. The ledger's members are such a
//! policy.
//!
//! Over a connection goes one protocol, named after the chain, so that nodes of two ledgers never talk: a [`Request`] and
//! its [`Response`], each bounded in size. What comes in passes, in this order: the policy, the peer's own [`Budgets`] of
//! requests and bytes per second, the canonical decoder, and the peer's own place in a [`FairQueue`], out of which peers
//! are served in turn. A peer that floods fills its own place and wears out its own budget; what is refused is counted by
//! reason, and whoever keeps on is cut off for a while.
//!
//! Without the feature `net` there are only the pure parts: messages, budgets and the queue.

mod budget;
mod queue;
mod wire;

#[cfg(feature = "net")]
mod address;
#[cfg(feature = "net")]
mod behaviour;
#[cfg(feature = "net")]
mod bulk;
#[cfg(feature = "net")]
mod config;
#[cfg(feature = "net")]
mod counters;
#[cfg(feature = "net")]
mod frame;
#[cfg(feature = "net")]
mod gate;
#[cfg(feature = "net")]
mod network;
#[cfg(feature = "net")]
mod task;

pub use budget::{BudgetConfig, Budgets, Excess, STRIKES_FOR_NONSENSE, Verdict};
pub use queue::{FairQueue, Full};
pub use wire::{
    MAX_COMMANDS, MAX_NEGOTIATION, MAX_REQUEST, MAX_RESPONSE, MAX_WORK, Refusal, Request, Response, Status,
    WireError,
};

#[cfg(feature = "net")]
pub use address::{AddressError, peer_name, peer_of, socket_address};
#[cfg(feature = "net")]
pub(crate) use address::{keypair, peer_id};
#[cfg(feature = "net")]
pub use bulk::{fetch, provide};
#[cfg(feature = "net")]
pub use config::{DiscoveryConfig, DiscoveryConfigError, DiscoveryError, RequestError};
#[cfg(feature = "net")]
pub use counters::Traffic;
#[cfg(all(feature = "net", any(test, fuzzing)))]
pub use frame::read_both;
#[cfg(feature = "net")]
pub use libp2p::Multiaddr;
#[cfg(feature = "net")]
pub use network::{Incoming, Network, Served, View};

use crate::keys::PublicKey;
use std::collections::BTreeSet;
use std::fmt::Debug;

/// Who may connect and be served. Asked often, so it must be quick; it may change its mind.
pub trait Policy: Debug + Send + Sync + 'static {
    /// Whether `peer` may.
    fn allows(&self, peer: &PublicKey) -> bool;
}

/// A fixed set of peers.
impl Policy for BTreeSet<PublicKey> {
    fn allows(&self, peer: &PublicKey) -> bool {
        self.contains(peer)
    }
}

#[cfg(all(test, feature = "net"))]
mod tests;
