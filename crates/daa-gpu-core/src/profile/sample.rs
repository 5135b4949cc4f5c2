//! When a run of a list is timed, and what its times stand for.

use super::books::Sums;
use super::{Cost, Profile};
use crate::config::Profiling;
use crate::image::{Command, Image};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::collections::BTreeMap;
use std::time::Duration;

/// The lists of one loaded image, as far as their times go.
#[derive(Debug)]
pub(crate) struct Timed {
    profile: Arc<Profile>,
    lists: Vec<TimedList>,
    cost: Cost,
}

#[derive(Debug)]
struct TimedList {
    /// Its place in the books.
    place: usize,
    /// The place of each dispatch's program, in order.
    dispatches: Vec<usize>,
    /// How often each of these programs is in the list.
    programs: BTreeMap<usize, u64>,
    runs: AtomicU64,
    /// The run that is timed next; none while one is being timed.
    next: AtomicU64,
    found: Mutex<Found>,
}

/// What the samples of a list found so far.
#[derive(Debug, Default)]
struct Found {
    /// The last run that was timed as a whole. It stands for itself and for those up to the next one; the first, in
    /// which memory is touched for the first time and drivers compile, for itself alone once there is a second.
    last: Option<Last>,
    /// What each program took in the last run whose dispatches were timed, and all of them.
    parts: Option<(BTreeMap<usize, u64>, u64)>,
    /// Times of lists that wait for `parts`.
    whole_ns: u64,
    /// Whether the last sample timed dispatches alone; the next one times the whole then, where it cannot do both.
    whole_next: bool,
    samples: u64,
}

/// So many of the first samples are of the whole and follow each other at once: one that is cold and one to compare
/// with. The next finds out what timing dispatches costs.
const FIRST: u64 = 2;

#[derive(Debug, Clone, Copy)]
struct Last {
    run: u64,
    busy_ns: u64,
    cold: bool,
}

impl Found {
    /// Enters `times` runs like `run`.
    fn enter(&mut self, sums: &mut Sums, place: usize, run: Last, times: u64) {
        let ns = run.busy_ns.saturating_mul(times);
        sums.lists[place].add(0, ns);
        self.whole_ns = self.whole_ns.saturating_add(ns);
        self.share(sums);
    }

    /// Divides the times of lists among programs, as the last run did.
    fn share(&mut self, sums: &mut Sums) {
        if let Some((parts, all)) = &self.parts {
            let whole = std::mem::take(&mut self.whole_ns);
            for (program, ns) in parts {
                let part = u128::from(whole) * u128::from(*ns) / u128::from((*all).max(1));
                sums.programs[*program].add(0, u64::try_from(part).unwrap_or(u64::MAX));
            }
        }
    }
}

impl TimedList {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters the times of all runs since the last timed one, it included, and how often everything ran.
    fn enter_rest(&self, sums: &mut Sums) {
        let runs = self.runs.load(Ordering::Relaxed);
        let found = self.found();
        if let Some(last) = found.last {
            // On a copy: the runs go on.
            let mut rest = Found {
                parts: found.parts.clone(),
                whole_ns: found.whole_ns,
                ..Found::default()
            };
            rest.enter(sums, self.place, last, runs.saturating_sub(last.run));
        }
        sums.lists[self.place].add(runs, 0);
        for (program, count) in &self.programs {
            sums.programs[*program].add(count.saturating_mul(runs), 0);
        }
    }
}

impl Timed {
    pub(crate) fn new(profile: &Arc<Profile>, image: &Image, cost: Cost) -> Arc<Self> {
        let mut books = profile.books();
        let lists = image.lists.iter().map(|list| {
            let dispatches: Vec<usize> = list
                .commands
                .iter()
                .filter_map(|command| match command {
                    Command::Dispatch(dispatch) => Some(books.program(dispatch.program.name)),
                    Command::Zero(_) => None,
                })
                .collect();
            let mut programs = BTreeMap::new();
            for place in &dispatches {
                *programs.entry(*place).or_insert(0) += 1;
            }
            TimedList {
                place: books.list(&list.name),
                dispatches,
                programs,
                runs: AtomicU64::new(0),
                next: AtomicU64::new(match profile.profiling {
                    Profiling::Sampled => 0,
                    Profiling::Off => u64::MAX,
                }),
                found: Mutex::default(),
            }
        });
        let lists = lists.collect();
        drop(books);
        let timed = Arc::new(Self {
            profile: Arc::clone(profile),
            lists,
            cost,
        });
        let mut live = profile.live();
        live.retain(|timed| timed.strong_count() > 0);
        live.push(Arc::downgrade(&timed));
        drop(live);
        timed
    }

    /// Counts a run of `list`, and says whether it is to be timed. Two atomic operations if not.
    pub(crate) fn begin(self: &Arc<Self>, list: usize) -> Option<Sample> {
        let state = &self.lists[list];
        let run = state.runs.fetch_add(1, Ordering::Relaxed);
        if run < state.next.load(Ordering::Relaxed) {
            return None;
        }
        // Images are submitted to by one thread at a time, so no other run passes here meanwhile.
        state.next.store(u64::MAX, Ordering::Relaxed);
        let found = state.found();
        let wants_whole = found.whole_next || found.samples < FIRST;
        drop(found);
        let begun = self.profile.now();
        Some(Sample {
            timed: Arc::clone(self),
            list,
            run,
            begun,
            last: begun,
            wants_whole,
            dispatches_ns: Vec::with_capacity(state.dispatches.len()),
        })
    }

