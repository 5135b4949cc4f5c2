//! What a node does all the time: says how far it is, follows the validators, drops what nobody needs.

use super::lore::Lore;
use super::worker::{Worker, lock};
use super::{NodeStatus, authors, status};
use crate::folder::write_json;
use daa_coord::consensus::HostCounters;
use daa_coord::coordination::CoordinationWatch;
use daa_coord::discovery::{Network, Status};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Time between two looks.
const ROUND: Duration = Duration::from_millis(500);

/// Time between two looks at members and at what is to be kept.
const TEND_EVERY: Duration = Duration::from_secs(5);

/// Reads what the node's validator counts.
pub(super) type Counters = Box<dyn Fn() -> Option<HostCounters> + Send + Sync>;

pub(super) struct Duties {
    pub(super) network: Network,
    pub(super) worker: Arc<Worker>,
    pub(super) lore: Arc<Lore>,
    pub(super) history: CoordinationWatch,
    pub(super) counters: Counters,
    pub(super) file: PathBuf,
}

impl Duties {
    pub(super) async fn run(self) {
        let mut round = tokio::time::interval(ROUND);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut told, mut members) = (None, Vec::new());
        let mut tended = Duration::ZERO;
        loop {
            round.tick().await;
            self.worker.drop_silent();
            let now = self.worker.clock.monotonic();
            if now.saturating_sub(tended) >= TEND_EVERY {
                tended = now;
                self.tend().await;
            }
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
            let now = status::of(&self.network, &self.worker, &self.lore, &self.history);
            if told.as_ref() != Some(&now) {
                self.write(&now);
                told = Some(now);
            }
        }
    }

    /// Follows the members whose insights count, and keeps what is known.
    async fn tend(&self) {
        let members = self.worker.ledger.view(authors);
        // Places are opened once the ledger has answered, so what it says is not of the past.
        let settled = lock(&self.worker.places).all > 0;
        self.lore.listen_to(&members, settled);
        let (lore, now) = (Arc::clone(&self.lore), self.worker.clock.wall());
        let tended = tokio::task::spawn_blocking(move || lore.tend(now)).await;
        if let Ok(Err(error)) = tended {
            tracing::warn!(%error, "what others said last is not kept");
        }
    }

    fn write(&self, status: &NodeStatus) {
        if let Err(error) = write_json(&self.file, status) {
            tracing::warn!(%error, "the status is not written");
        }
    }
}
