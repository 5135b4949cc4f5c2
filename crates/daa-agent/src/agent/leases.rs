//! How an agent gets a lease, works under it, and gives it back on every way out.

use super::{Agent, SAVE_EVERY, TaskEnd};
use crate::chain::Signal;
use crate::crew::Brought;
use crate::device::{SharedDevice, also_ran_on};
use crate::error::AgentError;
use crate::events::{EventKind, LeaseEnd, RanOn, Work};
use crate::leg::{Leg, LegEnd, Rein};
use crate::order::Order;
use crate::recorder::Recorder;
use daa_base::Bytes;
use daa_coord::{Command, Lease, LedgerEvent, RequestId, ResourceRequest, ShortText};
use daa_gpu_core::{ComputeContext, ErrorClass};
use daa_learn::train::{Outcome, TrainState};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// Something short that is done under a lease. Returns what it reserved at most. Called again, under a new lease, when
/// the device failed.
pub(crate) type LeasedJob = dyn Fn(&Lease, &ComputeContext) -> Result<Bytes, AgentError> + Send + Sync;

/// What became of one training.
#[derive(Debug)]
pub(crate) enum Carried {
    Finished {
        outcome: Outcome,
        state: Box<TrainState>,
    },
    Stopped,
}

/// What became of one lease.
struct Held<T> {
    outcome: Result<T, AgentError>,
    /// Why the work was asked to leave, if it was.
    why: String,
}

/// What is known of the end of a lease while its work goes on.
#[derive(Debug, Default)]
struct Ending {
    /// How the ledger ended it, if it did.
    over: Option<LeaseEnd>,
    /// Why the rein was pulled, if it was.
    why: String,
    /// The renewal that is not answered yet.
    renewal: Option<u64>,
}

/// Does a short job where the device says.
fn short_leg(job: &LeasedJob, lease: &Lease, device: &SharedDevice, recorder: &Recorder) -> LegEnd<Bytes> {
    let acquired = match device.acquire(recorder) {
        Ok(acquired) => acquired,
        Err(error) => return LegEnd::failed(error),
    };
    let outcome = job(lease, &acquired.context);
    let said = match &outcome {
        Ok(_) => Some(Ok(())),
        Err(error) => error.gpu_error().map(Err),
    };
    let info = acquired.context.info();
    LegEnd {
        high_water: *outcome.as_ref().unwrap_or(&Bytes::ZERO),
        ran_on: Some(RanOn {
            backend: info.backend.to_string(),
            device: info.name.clone(),
        }),
        may_repeat: said.is_some_and(|said| device.report(recorder, &acquired, said)),
        outcome,
    }
}

/// The least time to leave that a holder gets once the ledger has ended its lease.
const LEAST_GRACE: Duration = Duration::from_secs(1);

impl Agent {
    /// Trains until the work is done or the run stops, under as many leases as it takes.
    pub(crate) async fn carry_out(&mut self, order: &Arc<Order>) -> Result<Carried, AgentError> {
        let Some(crew) = self.crew.clone() else {
            return self.train_here(order).await;
        };
        let (brought, ran_on) = crew.carry_out(self.id, order, &self.recorder, &self.stop).await?;
        also_ran_on(&mut self.ran_on, ran_on);
        match brought {
            Brought::Carried(carried) => Ok(carried),
            Brought::Diverged(node) => {
                self.recorder.emit(EventKind::DivergenceDoubted {
                    agent: self.id,
                    work: order.work,
                    node: node.to_hex(),
                });
                let carried = self.train_here(order).await?;
                if let Carried::Finished {
                    outcome: Outcome::Finished,
                    ..
                } = carried
                {
                    crew.convict(&node);
                }
                Ok(carried)
            }
        }
    }

