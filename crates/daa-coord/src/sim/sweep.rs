//! Many seeds at once: threads take the next seed, and the report adds the runs up in the order of their seeds, so that it
//! does not depend on the number of threads.

use super::plan::{Options, OptionsError};
use super::report::{Finding, FindingKind, Report, RunStats};
use super::{Outcome, run};
use daa_base::{Clock, Seed, SystemClock};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

/// Which seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// What each run is.
    pub options: Options,
    /// The first seed.
    pub first_seed: u64,
    /// How many.
    pub seeds: u64,
    /// Threads, at least 1.
    pub threads: usize,
    /// Whether to end with the first finding.
    pub stop_at_first: bool,
}

/// Runs every seed and adds up. `progress` is told after each run, in the order of seeds.
///
/// # Errors
/// [`OptionsError`] when the options cannot be simulated.
pub fn sweep(what: &Sweep, mut progress: impl FnMut(&Report)) -> Result<Report, OptionsError> {
    what.options.validate()?;
    let clock = SystemClock::new();
    let began = clock.monotonic();
    let mut report = Report::new(what.options, what.first_seed);
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let threads = what.threads.clamp(1, 256);
    std::thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel(threads * 4);
        for _ in 0..threads {
            let send = send.clone();
            let (next, stop) = (&next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= what.seeds {
                        break;
                    }
                    let seed = what.first_seed.wrapping_add(index);
                    if send.send((index, one(what.options, seed))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let mut early = BTreeMap::new();
        for (index, outcome) in receive {
            early.insert(index, outcome);
            while let Some(outcome) = early.remove(&report.runs) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let Outcome { stats, finding } = outcome;
                let found = finding.is_some();
                report.add(&stats, finding);
                report.seconds = clock.monotonic().saturating_sub(began).as_secs_f64();
                progress(&report);
                if found && what.stop_at_first {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
    });
    Ok(report)
}

/// A panic of the code under test is a finding like any other: nobody may cause one from outside.
fn one(options: Options, seed: u64) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| run(options, Seed(seed)))).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default();
        Outcome {
            stats: RunStats::default(),
            finding: Some(Finding {
                seed,
                kind: FindingKind::Violation,
                what: format!("panic: {text}"),
            }),
        }
    })
}
