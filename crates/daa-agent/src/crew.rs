//! The nodes that work for a run: found, prepared, given orders, and done without when they are lost.
//!
//! The run leads and only asks ([`work`](crate::work)). What a node reports is not trusted with more than its own order: a
//! state that it hands in must be one of that training, or the order goes to another node and the node loses its standing.

mod line;
mod muster;

use crate::agent::{Carried, blocking};
use crate::error::AgentError;
use crate::events::{EventKind, RanOn};
use crate::job::Job;
use crate::library::Library;
use crate::order::{Order, state_path};
use crate::recorder::Recorder;
use crate::stop::StopHandle;
use crate::work::{Ask, End, OrderId, Tell, What};
use daa_base::{AgentId, Clock};
use daa_coord::discovery::{Incoming, Multiaddr, Network, Request, RequestError, Response};
use daa_coord::streams::ContentId;
use daa_coord::{AgentKey, Genesis, PublicKey};
use daa_learn::train::{Outcome, TrainState, Trainer};
pub(crate) use line::{Home, Line};
use muster::Muster;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Time between two looks at an order.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Time between two looks at which nodes there are, and at each of them.
const MUSTER_EVERY: Duration = Duration::from_secs(1);

/// A node that does not answer for so long has lost its orders.
const LOST_AFTER: Duration = Duration::from_secs(10);

/// Orders that a node may fail before it gets no more of this run.
const MAX_STRIKES: u32 = 3;

/// Nodes that may fail one order before the run fails.
const MAX_ATTEMPTS: u32 = 6;

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

#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// Not ready for the job.
    New,
    Ready,
    /// It gets no orders.
    Out,
}

#[derive(Debug)]
struct Hand {
    standing: Standing,
    slots: u32,
    used: u32,
    strikes: u32,
    /// When it answered last.
    heard: Duration,
}

/// What nodes said about their ledger.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Heard {
    pub(crate) validators: u32,
    first: Option<u64>,
    last: u64,
}

impl Heard {
    /// Blocks since the run first heard of the ledger.
    pub(crate) fn blocks(&self) -> u64 {
        self.first.map_or(0, |first| self.last.saturating_sub(first))
    }
}

#[derive(Debug, Default)]
struct Roll {
    hands: BTreeMap<PublicKey, Hand>,
    heard: Heard,
}

/// The nodes that work for one run.
#[derive(Debug)]
pub(crate) struct Crew {
    network: Network,
    home: Home,
    library: Arc<Library>,
    job: ContentId,
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
        if let Some(hand) = lock(&self.roll).hands.get_mut(&self.node) {
            hand.used = hand.used.saturating_sub(1);
        }
        self.changed.notify_waiters();
    }
}

/// How an order ended at one node.
enum Attempt {
    Carried(Carried, Option<RanOn>),
    /// The node has no place left.
    Full,
    /// The node is lost or failed; `blame`: it broke the rules.
    Lost {
        reason: String,
        blame: bool,
    },
}

impl Attempt {
    fn lost(reason: impl std::fmt::Display) -> Self {
        let reason = reason.to_string();
        Self::Lost { reason, blame: false }
    }

    fn failed(reason: impl std::fmt::Display) -> Self {
        let reason = reason.to_string();
        Self::Lost { reason, blame: true }
    }
}

/// What an answer is that does not go with the question.
const NONSENSE: &str = "its answer makes no sense";

