//! Where the time goes: how long dispatches and submissions take, from samples cheap enough to be taken always.
//!
//! Of each command list the first runs are timed, and then every N-th, with N such that timing costs about one part in
//! [`OVERHEAD`] of the time of the list. On the host each dispatch of such a run is timed. On a GPU some runs are
//! timed as a whole, by timestamps around the list (`TIMESTAMP_QUERY`), else by the time from submission to completion
//! as the host sees it; in others timestamps go around each dispatch, where the driver has them inside of passes
//! (`TIMESTAMP_QUERY_INSIDE_PASSES`). These keep dispatches from overlapping and can cost more than the dispatches
//! (some 50 µs each on a software driver), so what they cost is measured by comparing the two, and N goes by it.
//!
//! What a list took in all comes from runs that were timed as a whole; it is divided among the programs as they shared
//! the time of the last run whose dispatches were timed. Times go into HDR histograms (Tene,
//! <http://hdrhistogram.org>) that are right to two digits.

mod books;
mod sample;

pub(crate) use sample::{Sample, Timed};

use crate::config::Profiling;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use books::Books;
use daa_base::{Clock, SystemClock};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The part of a list's time that timing it may cost: one in so many.
pub const OVERHEAD: u64 = 200;

/// How the times of a context are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TimeSource {
    /// The host's clock around every host function.
    #[default]
    Host,
    /// The device's timestamps around every dispatch.
    DispatchTimestamps,
    /// The device's timestamps around every list; single dispatches are not timed.
    ListTimestamps,
    /// The host's clock from submission to completion; single dispatches are not timed.
    Completion,
}

/// Where the time of one context went. Times are in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProfileReport {
    /// How the times were taken.
    pub source: TimeSource,
    /// One entry per program, those that took most first.
    pub programs: Vec<TimeReport>,
    /// One entry per name of a command list, those that took most first.
    pub lists: Vec<TimeReport>,
    /// From the submission of a timed list to the end of its work, waiting in queues included.
    pub latency: Spread,
}

/// What a program, or a list, took.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TimeReport {
    /// The name of the program or list.
    pub name: String,
    /// How often it was submitted: exact.
    pub runs: u64,
    /// What all of them took: an estimate from the timed runs, as the module says.
    pub total_ns: u64,
    /// The timed runs. Times of single dispatches on a GPU have the timestamps' own cost in them.
    pub times: Spread,
}

/// How a set of times is spread. Quantiles are right to two digits, the largest is rounded up likewise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Spread {
    /// How many times there are.
    pub samples: u64,
    /// Half of them are no longer.
    pub p50_ns: u64,
    /// Nine tenths are no longer.
    pub p90_ns: u64,
    /// 99 of 100 are no longer.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// What timing a run costs, as far as the run itself does not show it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) run_ns: u64,
    pub(crate) dispatch_ns: u64,
}

impl Cost {
    /// A reading of a clock and an entry in a histogram a dispatch, about 70 ns; a lock and a few blocks of memory a
    /// run.
    pub(crate) const HOST: Self = Self {
        run_ns: 2_000,
        dispatch_ns: 100,
    };
    /// Recording a timestamp and an entry in a histogram a dispatch; resolving, copying and mapping timestamps a run,
    /// which took 100 µs on a software driver. What timestamps cost the device itself is measured.
    #[cfg(feature = "gpu")]
    pub(crate) const DEVICE: Self = Self {
        run_ns: 100_000,
        dispatch_ns: 2_000,
    };

    /// The cost of timing so many dispatches.
    const fn of(self, dispatches: usize) -> u64 {
        self.run_ns + self.dispatch_ns.saturating_mul(dispatches as u64)
    }

    /// How many runs of `busy_ns` there are from one that is timed at a cost to the next.
    fn every(cost_ns: u64, busy_ns: u64) -> u64 {
        /// A list of no length is still looked at now and then.
        const RARELY: u64 = 1 << 20;
        cost_ns
            .saturating_mul(OVERHEAD)
            .div_ceil(busy_ns.max(1))
            .clamp(1, RARELY)
    }
}

/// The times of one context.
#[derive(Debug)]
pub(crate) struct Profile {
    profiling: Profiling,
    clock: Arc<dyn Clock>,
    books: Mutex<Books>,
    live: Mutex<Vec<Weak<Timed>>>,
}

impl Default for Profile {
    fn default() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Self::new(Profiling::default(), &clock)
    }
}

impl Profile {
    pub(crate) fn new(profiling: Profiling, clock: &Arc<dyn Clock>) -> Self {
        Self {
            profiling,
            clock: Arc::clone(clock),
            books: Mutex::default(),
            live: Mutex::default(),
        }
    }

    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) -> MutexGuard<'_, Vec<Weak<Timed>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn report(&self, source: TimeSource) -> ProfileReport {
        // Held until the books are closed again: the last holder of one enters its rest into them.
        let live: Vec<Arc<Timed>> = self.live().iter().filter_map(Weak::upgrade).collect();
        let books = self.books();
        let mut open = books.clone_sums();
        for timed in &live {
            timed.add_rest(&mut open);
        }
        let report = books.report(source, &open);
        drop(books);
        report
    }
}

#[cfg(test)]
mod tests;
