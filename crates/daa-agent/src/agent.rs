//! An agent: a task with a mailbox that claims work, asks for leases, and carries the work out under them.

use crate::book::{Next, TrialBook, decision_digest};
use crate::chain::{ChainClient, DEVICE, Signal};
use crate::config::Delays;
use crate::device::SharedDevice;
use crate::error::AgentError;
use crate::events::{EventKind, LeaseEnd, Work};
use crate::leg::{Leg, LegEnd, Rein};
use crate::order::{Order, StoredResult};
use crate::recorder::Recorder;
use crate::stop::StopHandle;
use daa_base::{AgentId, Millis, Permille, Rng};
use daa_coord::{Command, Digest, Lease, LedgerEvent, ResourceRequest, ShortText};
use daa_gpu_core::ErrorClass;
use daa_learn::search::{TrialResult, TrialSpec};
use daa_learn::train::{Outcome, TrainState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Tasks that wait in a mailbox.
const MAILBOX: usize = 8;

/// How often unfinished work saves its state, so that a crash costs no more than this.
const SAVE_EVERY: Duration = Duration::from_secs(10);

/// Makes the order of a trial.
pub(crate) type OrderMaker = dyn Fn(&TrialSpec) -> Result<Order, AgentError> + Send + Sync;

/// Work on a lease that is not a training: runs on a blocking thread with the lease.
pub(crate) type LeasedJob = dyn FnOnce(&Lease, &SharedDevice) -> Result<daa_base::Bytes, AgentError> + Send;

/// What an agent can be given to do.
pub(crate) enum Task {
    /// Claim and carry out trials until the search is over.
    Search {
        book: Arc<TrialBook>,
        orders: Arc<OrderMaker>,
    },
    /// Carry out one training.
    Train { order: Arc<Order>, decision: Digest },
    /// Do something short under a lease of `bytes`. The job returns what it reserved at most.
    Leased {
        work: Work,
        bytes: daa_base::Bytes,
        job: Box<LeasedJob>,
    },
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaskEnd {
    /// It is done.
    Done,
    /// The run was asked to stop; what was done is saved.
    Stopped,
}

type Reply = oneshot::Sender<Result<TaskEnd, AgentError>>;

/// A running agent. Dropping the handle ends the agent once its mailbox is empty.
#[derive(Debug)]
pub(crate) struct AgentHandle {
    id: AgentId,
    mailbox: mpsc::Sender<(Task, Reply)>,
    task: JoinHandle<()>,
}

impl AgentHandle {
    /// Gives the agent a task and waits until it has ended.
    pub(crate) async fn give(&self, task: Task) -> Result<TaskEnd, AgentError> {
        let gone = AgentError::AgentGone { agent: self.id };
        let (reply, end) = oneshot::channel();
        if self.mailbox.send((task, reply)).await.is_err() {
            return Err(gone);
        }
        end.await.unwrap_or(Err(gone))
    }

    /// Ends the agent once its mailbox is empty, and waits for it.
    pub(crate) async fn finish(self) -> Result<(), AgentError> {
        drop(self.mailbox);
        self.task
            .await
            .map_err(|error| AgentError::internal("an agent", error))
    }
}

/// What an agent needs.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    pub(crate) client: ChainClient,
    pub(crate) device: Arc<SharedDevice>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) stop: StopHandle,
    /// Length of a lease.
    pub(crate) hold: Millis,
    /// Compute share asked for.
    pub(crate) share: Permille,
    /// Longest wait for an answer or for memory.
    pub(crate) patience: Duration,
    /// Random delays for tests.
    pub(crate) delays: Option<(Delays, Rng)>,
}

/// What became of one training.
enum Carried {
    Finished {
        outcome: Outcome,
        state: Box<TrainState>,
    },
    Stopped,
}

/// What became of one leg.
enum Ended {
    Finished {
        outcome: Outcome,
        state: Box<TrainState>,
    },
    /// Go on under another lease.
    Again,
}

