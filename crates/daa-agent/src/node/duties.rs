//! What a node does all the time: says how far it is, follows the validators, drops what nobody needs.

use super::config::NodeConfig;
use super::worker::Worker;
use super::{NodeStatus, status};
use crate::folder::write_json;
use daa_base::Clock;
use daa_coord::LedgerNode;
use daa_coord::discovery::{Network, Status};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Time between two looks.
const ROUND: Duration = Duration::from_millis(500);

struct Duties {
    ledger: Arc<LedgerNode>,
    network: Network,
    worker: Arc<Worker>,
    file: std::path::PathBuf,
}

pub(super) fn spawn(
    tasks: &mut JoinSet<()>,
    config: &NodeConfig,
    (ledger, network, worker): (&Arc<LedgerNode>, &Network, &Arc<Worker>),
    _clock: Arc<dyn Clock>,
) {
    let duties = Duties {
        ledger: Arc::clone(ledger),
        network: network.clone(),
        worker: Arc::clone(worker),
        file: config.folder.join("status.json"),
    };
    tasks.spawn(duties.run());
}

impl Duties {
    async fn run(self) {
        let mut round = tokio::time::interval(ROUND);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut told, mut members) = (None, Vec::new());
        loop {
            round.tick().await;
            self.worker.drop_silent();
            let (status, validators) = self.ledger.view(|ledger| {
                let validators = ledger.validators().as_slice().iter();
                let status = Status {
                    chain: ledger.chain_id(),
                    height: ledger.height(),
                    state: ledger.state_hash(),
                };
                (
                    status,
                    validators
                        .map(|validator| (validator.key, validator.power))
                        .collect::<Vec<_>>(),
                )
            });
            self.network.set_status(status);
            if validators != members {
                members.clone_from(&validators);
                let me = self.network.me();
                let others = validators.into_iter().filter(|(key, _)| *key != me).collect();
                if self.network.set_members(others).await.is_err() {
                    return;
                }
            }
            let now = status::of(&self.ledger, &self.network, &self.worker);
            if told.as_ref() != Some(&now) {
                self.write(&now);
                told = Some(now);
            }
        }
    }

    fn write(&self, status: &NodeStatus) {
        if let Err(error) = write_json(&self.file, status) {
            tracing::warn!(%error, "the status is not written");
        }
    }
}
