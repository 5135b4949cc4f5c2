//! What a node is started with.

use crate::config::{ConfigError, Schedule, Trust};
use crate::error::{AgentError, RunErrorClass};
use daa_base::{AgentId, Bytes, Millis, OwnerId};
use daa_coord::discovery::{DiscoveryConfig, Multiaddr};
use daa_coord::log::engine::EngineError;
use daa_coord::{AgentKey, Genesis};
use daa_gpu_core::DeviceChoice;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Most places of a node.
pub const MAX_SLOTS: usize = 32;

/// Most devices of a node.
pub const MAX_DEVICES: usize = 16;

/// What a node is started with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NodeConfig {
    /// The ledger it takes part in.
    pub genesis: Genesis,
    /// Its own key: a member of the genesis, and a validator if it is to vote.
    pub key: AgentKey,
    /// Where it listens for validators: IP and TCP with a port from 1 to 65 534. For agents it listens at the next port.
    pub listen: Multiaddr,
    /// Where other nodes listen for validators.
    pub peers: Vec<Multiaddr>,
    /// Where it keeps blocks and jobs.
    pub folder: PathBuf,
    /// Who agrees on leases; [`Trust::Auto`]: the validators of the genesis if there are any.
    pub trust: Trust,
    /// What it lends, 1 to [`MAX_DEVICES`].
    pub devices: Vec<DeviceChoice>,
    /// What leases on each device may sum up to; the device's capacity when absent.
    pub memory_limit: Option<Bytes>,
    /// Worker threads of the CPU backend; one per core when absent.
    pub threads: Option<usize>,
    /// Orders carried out at a time, 1 to [`MAX_SLOTS`].
    pub slots: usize,
    /// Whether it looks for others on the local network.
    pub mdns: bool,
    /// Length of a lease, 10 ms to 10 minutes.
    pub lease: Millis,
    /// Longest wait for an answer of the ledger.
    pub patience: Duration,
    /// Where compiled kernels are kept.
    pub pipeline_cache: Option<PathBuf>,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// A field is outside its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The key is none of a member.
    #[error("the key {key} is no member of the genesis")]
    Stranger {
        /// Its public half.
        key: String,
    },
    /// The member's number leaves no room for devices and agents of its own.
    #[error("{agent} has no block of numbers for devices")]
    Number {
        /// The member.
        agent: AgentId,
    },
    /// Validators and trust do not fit.
    #[error("the genesis has {validators} validators, which does not go with --trust {trust}")]
    Trust {
        /// How many validators.
        validators: usize,
        /// What was asked for.
        trust: &'static str,
    },
    /// Nothing can listen there.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// One process gives the order, and serves nobody else.
    #[error("the genesis has no validators: there is nobody to follow")]
    NoValidators,
    /// No validator has told how far the ledger is.
    #[error("no node of the ledger has answered within {patience:?}")]
    Silent {
        /// How long was waited.
        patience: Duration,
    },
    /// The folder is that of another node.
    #[error("{path} is the folder of node {owner}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: String,
    },
    /// The agreement does not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Something else does not.
    #[error(transparent)]
    Agent(#[from] AgentError),
}

impl NodeError {
    /// What kind of failure it is.
    #[must_use]
    pub fn class(&self) -> RunErrorClass {
        match self {
            Self::Config(_) | Self::Trust { .. } => RunErrorClass::Usage,
            Self::Agent(error) => error.class(),
            Self::Silent { .. } => RunErrorClass::Timeout,
            _ => RunErrorClass::Input,
        }
    }

    /// One line on what to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Agent(error) => error.hint(),
            Self::Config(_) => Some("`daa help node` lists all flags and their values".to_owned()),
            Self::Stranger { .. } | Self::Number { .. } => Some(
                "`daa genesis show` lists the members; a new genesis names others: daa genesis new --member"
                    .to_owned(),
            ),
            Self::Trust { .. } => Some("leave --trust out".to_owned()),
            Self::Listen { .. } => Some(
                "give a free --listen address of this machine; agents are listened for at the next port"
                    .to_owned(),
            ),
            Self::NoValidators => None,
            Self::Silent { .. } => Some(
                "check that `daa node` runs there with the same genesis, and that the key is the operator's or that of an \
                 agent which no other process uses"
                    .to_owned(),
            ),
            Self::Folder { .. } => Some("give each node a --folder of its own".to_owned()),
            Self::Engine(error) => engine_hint(error),
        }
    }
}

