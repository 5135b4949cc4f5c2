//! How a node is, for people and for files.

use super::lore::{KnowledgeStatus, Lore};
use super::worker::Worker;
use daa_base::Bytes;
use daa_coord::coordination::CoordinationWatch;
use daa_coord::discovery::Network;
use serde::{Deserialize, Serialize};
use std::sync::PoisonError;

/// How a node is. `daa node` writes it to `status.json` in its folder whenever it changes, and prints it at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeStatus {
    /// `daa.node/1`.
    pub schema: String,
    /// Its key.
    pub node: String,
    /// The ledger.
    pub chain: String,
    /// The last block.
    pub height: u64,
    /// Digest of the ledger after it.
    pub state: String,
    /// Where it listens for agents.
    pub listening: Vec<String>,
    /// Peers that are connected.
    pub peers: Vec<String>,
    /// Validators of the ledger.
    pub validators: usize,
    /// Names of its devices.
    pub devices: Vec<String>,
    /// Orders that it carries out at a time; 0 until it takes part.
    pub places: usize,
    /// Orders in work.
    pub busy: usize,
    /// Bytes under lease on its devices.
    pub leased: Bytes,
    /// What leases on its devices may sum up to.
    pub capacity: Bytes,
    /// What the agreement was like since the node started.
    pub coordination: CoordinationStatus,
    /// What its owner's runs and those of others found.
    #[serde(default)]
    pub knowledge: KnowledgeStatus,
}

/// What was measured of requests for leases, and of the votes about them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CoordinationStatus {
    /// Requests that were granted.
    pub successful: u64,
    /// Requests that ended without a lease.
    pub failed: u64,
    /// Mean agreed time from request to end, in milliseconds.
    pub average_ms: f64,
    /// Memory under lease over all devices' memory, averaged over agreed time; 0 to 1.
    pub sharing: f32,
    /// Decisions per round of voting begun; 1 when every first round decides.
    pub decided_per_round: f32,
}

/// The value of `schema`.
pub const SCHEMA: &str = "daa.node/1";

pub(super) fn of(network: &Network, worker: &Worker, lore: &Lore, history: &CoordinationWatch) -> NodeStatus {
    let metrics = history.metrics();
    let view = network.view();
    let (chain, height, state, validators) = worker.ledger.view(|ledger| {
        (
            ledger.chain_id(),
            ledger.height(),
            ledger.state_hash(),
            ledger.validators().len(),
        )
    });
    let places = worker.places.lock().unwrap_or_else(PoisonError::into_inner);
    let (all, busy) = (places.all, places.taken());
    drop(places);
    let devices = &worker.devices;
    NodeStatus {
        schema: SCHEMA.to_owned(),
        node: network.me().to_hex(),
        chain: daa_coord::Digest(chain.0).to_string(),
        height,
        state: state.to_string(),
        listening: view.listening.iter().map(ToString::to_string).collect(),
        peers: view.connected.iter().map(|peer| peer.to_hex()).collect(),
        validators,
        devices: devices
            .iter()
            .map(|device| device.shared.info().name.clone())
            .collect(),
        places: all,
        busy,
        leased: worker.leased(),
        capacity: devices.iter().map(|device| device.shared.capacity()).sum(),
        coordination: CoordinationStatus {
            successful: metrics.successful_coordinations,
            failed: metrics.failed_coordinations,
            average_ms: metrics.average_coordination_time_ms,
            sharing: metrics.resource_sharing_efficiency,
            decided_per_round: metrics.consensus_reached_ratio,
        },
        knowledge: lore.status(),
    }
}
