//! When a run of a list is timed, and what its times stand for.

use super::books::Sums;
use super::{Cost, Profile};
use crate::config::Profiling;
use crate::image::{Command, Image};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    last: Mutex<Option<Last>>,
}

/// The last run that was timed. It stands for itself and for those up to the next one; the first, in which memory is
/// touched for the first time and drivers compile, for itself alone as soon as there is a second.
#[derive(Debug)]
struct Last {
    run: u64,
    busy_ns: u64,
    programs: BTreeMap<usize, u64>,
}

impl TimedList {
    fn last(&self) -> MutexGuard<'_, Option<Last>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters `times` runs like `last`.
    fn enter(&self, sums: &mut Sums, last: &Last, times: u64) {
        sums.lists[self.place].add(0, last.busy_ns.saturating_mul(times));
        for (program, ns) in &last.programs {
            sums.programs[*program].add(0, ns.saturating_mul(times));
        }
    }

    /// Enters the times of all runs since the last timed one, it included, and how often everything ran.
    fn enter_rest(&self, sums: &mut Sums) {
        let runs = self.runs.load(Ordering::Relaxed);
        if let Some(last) = &*self.last() {
            self.enter(sums, last, runs.saturating_sub(last.run));
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
                last: Mutex::new(None),
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
        let begun = self.profile.now();
        Some(Sample {
            timed: Arc::clone(self),
            list,
            run,
            begun,
            last: begun,
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

    /// The run ended, and every dispatch was marked.
    pub(crate) fn finish(self) {
        let busy = self.dispatches_ns.iter().sum();
        self.enter(busy);
    }

    /// The run ended, and a device measured it: as a whole, and each of its dispatches, or none of them.
    #[cfg(any(feature = "gpu", test))]
    pub(crate) fn finish_measured(mut self, busy_ns: u64, dispatches_ns: Vec<u64>) {
        self.dispatches_ns = dispatches_ns;
        self.enter(busy_ns);
    }

    /// The run ended, and nobody measured it but the clock of the host.
    #[cfg(feature = "gpu")]
    pub(crate) fn finish_unmeasured(self) {
        let waited = nanos(self.timed.profile.now().saturating_sub(self.begun));
        self.enter(waited);
    }

    fn enter(self, busy_ns: u64) {
        let (timed, list) = (&self.timed, &self.timed.lists[self.list]);
        let latency = nanos(timed.profile.now().saturating_sub(self.begun));
        let mut books = timed.profile.books();
        books.add_latency(latency);
        books.add_list_time(list.place, busy_ns);
        let mut programs = BTreeMap::new();
        if self.dispatches_ns.len() == list.dispatches.len() {
            for (place, ns) in list.dispatches.iter().zip(&self.dispatches_ns) {
                books.add_program_time(*place, *ns);
                *programs.entry(*place).or_insert(0) += *ns;
            }
        }
        let new = Last {
            run: self.run,
            busy_ns,
            programs,
        };
        let mut last = list.last();
        if let Some(old) = &*last {
            let since = self.run.saturating_sub(old.run);
            let of_old = if old.run == 0 { since.min(1) } else { since };
            list.enter(&mut books.sums, old, of_old);
            list.enter(&mut books.sums, &new, since - of_old);
        }
        *last = Some(new);
        drop(last);
        drop(books);
        let every = if self.run == 0 {
            1
        } else {
            timed.cost.every(list.dispatches.len(), busy_ns)
        };
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
