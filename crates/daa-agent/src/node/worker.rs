//! The part of a node that works for runs of others: jobs, orders, places.

mod desk;
mod jobs;
mod tenure;
mod turns;

use crate::agent::{Agent, Carried, blocking};
use crate::chain::{ChainClient, fair_share};
use crate::device::SharedDevice;
use crate::error::{AgentError, FolderError, RunErrorClass};
use crate::events::{RanOn, Work};
use crate::library::{Library, Published};
use crate::node::MAX_SLOTS;
use crate::order::{Order, Spec, state_path};
use crate::recorder::Recorder;
use crate::stop::StopHandle;
use crate::work::{Ask, Crowd, End, Grant, JobId, JobStage, OrderId, Tell, What, short};
use daa_base::{AgentId, Bytes, Clock, DeviceId, LeaseId, Millis};
use daa_coord::streams::{ContentId, MAX_CHUNK, Manifest};
use daa_coord::{AgentKey, Ledger, LedgerNode, PublicKey};
use daa_learn::train::Outcome;
use desk::Desk;
use jobs::Bench;
pub(super) use jobs::Jobs;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tenure::{InUse, Worked};
use turns::{Holder, Turns};

/// Largest job that is fetched, in bytes.
const MAX_JOB: u64 = 512 << 20;

/// Largest state that is fetched, in bytes.
const MAX_STATE: u64 = 2 << 30;

/// Orders under leases at one time: twice as many as a node can have places, for runs that ask for small shares.
const MAX_UNDER_LEASE: usize = 2 * MAX_SLOTS;

/// One device of the node.
#[derive(Debug, Clone)]
pub(super) struct NodeDevice {
    pub(super) id: DeviceId,
    pub(super) shared: Arc<SharedDevice>,
}

/// A place: an agent that can hold a lease on one device.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) agent: AgentId,
    pub(super) key: AgentKey,
    pub(super) device: NodeDevice,
}

/// Where an order is carried out.
enum Place {
    /// At a place of the node's own, whose agent asks for leases.
    Own(Box<Slot>),
    /// Under a lease of the run.
    Leased(Grant, InUse),
}

/// Why an order has no place.
enum Unplaced {
    Full(Crowd),
    /// It breaks this rule.
    Against(&'static str),
}

/// What all work of a node shares.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) ledger: Arc<LedgerNode>,
    pub(super) library: Arc<Library>,
    pub(super) clock: Arc<dyn Clock>,
    /// Whether validators agree on who holds leases.
    pub(super) is_agreed: bool,
    /// Where other validators listen, for runs.
    pub(super) peers: Vec<String>,
    /// Where jobs lie.
    pub(super) folder: PathBuf,
    pub(super) devices: Vec<NodeDevice>,
    /// Length of a lease.
    pub(super) hold: Millis,
    /// Longest wait for an answer of the ledger.
    pub(super) patience: Duration,
    pub(super) places: Mutex<Places>,
    pub(super) jobs: Mutex<Jobs>,
}

/// The places of a node; there are none before it takes part in the ledger.
///
/// Where validators agree, whoever holds a lease has a place: who that is they have decided. Where one sequencer gives the order
/// nobody but the node asks it for leases, and places go round between those that ask the node.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) all: usize,
    free: Vec<Slot>,
    turns: Turns,
    /// Places of the node's own agents that are taken.
    taken: usize,
    /// Leases of runs that orders use.
    leases: BTreeSet<LeaseId>,
}

impl Places {
    /// Opens `slots`, at which the node itself holds leases.
    pub(super) fn open(&mut self, slots: Vec<Slot>) {
        self.all = slots.len();
        self.free = slots;
    }

    /// Opens places for those who hold a lease; `all` is what runs are told to ask for at a time.
    pub(super) fn open_to_leases(&mut self, all: usize) {
        self.all = all;
    }

    /// Whether an order may begin to use a lease: no other does, and there are not more than the node takes.
    fn start_using(&mut self, lease: LeaseId) -> bool {
        self.leases.len() < MAX_UNDER_LEASE && self.leases.insert(lease)
    }

    fn stop_using(&mut self, lease: LeaseId) {
        self.leases.remove(&lease);
    }

