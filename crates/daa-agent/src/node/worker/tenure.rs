//! Leases that runs hold on this node's devices: let in by what the node's own replica says, and followed to their end.

use super::{Worker, lock};
use crate::device::SharedDevice;
use crate::error::AgentError;
use crate::events::{EventKind, LeaseEnd, RanOn};
use crate::leg::{Leg, LegEnd, Rein};
use crate::order::Order;
use crate::recorder::Recorder;
use crate::stop::StopHandle;
use crate::work::Grant;
use daa_base::{Bytes, LeaseId, Millis, Timestamp};
use daa_coord::{Lease, Ledger, LedgerEvent, LedgerNode, NodeUpdate, PublicKey};
use daa_gpu_core::ErrorClass;
use daa_learn::train::{Outcome, TrainState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// How long an order waits for its lease to reach this node: the run may be some blocks ahead.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);

/// Time to leave that a holder gets once its lease has ended, before it is shut out of the device.
const GRACE: Duration = Duration::from_secs(5);

/// Time between two looks at the clock.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often unfinished work saves its state, so that a lost order costs no more than this.
const SAVE_EVERY: Duration = Duration::from_secs(10);

/// What this node's clock may be behind agreed time, at most, for a lease to count that it has not seen prolonged.
const SLACK: Millis = Millis(5_000);

/// What is known of a lease at this node.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// Not there, or not yet.
    Unknown,
    Held(Lease),
    Over {
        end: LeaseEnd,
        why: String,
    },
}

/// Follows one lease at the node's replica.
pub(super) struct Tenure {
    standing: watch::Receiver<Standing>,
}

impl Tenure {
    pub(super) fn follow(ledger: &LedgerNode, id: LeaseId) -> Result<Self, AgentError> {
        let (sender, standing) = watch::channel(Standing::Unknown);
        let news = sender.clone();
        let deliver = move |ledger: &Ledger, update: &NodeUpdate| {
            let over = match update {
                NodeUpdate::Applied { events, .. } => events.iter().find_map(|event| ended(event, id)),
                _ => None,
            };
            settle(&news, over.unwrap_or_else(|| of(ledger, id)));
            !news.is_closed()
        };
        ledger
            .attach_reading(deliver)
            .map_err(|error| AgentError::internal("the ledger", error))?;
        settle(&sender, ledger.view(|ledger| of(ledger, id)));
        Ok(Self { standing })
    }

    /// The lease, once it is known here.
    ///
    /// # Errors
    /// Why it opens nothing here.
    async fn known(&mut self) -> Result<Lease, String> {
        let known = self.standing.wait_for(|standing| *standing != Standing::Unknown);
        match tokio::time::timeout(KNOWN_WITHIN, known).await {
            Ok(Ok(standing)) => match &*standing {
                Standing::Held(lease) => Ok(lease.clone()),
                Standing::Over { why, .. } => Err(why.clone()),
                Standing::Unknown => Err("the lease is not known here".to_owned()),
            },
            _ => Err("the lease is not known here".to_owned()),
        }
    }