impl Agent {
    /// Starts the agent's task.
    pub(crate) fn spawn(mut self) -> AgentHandle {
        let (mailbox, mut inbox) = mpsc::channel::<(Task, Reply)>(MAILBOX);
        let id = self.id;
        let task = tokio::spawn(async move {
            while let Some((task, reply)) = inbox.recv().await {
                let end = self.perform(task).await;
                // Whoever gave the task may have gone; the work is saved all the same.
                let _ = reply.send(end);
            }
        });
        AgentHandle { id, mailbox, task }
    }

    async fn perform(&mut self, task: Task) -> Result<TaskEnd, AgentError> {
        match task {
            Task::Search { book, orders } => self.search(&book, &orders).await,
            Task::Train { order, decision } => self.train(&order, decision).await,
            Task::Leased { work, bytes, job } => self.leased(work, bytes, job).await,
        }
    }

    async fn search(&mut self, book: &TrialBook, orders: &Arc<OrderMaker>) -> Result<TaskEnd, AgentError> {
        loop {
            if self.stop.is_stopped() {
                return Ok(TaskEnd::Stopped);
            }
            self.delay().await;
            match self.client.node().view(|ledger| book.next(ledger))? {
                Next::Done => return Ok(TaskEnd::Done),
                Next::Wait => self.wait_for_news().await?,
                Next::Claim(spec) => {
                    let digest = decision_digest(&spec)?;
                    let answer = self
                        .client
                        .call(&Command::ClaimTrial {
                            trial: spec.id,
                            digest,
                        })
                        .await?;
                    // Another agent may have been quicker; then there is something else to do.
                    if matches!(answer, Some(LedgerEvent::TrialClaimed { .. }))
                        && self.trial(book, &spec, digest, orders).await? == TaskEnd::Stopped
                    {
                        return Ok(TaskEnd::Stopped);
                    }
                }
            }
        }
    }

    /// Carries out a claimed trial and records its result in the ledger.
    async fn trial(
        &mut self,
        book: &TrialBook,
        spec: &TrialSpec,
        digest: Digest,
        orders: &Arc<OrderMaker>,
    ) -> Result<TaskEnd, AgentError> {
        let (orders, agent, of) = (Arc::clone(orders), self.id, *spec);
        // Compiling a plan and hashing a checkpoint take milliseconds: not on the tasks' threads.
        let (order, stored) = blocking("an order", move || {
            let order = orders(&of)?;
            let stored = order.finished(digest)?;
            Ok((Arc::new(order), stored))
        })
        .await?;
        self.recorder.emit(EventKind::WorkClaimed {
            agent,
            work: order.work,
            architecture: order.architecture.clone(),
            from_epoch: spec.epochs_from,
            to_epoch: spec.epochs_to,
        });
        let stored = match stored {
            Some(stored) => {
                self.recorder.emit(EventKind::WorkRecovered {
                    agent,
                    work: order.work,
                });
                stored
            }
            None => match self.carry_out(&order).await? {
                Carried::Stopped => {
                    self.client
                        .call(&Command::AbandonTrial { trial: spec.id })
                        .await?;
                    return Ok(TaskEnd::Stopped);
                }
                Carried::Finished { state, .. } => {
                    let (order, id) = (Arc::clone(&order), spec.id);
                    blocking("a result", move || {
                        order.store(digest, &state, Some(TrialResult::of(id, &state)))
                    })
                    .await?
                }
            },
        };
        self.delay().await;
        self.record_result(spec, &stored).await?;
        let result = stored.result.filter(|result| result.score_micro > i64::MIN);
        self.recorder.emit(EventKind::WorkDone {
            agent,
            work: order.work,
            score: result.map(|result| result.score_micro as f64 / 1e6),
            parameters: order.parameters,
            plan_peak: order.peak(),
            outcome: if result.is_some() { "done" } else { "diverged" }.to_owned(),
        });
        tracing::debug!(trial = %spec.id, window = book.config().window, "recorded");
        Ok(TaskEnd::Done)
    }

