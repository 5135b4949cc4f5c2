//! The jobs of the runs that a node works for.

use super::desk::Desk;
use super::turns::Holder;
use crate::error::{AgentError, FolderError};
use crate::events::Work;
use crate::folder::RunFolder;
use crate::job::Job;
use crate::orders::Orders;
use crate::work::{Crowd, JobId, JobStage, OrderId};
use daa_coord::PublicKey;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Jobs at one time.
const MAX_JOBS: usize = 16;

/// Jobs of one owner at one time: the other half is for others.
const MAX_JOBS_PER_OWNER: usize = MAX_JOBS / 2;

/// Jobs of one peer at one time.
const MAX_JOBS_PER_PEER: usize = 2;

/// Orders of one job that are known at one time, ended ones among them.
const MAX_ORDERS: usize = 256;

/// A run that is not heard of for so long is over.
const SILENT_AFTER: Duration = Duration::from_secs(60);

/// A run speaks every second. One that has been silent for so long, while another process comes with its key for its job, has
/// been resumed by that process.
const REPLACED_AFTER: Duration = Duration::from_secs(5);

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
    holder: Holder,
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
    pub(super) async fn close(mut self, reason: &str) {
        for desk in self.desks.values() {
            desk.close(reason);
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
    open: BTreeMap<(PublicKey, JobId), OpenJob>,
    opened: u64,
}

impl Jobs {
    /// The job of `from`, who has just spoken of it.
    pub(super) fn seen(&mut self, from: PublicKey, job: JobId, now: Duration) -> Option<&OpenJob> {
        let known = self.open.get_mut(&(from, job))?;
        known.seen = now;
        Some(known)
    }

    pub(super) fn get_mut(&mut self, from: PublicKey, job: JobId) -> Option<&mut OpenJob> {
        self.open.get_mut(&(from, job))
    }

    /// Makes room for a job and names its folder. `others`: the owners who may come, too.
    ///
    /// # Errors
    /// Why there is no room.
    pub(super) fn open(
        &mut self,
        from: PublicKey,
        job: JobId,
        (holder, others): (Holder, &BTreeSet<Holder>),
        now: Duration,
        root: &Path,
    ) -> Result<PathBuf, Crowd> {
        self.room(from, holder, others)?;
        self.opened += 1;
        let folder = root.join(format!("job-{}", self.opened));
        let opened = OpenJob {
            stage: Stage::Preparing,
            folder: folder.clone(),
            holder,
            seen: now,
            desks: BTreeMap::new(),
            tasks: JoinSet::new(),
        };
        self.open.insert((from, job), opened);
        Ok(folder)
    }

    /// Whether `holder` may open one more job: as long as half of all are not its own, and each owner that may still come
    /// finds room for a first one.
    fn room(&self, from: PublicKey, holder: Holder, owners: &BTreeSet<Holder>) -> Result<(), Crowd> {
        let of_peer = self.open.keys().filter(|(peer, _)| *peer == from).count();
        let of_holder = self.open.values().filter(|job| job.holder == holder).count();
        let free = MAX_JOBS.saturating_sub(self.open.len());
        let has_job = |owner: &Holder| self.open.values().any(|job| job.holder == *owner);
        let absent = owners.iter().filter(|owner| **owner != holder && !has_job(owner));
        let kept = if of_holder == 0 { 0 } else { absent.count() };
        if free == 0 {
            Err(Crowd::Jobs)
        } else if of_peer >= MAX_JOBS_PER_PEER {
            Err(Crowd::JobsOfKey)
        } else if of_holder >= MAX_JOBS_PER_OWNER || free <= kept {
            Err(Crowd::JobsOfOwner)
        } else {
            Ok(())
        }
    }

    /// What earlier processes that have fallen silent left of the job that `from` now leads again.
    pub(super) fn replaced(&mut self, from: PublicKey, job: JobId, now: Duration) -> Vec<OpenJob> {
        let is_replaced = |(peer, other): &(PublicKey, JobId), open: &mut OpenJob| {
            (*peer, other.content) == (from, job.content)
                && other.run != job.run
                && now.saturating_sub(open.seen) >= REPLACED_AFTER
        };
        let replaced = self.open.extract_if(.., is_replaced);
        replaced.map(|(_, job)| job).collect()
    }

    /// The job is ready or refused. One that was closed meanwhile stays closed.
    pub(super) fn made(&mut self, from: PublicKey, job: JobId, made: Result<Bench, String>) {
        if let Some(known) = self.open.get_mut(&(from, job)) {
            known.stage = match made {
                Ok(bench) => Stage::Ready(Arc::new(bench)),
                Err(reason) => Stage::Refused(reason),
            };
        }
    }

    pub(super) fn forget(&mut self, from: PublicKey, job: JobId, order: OrderId) -> Option<Arc<Desk>> {
        self.open.get_mut(&(from, job))?.desks.remove(&order)
    }

    pub(super) fn remove(&mut self, from: PublicKey, job: JobId) -> Option<OpenJob> {
        self.open.remove(&(from, job))
    }

    /// The jobs of runs that are over without having said so.
    pub(super) fn silent(&self, now: Duration) -> Vec<(PublicKey, JobId)> {
        let silent = |job: &OpenJob| now.saturating_sub(job.seen) >= SILENT_AFTER;
        let all = self.open.iter().filter(|(_, job)| silent(job));
        all.map(|(&name, _)| name).collect()
    }

    /// All jobs, which are no longer known here.
    pub(super) fn take(&mut self) -> Vec<OpenJob> {
        std::mem::take(&mut self.open).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daa_base::OwnerId;
    use daa_coord::streams::ContentId;
    use daa_coord::{AgentKey, Digest};

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn peer(number: u8) -> PublicKey {
        AgentKey::from_secret(&[number; 32]).public()
    }

    fn job(content: u8, run: u64) -> JobId {
        let content = ContentId(Digest::of(&[content]));
        JobId { content, run }
    }

    fn owner(number: u32) -> Holder {
        Holder::Owner(OwnerId(number))
    }

    fn owners(count: u32) -> BTreeSet<Holder> {
        (0..count).map(owner).collect()
    }

    fn open(jobs: &mut Jobs, from: u8, run: u64, holder: u32, all: u32) -> Result<(), Crowd> {
        let all = owners(all);
        let opened = jobs.open(
            peer(from),
            job(1, run),
            (owner(holder), &all),
            at(0),
            Path::new("jobs"),
        );
        opened.map(|_| ())
    }

    #[test]
    fn no_owner_keeps_the_others_out() {
        for all in [2, 4, 12, 16, 40] {
            let mut jobs = Jobs::default();
            let greedy = (0..100).filter(|&run| open(&mut jobs, run as u8, run, 0, all).is_ok());
            let greedy = greedy.count();
            assert!((1..=MAX_JOBS_PER_OWNER).contains(&greedy), "{greedy} of {all}");
            assert_eq!(open(&mut jobs, 100, 0, 0, all), Err(Crowd::JobsOfOwner));
            let others = (1..all).filter(|&other| open(&mut jobs, 101 + other as u8, 0, other, all).is_ok());
            assert_eq!(
                others.count(),
                (all as usize - 1).min(MAX_JOBS - greedy),
                "of {all}"
            );
            if all <= 16 {
                assert!(jobs.open.len() >= all as usize);
            }
        }
    }

    #[test]
    fn one_key_has_two_jobs_and_more_are_told_so() {
        let mut jobs = Jobs::default();
        for run in [0, 1] {
            assert_eq!(open(&mut jobs, 1, run, 0, 2), Ok(()));
        }
        assert_eq!(open(&mut jobs, 1, 2, 0, 2), Err(Crowd::JobsOfKey));
    }

    #[test]
    fn two_processes_with_one_key_and_one_job_have_jobs_of_their_own() {
        let mut jobs = Jobs::default();
        for run in [7, 8] {
            assert_eq!(open(&mut jobs, 1, run, 0, 2), Ok(()));
        }
        let desk = Arc::new(Desk::new(Work::Final));
        let first = jobs.get_mut(peer(1), job(1, 7)).expect("open");
        first.add(OrderId(0), Arc::clone(&desk));
        let second = jobs.get_mut(peer(1), job(1, 8)).expect("open");
        assert!(
            second.desk(OrderId(0)).is_none(),
            "the first order of each is another one"
        );
        assert!(!second.ends_work_on(Work::Final));
        assert!(!desk.stop().is_stopped());
        assert_ne!(
            jobs.open[&(peer(1), job(1, 7))].folder,
            jobs.open[&(peer(1), job(1, 8))].folder
        );
    }

    #[test]
    fn a_resumed_run_replaces_the_one_that_was_killed_and_no_other() {
        let mut jobs = Jobs::default();
        for run in [1, 2] {
            assert_eq!(open(&mut jobs, 1, run, 0, 2), Ok(()));
        }
        assert_eq!(open(&mut jobs, 2, 1, 0, 2), Ok(()));
        jobs.seen(peer(1), job(1, 2), at(9));
        assert!(jobs.replaced(peer(1), job(1, 3), at(4)).is_empty());
        assert!(jobs.replaced(peer(1), job(2, 3), at(9)).is_empty(), "another job");
        assert_eq!(jobs.replaced(peer(1), job(1, 3), at(9)).len(), 1);
        assert!(!jobs.open.contains_key(&(peer(1), job(1, 1))));
        assert!(jobs.open.contains_key(&(peer(1), job(1, 2))), "it still speaks");
        assert!(jobs.open.contains_key(&(peer(2), job(1, 1))), "another key");
    }
}
