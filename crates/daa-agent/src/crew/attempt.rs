//! One order at one node: given under a lease, looked at until it ends, and its result taken in.

use super::lessee::{Standing, Tenure, Want, grant};
use super::roll::LOST_AFTER;
use super::seat::Seat;
use super::watch::Watch;
use super::{Crew, LOOK_EVERY, MAX_STATE, Place, ask, lock};
use crate::agent::{Carried, blocking};
use crate::chain::fair_share;
use crate::error::AgentError;
use crate::events::{EventKind, LeaseEnd, RanOn};
use crate::order::Order;
use crate::recorder::Recorder;
use crate::stop::StopHandle;
use crate::work::{Ask, Crowd, End, MAX_NEWS, News, OrderId, Tell, What};
use daa_base::AgentId;
use daa_coord::streams::ContentId;
use daa_coord::{Lease, PublicKey};
use daa_learn::train::{Outcome, TrainState};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How an order ended at one node.
pub(super) enum Attempt {
    Carried(Brought, Option<RanOn>),
    /// The node did not take it for now.
    Full(Crowd),
    /// The lease ended before the work, which is nobody's fault.
    Again(String),
    /// The node is lost or failed; `blame`: it broke the rules.
    Lost {
        reason: String,
        blame: bool,
        /// It was taken away for want of progress.
        is_stuck: bool,
    },
}

impl Attempt {
    fn lost(reason: impl std::fmt::Display) -> Self {
        Self::Lost {
            reason: reason.to_string(),
            blame: false,
            is_stuck: false,
        }
    }

    fn failed(reason: impl std::fmt::Display) -> Self {
        Self::Lost {
            reason: reason.to_string(),
            blame: true,
            is_stuck: false,
        }
    }

    fn stuck(stuck: Duration) -> Self {
        Self::Lost {
            reason: format!("no epoch was told for {} s", stuck.as_secs()),
            blame: false,
            is_stuck: true,
        }
    }
}

/// What came of an order that nodes were given.
#[derive(Debug)]
pub(crate) enum Brought {
    Carried(Carried),
    /// This node says that the training diverged, which would end a run for good: it is believed when it is done again.
    Diverged(PublicKey),
}

/// What an answer is that does not go with the question.
const NONSENSE: &str = "its answer makes no sense";

/// An order on its way, and who wants it.
pub(super) struct Errand<'a> {
    pub(super) agent: AgentId,
    pub(super) order: &'a Arc<Order>,
    pub(super) recorder: &'a Arc<Recorder>,
    pub(super) stop: &'a StopHandle,
    pub(super) what: What,
}

/// A lease on a node's device, as far as it was told of.
struct Held {
    tenure: Tenure,
    lease: Lease,
    /// When it began to end, if it has.
    leaving: Option<Duration>,
    /// Whether the node was asked to stop.
    asked: bool,
    /// Whether its end is on record.
    is_told: bool,
}

impl Crew {
    pub(super) async fn attempt(
        &self,
        place: &Place,
        errand: &Errand<'_>,
        stuck: u32,
    ) -> Result<Attempt, AgentError> {
        let mut held = match &self.seat {
            None => None,
            Some(seat) => match self.lease(seat, place, errand).await? {
                Ok(held) => Some(held),
                Err(attempt) => return Ok(attempt),
            },
        };
        let attempt = self.give(place.node, errand, stuck, held.as_mut()).await?;
        if let Some(held) = held {
            tell_end(held, errand);
        }
        Ok(attempt)
    }

    /// Gives an order to `node`, under the lease where there is one, and sees to it until it ends.
    async fn give(
        &self,
        node: PublicKey,
        errand: &Errand<'_>,
        stuck: u32,
        held: Option<&mut Held>,
    ) -> Result<Attempt, AgentError> {
        let order = OrderId(self.orders.fetch_add(1, Ordering::Relaxed));
        let asked = Ask::Do {
            job: self.job,
            order,
            what: errand.what,
            grant: held.as_ref().map(|held| grant(&held.lease)),
        };
        match ask(&self.network, node, &asked).await {
            Ok(Tell::Taken) => {}
            Ok(Tell::Full { why }) => return Ok(Attempt::Full(why)),
            Ok(Tell::Unknown) => return Ok(Attempt::lost("it does not know the job any more")),
            Ok(Tell::Invalid { reason }) => return Ok(Attempt::failed(reason)),
            Ok(_) => return Ok(Attempt::failed(NONSENSE)),
            Err(error) => {
                // It may have taken it all the same.
                self.forget(node, order);
                return Ok(Attempt::lost(error));
            }
        }
        lock(&self.roll).took(&node);
        let epochs = errand.order.config.epochs;
        let mut watch = Watch::new(epochs, stuck, self.clock.monotonic());
        let attempt = match self.await_end((node, order), errand, &mut watch, held).await {
            Ok(end) => self.ended(node, errand, end, &watch).await,
            Err(attempt) => Ok(attempt),
        };
        self.forget(node, order);
        attempt
    }