    async fn record_result(&mut self, spec: &TrialSpec, stored: &StoredResult) -> Result<(), AgentError> {
        let result = stored.result.ok_or(AgentError::ResultGone { trial: spec.id })?;
        let command = Command::TrialResult {
            trial: spec.id,
            score_micro: result.score_micro,
            epochs: result.epochs,
            checkpoint: stored.digest(),
        };
        match self.client.call(&command).await? {
            Some(LedgerEvent::TrialRecorded { .. }) => Ok(()),
            None if self.client.node().view(|ledger| ledger.record(spec.id).is_some()) => Ok(()),
            answer => {
                let reason =
                    answer.map_or_else(|| "the answer was lost".to_owned(), |event| event.to_string());
                Err(AgentError::internal("a trial's result", reason))
            }
        }
    }

    async fn train(&mut self, order: &Arc<Order>, decision: Digest) -> Result<TaskEnd, AgentError> {
        let agent = self.id;
        self.recorder.emit(EventKind::WorkClaimed {
            agent,
            work: order.work,
            architecture: order.architecture.clone(),
            from_epoch: 0,
            to_epoch: order.config.epochs,
        });
        if order.finished(decision)?.is_some() {
            self.recorder.emit(EventKind::WorkRecovered {
                agent,
                work: order.work,
            });
        } else {
            match self.carry_out(order).await? {
                Carried::Stopped => return Ok(TaskEnd::Stopped),
                Carried::Finished {
                    outcome: Outcome::Diverged,
                    ..
                } => return Err(AgentError::Diverged),
                Carried::Finished { state, .. } => {
                    let order = Arc::clone(order);
                    blocking("a result", move || order.store(decision, &state, None)).await?;
                }
            }
        }
        self.recorder.emit(EventKind::WorkDone {
            agent,
            work: order.work,
            score: None,
            parameters: order.parameters,
            plan_peak: order.peak(),
            outcome: "done".to_owned(),
        });
        Ok(TaskEnd::Done)
    }

    async fn leased(
        &mut self,
        work: Work,
        bytes: daa_base::Bytes,
        job: Box<LeasedJob>,
    ) -> Result<TaskEnd, AgentError> {
        let Some(lease) = self.acquire(work, bytes).await? else {
            return Ok(TaskEnd::Stopped);
        };
        let (device, held) = (Arc::clone(&self.device), lease.clone());
        let result = blocking("a leased job", move || job(&held, &device)).await;
        let high_water = *result.as_ref().unwrap_or(&daa_base::Bytes::ZERO);
        self.give_back(&lease, LeaseEnd::Released, high_water).await?;
        result.map(|_| TaskEnd::Done)
    }

    /// Trains until the work is done or the run stops, under as many leases as it takes.
    async fn carry_out(&mut self, order: &Arc<Order>) -> Result<Carried, AgentError> {
        loop {
            self.delay().await;
            let Some(lease) = self.acquire(order.work, order.peak()).await? else {
                return Ok(Carried::Stopped);
            };
            self.delay().await;
            match self.under_lease(order, lease).await? {
                Ended::Finished { outcome, state } => return Ok(Carried::Finished { outcome, state }),
                Ended::Again => {}
            }
        }
    }