    /// Ends when something may have changed, or when it is time to look at the clock.
    async fn changed(&mut self) {
        let changed = tokio::time::timeout(LOOK_EVERY, self.standing.changed()).await;
        if matches!(changed, Ok(Err(_))) {
            // The ledger has ended; the clock goes on.
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// How the lease ended, if it has: by the ledger, or by this node's clock at `now` when the ledger has fallen silent.
    fn over(&mut self, now: Timestamp) -> Option<(LeaseEnd, String)> {
        match &*self.standing.borrow_and_update() {
            Standing::Over { end, why } => Some((*end, why.clone())),
            Standing::Held(lease) if now.since(lease.expires) >= SLACK => {
                let why = "the lease has run out by the clock of the node, which hears no more of the ledger"
                    .to_owned();
                Some((LeaseEnd::Expired, why))
            }
            _ => None,
        }
    }
}

/// What the replica says of a lease.
fn of(ledger: &Ledger, id: LeaseId) -> Standing {
    ledger
        .lease(id)
        .map_or(Standing::Unknown, |lease| Standing::Held(lease.clone()))
}

/// A lease that was there and is not any more has ended, whatever the replica missed; one that has ended stays so.
fn settle(standing: &watch::Sender<Standing>, now: Standing) {
    standing.send_if_modified(|before| {
        let now = match (&*before, now) {
            (Standing::Over { .. }, _) => return false,
            (Standing::Held(_), Standing::Unknown) => Standing::Over {
                end: LeaseEnd::Expired,
                why: "the lease has ended".to_owned(),
            },
            (Standing::Held(held), Standing::Held(lease)) if held.token != lease.token => Standing::Over {
                end: LeaseEnd::Revoked,
                why: "the lease was changed".to_owned(),
            },
            (_, now) => now,
        };
        let is_new = *before != now;
        *before = now;
        is_new
    });
}

/// How `event` ends lease `id`, if it does.
fn ended(event: &LedgerEvent, id: LeaseId) -> Option<Standing> {
    let (lease, end, why) = match event {
        LedgerEvent::LeaseExpired { lease } => (lease, LeaseEnd::Expired, "the lease has run out".to_owned()),
        LedgerEvent::LeaseReleased { lease, .. } => (
            lease,
            LeaseEnd::Released,
            "the run gave the lease back".to_owned(),
        ),
        LedgerEvent::LeaseRevoked { lease, reason, .. } => (
            lease,
            LeaseEnd::Revoked,
            format!("the lease was revoked: {reason}"),
        ),
        LedgerEvent::LeaseWithdrawn { lease, reason } => (
            lease,
            LeaseEnd::Revoked,
            format!("the ledger ended the lease: {reason}"),
        ),
        _ => return None,
    };
    (lease.id == id).then_some(Standing::Over { end, why })
}

/// Whether `lease` opens `device` to `from` for work that needs `bytes`: by the ledger, and by nothing that the run says.
fn opens(
    ledger: &Ledger,
    lease: &Lease,
    grant: &Grant,
    from: &PublicKey,
    bytes: Bytes,
) -> Result<(), String> {
    let holder = ledger.agent_key(lease.agent);
    if holder != Some(*from) {
        return Err(format!("{} is another's", lease.id));
    }
    if lease.token != grant.token {
        return Err(format!("{} has {}, not {}", lease.id, lease.token, grant.token));
    }
    if lease.bytes < bytes {
        let (id, held) = (lease.id, lease.bytes);
        return Err(format!("{id} is over {held}, the work needs {bytes}"));
    }
    Ok(())
}

/// How an order ended under a lease.
pub(super) enum Worked {
    Finished(Outcome, Box<TrainState>, Option<RanOn>),
    Left(String),
    /// The order breaks a rule.
    Refused(String),
}

/// A lease that an order of this node uses: none serves two.
pub(super) struct InUse {
    id: LeaseId,
    worker: Arc<Worker>,
}

impl Drop for InUse {
    fn drop(&mut self) {
        lock(&self.worker.places).stop_using(self.id);
    }
}

impl InUse {
    /// `None`: another order uses it, or the node has as many as it takes.
    pub(super) fn of(worker: &Arc<Worker>, id: LeaseId) -> Option<Self> {
        let used = lock(&worker.places).start_using(id);
        used.then(|| Self {
            id,
            worker: Arc::clone(worker),
        })
    }
}

impl Worker {
    /// Trains under the lease that the run holds, until the work is done, the lease ends or the order is to stop.
    pub(super) async fn train_under(
        &self,
        (order, recorder): (&Arc<Order>, &Arc<Recorder>),
        (grant, from): (Grant, PublicKey),
        stop: &StopHandle,
    ) -> Result<Worked, AgentError> {
        let mut tenure = Tenure::follow(&self.ledger, grant.lease)?;
        let lease = match tenure.known().await {
            Ok(lease) => lease,
            Err(why) => return Ok(Worked::Left(why)),
        };
        let bytes = order.peak();
        if let Err(why) = self
            .ledger
            .view(|ledger| opens(ledger, &lease, &grant, &from, bytes))
        {
            return Ok(Worked::Refused(why));
        }
        let Some(device) = self.devices.iter().find(|device| device.id == lease.device) else {
            return Ok(Worked::Refused(format!("{} is not of this node", lease.device)));
        };
        let mut held = Held {
            worker: self,
            lease,
            tenure,
            device: &device.shared,
            stop,
            high_water: Bytes::ZERO,
        };
        let worked = held.work(order, recorder).await;
        let (lease, over) = (&held.lease, held.tenure.over(self.clock.wall()));
        let usual = match &worked {
            Ok(Worked::Finished(..)) => LeaseEnd::Released,
            _ => LeaseEnd::Yielded,
        };
        recorder.emit(EventKind::LeaseEnded {
            agent: lease.agent,
            lease: lease.id,
            end: over.map_or(usual, |(end, _)| end),
            bytes: lease.bytes,
            high_water: held.high_water,
        });
        // One order, one lease: what comes later under this token is late.
        device.shared.failover().fence(lease.token);
        worked
    }
}

/// An order at work under a lease.
struct Held<'a> {
    worker: &'a Worker,
    lease: Lease,
    tenure: Tenure,
    device: &'a Arc<SharedDevice>,
    stop: &'a StopHandle,
    high_water: Bytes,
}

impl Held<'_> {
    async fn work(&mut self, order: &Arc<Order>, recorder: &Arc<Recorder>) -> Result<Worked, AgentError> {
        loop {
            let device = Arc::clone(self.device);
            // Registered before the pool is asked, so that memory freed in between is not missed.
            let freed = device.freed();
            tokio::pin!(freed);
            freed.as_mut().enable();
            let rein = Arc::new(Rein::default());
            let leg = Leg {
                agent: self.lease.agent,
                order: Arc::clone(order),
                lease: self.lease.clone(),
                device: Arc::clone(&device),
                recorder: Arc::clone(recorder),
                rein: Arc::clone(&rein),
            };
            let mut running = tokio::task::spawn_blocking(move || leg.run());
            let (joined, why) = self.attend(&mut running, &rein).await;
            device.memory_freed();
            let ended = joined
                .unwrap_or_else(|error| LegEnd::failed(AgentError::internal("a training thread", error)));
            self.high_water = self.high_water.max(ended.high_water);
            let error = match ended.outcome {
                Ok((Outcome::Yielded, _)) => return Ok(Worked::Left(why)),
                Ok((outcome, state)) => return Ok(Worked::Finished(outcome, Box::new(state), ended.ran_on)),
                Err(error) => error,
            };
            if error.is_stale() && !why.is_empty() {
                // It did not leave in time and was shut out; its last saved state counts.
                return Ok(Worked::Left(why));
            }
            // The memory of a lease that ran out comes back at its holder's next step boundary.
            let is_full = error.gpu() == Some(ErrorClass::OutOfMemory) && why.is_empty();
            if !is_full || tokio::time::timeout(self.worker.patience, freed).await.is_err() {
                return Err(error);
            }
        }
    }

