//! Which nodes there are, and whether they are ready.

use super::{Hand, LOST_AFTER, MUSTER_EVERY, Roll, Standing, ask, lock};
use crate::events::EventKind;
use crate::recorder::Recorder;
use crate::work::{Ask, JobStage, Tell};
use daa_base::Clock;
use daa_coord::PublicKey;
use daa_coord::discovery::Network;
use daa_coord::streams::ContentId;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Looks for nodes and gets them ready.
pub(super) struct Muster {
    pub(super) network: Network,
    pub(super) job: ContentId,
    pub(super) roll: Arc<Mutex<Roll>>,
    pub(super) changed: Arc<Notify>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) recorder: Arc<Recorder>,
}

impl Muster {
    pub(super) async fn run(self) {
        let this = Arc::new(self);
        loop {
            let mut asked = JoinSet::new();
            for node in this.network.view().connected {
                let this = Arc::clone(&this);
                asked.spawn(async move { this.look_at(node).await });
            }
            while asked.join_next().await.is_some() {}
            this.drop_silent();
            tokio::time::sleep(MUSTER_EVERY).await;
        }
    }

    async fn look_at(&self, node: PublicKey) {
        let Ok(Tell::Here {
            device,
            capacity,
            slots,
            validators,
            height,
        }) = ask(&self.network, node, &Ask::Hello).await
        else {
            return;
        };
        let standing = {
            let mut roll = lock(&self.roll);
            roll.heard.validators = roll.heard.validators.max(validators);
            roll.heard.first.get_or_insert(height);
            roll.heard.last = roll.heard.last.max(height);
            let heard = self.clock.monotonic();
            let hand = roll.hands.entry(node).or_insert(Hand {
                standing: Standing::New,
                slots: 0,
                used: 0,
                strikes: 0,
                heard,
            });
            (hand.heard, hand.slots) = (heard, slots);
            hand.standing.clone()
        };
        if standing == Standing::Out || slots == 0 {
            return;
        }
        // Asked of ready nodes too: it shows them that the run is there, and finds out those that have begun anew.
        let stage = match ask(&self.network, node, &Ask::Prepare { job: self.job }).await {
            Ok(Tell::Job(stage)) => stage,
            _ => return,
        };
        let mut roll = lock(&self.roll);
        let Some(hand) = roll.hands.get_mut(&node) else {
            return;
        };
        match stage {
            JobStage::Ready if standing == Standing::New => {
                hand.standing = Standing::Ready;
                drop(roll);
                self.recorder.emit(EventKind::NodeJoined {
                    node: node.to_hex(),
                    device,
                    capacity,
                    slots,
                });
                self.changed.notify_waiters();
            }
            JobStage::Ready => {}
            JobStage::Preparing => hand.standing = Standing::New,
            JobStage::Refused { reason } => {
                hand.standing = Standing::Out;
                drop(roll);
                let node = node.to_hex();
                self.recorder.emit(EventKind::NodeLost { node, reason });
            }
        }
    }

    fn drop_silent(&self) {
        let now = self.clock.monotonic();
        let mut lost = Vec::new();
        let mut roll = lock(&self.roll);
        for (node, hand) in &mut roll.hands {
            let silent = now.saturating_sub(hand.heard) >= LOST_AFTER;
            if silent && hand.standing == Standing::Ready {
                hand.standing = Standing::New;
                lost.push(*node);
            }
        }
        drop(roll);
        for node in lost {
            self.recorder.emit(EventKind::NodeLost {
                node: node.to_hex(),
                reason: format!("no answer for {} s", LOST_AFTER.as_secs()),
            });
        }
    }
}
