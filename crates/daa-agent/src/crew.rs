//! The nodes that work for a run: found, prepared, given orders, and done without when they are lost.
//!
//! The run leads and only asks ([`work`](crate::work)). What a node reports is not trusted with more than its own order: a
//! state that it hands in must be one of that training, or the order goes to another node and the node loses its standing.

mod attempt;
mod lessee;
mod line;
mod muster;
mod roll;
mod seat;
mod watch;

use crate::agent::{Carried, blocking};
use crate::error::AgentError;
use crate::events::{EventKind, RanOn};
use crate::job::Job;
use crate::library::{Library, Published};
use crate::order::{Order, state_path};
use crate::recorder::Recorder;
use crate::stop::StopHandle;
use crate::summary::AgreementSummary;
use crate::work::{Ask, JobId, Tell, What};
pub(crate) use attempt::Brought;
use attempt::{Attempt, Errand};
use daa_base::{AgentId, Clock};
use daa_coord::discovery::{Incoming, Multiaddr, Network, Request, RequestError, Response};
use daa_coord::{AgentKey, Genesis, PublicKey};
pub(crate) use line::{Home, Line};
use muster::Muster;
use roll::Roll;
use seat::Seat;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use watch::{Queue, Trials};

/// Time between two looks at an order.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Time between two looks at which nodes there are, and at each of them.
const MUSTER_EVERY: Duration = Duration::from_secs(1);

/// Longest wait for one answer. Two of them, as a look at a node takes, are shorter than the time after which a node that
/// does not answer is lost.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// Largest state that is fetched, in bytes.
const MAX_STATE: u64 = 2 << 30;

/// How a run reaches the nodes of a ledger.
#[derive(Debug, Clone)]
pub struct Join {
    /// Where nodes listen for agents, at least one.
    pub addresses: Vec<Multiaddr>,
    /// The ledger.
    pub genesis: Genesis,
    /// The key of one of its agents, by which nodes know the run.
    pub key: AgentKey,
    /// The member of the genesis whose run it is: with whose nodes it shares what it learns, if it does.
    pub member: PublicKey,
    /// Where nodes listen for validators: there the run follows the ledger and asks it for leases.
    pub validators: Vec<Multiaddr>,
    /// How long to go on without any node that takes orders.
    pub patience: Duration,
}

/// The nodes that work for one run.
#[derive(Debug)]
pub(crate) struct Crew {
    network: Network,
    home: Home,
    library: Arc<Library>,
    /// Where validators agree on leases: the run's part there.
    seat: Option<Arc<Seat>>,
    job: JobId,
    /// What keeps the job where nodes find it.
    _published: Published,
    roll: Arc<Mutex<Roll>>,
    changed: Arc<Notify>,
    clock: Arc<dyn Clock>,
    orders: AtomicU64,
    patience: Duration,
    tasks: Mutex<JoinSet<()>>,
}

/// A place at a node, free again when dropped.
struct Place {
    node: PublicKey,
    roll: Arc<Mutex<Roll>>,
    changed: Arc<Notify>,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.roll).give_back(&self.node);
        self.changed.notify_waiters();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn internal(error: impl std::fmt::Display) -> AgentError {
    AgentError::internal("the network", error)
}

impl Crew {
    /// Looks for nodes from now on. `job` is kept in `folder` as long as nodes may fetch it, and so are blocks.
    pub(crate) async fn start(
        line: Line,
        job: &Job,
        folder: PathBuf,
        recorder: Arc<Recorder>,
    ) -> Result<Self, AgentError> {
        let seat = if line.join.genesis.validators().is_empty() {
            None
        } else {
            let seat = Seat::take(&line.join, folder.join("chain"), Arc::clone(&line.clock));
            Some(Arc::new(seat.await?))
        };
        let path = folder.join("job");
        let library = Arc::new(Library::new(line.network.clone(), Arc::clone(&line.clock))?);
        let bytes = job.encode()?;
        let shelf = Arc::clone(&library);
        let job = blocking("the job", move || {
            daa_learn::files::write_whole(&path, &bytes).map_err(|source| crate::error::FolderError::Io {
                path: path.clone(),
                doing: "write",
                source,
            })?;
            shelf.publish(&path)
        })
        .await?;
        let content = job.id();
        let run = token()?;
        let crew = Self {
            network: line.network,
            home: line.home,
            library,
            seat,
            job: JobId { content, run },
            _published: job,
            roll: Arc::default(),
            changed: Arc::default(),
            clock: line.clock,
            orders: AtomicU64::new(0),
            patience: line.join.patience,
            tasks: Mutex::default(),
        };
        crew.spawn_tasks(line.incoming, recorder);
        Ok(crew)
    }

    /// The way to the nodes of the run's owner.
    pub(crate) const fn home(&self) -> &Home {
        &self.home
    }

    fn spawn_tasks(&self, mut incoming: Incoming, recorder: Arc<Recorder>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let library = Arc::clone(&self.library);
        tasks.spawn(async move {
            while let Some(served) = incoming.next().await {
                let library = Arc::clone(&library);
                // A run has nothing but content; what else is asked is dropped, which tells the peer so.
                tokio::task::spawn_blocking(move || drop(library.serve(served)));
            }
        });
        let muster = Muster {
            network: self.network.clone(),
            seat: self.seat.clone(),
            job: self.job,
            roll: Arc::clone(&self.roll),
            changed: Arc::clone(&self.changed),
            clock: Arc::clone(&self.clock),
            recorder,
        };
        tasks.spawn(muster.run());
    }

    /// How the leases were agreed on; nothing is known of that where one sequencer gives the order.
    pub(crate) fn agreement(&self) -> AgreementSummary {
        self.seat
            .as_ref()
            .map(|seat| seat.agreement())
            .unwrap_or_default()
    }