    /// The free place at the largest device, when it is the turn of `holder`.
    fn take(&mut self, holder: Holder, now: Duration) -> Result<Slot, Crowd> {
        let free = self.free.len();
        if !self.turns.take(holder, free, now) {
            return Err(if free == 0 { Crowd::Places } else { Crowd::Turn });
        }
        let largest = self
            .free
            .iter()
            .enumerate()
            .max_by_key(|(_, slot)| slot.device.shared.capacity());
        let at = largest.map_or(0, |(at, _)| at);
        self.taken += 1;
        Ok(self.free.swap_remove(at))
    }

    fn give_back(&mut self, holder: Holder, slot: Slot) {
        self.turns.give_back(holder);
        self.taken -= 1;
        self.free.push(slot);
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken + self.leases.len()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Worker {
    /// Answers `from`. Must be called within a tokio runtime; never waits.
    pub(super) fn answer(self: &Arc<Self>, from: PublicKey, ask: Ask) -> Tell {
        let now = self.clock.monotonic();
        match ask {
            Ask::Hello => self.hello(),
            Ask::Prepare { job } => self.prepare(from, job, now),
            Ask::Do {
                job,
                order,
                what,
                grant,
            } => self.begin(from, job, (order, what, grant), now),
            Ask::Look { job, order, told } => {
                let mut jobs = lock(&self.jobs);
                let desk = jobs.seen(from, job, now).and_then(|job| job.desk(order));
                desk.map_or(Tell::Unknown, |desk| desk.look(told))
            }
            Ask::Stop { job, order } => {
                let mut jobs = lock(&self.jobs);
                if let Some(desk) = jobs.seen(from, job, now).and_then(|job| job.desk(order)) {
                    desk.stop().stop("the run is to give its lease back");
                }
                Tell::Taken
            }
            Ask::Forget { job, order } => {
                if let Some(desk) = lock(&self.jobs).forget(from, job, order) {
                    desk.close("the run needs it no more");
                }
                Tell::Taken
            }
            Ask::Leave { job } => {
                self.leave(from, job, "the run is over");
                Tell::Taken
            }
            // Another part of the node answers these.
            Ask::Known { .. } | Ask::Measured { .. } | Ask::Found { .. } => Tell::Unknown,
        }
    }

    fn hello(&self) -> Tell {
        let mut names: Vec<&str> = Vec::new();
        for device in &self.devices {
            names.push(&device.shared.info().name);
        }
        let (validators, height) = self
            .ledger
            .view(|ledger| (ledger.validators().len(), ledger.height()));
        Tell::Here {
            device: short(&names.join(" and ")),
            capacity: self.devices.iter().map(|device| device.shared.capacity()).sum(),
            slots: u32::try_from(lock(&self.places).all).unwrap_or(u32::MAX),
            validators: u32::try_from(validators).unwrap_or(u32::MAX),
            height,
            peers: self.peers.clone(),
        }
    }

    fn prepare(self: &Arc<Self>, from: PublicKey, job: JobId, now: Duration) -> Tell {
        let owners = |ledger: &Ledger| (Holder::of(from, ledger), Holder::all(ledger));
        let (holder, all) = self.ledger.view(owners);
        let mut jobs = lock(&self.jobs);
        for replaced in jobs.replaced(from, job, now) {
            tokio::spawn(replaced.close("the run was resumed by another process"));
        }
        if let Some(known) = jobs.seen(from, job, now) {
            return Tell::Job(known.stage());
        }
        let folder = match jobs.open(from, job, (holder, &all), now, &self.folder) {
            Ok(folder) => folder,
            Err(why) => return Tell::Full { why },
        };
        drop(jobs);
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let made = this.fetch_job(from, job, &folder).await;
            if let Err(error) = &made {
                tracing::warn!(%from, %error, "a job is refused");
            }
            let made = made.map_err(|error| short(&error.to_string()));
            lock(&this.jobs).made(from, job, made);
        });
        Tell::Job(JobStage::Preparing)
    }

    async fn fetch_job(&self, from: PublicKey, job: JobId, folder: &Path) -> Result<Bench, AgentError> {
        let (made, path) = (folder.to_owned(), folder.join("job"));
        blocking("a job's folder", move || {
            std::fs::create_dir_all(&made).map_err(|source| {
                FolderError::Io {
                    path: made,
                    doing: "make the folder",
                    source,
                }
                .into()
            })
        })
        .await?;
        self.library.fetch(job.content, from, &path, MAX_JOB).await?;
        let folder = folder.join("run");
        blocking("a job", move || Bench::new(&path, &folder)).await
    }