    /// Waits for a training to end; pulls the rein when its lease ends or it is to stop, and shuts it out of the device when
    /// it does not leave in time. Why it was to leave, if it was.
    async fn attend<T>(
        &mut self,
        running: &mut JoinHandle<T>,
        rein: &Rein,
    ) -> (Result<T, JoinError>, String) {
        let mut why = String::new();
        let mut save = interval_at(Instant::now() + SAVE_EVERY, SAVE_EVERY);
        save.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shut_out_at = None;
        loop {
            let over = self.tenure.over(self.worker.clock.wall());
            if let Some((_, reason)) = over
                && shut_out_at.is_none()
            {
                shut_out_at = Some(Instant::now() + GRACE);
                why = reason;
                rein.leave();
            }
            let late = shut_out_at.unwrap_or_else(Instant::now);
            tokio::select! {
                joined = &mut *running => return (joined, why),
                () = self.tenure.changed(), if shut_out_at.is_none() => {}
                _ = save.tick() => rein.save(),
                () = tokio::time::sleep_until(late), if shut_out_at.is_some() => {
                    self.device.failover().fence(self.lease.token);
                    // Told once; the training ends at its next step.
                    return (running.await, why);
                }
                reason = self.stop.stopped(), if why.is_empty() => {
                    why = reason;
                    rein.leave();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