    /// Adds what is not in the books yet.
    pub(super) fn add_rest(&self, sums: &mut Sums) {
        self.lists.iter().for_each(|list| list.enter_rest(sums));
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        let mut books = self.profile.books();
        self.lists
            .iter()
            .for_each(|list| list.enter_rest(&mut books.sums));
    }
}

/// A run that is being timed. Dropped before it is finished, it counts as not timed, and the next run is timed instead.
#[derive(Debug)]
pub(crate) struct Sample {
    timed: Arc<Timed>,
    list: usize,
    run: u64,
    begun: Duration,
    /// When the last mark was.
    last: Duration,
    #[cfg_attr(
        not(any(feature = "gpu", test)),
        expect(dead_code, reason = "only runs on a device are timed as a whole")
    )]
    wants_whole: bool,
    dispatches_ns: Vec<u64>,
}

impl Sample {
    /// The next dispatch begins only now.
    pub(crate) fn start(&mut self) {
        self.last = self.timed.profile.now();
    }

    /// A dispatch ends and the next begins.
    pub(crate) fn mark(&mut self) {
        let now = self.timed.profile.now();
        self.dispatches_ns
            .push(nanos(now.saturating_sub(std::mem::replace(&mut self.last, now))));
    }

    /// Marks dispatches of these times.
    #[cfg(test)]
    pub(super) fn dispatches_for_test<const N: usize>(&mut self, times_ns: [u64; N]) {
        self.dispatches_ns = times_ns.to_vec();
    }

    /// The run ended, and every dispatch was marked.
    pub(crate) fn finish(self) {
        let busy_ns = self.dispatches_ns.iter().sum();
        let cost_ns = self.timed.cost.of(self.dispatches_ns.len());
        self.enter(Some(busy_ns), cost_ns, busy_ns);
    }

    /// Whether this run is to be timed as a whole, by a device on which timing each dispatch makes all of them slower.
    #[cfg(any(feature = "gpu", test))]
    pub(crate) const fn wants_whole(&self) -> bool {
        self.wants_whole
    }

    /// The run ended, and a device timed all of it.
    #[cfg(any(feature = "gpu", test))]
    pub(crate) fn finish_whole(self, busy_ns: u64) {
        let cost_ns = self.timed.cost.run_ns;
        self.enter(Some(busy_ns), cost_ns, busy_ns);
    }

    /// The run ended, and a device timed each of its dispatches, which took `busy_ns` together.
    #[cfg(any(feature = "gpu", test))]
    pub(crate) fn finish_dispatches(mut self, busy_ns: u64, dispatches_ns: Vec<u64>) {
        let whole = self.timed.lists[self.list].found().last;
        let whole_ns = whole.map_or(busy_ns, |last| last.busy_ns);
        // What the timestamps cost the device is seen by comparing; the rest of it is the host's.
        let cost = self.timed.cost.of(dispatches_ns.len()) + busy_ns.saturating_sub(whole_ns);
        self.dispatches_ns = dispatches_ns;
        self.enter(None, cost, whole_ns);
    }

    /// The run ended, and nobody timed it but the clock of the host.
    #[cfg(feature = "gpu")]
    pub(crate) fn finish_unmeasured(self) {
        let waited = nanos(self.timed.profile.now().saturating_sub(self.begun));
        self.finish_whole(waited);
    }

    /// Enters what was found. Timing has cost `cost_ns`, in a run that takes `busy_ns` without.
    fn enter(self, whole_ns: Option<u64>, cost_ns: u64, busy_ns: u64) {
        let (timed, list) = (&self.timed, &self.timed.lists[self.list]);
        let mut books = timed.profile.books();
        let mut found = list.found();
        if let Some(busy_ns) = whole_ns {
            books.add_latency(nanos(timed.profile.now().saturating_sub(self.begun)));
            books.add_list_time(list.place, busy_ns);
            let new = Last {
                run: self.run,
                busy_ns,
                cold: found.samples == 0,
            };
            if let Some(old) = found.last.replace(new) {
                let since = self.run.saturating_sub(old.run);
                let of_old = if old.cold { since.min(1) } else { since };
                found.enter(&mut books.sums, list.place, old, of_old);
                found.enter(&mut books.sums, list.place, new, since - of_old);
            }
        }
        if !self.dispatches_ns.is_empty() && self.dispatches_ns.len() == list.dispatches.len() {
            let mut parts = BTreeMap::new();
            for (place, ns) in list.dispatches.iter().zip(&self.dispatches_ns) {
                books.add_program_time(*place, *ns);
                *parts.entry(*place).or_insert(0) += *ns;
            }
            found.parts = Some((parts, self.dispatches_ns.iter().sum()));
            found.share(&mut books.sums);
        }
        found.whole_next = whole_ns.is_none();
        found.samples += 1;
        let first = found.samples <= FIRST;
        drop(found);
        drop(books);
        let every = if first { 1 } else { Cost::every(cost_ns, busy_ns) };
        list.next.store(self.run.saturating_add(every), Ordering::Relaxed);
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        // Unless it was finished, which has set the next one.
        let next = &self.timed.lists[self.list].next;
        let _ = next.compare_exchange(u64::MAX, self.run + 1, Ordering::Relaxed, Ordering::Relaxed);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