    /// Trains in this process until the work is done or the run stops, under as many leases as it takes.
    async fn train_here(&mut self, order: &Arc<Order>) -> Result<Carried, AgentError> {
        loop {
            self.delay().await;
            let Some(lease) = self.acquire(order.work, order.peak()).await? else {
                return Ok(Carried::Stopped);
            };
            self.delay().await;
            let rein = Arc::new(Rein::default());
            let (agent, recorder) = (self.id, Arc::clone(&self.recorder));
            let (order_of_leg, rein_of_leg) = (Arc::clone(order), Arc::clone(&rein));
            let job = move |lease, device| {
                Leg {
                    agent,
                    order: order_of_leg,
                    lease,
                    device,
                    recorder,
                    rein: rein_of_leg,
                }
                .run()
            };
            let is_done = |(outcome, _): &(Outcome, TrainState)| *outcome != Outcome::Yielded;
            let Some(Held { outcome, why }) = self.hold(lease, &rein, job, is_done).await? else {
                continue;
            };
            match outcome? {
                (Outcome::Yielded, state) => {
                    let position = state.position();
                    self.recorder.emit(EventKind::WorkYielded {
                        agent,
                        work: order.work,
                        epoch: position.epoch,
                        step: u64::from(position.step),
                        reason: why,
                    });
                }
                (outcome, state) => {
                    return Ok(Carried::Finished {
                        outcome,
                        state: Box::new(state),
                    });
                }
            }
        }
    }

    /// Does `job` under a lease of `bytes`.
    pub(super) async fn leased(
        &mut self,
        work: Work,
        bytes: Bytes,
        job: &Arc<LeasedJob>,
    ) -> Result<TaskEnd, AgentError> {
        loop {
            let Some(lease) = self.acquire(work, bytes).await? else {
                return Ok(TaskEnd::Stopped);
            };
            let (job, recorder) = (Arc::clone(job), Arc::clone(&self.recorder));
            let leg =
                move |lease: Lease, device: Arc<SharedDevice>| short_leg(&*job, &lease, &device, &recorder);
            let held = self.hold(lease, &Arc::default(), leg, |_| true).await?;
            if let Some(held) = held {
                return held.outcome.map(|_| TaskEnd::Done);
            }
        }
    }

    /// Asks the ledger for a lease until it is granted; `None` when the run stops first.
    async fn acquire(&mut self, work: Work, bytes: Bytes) -> Result<Option<Lease>, AgentError> {
        if self.stop.is_stopped() {
            return Ok(None);
        }
        self.client.be_present().await?;
        let request = ResourceRequest {
            device: Some(self.device_id),
            bytes,
            share: self.share,
            priority: 0,
            hold: self.hold,
            deadline: None,
            purpose: ShortText::fitted(&work.to_string()),
        };
        let (agent, share) = (self.id, self.share);
        self.recorder.emit(EventKind::LeaseRequested {
            agent,
            work,
            bytes,
            share,
        });
        let seq = self.client.submit(&Command::Request(request))?;
        let stop = self.stop.clone();
        let mut withdrawn = false;
        loop {
            let signals = tokio::select! {
                signals = self.client.turn() => signals?,
                _ = stop.stopped(), if !withdrawn => {
                    withdrawn = true;
                    self.client.submit(&Command::Cancel { request: RequestId { agent, seq } })?;
                    continue;
                }
            };
            for signal in signals {
                match signal {
                    Signal::Waiting {
                        seq: of,
                        ahead,
                        reason,
                    } if of == seq => {
                        self.recorder.emit(EventKind::LeaseQueued {
                            agent,
                            work,
                            ahead,
                            reason,
                        });
                    }
                    Signal::Answered { seq: of, event } if of == seq => {
                        let Some(lease) = self.granted(work, bytes, seq, event.map(|event| *event))? else {
                            return Ok(None);
                        };
                        if !withdrawn {
                            return Ok(Some(lease));
                        }
                        self.give_back(&lease, LeaseEnd::Released, Bytes::ZERO).await?;
                        return Ok(None);
                    }
                    _ => {}
                }
            }
        }
    }

