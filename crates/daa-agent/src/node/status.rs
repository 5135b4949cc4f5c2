//! How a node is, for people and for files.

use super::worker::Worker;
use daa_base::Bytes;
use daa_coord::LedgerNode;
use daa_coord::discovery::Network;
use serde::{Deserialize, Serialize};
use std::sync::PoisonError;

/// How a node is. `daa node` writes it to `status.json` in its folder whenever it changes, and prints it at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// The value of `schema`.
pub const SCHEMA: &str = "daa.node/1";

pub(super) fn of(ledger: &LedgerNode, network: &Network, worker: &Worker) -> NodeStatus {
    let view = network.view();
    let (chain, height, state, validators) = ledger.view(|ledger| {
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
    }
}