/// An order on its way, and who wants it.
struct Errand<'a> {
    agent: AgentId,
    order: &'a Arc<Order>,
    recorder: &'a Arc<Recorder>,
    stop: &'a StopHandle,
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
        let crew = Self {
            network: line.network,
            home: line.home,
            library,
            job,
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

    /// What nodes said about their ledger up to now.
    pub(crate) fn heard(&self) -> Heard {
        lock(&self.roll).heard
    }

    /// Tells the nodes that the run is over, and leaves the network.
    pub(crate) async fn leave(&self) {
        let nodes: Vec<PublicKey> = lock(&self.roll).hands.keys().copied().collect();
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
    ) -> Result<(Carried, Option<RanOn>), AgentError> {
        let from = match &order.from {
            None => None,
            Some(dir) => {
                let (library, path) = (Arc::clone(&self.library), state_path(dir));
                Some(blocking("a state", move || library.publish(&path)).await?)
            }
        };
        let carried = self.carry_on(agent, order, from, (recorder, stop)).await;
        if let Some(from) = &from {
            self.library.withdraw(from);
        }
        carried
    }

    async fn carry_on(
        &self,
        agent: AgentId,
        order: &Arc<Order>,
        from: Option<ContentId>,
        (recorder, stop): (&Arc<Recorder>, &StopHandle),
    ) -> Result<(Carried, Option<RanOn>), AgentError> {
        let what = What {
            spec: order.spec,
            from,
        };
        let errand = Errand {
            agent,
            order,
            recorder,
            stop,
        };
        let mut attempts = 0;
        loop {
            let Some(place) = self.place(stop).await? else {
                return Ok((Carried::Stopped, None));
            };
            match self.attempt(&place, &errand, what).await? {
                Attempt::Carried(carried, ran_on) => return Ok((carried, ran_on)),
                // Another run was quicker.
                Attempt::Full => {
                    drop(place);
                    tokio::time::sleep(MUSTER_EVERY).await;
                }
                Attempt::Lost { reason, blame } => {
                    attempts += u32::from(blame);
                    self.strike(&place.node, blame);
                    recorder.emit(EventKind::OrderLost {
                        agent,
                        work: order.work,
                        node: place.node.to_hex(),
                        reason: reason.clone(),
                    });
                    if attempts >= MAX_ATTEMPTS {
                        return Err(AgentError::Orders {
                            work: order.work,
                            attempts,
                            reason,
                        });
                    }
                }
            }
        }
    }

    fn strike(&self, node: &PublicKey, blame: bool) {
        let mut roll = lock(&self.roll);
        let Some(hand) = roll.hands.get_mut(node) else {
            return;
        };
        hand.strikes += u32::from(blame);
        hand.standing = if hand.strikes >= MAX_STRIKES {
            Standing::Out
        } else {
            // It is asked anew whether it is ready before it gets another.
            Standing::New
        };
    }

    /// A place at the node with the most free ones, once there is one; `None` when the run stops first.
    async fn place(&self, stop: &StopHandle) -> Result<Option<Place>, AgentError> {
        let mut alone_since = self.clock.monotonic();
        loop {
            // Registered before the look, so that no change in between is missed.
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(place) = self.take() {
                return Ok(Some(place));
            }
            let now = self.clock.monotonic();
            if lock(&self.roll)
                .hands
                .values()
                .any(|hand| hand.standing == Standing::Ready)
            {
                alone_since = now;
            }
            let waited = now.saturating_sub(alone_since);
            if waited >= self.patience {
                return Err(AgentError::NoNodes { waited });
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(MUSTER_EVERY) => {}
                _ = stop.stopped() => return Ok(None),
            }
        }
    }

    fn take(&self) -> Option<Place> {
        let mut roll = lock(&self.roll);
        let ready = roll
            .hands
            .iter_mut()
            .filter(|(_, hand)| hand.standing == Standing::Ready && hand.used < hand.slots);
        let (&node, hand) = ready.max_by_key(|(_, hand)| hand.slots - hand.used)?;
        hand.used += 1;
        Some(Place {
            node,
            roll: Arc::clone(&self.roll),
            changed: Arc::clone(&self.changed),
        })
    }

    async fn attempt(&self, place: &Place, errand: &Errand<'_>, what: What) -> Result<Attempt, AgentError> {
        let (node, job) = (place.node, self.job);
        let id = OrderId(self.orders.fetch_add(1, Ordering::Relaxed));
        match ask(&self.network, node, &Ask::Do { job, order: id, what }).await {
            Ok(Tell::Taken) => {}
            Ok(Tell::Full) => return Ok(Attempt::Full),
            Ok(Tell::Unknown) => return Ok(Attempt::lost("it has begun anew")),
            Ok(Tell::Invalid { reason }) => return Ok(Attempt::failed(reason)),
            Ok(_) => return Ok(Attempt::failed(NONSENSE)),
            Err(error) => return Ok(Attempt::lost(error)),
        }
        let end = match self.await_end(node, id, errand).await {
            Ok(end) => end,
            Err(attempt) => return Ok(attempt),
        };
        let End::Done {
            state,
            diverged,
            ran_on,
        } = end
        else {
            let End::Failed { reason } = end else {
                return Ok(Attempt::failed(NONSENSE));
            };
            return Ok(Attempt::failed(reason));
        };
        let outcome = if diverged {
            Outcome::Diverged
        } else {
            Outcome::Finished
        };
        let taken = self.take_in(node, errand.order, state).await;
        // A node that does not hear it forgets the order with the job.
        let _lost = ask(&self.network, node, &Ask::Forget { job, order: id }).await;
        Ok(match taken {
            Err(error) => Attempt::failed(error),
            Ok(state) => {
                let state = Box::new(state);
                Attempt::Carried(Carried::Finished { outcome, state }, ran_on)
            }
        })
    }

    /// Looks at an order until it has ended, and tells its news; how the attempt ends without an end of the order is the
    /// error.
    async fn await_end(&self, node: PublicKey, order: OrderId, errand: &Errand<'_>) -> Result<End, Attempt> {
        let job = self.job;
        let mut told = 0_u64;
        let mut heard = self.clock.monotonic();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = errand.stop.stopped() => {
                    let _lost = ask(&self.network, node, &Ask::Forget { job, order }).await;
                    return Err(Attempt::Carried(Carried::Stopped, None));
                }
            }
            let (news, end) = match ask(&self.network, node, &Ask::Look { job, order, told }).await {
                Ok(Tell::Going { news }) => (news, None),
                Ok(Tell::Ended { news, end }) => (news, Some(end)),
                Ok(Tell::Unknown) => return Err(Attempt::lost("it has begun anew")),
                Ok(_) => return Err(Attempt::failed(NONSENSE)),
                Err(error) if self.clock.monotonic().saturating_sub(heard) >= LOST_AFTER => {
                    return Err(Attempt::lost(error));
                }
                Err(_) => continue,
            };
            heard = self.clock.monotonic();
            told += news.len() as u64;
            for one in news {
                errand.recorder.emit(one.event(errand.agent, errand.order.work));
            }
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    /// Fetches a state and looks whether it is one that this training can have ended in.
    async fn take_in(
        &self,
        node: PublicKey,
        order: &Arc<Order>,
        state: ContentId,
    ) -> Result<TrainState, AgentError> {
        let path = order.dir.join("handed-in.safetensors");
        self.library.fetch(state, node, &path, MAX_STATE).await?;
        let order = Arc::clone(order);
        blocking("a state", move || {
            let state = TrainState::load(&path)?;
            // Only its place is of use; a crash before this line leaves a file that nobody reads.
            let _gone = std::fs::remove_file(&path);
            let (network, data) = (Arc::clone(&order.network), Arc::clone(&order.data));
            let trainer = Trainer::new(network, data, order.config.clone(), order.seed, Some(state))?;
            Ok(trainer.into_state())
        })
        .await
    }
}

/// Asks a node; an answer that cannot be read is an error like no answer.
pub(crate) async fn ask(network: &Network, node: PublicKey, ask: &Ask) -> Result<Tell, AgentError> {
    let bytes = ask.encode().map_err(internal)?;
    match network.request(node, Request::Work(bytes)).await {
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