    /// Asks the ledger for a lease until it is granted; `None` when the run stops first.
    async fn acquire(&mut self, work: Work, bytes: daa_base::Bytes) -> Result<Option<Lease>, AgentError> {
        if self.stop.is_stopped() {
            return Ok(None);
        }
        let request = ResourceRequest {
            device: Some(DEVICE),
            bytes,
            share: self.share,
            priority: 0,
            hold: self.hold,
            deadline: None,
            purpose: ShortText::fitted(&work.to_string()),
        };
        self.recorder.emit(EventKind::LeaseRequested {
            agent: self.id,
            work,
            bytes,
            share: self.share,
        });
        let seq = self.client.submit(&Command::Request(request))?;
        let stop = self.stop.clone();
        let mut withdrawn = false;
        loop {
            let signals = tokio::select! {
                signals = self.client.turn() => signals?,
                _ = stop.stopped(), if !withdrawn => {
                    withdrawn = true;
                    let request = daa_coord::RequestId { agent: self.id, seq };
                    self.client.submit(&Command::Cancel { request })?;
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
                            agent: self.id,
                            work,
                            ahead,
                            reason,
                        });
                    }
                    Signal::Answered { seq: of, event } if of == seq => {
                        return self.granted(work, bytes, seq, event, withdrawn).await;
                    }
                    _ => {}
                }
            }
        }
    }

    async fn granted(
        &mut self,
        work: Work,
        bytes: daa_base::Bytes,
        seq: u64,
        event: Option<Box<LedgerEvent>>,
        withdrawn: bool,
    ) -> Result<Option<Lease>, AgentError> {
        let agent = self.id;
        let lease = match event.map(|event| *event) {
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
                let request = daa_coord::RequestId { agent, seq };
                let found =
                    |ledger: &daa_coord::Ledger| ledger.leases().find(|l| l.request == request).cloned();
                self.client.node().view(found).ok_or_else(|| {
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
        });
        if withdrawn {
            self.give_back(&lease, LeaseEnd::Released, daa_base::Bytes::ZERO)
                .await?;
            return Ok(None);
        }
        Ok(Some(lease))
    }

    /// Trains under `lease` until the work is done, the lease ends, or the run stops.
    async fn under_lease(&mut self, order: &Arc<Order>, mut lease: Lease) -> Result<Ended, AgentError> {
        let device = Arc::clone(&self.device);
        // Registered before the pool is asked, so that memory freed in between is not missed.
        let freed = device.freed();
        tokio::pin!(freed);
        freed.as_mut().enable();
        let context = device.context();
        let rein = Arc::new(Rein::default());
        let leg = Leg {
            agent: self.id,
            order: Arc::clone(order),
            lease: lease.clone(),
            context: context.clone(),
            recorder: Arc::clone(&self.recorder),
            rein: Arc::clone(&rein),
        };
        let running = tokio::task::spawn_blocking(move || leg.run());
        let (end, lease_end, why) = self.watch(running, &mut lease, &rein).await?;
        device.memory_freed();
        let LegEnd { outcome, high_water } = end;
        let finished = matches!(&outcome, Ok((outcome, _)) if *outcome != Outcome::Yielded);
        let lease_end = match lease_end {
            Some(over) => over,
            None if finished || outcome.is_err() => LeaseEnd::Released,
            None => LeaseEnd::Yielded,
        };
        self.give_back(&lease, lease_end, high_water).await?;
        match outcome {
            Ok((Outcome::Yielded, state)) => {
                let (agent, work) = (self.id, order.work);
                let position = state.position();
                let (epoch, step) = (position.epoch, u64::from(position.step));
                self.recorder.emit(EventKind::WorkYielded {
                    agent,
                    work,
                    epoch,
                    step,
                    reason: why,
                });
                Ok(Ended::Again)
            }
            Ok((outcome, state)) => Ok(Ended::Finished {
                outcome,
                state: Box::new(state),
            }),
            Err(error) => {
                let patience = self.patience;
                match error.gpu() {
                    // The memory of a lease that has ended comes back at its holder's next step boundary.
                    Some(ErrorClass::OutOfMemory) if tokio::time::timeout(patience, freed).await.is_ok() => {}
                    Some(
                        ErrorClass::DeviceLost
                        | ErrorClass::OutOfMemory
                        | ErrorClass::Internal
                        | ErrorClass::Timeout,
                    ) if context.info().class != daa_gpu_core::DeviceClass::Host => {
                        self.fall_back(&context, &error)?;
                    }
                    _ => return Err(error),
                }
                Ok(Ended::Again)
            }
        }
    }

    /// Waits for the leg to end; meanwhile prolongs the lease, and pulls the rein when it cannot be prolonged.
    async fn watch(
        &mut self,
        mut running: JoinHandle<LegEnd>,
        lease: &mut Lease,
        rein: &Rein,
    ) -> Result<(LegEnd, Option<LeaseEnd>, String), AgentError> {
        let stop = self.stop.clone();
        let mut why = String::new();
        let mut over = None;
        let mut renewal = None;
        let third = Duration::from_millis((self.hold.get() / 3).max(1));
        let mut renew = tokio::time::interval_at(tokio::time::Instant::now() + third, third);
        renew.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut save = tokio::time::interval_at(tokio::time::Instant::now() + SAVE_EVERY, SAVE_EVERY);
        save.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                end = &mut running => {
                    let end = end.map_err(|error| AgentError::internal("a training thread", error))?;
                    return Ok((end, over, why));
                }
                _ = renew.tick(), if renewal.is_none() && why.is_empty() => {
                    let (id, token, hold) = (lease.id, lease.token, self.hold);
                    renewal = Some(self.client.submit(&Command::Renew { lease: id, token, hold })?);
                }
                _ = save.tick() => rein.save(),
                reason = stop.stopped(), if why.is_empty() => {
                    why = reason;
                    rein.leave();
                }
                signals = self.client.turn() => for signal in signals? {
                    if let Some(reason) = self.lease_signal(signal, lease, &mut renewal, &mut over) {
                        why = reason;
                        rein.leave();
                    }
                },
            }
        }
    }

    /// What a signal means for the lease: a reason to leave, or nothing.
    fn lease_signal(
        &self,
        signal: Signal,
        lease: &mut Lease,
        renewal: &mut Option<u64>,
        over: &mut Option<LeaseEnd>,
    ) -> Option<String> {
        match signal {
            Signal::Answered { seq, event } if *renewal == Some(seq) => {
                *renewal = None;
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
                *over = Some(LeaseEnd::Expired);
                Some("the lease has run out".to_owned())
            }
            Signal::Event(LedgerEvent::LeaseRevoked {
                lease: ended, reason, ..
            }) if ended.id == lease.id => {
                *over = Some(LeaseEnd::Revoked);
                Some(format!("the lease was revoked: {reason}"))
            }
            Signal::Resynced if self.client.node().view(|ledger| ledger.lease(lease.id).is_none()) => {
                *over = Some(LeaseEnd::Expired);
                Some("the lease has ended".to_owned())
            }
            _ => None,
        }
    }

    /// Gives a lease back, unless it has ended already.
    async fn give_back(
        &mut self,
        lease: &Lease,
        end: LeaseEnd,
        high_water: daa_base::Bytes,
    ) -> Result<(), AgentError> {
        if matches!(end, LeaseEnd::Released | LeaseEnd::Yielded) {
            // Rejected when it ran out in the same moment, which is as good.
            self.client
                .call(&Command::Release {
                    lease: lease.id,
                    token: lease.token,
                })
                .await?;
        }
        let (agent, id, bytes) = (self.id, lease.id, lease.bytes);
        self.recorder.emit(EventKind::LeaseEnded {
            agent,
            lease: id,
            end,
            bytes,
            high_water,
        });
        Ok(())
    }

    fn fall_back(
        &self,
        context: &daa_gpu_core::ComputeContext,
        error: &AgentError,
    ) -> Result<(), AgentError> {
        if let Some(fallback) = self.device.fall_back(context)? {
            self.recorder.emit(EventKind::DeviceFailed {
                error: error.to_string(),
                fallback,
            });
        }
        Ok(())
    }

    /// Waits until something happens in the ledger, or the run stops.
    async fn wait_for_news(&mut self) -> Result<(), AgentError> {
        let stop = self.stop.clone();
        loop {
            tokio::select! {
                _ = stop.stopped() => return Ok(()),
                signals = self.client.turn() => if !signals?.is_empty() { return Ok(()) },
            }
        }
    }

    async fn delay(&mut self) {
        if let Some((delays, rng)) = &mut self.delays {
            let longest = usize::try_from(delays.longest.get())
                .unwrap_or(usize::MAX)
                .saturating_add(1);
            let millis = rng.below(longest) as u64;
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
    }
}

/// Runs `job` on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    what: &'static str,
    job: impl FnOnce() -> Result<T, AgentError> + Send + 'static,
) -> Result<T, AgentError> {
    tokio::task::spawn_blocking(job)
        .await
        .map_err(|error| AgentError::internal(what, error))?
}
