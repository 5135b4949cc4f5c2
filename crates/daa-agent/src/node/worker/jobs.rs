//! The jobs of the runs that a node works for.

use super::desk::Desk;
use crate::error::{AgentError, FolderError};
use crate::events::Work;
use crate::folder::RunFolder;
use crate::job::Job;
use crate::library::Library;
use crate::orders::Orders;
use crate::work::{JobStage, OrderId};
use daa_coord::PublicKey;
use daa_coord::streams::ContentId;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Jobs at one time.
const MAX_JOBS: usize = 8;

/// Jobs of one peer at one time.
const MAX_JOBS_PER_PEER: usize = 2;

/// Orders of one job that are known at one time, ended ones among them.
const MAX_ORDERS: usize = 256;

/// A run that is not heard of for so long is over.
const SILENT_AFTER: Duration = Duration::from_secs(60);

/// A job that is ready.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) orders: Orders,
    pub(super) folder: Arc<RunFolder>,
}

impl Bench {
    /// Reads the job at `path`, compiles its networks, and makes a folder for its states.
    pub(super) fn new(path: &Path, folder: &Path) -> Result<Self, AgentError> {
        let bytes = std::fs::read(path).map_err(|source| FolderError::Io {
            path: path.to_owned(),
            doing: "read",
            source,
        })?;
        let job = Job::decode(&bytes)?;
        drop(bytes);
        Ok(Self {
            orders: Orders::new(job.seed, job.epochs_budget, job.suggested, job.material)?,
            folder: Arc::new(RunFolder::create(folder)?),
        })
    }
}

#[derive(Debug)]
enum Stage {
    Preparing,
    Ready(Arc<Bench>),
    Refused(String),
}

/// One job of one run.
#[derive(Debug)]
pub(super) struct OpenJob {
    stage: Stage,
    folder: PathBuf,
    seen: Duration,
    desks: BTreeMap<OrderId, Arc<Desk>>,
    tasks: JoinSet<()>,
}

impl OpenJob {
    pub(super) fn stage(&self) -> JobStage {
        match &self.stage {
            Stage::Preparing => JobStage::Preparing,
            Stage::Ready(_) => JobStage::Ready,
            Stage::Refused(reason) => JobStage::Refused {
                reason: reason.clone(),
            },
        }
    }

    pub(super) fn bench(&self) -> Option<Arc<Bench>> {
        match &self.stage {
            Stage::Ready(bench) => Some(Arc::clone(bench)),
            _ => None,
        }
    }

    pub(super) fn desk(&self, order: OrderId) -> Option<&Arc<Desk>> {
        self.desks.get(&order)
    }

    /// Whether an earlier order for `work` is still under way; it is told to stop.
    pub(super) fn ends_work_on(&self, work: Work) -> bool {
        let mut under_way = false;
        for desk in self.desks.values() {
            if desk.work() == work && !desk.has_ended() {
                desk.stop().stop("it was ordered anew");
                under_way = true;
            }
        }
        under_way
    }

    pub(super) fn has_room(&self) -> bool {
        self.desks.len() < MAX_ORDERS
    }

    pub(super) fn add(&mut self, order: OrderId, desk: Arc<Desk>) {
        self.desks.insert(order, desk);
    }

    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(task);
    }

    /// Stops its orders, waits for them, and removes what it left on the disk.
    pub(super) async fn close(mut self, library: Arc<Library>) {
        for desk in self.desks.values() {
            desk.close(&library);
        }
        while self.tasks.join_next().await.is_some() {}
        let folder = self.folder.clone();
        drop(self);
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder)).await;
        if let Ok(Err(error)) = removed {
            tracing::debug!(%error, "a job's folder stays until the node starts again");
        }
    }
}

/// The jobs of a node, by who leads them and by content.
#[derive(Debug, Default)]
pub(in crate::node) struct Jobs {
    open: BTreeMap<(PublicKey, ContentId), OpenJob>,
    opened: u64,
}

impl Jobs {
    /// The job of `from`, who has just spoken of it.
    pub(super) fn seen(&mut self, from: PublicKey, job: ContentId, now: Duration) -> Option<&OpenJob> {
        let known = self.open.get_mut(&(from, job))?;
        known.seen = now;
        Some(known)
    }

    pub(super) fn get_mut(&mut self, from: PublicKey, job: ContentId) -> Option<&mut OpenJob> {
        self.open.get_mut(&(from, job))
    }

    /// Makes room for a job and names its folder; `None` when there are as many as allowed.
    pub(super) fn open(
        &mut self,
        from: PublicKey,
        job: ContentId,
        now: Duration,
        root: &Path,
    ) -> Option<PathBuf> {
        let of_peer = self.open.keys().filter(|(peer, _)| *peer == from).count();
        if self.open.len() >= MAX_JOBS || of_peer >= MAX_JOBS_PER_PEER {
            return None;
        }
        self.opened += 1;
        let folder = root.join(format!("job-{}", self.opened));
        let opened = OpenJob {
            stage: Stage::Preparing,
            folder: folder.clone(),
            seen: now,
            desks: BTreeMap::new(),
            tasks: JoinSet::new(),
        };
        self.open.insert((from, job), opened);
        Some(folder)
    }

    /// The job is ready or refused. One that was closed meanwhile stays closed.
    pub(super) fn made(&mut self, from: PublicKey, job: ContentId, made: Result<Bench, String>) {
        if let Some(known) = self.open.get_mut(&(from, job)) {
            known.stage = match made {
                Ok(bench) => Stage::Ready(Arc::new(bench)),
                Err(reason) => Stage::Refused(reason),
            };
        }
    }

    pub(super) fn forget(&mut self, from: PublicKey, job: ContentId, order: OrderId) -> Option<Arc<Desk>> {
        self.open.get_mut(&(from, job))?.desks.remove(&order)
    }

    pub(super) fn remove(&mut self, from: PublicKey, job: ContentId) -> Option<OpenJob> {
        self.open.remove(&(from, job))
    }

    /// The jobs of runs that are over without having said so.
    pub(super) fn silent(&self, now: Duration) -> Vec<(PublicKey, ContentId)> {
        let silent = |job: &OpenJob| now.saturating_sub(job.seen) >= SILENT_AFTER;
        let all = self.open.iter().filter(|(_, job)| silent(job));
        all.map(|(&name, _)| name).collect()
    }

    /// All jobs, which are no longer known here.
    pub(super) fn take(&mut self) -> Vec<OpenJob> {
        std::mem::take(&mut self.open).into_values().collect()
    }
}
