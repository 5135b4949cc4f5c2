//! The run's replica of its nodes' ledger, and its part there.

use super::lessee::Lessee;
use super::{Join, lock};
use crate::agent::blocking;
use crate::error::{AgentError, FolderError};
use crate::follower::{Follower, FollowerConfig};
use crate::node::agents_address;
use crate::summary::AgreementSummary;
use crate::work::MAX_PEERS;
use daa_base::Clock;
use daa_coord::discovery::Multiaddr;
use daa_coord::log::engine::{EngineLog, EngineNode};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Nodes whose addresses are taken in.
const MAX_ADDRESSES: usize = 256;

/// A follower that holds leases.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) lessee: Lessee,
    log: EngineLog,
    /// None when the run has left.
    engine: Mutex<Option<Arc<EngineNode>>>,
    /// Where validators listen, as far as it is known.
    known: Mutex<BTreeSet<Multiaddr>>,
}

impl Seat {
    /// Follows the ledger of `join`, and waits until the replica is as far as the nodes are. Blocks are kept at `folder`, which is
    /// made anew.
    pub(super) async fn take(
        join: &Join,
        folder: PathBuf,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AgentError> {
        let emptied = folder.clone();
        blocking(
            "the blocks of an earlier process",
            move || match std::fs::remove_dir_all(&emptied) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(FolderError::Io {
                    path: emptied,
                    doing: "empty",
                    source,
                }
                .into()),
                _ => Ok(()),
            },
        )
        .await?;
        let config = FollowerConfig {
            genesis: join.genesis.clone(),
            key: join.key.clone(),
            peers: join.validators.clone(),
            folder,
            patience: join.patience,
        };
        let max_hold = join.genesis.config().max_hold;
        let (client, engine) = Follower::start(config, clock).await?.into_parts();
        let log = engine.log();
        Ok(Self {
            lessee: Lessee::start(client, max_hold)?,
            log,
            engine: Mutex::new(Some(Arc::new(engine))),
            known: Mutex::new(join.validators.iter().cloned().collect()),
        })
    }

    /// Takes in where a node says that other validators listen, so that the replica does not depend on a few. Whoever listens there
    /// has to prove to be one.
    pub(super) fn meet(&self, addresses: &[String]) {
        let Some(engine) = lock(&self.engine).clone() else {
            return;
        };
        let parsed = addresses
            .iter()
            .take(MAX_PEERS)
            .filter_map(|text| text.parse().ok());
        let sound = parsed.filter(|address: &Multiaddr| agents_address(address).is_ok());
        let mut known = lock(&self.known);
        let mut new = Vec::new();
        for address in sound {
            if known.len() < MAX_ADDRESSES && known.insert(address.clone()) {
                new.push(address);
            }
        }
        drop(known);
        if !new.is_empty() {
            tokio::task::spawn_blocking(move || {
                for address in new {
                    let _known = engine.add_peer(address);
                }
            });
        }
    }

    /// How the nodes agreed, as the replica saw it.
    pub(super) fn agreement(&self) -> AgreementSummary {
        AgreementSummary {
            validators: self.lessee.validators(),
            blocks: Some(self.lessee.blocks()),
            extra_rounds: None,
            signature_checks: Some(self.log.counters().checks.made),
        }
    }

    /// Gives all leases back, and stops following.
    pub(super) async fn leave(&self) {
        self.lessee.leave().await;
        self.lessee.ledger().shutdown();
        let engine = lock(&self.engine).take();
        if tokio::task::spawn_blocking(move || drop(engine)).await.is_err() {
            tracing::error!("the run's replica did not stop in order");
        }
    }
}
