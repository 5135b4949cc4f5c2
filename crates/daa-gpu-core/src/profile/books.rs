//! The sums and histograms of a context, per program and per name of a list.

use super::{ProfileReport, Spread, TimeReport, TimeSource};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;

/// Programs, and names of lists, that are told apart at most; the rest share one entry.
const NAMES: usize = 1024;

/// What the rest is called.
const OTHERS: &str = "(others)";

/// Longest time that is told from longer ones: an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Runs and what they took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    pub(super) runs: u64,
    pub(super) total_ns: u64,
}

impl Sum {
    pub(super) const fn add(&mut self, runs: u64, total_ns: u64) {
        self.runs = self.runs.saturating_add(runs);
        self.total_ns = self.total_ns.saturating_add(total_ns);
    }
}

/// The sums of every entry, by place.
#[derive(Debug, Clone, Default)]
pub(super) struct Sums {
    pub(super) programs: Vec<Sum>,
    pub(super) lists: Vec<Sum>,
}

#[derive(Debug, Default)]
struct Section {
    places: BTreeMap<String, usize>,
    times: Vec<Times>,
}

impl Section {
    fn place(&mut self, name: &str, sums: &mut Vec<Sum>) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let name = if self.places.len() < NAMES { name } else { OTHERS };
        let (places, times) = (&mut self.places, &mut self.times);
        *places.entry(name.to_owned()).or_insert_with(|| {
            times.push(Times::default());
            sums.push(Sum::default());
            times.len() - 1
        })
    }

    fn report(&self, sums: &[Sum]) -> Vec<TimeReport> {
        let mut reports: Vec<_> = self
            .places
            .iter()
            .map(|(name, place)| TimeReport {
                name: name.clone(),
                runs: sums[*place].runs,
                total_ns: sums[*place].total_ns,
                times: self.times[*place].spread(),
            })
            .collect();
        // By name where equal, as they are already.
        reports.sort_by_key(|report| std::cmp::Reverse(report.total_ns));
        reports
    }
}

/// A histogram, made when the first time comes in. It grows with the longest time, up to an hour: 36 KiB.
#[derive(Debug, Default)]
pub(super) struct Times(Option<Histogram<u64>>);

impl Times {
    pub(super) fn add(&mut self, ns: u64) {
        if self.0.is_none() {
            self.0 = Histogram::new(2).ok();
        }
        if let Some(times) = &mut self.0 {
            // It fails where memory is short, and a sample less is no loss.
            let _ = times.record(ns.clamp(1, LONGEST_NS));
        }
    }

    pub(super) fn spread(&self) -> Spread {
        let Some(times) = self.0.as_ref().filter(|times| !times.is_empty()) else {
            return Spread::default();
        };
        Spread {
            samples: times.len(),
            p50_ns: times.value_at_quantile(0.5),
            p90_ns: times.value_at_quantile(0.9),
            p99_ns: times.value_at_quantile(0.99),
            max_ns: times.max(),
        }
    }
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(super) struct Books {
    programs: Section,
    lists: Section,
    latency: Times,
    pub(super) sums: Sums,
}

impl Books {
    pub(super) fn program(&mut self, name: &str) -> usize {
        self.programs.place(name, &mut self.sums.programs)
    }

    pub(super) fn list(&mut self, name: &str) -> usize {
        self.lists.place(name, &mut self.sums.lists)
    }

    pub(super) fn add_program_time(&mut self, place: usize, ns: u64) {
        self.programs.times[place].add(ns);
    }

    pub(super) fn add_list_time(&mut self, place: usize, ns: u64) {
        self.lists.times[place].add(ns);
    }

    pub(super) fn add_latency(&mut self, ns: u64) {
        self.latency.add(ns);
    }

    pub(super) fn clone_sums(&self) -> Sums {
        self.sums.clone()
    }

    pub(super) fn report(&self, source: TimeSource, sums: &Sums) -> ProfileReport {
        ProfileReport {
            source,
            programs: self.programs.report(&sums.programs),
            lists: self.lists.report(&sums.lists),
            latency: self.latency.spread(),
        }
    }
}
