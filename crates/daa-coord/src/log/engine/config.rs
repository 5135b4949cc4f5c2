//! Sizes and times of an engine node, and how Malachite's own configuration follows from them.

use super::EngineError;
use crate::consensus::{HostConfig, HostError, Timeouts};
use crate::log::published::PublishLimits;
use arc_malachitebft_app_channel::app::config::NodeConfig;
use arc_malachitebft_config::{ConsensusConfig, ValuePayload, ValueSyncConfig};
use arc_malachitebft_core_types::{LinearTimeouts, Round, Timeout};
use libp2p::Multiaddr;
use std::path::PathBuf;
use std::time::Duration;

/// How long a proposal is waited for at first from a proposer that is not connected: the others do not have it either, as a rule,
/// and who has it can do without this node's vote.
const ABSENT: Duration = Duration::from_millis(1);

/// Sizes and times of an [`EngineNode`](super::EngineNode).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// Where to listen, as in `/ip4/0.0.0.0/tcp/9000`.
    pub listen: Multiaddr,
    /// Addresses of other validators, tried again as long as they are not connected.
    pub peers: Vec<Multiaddr>,
    /// Where decided blocks and the write-ahead log are.
    pub folder: PathBuf,
    /// Timeouts and sizes of the agreement. `sync_after` and `serve_rate` are not used: the engine syncs by its own rules.
    pub host: HostConfig,
    /// Threads of the node's runtime; 1 to 64.
    pub workers: usize,
    /// Submissions that may wait for the node; 64 to 1 048 576.
    pub queue: usize,
    /// Commands looked at per second and peer; 1 to 1 048 576.
    pub command_rate: u32,
    /// The same for peers that are no validators; 1 to 1 048 576.
    pub guest_rate: u32,
    /// Peers that are no validators, but agents, and may connect; 0 to 65 536.
    pub max_guests: usize,
    /// Connections from one address; 1 to 65 536.
    pub max_connections_per_ip: usize,
    /// Blocks kept for subscribers that come late; 1 to 1 048 576.
    pub history: usize,
    /// Blocks buffered for one subscriber before it is cut off; 1 to 65 536.
    pub subscriber_buffer: usize,
    /// Subscribers at one time; 1 to 65 536.
    pub max_subscribers: usize,
}

impl EngineConfig {
    /// Usual sizes for a node that listens at `listen`, knows `peers` and keeps its files in `folder`.
    #[must_use]
    pub fn new(listen: Multiaddr, peers: Vec<Multiaddr>, folder: PathBuf) -> Self {
        Self {
            listen,
            peers,
            folder,
            host: HostConfig {
                timeouts: Timeouts {
                    propose_min: Duration::from_millis(30),
                    vote: Duration::from_millis(10),
                    ..Timeouts::default()
                },
                status_every: Duration::from_millis(500),
                ..HostConfig::default()
            },
            workers: 2,
            queue: 16_384,
            command_rate: 65_536,
            guest_rate: 1024,
            max_guests: 64,
            max_connections_per_ip: 128,
            history: 4096,
            subscriber_buffer: 1024,
            max_subscribers: 256,
        }
    }

    /// Whether every field is within its range.
    ///
    /// # Errors
    /// [`EngineError::OutOfRange`] for the first field that is not; [`EngineError::Host`] for those of `host`.
    pub fn validate(&self) -> Result<(), EngineError> {
        let per_ip = self.max_connections_per_ip as u64;
        for (field, value, min, max) in [
            ("workers", self.workers as u64, 1, 64),
            ("queue", self.queue as u64, 64, 1 << 20),
            ("command_rate", u64::from(self.command_rate), 1, 1 << 20),
            ("guest_rate", u64::from(self.guest_rate), 1, 1 << 20),
            ("max_guests", self.max_guests as u64, 0, 1 << 16),
            ("max_connections_per_ip", per_ip, 1, 1 << 16),
            ("history", self.history as u64, 1, 1 << 20),
            ("subscriber_buffer", self.subscriber_buffer as u64, 1, 1 << 16),
            ("max_subscribers", self.max_subscribers as u64, 1, 1 << 16),
        ] {
            if !(min..=max).contains(&value) {
                return Err(EngineError::OutOfRange {
                    field,
                    value,
                    min,
                    max,
                });
            }
        }
        Ok(self.host.validate().map_err(HostError::from)?)
    }

    pub(super) const fn publish_limits(&self) -> PublishLimits {
        PublishLimits {
            history: self.history,
            subscriber_buffer: self.subscriber_buffer,
            max_subscribers: self.max_subscribers,
        }
    }

    pub(super) fn engine(&self, moniker: String) -> Settings {
        let consensus = ConsensusConfig {
            value_payload: ValuePayload::ProposalAndParts,
            ..ConsensusConfig::default()
        };
        let value_sync = ValueSyncConfig {
            status_update_interval: self.host.status_every,
            request_timeout: Duration::from_secs(2),
            batch_size: crate::consensus::MAX_SYNC_BLOCKS,
            ..ValueSyncConfig::default()
        };
        Settings {
            moniker,
            consensus,
            value_sync,
        }
    }
}

/// The waits of one height, where a proposal typically takes `typical`, and the first proposer is there or not.
pub(super) fn waits(timeouts: &Timeouts, typical: Option<Duration>, there: bool) -> LinearTimeouts {
    let of = |timeout| timeouts.duration(timeout, typical);
    let propose = of(Timeout::propose(Round::ZERO));
    let prevote = of(Timeout::prevote(Round::ZERO));
    let precommit = of(Timeout::precommit(Round::ZERO));
    // A first round without its proposer decides nothing: nor are late votes worth waiting for.
    let first = |usual: Duration| if there { usual } else { ABSENT.min(usual) };
    LinearTimeouts {
        propose: first(propose),
        propose_delta: propose,
        prevote: first(prevote),
        prevote_delta: prevote,
        precommit: first(precommit),
        precommit_delta: precommit,
        rebroadcast: timeouts.rebroadcast,
        max_timeout: timeouts.max,
    }
}

/// Malachite's view of the configuration.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    moniker: String,
    consensus: ConsensusConfig,
    value_sync: ValueSyncConfig,
}

impl NodeConfig for Settings {
    fn moniker(&self) -> &str {
        &self.moniker
    }

    fn consensus(&self) -> &ConsensusConfig {
        &self.consensus
    }

    fn consensus_mut(&mut self) -> &mut ConsensusConfig {
        &mut self.consensus
    }

    fn value_sync(&self) -> &ValueSyncConfig {
        &self.value_sync
    }

    fn value_sync_mut(&mut self) -> &mut ValueSyncConfig {
        &mut self.value_sync
    }
}