    fn begin(
        self: &Arc<Self>,
        from: PublicKey,
        job: JobId,
        (id, what, grant): (OrderId, What, Option<Grant>),
        now: Duration,
    ) -> Tell {
        let holder = self.ledger.view(|ledger| Holder::of(from, ledger));
        let mut jobs = lock(&self.jobs);
        let Some(known) = jobs.get_mut(from, job) else {
            return Tell::Unknown;
        };
        if known.desk(id).is_some() {
            return Tell::Taken;
        }
        let Some(bench) = known.bench() else {
            return Tell::Unknown;
        };
        if let Err(error) = bench.orders.check(&what.spec) {
            return Tell::Invalid {
                reason: short(&error.to_string()),
            };
        }
        let goes_on = matches!(what.spec, Spec::Trial(spec) if spec.from.is_some());
        if what.from.is_some() != goes_on {
            let reason = "a state comes with trials that go on, and with no others".to_owned();
            return Tell::Invalid { reason };
        }
        // The same work of an earlier order leaves first: they share a folder.
        if known.ends_work_on(work_of(&what.spec)) {
            return Tell::Full { why: Crowd::Stopping };
        }
        if !known.has_room() {
            return Tell::Full { why: Crowd::Orders };
        }
        let place = match self.place((holder, grant), now) {
            Ok(place) => place,
            Err(Unplaced::Full(why)) => return Tell::Full { why },
            Err(Unplaced::Against(rule)) => {
                let reason = rule.to_owned();
                return Tell::Invalid { reason };
            }
        };
        let desk = Arc::new(Desk::new(work_of(&what.spec)));
        known.add(id, Arc::clone(&desk));
        let this = Arc::clone(self);
        let task = async move {
            let end = this.carry_out(from, &bench, what, &place, &desk).await;
            let (end, result) = end.unwrap_or_else(|error| (failed(&error), None));
            match place {
                Place::Own(slot) => lock(&this.places).give_back(holder, *slot),
                Place::Leased(_, in_use) => drop(in_use),
            }
            desk.end(end, result);
        };
        known.spawn(task);
        Tell::Taken
    }

    /// A place for an order of `holder`, who may hold a lease.
    fn place(
        self: &Arc<Self>,
        (holder, grant): (Holder, Option<Grant>),
        now: Duration,
    ) -> Result<Place, Unplaced> {
        match (self.is_agreed, grant) {
            (false, None) => {
                let slot = lock(&self.places).take(holder, now);
                slot.map(|slot| Place::Own(Box::new(slot)))
                    .map_err(Unplaced::Full)
            }
            (true, Some(grant)) => {
                let in_use = InUse::of(self, grant.lease);
                let place = in_use.map(|in_use| Place::Leased(grant, in_use));
                place.ok_or(Unplaced::Full(Crowd::Places))
            }
            (agreed, _) => {
                let rule = if agreed {
                    "orders come with a lease here"
                } else {
                    "leases of runs mean nothing here: one sequencer gives the order"
                };
                Err(Unplaced::Against(rule))
            }
        }
    }

    async fn carry_out(
        &self,
        from: PublicKey,
        bench: &Arc<Bench>,
        what: What,
        place: &Place,
        desk: &Arc<Desk>,
    ) -> Result<(End, Option<Published>), AgentError> {
        if let (Spec::Trial(spec), Some(state)) = (what.spec, what.from)
            && let Some(earlier) = spec.from
        {
            let dir = bench.folder.work_dir(Work::Trial(earlier))?;
            self.have(from, state, state_path(&dir)).await?;
        }
        let (of, clock) = (Arc::clone(bench), Arc::clone(&self.clock));
        let (order, recorder) = blocking("an order", {
            let desk = Arc::clone(desk);
            move || {
                let order = of.orders.order(&what.spec, &of.folder)?;
                let recorder = Recorder::new(Arc::clone(&of.folder), desk, clock)?;
                Ok((Arc::new(order), Arc::new(recorder)))
            }
        })
        .await?;
        let worked = match place {
            Place::Own(slot) => self.train(&order, &recorder, slot, desk.stop()).await?,
            Place::Leased(grant, _) => {
                let under = (*grant, from);
                self.train_under((&order, &recorder), under, desk.stop()).await?
            }
        };
        let (outcome, state, ran_on) = match worked {
            Worked::Finished(outcome, state, ran_on) => (outcome, state, ran_on),
            Worked::Left(why) => return Ok((End::Left { reason: short(&why) }, None)),
            Worked::Refused(why) => return Ok((End::Failed { reason: short(&why) }, None)),
        };
        let library = Arc::clone(&self.library);
        let state = blocking("a state", move || {
            let path = state_path(&order.dir);
            state.save(&path)?;
            library.publish(&path)
        })
        .await?;
        let done = End::Done {
            state: state.id(),
            diverged: outcome == Outcome::Diverged,
            ran_on: ran_on.map(|on| RanOn {
                backend: short(&on.backend),
                device: short(&on.device),
            }),
        };
        Ok((done, Some(state)))
    }