    /// The lease that `event` grants to request `seq`; `None` when the request was withdrawn.
    fn granted(
        &self,
        work: Work,
        bytes: Bytes,
        seq: u64,
        event: Option<LedgerEvent>,
    ) -> Result<Option<Lease>, AgentError> {
        let agent = self.id;
        let lease = match event {
            Some(LedgerEvent::LeaseGranted(lease)) => lease,
            Some(LedgerEvent::RequestCancelled { .. }) => return Ok(None),
            Some(other) => {
                let reason = other.to_string();
                self.recorder.emit(EventKind::LeaseRefused {
                    agent,
                    work,
                    bytes,
                    reason: reason.clone(),
                });
                return Err(AgentError::Refused { work, bytes, reason });
            }
            None => {
                let request = RequestId { agent, seq };
                let found = self
                    .client
                    .node()
                    .view(|ledger| ledger.leases().find(|l| l.request == request).cloned());
                found.ok_or_else(|| {
                    AgentError::internal("a lease", "its grant was missed and it has run out")
                })?
            }
        };
        let (id, token) = (lease.id, lease.token);
        self.recorder.emit(EventKind::LeaseGranted {
            agent,
            work,
            lease: id,
            bytes: lease.bytes,
            token,
            waited_ms: None,
        });
        Ok(Some(lease))
    }