    /// A lease on a device of the node, once the ledger grants one; how the attempt ends without is the inner error.
    async fn lease(
        &self,
        seat: &Seat,
        place: &Place,
        errand: &Errand<'_>,
    ) -> Result<Result<Held, Attempt>, AgentError> {
        let (agent, work, bytes) = (errand.agent, errand.order.work, errand.order.peak());
        let device = match seat.lessee.device(&place.node, bytes) {
            Ok(device) => device,
            Err(why) => return Ok(Err(Attempt::lost(why))),
        };
        let slots = lock(&self.roll).slots(&place.node);
        let share = fair_share(slots / seat.lessee.devices(&place.node).max(1));
        errand.recorder.emit(EventKind::LeaseRequested {
            agent,
            work,
            bytes,
            share,
        });
        let purpose = work.to_string();
        let mut tenure = seat.lessee.ask(Want {
            device,
            bytes,
            share,
            purpose,
        })?;
        loop {
            match tenure.standing() {
                Standing::Asked => {}
                Standing::Waiting { ahead, reason } => errand.recorder.emit(EventKind::LeaseQueued {
                    agent,
                    work,
                    ahead,
                    reason,
                }),
                Standing::Refused { reason } => {
                    let told = format!("the ledger grants no lease on its device: {reason}");
                    errand.recorder.emit(EventKind::LeaseRefused {
                        agent,
                        work,
                        bytes,
                        reason,
                    });
                    return Ok(Err(Attempt::lost(told)));
                }
                Standing::Held(lease) => {
                    errand.recorder.emit(EventKind::LeaseGranted {
                        agent,
                        work,
                        lease: lease.id,
                        bytes: lease.bytes,
                        token: lease.token,
                        waited_ms: None,
                    });
                    return Ok(Ok(Held {
                        tenure,
                        lease,
                        leaving: None,
                        asked: false,
                        is_told: false,
                    }));
                }
                Standing::Leaving { reason } | Standing::Over { reason, .. } => {
                    return Ok(Err(Attempt::Again(reason)));
                }
            }
            if let Some(attempt) = self.wait_for(&mut tenure, place, errand).await? {
                return Ok(Err(attempt));
            }
        }
    }

    /// Waits for news of a request; how the attempt ends, if it ends meanwhile.
    async fn wait_for(
        &self,
        tenure: &mut Tenure,
        place: &Place,
        errand: &Errand<'_>,
    ) -> Result<Option<Attempt>, AgentError> {
        loop {
            tokio::select! {
                changed = tenure.changed() => return changed.map(|()| None),
                _ = errand.stop.stopped() => {
                    return Ok(Some(Attempt::Carried(Brought::Carried(Carried::Stopped), None)));
                }
                () = tokio::time::sleep(LOOK_EVERY) => {
                    // Its device is no use to anybody while it is silent.
                    if lock(&self.roll).is_silent(&place.node, self.clock.monotonic()) {
                        return Ok(Some(Attempt::lost("it fell silent before its device was free")));
                    }
                }
            }
        }
    }

    /// Tells a node that nobody needs the order any more, which nobody has to wait for: a node that does not hear it forgets
    /// the order with the job.
    fn forget(&self, node: PublicKey, order: OrderId) {
        let (network, job) = (self.network.clone(), self.job);
        tokio::spawn(async move {
            let _lost = ask(&network, node, &Ask::Forget { job, order }).await;
        });
    }

    async fn ended(
        &self,
        node: PublicKey,
        errand: &Errand<'_>,
        end: End,
        watch: &Watch,
    ) -> Result<Attempt, AgentError> {
        let (state, diverged, ran_on) = match end {
            End::Done {
                state,
                diverged,
                ran_on,
            } => (state, diverged, ran_on),
            End::Failed { reason } => return Ok(Attempt::failed(reason)),
            End::Left { reason } => return Ok(Attempt::lost(reason)),
        };
        let outcome = if diverged {
            Outcome::Diverged
        } else {
            Outcome::Finished
        };
        let taken = tokio::select! {
            taken = self.take_in(node, errand.order, state, outcome) => taken,
            () = tokio::time::sleep(watch.handing_in()) => {
                Err(Attempt::stuck(watch.spent(self.clock.monotonic())))
            }
            _ = errand.stop.stopped() => return Ok(Attempt::Carried(Brought::Carried(Carried::Stopped), None)),
        };
        Ok(match taken {
            Err(attempt) => attempt,
            Ok(_) if diverged => Attempt::Carried(Brought::Diverged(node), None),
            Ok(state) => {
                lock(&self.roll).delivered(&node);
                let state = Box::new(state);
                Attempt::Carried(Brought::Carried(Carried::Finished { outcome, state }), ran_on)
            }
        })
    }