fn engine_hint(error: &EngineError) -> Option<String> {
    let hint = match error {
        EngineError::Quorum { .. } => "make a genesis with consensus_threshold 666 or less: daa genesis new",
        EngineError::Storage(_) => {
            "what is damaged is not mended; with an empty --folder the node takes its blocks from others, if enough of them \
             have them"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

impl NodeConfig {
    /// Usual values for a node of `genesis` with `key` that listens at `listen` and keeps its files in `folder`.
    #[must_use]
    pub fn new(genesis: Genesis, key: AgentKey, listen: Multiaddr, folder: PathBuf) -> Self {
        Self {
            genesis,
            key,
            listen,
            peers: Vec::new(),
            folder,
            trust: Trust::Auto,
            devices: vec![DeviceChoice::Auto],
            memory_limit: None,
            threads: None,
            slots: 1,
            mdns: false,
            lease: Millis(5_000),
            patience: Duration::from_secs(20),
            pipeline_cache: None,
        }
    }

    /// Whether every field is within its range.
    ///
    /// # Errors
    /// [`NodeError::Config`] for the first that is not, or [`NodeError::Trust`].
    pub(super) fn validate(&self) -> Result<(), NodeError> {
        let refuse = |field, value: String, allowed: String| {
            Err(NodeError::from(ConfigError {
                field,
                value,
                allowed,
            }))
        };
        for (field, value, max) in [
            ("agents", self.slots, MAX_SLOTS),
            ("number of devices", self.devices.len(), MAX_DEVICES),
        ] {
            if !(1..=max).contains(&value) {
                return refuse(field, value.to_string(), format!("1 to {max}"));
            }
        }
        if !(10..=600_000).contains(&self.lease.get()) {
            return refuse("lease", self.lease.to_string(), "10 ms to 600000 ms".to_owned());
        }
        for (at, device) in self.devices.iter().enumerate() {
            if self.devices[..at].contains(device) {
                let value = format!("{device} twice");
                return refuse("device", value, "each device once".to_owned());
            }
        }
        for address in self.peers.iter().chain([&self.listen]) {
            agents_address(address)?;
        }
        let validators = self.genesis.validators().len();
        let is_local = self.trust == Trust::Local;
        let trust = if is_local { "local" } else { "bft" };
        match (self.trust, validators) {
            (Trust::Auto, _) | (Trust::Local, 0) | (Trust::Bft, 1..) => Ok(()),
            _ => Err(NodeError::Trust { validators, trust }),
        }
    }

    /// Whether one sequencer gives the order.
    pub(super) fn is_local(&self) -> bool {
        self.trust == Trust::Local || (self.trust == Trust::Auto && self.genesis.validators().is_empty())
    }

    /// Which agent it is, and whose.
    pub(super) fn member(&self) -> Result<(AgentId, OwnerId), NodeError> {
        let key = self.key.public();
        let mut members = self.genesis.members().iter();
        let found = members.find(|member| member.key == key);
        let member = found.ok_or_else(|| NodeError::Stranger { key: key.to_hex() })?;
        Ok((member.agent, member.owner))
    }

    /// How each device is opened.
    pub(super) fn schedules(&self) -> Vec<Schedule> {
        let of = |&device: &DeviceChoice| Schedule {
            device,
            memory_limit: self.memory_limit,
            threads: self.threads,
            patience: self.patience,
            pipeline_cache: self.pipeline_cache.clone(),
            ..Schedule::default()
        };
        self.devices.iter().map(of).collect()
    }

    /// How it finds and serves agents.
    pub(super) fn discovery(&self) -> Result<DiscoveryConfig, ConfigError> {
        let mut config = DiscoveryConfig::default();
        config.listen = vec![agents_address(&self.listen)?];
        config.bootstrap = self.peers.iter().map(agents_address).collect::<Result<_, _>>()?;
        config.mdns = self.mdns;
        Ok(config)
    }
}

/// Where a node listens for agents that listens for validators at `address`: at the next port.
///
/// # Errors
/// [`ConfigError`] when the address is not IP and TCP with a port from 1 to 65 534.
pub fn agents_address(address: &Multiaddr) -> Result<Multiaddr, ConfigError> {
    let refuse = || ConfigError {
        field: "address",
        value: address.to_string(),
        allowed: "IP and TCP with a port from 1 to 65534".to_owned(),
    };
    let at = socket(address).ok_or_else(refuse)?;
    let next = at.port().checked_add(1).filter(|_| at.port() > 0);
    let next = SocketAddr::new(at.ip(), next.ok_or_else(refuse)?);
    daa_coord::discovery::socket_address(&next.to_string()).map_err(|_| refuse())
}

/// An address as the operating system has it, if it is IP and TCP.
pub(super) fn socket(address: &Multiaddr) -> Option<SocketAddr> {
    let text = address.to_string();
    let mut parts = text.split('/').skip(1);
    let (Some(_), Some(ip), Some("tcp"), Some(port)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
}

/// Whether who connects to `wanted` on this machine reaches what listens at `listens`.
#[must_use]
pub fn reaches(wanted: &Multiaddr, listens: &Multiaddr) -> bool {
    let (Some(wanted), Some(listens)) = (socket(wanted), socket(listens)) else {
        return false;
    };
    let everywhere = listens.ip().is_unspecified() && wanted.ip().is_loopback();
    wanted == listens || (everywhere && wanted.port() == listens.port())
}