    async fn train(
        &self,
        order: &Arc<Order>,
        recorder: &Arc<Recorder>,
        slot: &Slot,
        stop: &StopHandle,
    ) -> Result<Worked, AgentError> {
        let identity = (slot.agent, slot.key.clone());
        let client = ChainClient::new(&self.ledger, &self.clock, identity, self.patience, RESUBMIT)?;
        let mut agent = Agent {
            id: slot.agent,
            client,
            device: Arc::clone(&slot.device.shared),
            device_id: slot.device.id,
            crew: None,
            recorder: Arc::clone(recorder),
            stop: stop.clone(),
            hold: self.hold,
            share: fair_share(lock(&self.places).all / self.devices.len()),
            patience: self.patience,
            delays: None,
            ran_on: None,
        };
        Ok(match agent.carry_out(order).await? {
            Carried::Finished { outcome, state } => Worked::Finished(outcome, state, agent.ran_on.take()),
            Carried::Stopped => Worked::Left(stop.stopped().await),
        })
    }

    /// Fetches a state unless it is there already.
    async fn have(&self, from: PublicKey, state: ContentId, path: PathBuf) -> Result<(), AgentError> {
        let there = path.clone();
        let is_there = blocking("a state", move || {
            let file = match std::fs::File::open(&there) {
                Ok(file) => file,
                Err(_) => return Ok(false),
            };
            Ok(Manifest::of(file, MAX_CHUNK)?.id() == state)
        })
        .await?;
        if is_there {
            return Ok(());
        }
        self.library.fetch(state, from, &path, MAX_STATE).await
    }

    fn leave(&self, from: PublicKey, job: JobId, reason: &'static str) {
        if let Some(job) = lock(&self.jobs).remove(from, job) {
            tokio::spawn(job.close(reason));
        }
    }

    /// Drops the jobs of runs that have fallen silent.
    pub(super) fn drop_silent(&self) {
        let now = self.clock.monotonic();
        let silent = lock(&self.jobs).silent(now);
        for (from, job) in silent {
            tracing::info!(%from, "a run has fallen silent: its job is dropped");
            self.leave(from, job, "the run has fallen silent");
        }
    }

    /// Stops all work, and waits until the leases are given back.
    pub(super) async fn close(&self) {
        let jobs = lock(&self.jobs).take();
        for job in jobs {
            job.close("the node leaves").await;
        }
    }

    /// Bytes under lease on the node's devices, as its ledger says.
    pub(super) fn leased(&self) -> Bytes {
        let used = |ledger: &Ledger| {
            let status = |device: &NodeDevice| ledger.device(device.id);
            self.devices
                .iter()
                .filter_map(status)
                .map(|status| status.used)
                .sum()
        };
        self.ledger.view(used)
    }
}

/// Time after which a command without an answer is submitted again.
pub(super) const RESUBMIT: Millis = Millis(500);

/// How an order ends in which `error` came up: that an answer of the ledger took too long is nobody's fault.
fn failed(error: &AgentError) -> End {
    let reason = short(&error.to_string());
    match error.class() {
        RunErrorClass::Timeout => End::Left { reason },
        _ => End::Failed { reason },
    }
}

const fn work_of(spec: &Spec) -> Work {
    match spec {
        Spec::Trial(spec) => Work::Trial(spec.id),
        Spec::Final(_) => Work::Final,
    }
}
