//! The nodes that work for a run: found, prepared, given orders, and done without when they are lost.
//!
//! The run leads and only asks ([`work`](crate::work)). What a node reports is not trusted with more than its own order: a
//! state that it hands in must be one of that training, or the order goes to another node and the node loses its standing.

mod line;
mod muster;
mod roll;
mod watch;

use crate::agent::{Carried, blocking};
use crate::error::AgentError;
use crate::events::{EventKind, RanOn};
use crate::job::Job;
use crate::library::{Library, Published};
use crate::order::{Order, state_path};
use crate::recorder::Recorder;
use crate::stop::StopHandle;
use crate::work::{Ask, Crowd, End, JobId, MAX_NEWS, OrderId, Tell, What};
use daa_base::{AgentId, Clock};
use daa_coord::discovery::{Incoming, Multiaddr, Network, Request, RequestError, Response};
use daa_coord::streams::ContentId;
use daa_coord::{AgentKey, Genesis, PublicKey};
use daa_learn::train::{Outcome, TrainState};
pub(crate) use line::{Home, Line};
use muster::Muster;
use roll::Roll;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use watch::{Queue, Trials, Watch};

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
    /// How long to go on without any node that takes orders.
    pub patience: Duration,
}

/// The nodes that work for one run.
#[derive(Debug)]
pub(crate) struct Crew {
    network: Network,
    home: Home,
    library: Arc<Library>,
    validators: usize,
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

/// How an order ended at one node.
enum Attempt {
    Carried(Brought, Option<RanOn>),
    /// The node did not take it for now.
    Full(Crowd),
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
struct Errand<'a> {
    agent: AgentId,
    order: &'a Arc<Order>,
    recorder: &'a Arc<Recorder>,
    stop: &'a StopHandle,
    what: What,
}

fn lock(roll: &Mutex<Roll>) -> MutexGuard<'_, Roll> {
    roll.lock().unwrap_or_else(PoisonError::into_inner)
}

fn internal(error: impl std::fmt::Display) -> AgentError {
    AgentError::internal("the network", error)
}

impl Crew {
    /// Looks for nodes from now on. `job` is kept at `path` as long as nodes may fetch it.
    pub(crate) async fn start(
        line: Line,
        job: &Job,
        path: PathBuf,
        recorder: Arc<Recorder>,
    ) -> Result<Self, AgentError> {
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
            validators: line.validators,
            job: JobId { content, run },
            _published: job,
            roll: Arc::default(),
            changed: Arc::default(),
            clock: line.clock,
            orders: AtomicU64::new(0),
            patience: line.patience,
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
            job: self.job,
            roll: Arc::clone(&self.roll),
            changed: Arc::clone(&self.changed),
            clock: Arc::clone(&self.clock),
            recorder,
        };
        tasks.spawn(muster.run());
    }

    /// Validators that agree on the ledger's leases at its beginning; 0 where one sequencer gives the order.
    pub(crate) const fn validators(&self) -> usize {
        self.validators
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

    async fn attempt(&self, place: &Place, errand: &Errand<'_>, stuck: u32) -> Result<Attempt, AgentError> {
        let (node, job, what) = (place.node, self.job, errand.what);
        let order = OrderId(self.orders.fetch_add(1, Ordering::Relaxed));
        match ask(&self.network, node, &Ask::Do { job, order, what }).await {
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
        let attempt = match self.await_end(node, order, errand, &mut watch).await {
            Ok(end) => self.ended(node, errand, end, &watch).await,
            Err(attempt) => Ok(attempt),
        };
        self.forget(node, order);
        attempt
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
        node: PublicKey,
        order: OrderId,
        errand: &Errand<'_>,
        watch: &mut Watch,
    ) -> Result<End, Attempt> {
        let job = self.job;
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = errand.stop.stopped() => {
                    return Err(Attempt::Carried(Brought::Carried(Carried::Stopped), None));
                }
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
                errand.recorder.emit(one.event(errand.agent, errand.order.work));
            }
            if let Some(end) = end {
                return Ok(end);
            }
            if let Some(stuck) = watch.stuck(now) {
                return Err(Attempt::stuck(stuck));
            }
        }
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
        Ok(Response::Work(bytes)) => Tell::decode(&bytes).map_err(internal),
        Ok(_) => Err(internal("an answer of another kind")),
        Err(error) => Err(AgentError::from(error)),
    }
}

impl From<RequestError> for AgentError {
    fn from(error: RequestError) -> Self {
        internal(error)
    }
}
