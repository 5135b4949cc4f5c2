//! What `daa node` takes.

use super::{TrustArg, address, devices, in_range, memory, threads};
use clap::Args;
use clap::builder::FalseyValueParser;
use daa_agent::node::MAX_SLOTS;
use daa_base::Bytes;
use daa_coord::discovery::Multiaddr;
use daa_gpu_core::DeviceChoice;
use std::path::PathBuf;

/// `daa node`.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// What the nodes of the ledger agree on: `daa genesis new` makes it
    #[arg(long, env = "DAA_GENESIS", hide_env_values = true, value_name = "FILE")]
    pub(crate) genesis: PathBuf,
    /// The node's secret key: `daa keys new` makes it
    #[arg(long, env = "DAA_KEY", hide_env_values = true, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// Where to listen: IP and port; agents are listened for at the next port
    #[arg(long, env = "DAA_LISTEN", hide_env_values = true, default_value = "127.0.0.1:9000", value_parser = address, value_name = "ADDR")]
    pub(crate) listen: Multiaddr,
    /// Where another node listens; to be given for each that is known
    #[arg(long = "peer", env = "DAA_PEERS", hide_env_values = true, value_delimiter = ',', value_parser = address, value_name = "ADDR")]
    pub(crate) peers: Vec<Multiaddr>,
    /// Where blocks and jobs are kept; it is made if it is not there
    #[arg(
        long,
        env = "DAA_NODE_FOLDER",
        hide_env_values = true,
        default_value = "daa-node",
        value_name = "DIR"
    )]
    pub(crate) folder: PathBuf,
    /// Who agrees on leases: local is one sequencer in this process, bft the genesis' validators [default: by the genesis]
    #[arg(
        long,
        env = "DAA_TRUST",
        hide_env_values = true,
        value_enum,
        default_value_t,
        hide_default_value = true,
        value_name = "WHO"
    )]
    pub(crate) trust: TrustArg,
    /// How many trainings it works on at once, spread over its devices [default: one per device]
    #[arg(long, env = "DAA_AGENTS", hide_env_values = true, value_parser = places, value_name = "N")]
    pub(crate) agents: Option<usize>,
    /// What it lends; several with commas between
    #[arg(long = "device", env = "DAA_DEVICE", hide_env_values = true, default_value = "auto", value_delimiter = ',', value_parser = devices(), value_name = "DEVICE")]
    pub(crate) devices: Vec<DeviceChoice>,
    /// What may be leased on each device at once, like 512MiB [default: what the device has to share]
    #[arg(long, env = "DAA_MEMORY_LIMIT", hide_env_values = true, value_parser = memory, value_name = "SIZE")]
    pub(crate) memory_limit: Option<Bytes>,
    /// Worker threads of the CPU backend [default: one per core]
    #[arg(long, env = "DAA_THREADS", hide_env_values = true, value_parser = threads, value_name = "T")]
    pub(crate) threads: Option<usize>,
    /// Looks for other nodes on the local network
    #[arg(long, env = "DAA_MDNS", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub(crate) mdns: bool,
}

fn places(text: &str) -> Result<usize, String> {
    in_range(text, 1, MAX_SLOTS)
}
