//! What a node does all the time: says how far it is, follows the validators, drops what nobody needs.

use super::worker::Worker;
use super::{NodeStatus, status};
use crate::folder::write_json;
use daa_coord::consensus::HostCounters;
use daa_coord::coordination::CoordinationWatch;
use daa_coord::discovery::{Network, Status};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Time between two looks.
const ROUND: Duration = Duration::from_millis(500);

/// Reads what the node's validator counts.
pub(super) type Counters = Box<dyn Fn() -> Option<HostCounters> + Send + Sync>;

pub(super) struct Duties {
    network: Network,
    worker: Arc<Worker>,
    history: CoordinationWatch,
    counters: Counters,
    file: PathBuf,
}

impl Duties {
    pub(super) fn new(
        worker: &Arc<Worker>,
        network: &Network,
        history: &CoordinationWatch,
        counters: Counters,
        file: PathBuf,
    ) -> Self {
        Self {
            network: network.clone(),
            worker: Arc::clone(worker),
            history: history.clone(),
            counters,
            file,
        }
    }

    pub(super) async fn run(self) {
        let mut round = tokio::time::interval(ROUND);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut told, mut members) = (None, Vec::new());
        loop {
            round.tick().await;
            self.worker.drop_silent();
            let (status, validators) = self.worker.ledger.view(|ledger| {
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
            if let Some(counters) = (self.counters)() {
                self.history.on_rounds(&counters);
            }
            let now = status::of(&self.network, &self.worker, &self.history);
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
