//! How a node takes part, and what can go wrong.

use super::address::{AddressError, is_plain};
use super::budget::BudgetConfig;
use super::wire::{Refusal, WireError};
use crate::health::{DetectorConfig, HealthConfigError};
use crate::keys::PublicKey;
use libp2p::Multiaddr;
use std::time::Duration;

/// How a node finds and serves others.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DiscoveryConfig {
    /// Where to listen: IP and TCP, port 0 for any free one.
    pub listen: Vec<Multiaddr>,
    /// Where to ask for others first.
    pub bootstrap: Vec<Multiaddr>,
    /// Whether to look around on the local network.
    pub mdns: bool,
    /// Connected peers, 1 to 1024.
    pub max_peers: u32,
    /// Connection attempts under way from one address, 1 to 1024.
    pub max_pending_per_ip: u32,
    /// Longest wait for an answer, from either side; 10 ms to 10 minutes.
    pub request_timeout: Duration,
    /// Requests on one connection at a time, 1 to 256.
    pub streams_per_peer: usize,
    /// Requests of one peer that wait or are being served, 1 to 1024.
    pub queue_per_peer: usize,
    /// Requests given out to be served at a time, 1 to 4096.
    pub serving: usize,
    /// Own requests under way, 1 to 65 536.
    pub max_outbound: usize,
    /// Time between pings, 10 ms to an hour.
    pub ping_interval: Duration,
    /// Time between attempts to reach bootstrap peers and known members that are not connected, and between messages
    /// about others' health; 10 ms to an hour.
    pub round: Duration,
    /// What each peer may ask.
    pub budget: BudgetConfig,
    /// How silence is judged.
    pub detector: DetectorConfig,
}

impl Default for DiscoveryConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            bootstrap: Vec::new(),
            mdns: false,
            max_peers: 128,
            max_pending_per_ip: 16,
            request_timeout: Duration::from_secs(10),
            streams_per_peer: 8,
            queue_per_peer: 16,
            serving: 16,
            max_outbound: 256,
            ping_interval: Duration::from_secs(1),
            round: Duration::from_secs(2),
            budget: BudgetConfig::default(),
            detector: DetectorConfig::default(),
        }
    }
}

/// A limit that was left.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryConfigError {
    /// A number.
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
    /// An address.
    #[error("{0}")]
    Address(#[from] AddressError),
    /// How silence is judged.
    #[error("{0}")]
    Health(#[from] HealthConfigError),
}

impl DiscoveryConfig {
    /// Whether every field is in its range.
    ///
    /// # Errors
    /// [`DiscoveryConfigError`] for the first that is not.
    pub fn validate(&self) -> Result<(), DiscoveryConfigError> {
        const HOUR: u64 = 3_600_000;
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        for (field, value, min, max) in [
            ("max_peers", self.max_peers.into(), 1, 1024),
            ("max_pending_per_ip", self.max_pending_per_ip.into(), 1, 1024),
            ("request_timeout", millis(self.request_timeout), 10, 600_000),
            ("streams_per_peer", self.streams_per_peer as u64, 1, 256),
            ("queue_per_peer", self.queue_per_peer as u64, 1, 1024),
            ("serving", self.serving as u64, 1, 4096),
            ("max_outbound", self.max_outbound as u64, 1, 65_536),
            ("ping_interval", millis(self.ping_interval), 10, HOUR),
            ("round", millis(self.round), 10, HOUR),
            ("listen addresses", self.listen.len() as u64, 0, 64),
            ("bootstrap addresses", self.bootstrap.len() as u64, 0, 256),
        ] {
            in_range(field, value, min, max)?;
        }
        if let Some((field, value, min, max)) = self.budget.fault() {
            in_range(field, value, min, max)?;
        }
        self.detector.validate()?;
        match self
            .listen
            .iter()
            .chain(&self.bootstrap)
            .find(|address| !is_plain(address))
        {
            Some(address) => Err(AddressError::Unsupported {
                address: address.clone(),
            }
            .into()),
            None => Ok(()),
        }
    }
}

const fn in_range(field: &'static str, value: u64, min: u64, max: u64) -> Result<(), DiscoveryConfigError> {
    if value < min || value > max {
        return Err(DiscoveryConfigError::OutOfRange {
            field,
            value,
            min,
            max,
        });
    }
    Ok(())
}

/// Why a node could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The configuration is out of range.
    #[error("{0}")]
    Config(#[from] DiscoveryConfigError),
    /// The network layer could not be set up.
    #[error("cannot set up {part}: {reason}")]
    Setup {
        /// Which part.
        part: &'static str,
        /// What it said.
        reason: String,
    },
    /// An address could not be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: Multiaddr,
        /// What the system said.
        reason: String,
    },
}

/// Why a request got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It is larger than allowed.
    #[error("{0}")]
    Unsendable(#[from] WireError),
    /// The key is no peer's.
    #[error("{peer} is no usable Ed25519 key")]
    NoPeer {
        /// The key.
        peer: PublicKey,
    },
    /// Too many requests are under way.
    #[error("{max} requests are under way, allowed are no more")]
    TooMany {
        /// How many.
        max: usize,
    },
    /// The peer cannot be reached.
    #[error("{peer} cannot be reached: {reason}")]
    Unreachable {
        /// Which peer.
        peer: PublicKey,
        /// What happened.
        reason: String,
    },
    /// No answer came in time.
    #[error("{peer} did not answer in time")]
    Timeout {
        /// Which peer.
        peer: PublicKey,
    },
    /// The answer cannot be read.
    #[error("{peer} answered what cannot be read: {reason}")]
    Malformed {
        /// Which peer.
        peer: PublicKey,
        /// What is wrong.
        reason: String,
    },
    /// The peer would not serve it.
    #[error("{peer} refused: {refusal:?}")]
    Refused {
        /// Which peer.
        peer: PublicKey,
        /// Why.
        refusal: Refusal,
    },
    /// This node was stopped.
    #[error("the node was stopped")]
    Stopped,
}