    /// Tells the nodes that the run is over, and leaves the network.
    pub(crate) async fn leave(&self) {
        let nodes: Vec<PublicKey> = lock(&self.roll).nodes();
        let mut leaving = JoinSet::new();
        for node in nodes {
            let (network, job) = (self.network.clone(), self.job);
            leaving.spawn(async move {
                // A node that does not hear it drops the job in time.
                let _lost = ask(&network, node, &Ask::Leave { job }).await;
            });
        }
        while leaving.join_next().await.is_some() {}
        if let Some(seat) = &self.seat {
            seat.leave().await;
        }
        self.network.stop().await;
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .abort_all();
    }

    /// Has a node do `order`, another one when it is lost, until it is done or the run stops.
    pub(crate) async fn carry_out(
        &self,
        agent: AgentId,
        order: &Arc<Order>,
        recorder: &Arc<Recorder>,
        stop: &StopHandle,
    ) -> Result<(Brought, Option<RanOn>), AgentError> {
        let from = match &order.from {
            None => None,
            Some(dir) => {
                let (library, path) = (Arc::clone(&self.library), state_path(dir));
                Some(blocking("a state", move || library.publish(&path)).await?)
            }
        };
        let what = What {
            spec: order.spec,
            from: from.as_ref().map(Published::id),
        };
        let errand = Errand {
            agent,
            order,
            recorder,
            stop,
            what,
        };
        self.carry_on(&errand).await
    }

    async fn carry_on(&self, errand: &Errand<'_>) -> Result<(Brought, Option<RanOn>), AgentError> {
        let mut trials = Trials::default();
        let mut queue = Queue::new(self.patience, self.clock.monotonic());
        loop {
            let Some(place) = self.place(&mut queue, errand.stop).await? else {
                return Ok((Brought::Carried(Carried::Stopped), None));
            };
            let begun = self.clock.monotonic();
            let attempt = self.attempt(&place, errand, trials.stuck).await?;
            let now = self.clock.monotonic();
            match attempt {
                Attempt::Carried(carried, ran_on) => return Ok((carried, ran_on)),
                Attempt::Full(why) => {
                    let change = lock(&self.roll).full(&place.node, why, now);
                    if let Some(told) = change.and_then(|change| muster::full(&place.node, change)) {
                        errand.recorder.emit(told);
                    }
                }
                Attempt::Again(reason) => {
                    tracing::debug!(node = %place.node, reason, "a lease ended before its order");
                    queue = Queue::new(self.patience, now);
                }
                Attempt::Lost {
                    reason,
                    blame,
                    is_stuck,
                } => {
                    trials.stuck += u32::from(is_stuck);
                    let wasted = now.saturating_sub(begun);
                    lock(&self.roll).lost(&place.node, blame, wasted, now);
                    queue = Queue::new(self.patience, now);
                    self.tell_lost(errand, &place.node, reason, trials.lost(blame))?;
                }
            }
        }
    }

    /// `attempts`: how often the order was lost, if that is too often.
    fn tell_lost(
        &self,
        errand: &Errand<'_>,
        node: &PublicKey,
        reason: String,
        attempts: Option<u32>,
    ) -> Result<(), AgentError> {
        let work = errand.order.work;
        errand.recorder.emit(EventKind::OrderLost {
            agent: errand.agent,
            work,
            node: node.to_hex(),
            reason: reason.clone(),
        });
        match attempts {
            None => Ok(()),
            Some(attempts) => Err(AgentError::Orders {
                work,
                attempts,
                reason,
            }),
        }
    }

    /// `node` said that a training diverged, and it did not.
    pub(crate) fn convict(&self, node: &PublicKey) {
        let now = self.clock.monotonic();
        lock(&self.roll).lost(node, true, Duration::ZERO, now);
    }

    /// A place at a node, once there is one; `None` when the run stops first.
    async fn place(&self, queue: &mut Queue, stop: &StopHandle) -> Result<Option<Place>, AgentError> {
        loop {
            // Registered before the look, so that no change in between is missed.
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let now = self.clock.monotonic();
            let (taken, outlook) = {
                let mut roll = lock(&self.roll);
                let taken = roll.take(now);
                (taken, roll.outlook())
            };
            if let Some(node) = taken {
                return Ok(Some(Place {
                    node,
                    roll: Arc::clone(&self.roll),
                    changed: Arc::clone(&self.changed),
                }));
            }
            queue.wait(outlook, now)?;
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = stop.stopped() => return Ok(None),
            }
        }
    }
}

/// A number that no other process of this run, or of another run of the same job, has.
fn token() -> Result<u64, AgentError> {
    let mut token = [0; 8];
    getrandom::fill(&mut token).map_err(|error| AgentError::internal("a random number", error))?;
    Ok(u64::from_le_bytes(token))
}

/// Asks a node; an answer that cannot be read is an error like no answer.
pub(crate) async fn ask(network: &Network, node: PublicKey, ask: &Ask) -> Result<Tell, AgentError> {
    let bytes = ask.encode().map_err(internal)?;
    let answer = network.request(node, Request::Work(bytes));
    let answer = tokio::time::timeout(ANSWER_WITHIN, answer).await;
    match answer.unwrap_or(Err(RequestError::Timeout { peer: node })) {
        Ok(Response::Work(bytes)) => {
            let tell = Tell::decode(&bytes).map_err(internal)?;
            match tell.is_plain() {
                true => Ok(tell),
                false => Err(internal("an answer with control characters")),
            }
        }
        Ok(_) => Err(internal("an answer of another kind")),
        Err(error) => Err(AgentError::from(error)),
    }
}

impl From<RequestError> for AgentError {
    fn from(error: RequestError) -> Self {
        internal(error)
    }
}