    /// Runs `job` under `lease` and gives the lease back, whatever happens. `None` when the device failed or was full
    /// and the work has to be done again under another lease.
    async fn hold<T: Send + 'static>(
        &mut self,
        mut lease: Lease,
        rein: &Rein,
        job: impl FnOnce(Lease, Arc<SharedDevice>) -> LegEnd<T> + Send + 'static,
        is_done: impl Fn(&T) -> bool,
    ) -> Result<Option<Held<T>>, AgentError> {
        let device = Arc::clone(&self.device);
        // Registered before the pool is asked, so that memory freed in between is not missed.
        let freed = device.freed();
        tokio::pin!(freed);
        freed.as_mut().enable();
        let (held, of_job) = (lease.clone(), Arc::clone(&device));
        let mut running = tokio::task::spawn_blocking(move || job(held, of_job));
        let mut ending = Ending::default();
        let watched = self
            .watch(&mut running, &mut lease, &device, rein, &mut ending)
            .await;
        // Whatever went wrong with the ledger, the work is left and its memory given back before anything else.
        let (joined, fault) = match watched {
            Ok(joined) => (joined, None),
            Err(error) => {
                rein.leave();
                (running.await, Some(error))
            }
        };
        device.memory_freed();
        let LegEnd {
            outcome,
            high_water,
            ran_on,
            may_repeat,
        } = joined.unwrap_or_else(|error| LegEnd::failed(AgentError::internal("a training thread", error)));
        let is_left = matches!(&outcome, Ok(result) if !is_done(result));
        let Ending { over, why, .. } = ending;
        let end = over.unwrap_or(if is_left {
            LeaseEnd::Yielded
        } else {
            LeaseEnd::Released
        });
        let given_back = self.give_back(&lease, end, high_water).await;
        device.failover().fence(lease.token);
        if let Some(error) = fault {
            return Err(error);
        }
        given_back?;
        also_ran_on(&mut self.ran_on, ran_on);
        let Err(error) = &outcome else {
            return Ok(Some(Held { outcome, why }));
        };
        match error.gpu() {
            // It did not leave in time and was shut out; its last saved state counts.
            _ if over.is_some() && error.is_stale() => Ok(None),
            // The failover has been told, and knows where to do it again.
            Some(_) if may_repeat => Ok(None),
            // The memory of a lease that ran out comes back at its holder's next step boundary.
            Some(ErrorClass::OutOfMemory) if tokio::time::timeout(self.patience, freed).await.is_ok() => {
                Ok(None)
            }
            _ => Ok(Some(Held { outcome, why })),
        }
    }

    /// Waits for a job to end; meanwhile prolongs the lease, and pulls the rein when it cannot be prolonged. A holder
    /// that the ledger has put out and that does not leave within another lease's time is shut out of the device.
    async fn watch<T>(
        &mut self,
        running: &mut JoinHandle<T>,
        lease: &mut Lease,
        device: &SharedDevice,
        rein: &Rein,
        ending: &mut Ending,
    ) -> Result<Result<T, JoinError>, AgentError> {
        let stop = self.stop.clone();
        let mut renew = every(Duration::from_millis((self.hold.get() / 3).max(1)));
        let mut save = every(SAVE_EVERY);
        let grace = Duration::from(self.hold).max(LEAST_GRACE);
        let mut shut_out_at = None;
        loop {
            tokio::select! {
                joined = &mut *running => return Ok(joined),
                _ = renew.tick(), if ending.renewal.is_none() && ending.why.is_empty() => {
                    let (id, token, hold) = (lease.id, lease.token, self.hold);
                    ending.renewal = Some(self.client.submit(&Command::Renew { lease: id, token, hold })?);
                }
                _ = save.tick() => rein.save(),
                () = tokio::time::sleep_until(shut_out_at.unwrap_or_else(Instant::now)), if shut_out_at.is_some() => {
                    shut_out_at = None;
                    device.failover().fence(lease.token);
                }
                reason = stop.stopped(), if ending.why.is_empty() => {
                    ending.why = reason;
                    rein.leave();
                }
                signals = self.client.turn() => for signal in signals? {
                    if let Some(reason) = self.lease_signal(signal, lease, ending) {
                        ending.why = reason;
                        rein.leave();
                        shut_out_at = ending.over.map(|_| Instant::now() + grace);
                    }
                },
            }
        }
    }

    /// What a signal means for the lease: a reason to leave, or nothing.
    fn lease_signal(&self, signal: Signal, lease: &mut Lease, ending: &mut Ending) -> Option<String> {
        match signal {
            Signal::Answered { seq, event } if ending.renewal == Some(seq) => {
                ending.renewal = None;
                match event.as_deref() {
                    Some(LedgerEvent::LeaseRenewed { until, .. }) => {
                        lease.expires = *until;
                        None
                    }
                    Some(LedgerEvent::RenewRefused { reason, .. }) => Some(reason.to_string()),
                    _ => None,
                }
            }
            Signal::Event(LedgerEvent::LeaseExpired { lease: ended }) if ended.id == lease.id => {
                ending.over = Some(LeaseEnd::Expired);
                Some("the lease has run out".to_owned())
            }
            Signal::Event(LedgerEvent::LeaseRevoked {
                lease: ended, reason, ..
            }) if ended.id == lease.id => {
                ending.over = Some(LeaseEnd::Revoked);
                Some(format!("the lease was revoked: {reason}"))
            }
            Signal::Event(LedgerEvent::LeaseWithdrawn { lease: ended, reason }) if ended.id == lease.id => {
                ending.over = Some(LeaseEnd::Revoked);
                Some(format!("the ledger ended the lease: {reason}"))
            }
            Signal::Event(LedgerEvent::LeaseChanged { lease: changed, .. }) if changed.id == lease.id => {
                // Only a contract that this agent signed changes it: yield with the new token, and ask for what is needed.
                *lease = changed.clone();
                Some("the lease was changed by a contract".to_owned())
            }
            Signal::Resynced if self.client.node().view(|ledger| ledger.lease(lease.id).is_none()) => {
                ending.over = Some(LeaseEnd::Expired);
                Some("the lease has ended".to_owned())
            }
            _ => None,
        }
    }

    /// Gives a lease back, unless the ledger has ended it. Its memory is back in the pool already.
    async fn give_back(&mut self, lease: &Lease, end: LeaseEnd, high_water: Bytes) -> Result<(), AgentError> {
        let (agent, id, bytes) = (self.id, lease.id, lease.bytes);
        // Told before the ledger is: whoever gets a lease in its place tells of that later.
        self.recorder.emit(EventKind::LeaseEnded {
            agent,
            lease: id,
            end,
            bytes,
            high_water,
        });
        if matches!(end, LeaseEnd::Released | LeaseEnd::Yielded) {
            // Rejected when it ran out in the same moment, which is as good.
            self.client
                .call(&Command::Release {
                    lease: lease.id,
                    token: lease.token,
                })
                .await?;
        }
        Ok(())
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

#[cfg(test)]
mod tests;
