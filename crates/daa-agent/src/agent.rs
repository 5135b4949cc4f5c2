//! An agent: a task with a mailbox that claims work, asks for leases, and carries the work out under them.

mod leases;

pub(crate) use leases::{Carried, LeasedJob};

use crate::book::{Next, TrialBook, decision_digest};
use crate::chain::ChainClient;
use crate::config::Delays;
use crate::crew::Crew;
use crate::device::SharedDevice;
use crate::error::AgentError;
use crate::events::{EventKind, RanOn, Work};
use crate::order::{Order, StoredResult};
use crate::recorder::Recorder;
use crate::stop::StopHandle;
use daa_base::{AgentId, Bytes, DeviceId, Millis, Permille, Rng};
use daa_coord::{Command, Digest, LedgerEvent};
use daa_learn::search::{TrialResult, TrialSpec};
use daa_learn::train::Outcome;
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
        bytes: Bytes,
        job: Arc<LeasedJob>,
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
    /// What the ledger calls the device.
    pub(crate) device_id: DeviceId,
    /// Nodes that train in the agent's place.
    pub(crate) crew: Option<Arc<Crew>>,
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
    /// Where the work at hand ran last.
    pub(crate) ran_on: Option<RanOn>,
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
            Task::Leased { work, bytes, job } => self.leased(work, bytes, &job).await,
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
            ran_on: self.ran_on.take(),
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
            ran_on: self.ran_on.take(),
        });
        Ok(TaskEnd::Done)
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
