//! The part of a node that works for runs of others: jobs, orders, places.

mod desk;
mod jobs;

use crate::agent::{Agent, Carried, blocking};
use crate::chain::{ChainClient, fair_share};
use crate::device::SharedDevice;
use crate::error::{AgentError, FolderError};
use crate::events::{RanOn, Work};
use crate::library::Library;
use crate::order::{Order, Spec, state_path};
use crate::recorder::Recorder;
use crate::stop::StopHandle;
use crate::work::{Ask, End, JobStage, OrderId, Tell, What, short};
use daa_base::{AgentId, Bytes, Clock, DeviceId, Millis};
use daa_coord::streams::{ContentId, MAX_CHUNK, Manifest};
use daa_coord::{AgentKey, Ledger, LedgerNode, PublicKey};
use daa_learn::train::Outcome;
use desk::Desk;
use jobs::Bench;
pub(super) use jobs::Jobs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Largest job that is fetched, in bytes.
const MAX_JOB: u64 = 512 << 20;

/// Largest state that is fetched, in bytes.
const MAX_STATE: u64 = 2 << 30;

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

/// What all work of a node shares.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) ledger: Arc<LedgerNode>,
    pub(super) library: Arc<Library>,
    pub(super) clock: Arc<dyn Clock>,
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

/// The places of a node; there are none before its agents are registered.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) all: usize,
    free: Vec<Slot>,
}

impl Places {
    /// Opens `slots`.
    pub(super) fn open(&mut self, slots: Vec<Slot>) {
        self.all = slots.len();
        self.free = slots;
    }

    /// The free place at the largest device.
    fn take(&mut self) -> Option<Slot> {
        let largest = self
            .free
            .iter()
            .enumerate()
            .max_by_key(|(_, slot)| slot.device.shared.capacity());
        let at = largest.map(|(at, _)| at)?;
        Some(self.free.swap_remove(at))
    }

    /// How many are taken.
    pub(super) const fn taken(&self) -> usize {
        self.all - self.free.len()
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
            Ask::Do { job, order, what } => self.begin(from, job, order, what),
            Ask::Look { job, order, told } => {
                let mut jobs = lock(&self.jobs);
                let desk = jobs.seen(from, job, now).and_then(|job| job.desk(order));
                desk.map_or(Tell::Unknown, |desk| desk.look(told))
            }
            Ask::Forget { job, order } => {
                if let Some(desk) = lock(&self.jobs).forget(from, job, order) {
                    desk.close(&self.library);
                }
                Tell::Taken
            }
            Ask::Leave { job } => {
                self.leave(from, job);
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
        }
    }

    fn prepare(self: &Arc<Self>, from: PublicKey, job: ContentId, now: Duration) -> Tell {
        let mut jobs = lock(&self.jobs);
        if let Some(known) = jobs.seen(from, job, now) {
            return Tell::Job(known.stage());
        }
        let Some(folder) = jobs.open(from, job, now, &self.folder) else {
            return Tell::Full;
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

    async fn fetch_job(&self, from: PublicKey, job: ContentId, folder: &Path) -> Result<Bench, AgentError> {
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
        self.library.fetch(job, from, &path, MAX_JOB).await?;
        let folder = folder.join("run");
        blocking("a job", move || Bench::new(&path, &folder)).await
    }

    fn begin(self: &Arc<Self>, from: PublicKey, job: ContentId, id: OrderId, what: What) -> Tell {
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
        if known.ends_work_on(work_of(&what.spec)) || !known.has_room() {
            return Tell::Full;
        }
        let Some(slot) = lock(&self.places).take() else {
            return Tell::Full;
        };
        let desk = Arc::new(Desk::new(work_of(&what.spec)));
        known.add(id, Arc::clone(&desk));
        let this = Arc::clone(self);
        let task = async move {
            let end = this.carry_out(from, &bench, what, &slot, &desk).await;
            let end = end.unwrap_or_else(|error| End::Failed {
                reason: short(&error.to_string()),
            });
            lock(&this.places).free.push(slot);
            desk.end(end, &this.library);
        };
        known.spawn(task);
        Tell::Taken
    }

    async fn carry_out(
        &self,
        from: PublicKey,
        bench: &Arc<Bench>,
        what: What,
        slot: &Slot,
        desk: &Arc<Desk>,
    ) -> Result<End, AgentError> {
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
        let (carried, ran_on) = self.train(&order, &recorder, slot, desk.stop()).await?;
        let Carried::Finished { outcome, state } = carried else {
            return Ok(End::Failed {
                reason: "the node leaves".to_owned(),
            });
        };
        let library = Arc::clone(&self.library);
        let state = blocking("a state", move || {
            let path = state_path(&order.dir);
            state.save(&path)?;
            library.publish(&path)
        })
        .await?;
        Ok(End::Done {
            state,
            diverged: outcome == Outcome::Diverged,
            ran_on,
        })
    }

    async fn train(
        &self,
        order: &Arc<Order>,
        recorder: &Arc<Recorder>,
        slot: &Slot,
        stop: &StopHandle,
    ) -> Result<(Carried, Option<RanOn>), AgentError> {
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
        let carried = agent.carry_out(order).await?;
        Ok((carried, agent.ran_on.take()))
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

    fn leave(&self, from: PublicKey, job: ContentId) {
        let Some(job) = lock(&self.jobs).remove(from, job) else {
            return;
        };
        let library = Arc::clone(&self.library);
        tokio::spawn(job.close(library));
    }

    /// Drops the jobs of runs that have fallen silent.
    pub(super) fn drop_silent(&self) {
        let now = self.clock.monotonic();
        let silent = lock(&self.jobs).silent(now);
        for (from, job) in silent {
            tracing::info!(%from, "a run has fallen silent: its job is dropped");
            self.leave(from, job);
        }
    }

    /// Stops all work, and waits until the leases are given back.
    pub(super) async fn close(&self) {
        let jobs = lock(&self.jobs).take();
        for job in jobs {
            job.close(Arc::clone(&self.library)).await;
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

const fn work_of(spec: &Spec) -> Work {
    match spec {
        Spec::Trial(spec) => Work::Trial(spec.id),
        Spec::Final(_) => Work::Final,
    }
}