    /// Looks at an order until it has ended, and tells its news; how the attempt ends without an end of the order is the
    /// error.
    async fn await_end(
        &self,
        (node, order): (PublicKey, OrderId),
        errand: &Errand<'_>,
        watch: &mut Watch,
        mut held: Option<&mut Held>,
    ) -> Result<End, Attempt> {
        let job = self.job;
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = errand.stop.stopped() => {
                    return Err(Attempt::Carried(Brought::Carried(Carried::Stopped), None));
                }
            }
            if let Some(held) = held.as_deref_mut() {
                self.mind(held, node, order)?;
            }
            let told = watch.told();
            let answer = ask(&self.network, node, &Ask::Look { job, order, told }).await;
            let now = self.clock.monotonic();
            let (news, end) = match answer {
                Ok(Tell::Going { news }) => (news, None),
                Ok(Tell::Ended { news, end }) => (news, Some(end)),
                Ok(Tell::Unknown) => return Err(Attempt::lost("it does not know the order any more")),
                Ok(_) => return Err(Attempt::failed(NONSENSE)),
                Err(error) if watch.is_silent(now) => return Err(Attempt::lost(error)),
                Err(_) => continue,
            };
            if news.len() > MAX_NEWS || !watch.heard(&news, now) {
                return Err(Attempt::failed("it tells more than there is to tell"));
            }
            for one in news {
                let is_ours = held.as_deref_mut().is_none_or(|held| held.allows(&one));
                if is_ours {
                    errand.recorder.emit(one.event(errand.agent, errand.order.work));
                }
            }
            match (end, held.as_deref()) {
                (Some(End::Left { reason }), Some(held)) if held.tenure.is_ending() => {
                    return Err(Attempt::Again(reason));
                }
                (Some(end), _) => return Ok(end),
                (None, _) => {}
            }
            if let Some(stuck) = watch.stuck(now) {
                return Err(Attempt::stuck(stuck));
            }
        }
    }

    /// Has the node leave the device when the lease ends, and does without it when it does not.
    fn mind(&self, held: &mut Held, node: PublicKey, order: OrderId) -> Result<(), Attempt> {
        let now = self.clock.monotonic();
        if !held.tenure.is_ending() {
            return Ok(());
        }
        let since = *held.leaving.get_or_insert(now);
        if !std::mem::replace(&mut held.asked, true) {
            let (network, job) = (self.network.clone(), self.job);
            // Should it be lost: the node sees the lease end by itself.
            tokio::spawn(async move {
                let _lost = ask(&network, node, &Ask::Stop { job, order }).await;
            });
        }
        if now.saturating_sub(since) >= LOST_AFTER {
            return Err(Attempt::lost("it did not leave when the lease ended"));
        }
        Ok(())
    }

    /// Fetches a state and looks whether it is one that this training can have ended in.
    async fn take_in(
        &self,
        node: PublicKey,
        order: &Arc<Order>,
        state: ContentId,
        outcome: Outcome,
    ) -> Result<TrainState, Attempt> {
        let path = order.dir.join("handed-in.safetensors");
        let fetched = self.library.fetch(state, node, &path, MAX_STATE).await;
        fetched.map_err(Attempt::lost)?;
        let order = Arc::clone(order);
        let checked = blocking("a state", move || {
            let state = TrainState::load(&path);
            // Only its place is of use; a crash before this line leaves a file that nobody reads.
            let _gone = std::fs::remove_file(&path);
            order.ended_in(state?, outcome)
        });
        checked.await.map_err(Attempt::failed)
    }
}

impl Held {
    /// Whether the node may tell this: of leases only how much of this one it used, once. What the ledger decides, the run sees
    /// itself.
    fn allows(&mut self, news: &News) -> bool {
        match news {
            News::Ended { lease, bytes, .. } => {
                *lease == self.lease.id
                    && *bytes == self.lease.bytes
                    && !std::mem::replace(&mut self.is_told, true)
            }
            News::Requested { .. } | News::Queued { .. } | News::Granted { .. } => false,
            News::Epoch(_) | News::Yielded { .. } => true,
        }
    }
}

/// The end of a lease of which the node has told nothing.
fn tell_end(mut held: Held, errand: &Errand<'_>) {
    if held.is_told {
        return;
    }
    let end = match held.tenure.standing() {
        Standing::Over { end, .. } => end,
        _ => LeaseEnd::Released,
    };
    let (agent, lease) = (errand.agent, held.lease.id);
    errand.recorder.emit(EventKind::LeaseLapsed { agent, lease, end });
}
