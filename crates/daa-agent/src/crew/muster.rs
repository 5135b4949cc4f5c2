//! Which nodes there are, and whether they are ready.

use super::roll::{Change, LOST_AFTER};
use super::seat::Seat;
use super::{MUSTER_EVERY, Roll, ask, lock};
use crate::events::EventKind;
use crate::recorder::Recorder;
use crate::work::{Ask, JobId, JobStage, Tell};
use daa_base::Clock;
use daa_coord::PublicKey;
use daa_coord::discovery::Network;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Looks for nodes and gets them ready.
pub(super) struct Muster {
    pub(super) network: Network,
    pub(super) seat: Option<Arc<Seat>>,
    pub(super) job: JobId,
    pub(super) roll: Arc<Mutex<Roll>>,
    pub(super) changed: Arc<Notify>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) recorder: Arc<Recorder>,
}

impl Muster {
    /// Each node is looked at in a task of its own, so that one that is slow to answer makes no other wait.
    pub(super) async fn run(self) {
        let this = Arc::new(self);
        let mut looks = JoinSet::new();
        let mut under_way = BTreeSet::new();
        loop {
            while let Some(ended) = looks.try_join_next() {
                match ended {
                    Ok(node) => {
                        under_way.remove(&node);
                    }
                    Err(error) => tracing::error!(%error, "a look at a node failed"),
                }
            }
            for node in this.network.view().connected {
                if under_way.insert(node) {
                    let this = Arc::clone(&this);
                    looks.spawn(async move {
                        this.look_at(node).await;
                        node
                    });
                }
            }
            this.drop_silent();
            tokio::time::sleep(MUSTER_EVERY).await;
        }
    }

    async fn look_at(&self, node: PublicKey) {
        let Ok(Tell::Here {
            device,
            capacity,
            slots,
            peers,
            ..
        }) = ask(&self.network, node, &Ask::Hello).await
        else {
            return;
        };
        let heard = self.clock.monotonic();
        if !lock(&self.roll).here(node, slots, heard) {
            return;
        }
        if let Some(seat) = &self.seat {
            seat.meet(&peers);
        }
        // Asked of ready nodes too: it shows them that the run is there, and finds out those that have begun anew.
        let stage = ask(&self.network, node, &Ask::Prepare { job: self.job }).await;
        let mut roll = lock(&self.roll);
        let told = match stage {
            Ok(Tell::Job(JobStage::Ready)) => roll.ready(&node).map(|_| EventKind::NodeJoined {
                node: node.to_hex(),
                device,
                capacity,
                slots,
            }),
            Ok(Tell::Job(JobStage::Preparing)) => {
                roll.unready(&node);
                None
            }
            Ok(Tell::Job(JobStage::Refused { reason })) => roll.refused(&node).then(|| EventKind::NodeLost {
                node: node.to_hex(),
                reason,
            }),
            Ok(Tell::Full { why }) => {
                let change = roll.no_room(&node, why);
                change.and_then(|change| full(&node, change))
            }
            _ => None,
        };
        drop(roll);
        if let Some(told) = told {
            self.recorder.emit(told);
            self.changed.notify_waiters();
        }
    }

    fn drop_silent(&self) {
        let silent = lock(&self.roll).silent(self.clock.monotonic());
        for node in silent {
            self.recorder.emit(EventKind::NodeLost {
                node: node.to_hex(),
                reason: format!("no answer for {} s", LOST_AFTER.as_secs()),
            });
        }
    }
}

/// What the run tells of a node that is full.
pub(super) fn full(node: &PublicKey, change: Change) -> Option<EventKind> {
    let Change::Full(why) = change else { return None };
    Some(EventKind::NodeFull {
        node: node.to_hex(),
        reason: why.to_string(),
    })
}
