//! What a sweep over seeds found, as text and as JSON.

use super::plan::Options;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// How a run ended that did not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The seed that shows it again.
    pub seed: u64,
    /// Whether something happened that never may, or something did not happen that must.
    pub kind: FindingKind,
    /// What it was.
    pub what: String,
}

/// What sort of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// Safety, validity or conservation is broken.
    Violation,
    /// The network has healed and not all goes on.
    Stall,
}

/// What one run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunStats {
    /// Heights that were decided.
    pub heights: u64,
    /// Events that happened.
    pub events: u64,
    /// Virtual milliseconds that passed.
    pub virtual_ms: u64,
    /// Requests of agents that ended.
    pub requests: u64,
    /// Leases that were granted.
    pub leases: u64,
    /// A digest of every event in order: the same seed has the same.
    pub trace: u64,
    /// What went wrong on purpose, by kind.
    pub faults: BTreeMap<&'static str, u64>,
}

/// Findings of a kind that a report keeps in full; more are counted only.
const KEPT: usize = 12;

/// The sum over runs.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was asked for.
    pub options: Options,
    /// The first seed.
    pub first_seed: u64,
    /// Runs.
    pub runs: u64,
    /// Heights that were decided, over all runs.
    pub heights: u64,
    /// Events that happened, over all runs.
    pub events: u64,
    /// Leases that were granted, over all runs.
    pub leases: u64,
    /// Requests of agents that ended, over all runs.
    pub requests: u64,
    /// Runs in which safety, validity or conservation broke.
    pub violations: u64,
    /// Runs that did not go on after they healed.
    pub stalls: u64,
    /// What went wrong on purpose, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// The first findings by seed.
    pub findings: Vec<Finding>,
    /// A digest over the traces of all runs in the order of their seeds.
    pub trace: u64,
    /// Time that it took, in seconds.
    pub seconds: f64,
}

impl Report {
    /// A report without a run.
    #[must_use]
    pub fn new(options: Options, first_seed: u64) -> Self {
        Self {
            options,
            first_seed,
            runs: 0,
            heights: 0,
            events: 0,
            leases: 0,
            requests: 0,
            violations: 0,
            stalls: 0,
            faults: BTreeMap::new(),
            findings: Vec::new(),
            trace: 0,
            seconds: 0.0,
        }
    }

    /// Adds the next run; runs are added in the order of their seeds.
    pub fn add(&mut self, stats: &RunStats, finding: Option<Finding>) {
        self.runs += 1;
        self.heights += stats.heights;
        self.events += stats.events;
        self.leases += stats.leases;
        self.requests += stats.requests;
        self.trace = mix(self.trace, stats.trace);
        for (&kind, count) in &stats.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        if let Some(finding) = finding {
            match finding.kind {
                FindingKind::Violation => self.violations += 1,
                FindingKind::Stall => self.stalls += 1,
            }
            let alike = self.findings.iter().filter(|one| one.kind == finding.kind);
            if alike.count() < KEPT {
                self.findings.push(finding);
            }
        }
    }

    /// Whether nothing was found.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.violations == 0 && self.stalls == 0
    }

    /// The report as one JSON object, one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        let faults: Vec<_> = self
            .faults
            .iter()
            .map(|(kind, count)| format!("{}:{count}", quoted(kind)))
            .collect();
        let findings: Vec<_> = self
            .findings
            .iter()
            .map(|finding| {
                let kind = match finding.kind {
                    FindingKind::Violation => "violation",
                    FindingKind::Stall => "stall",
                };
                let replay = quoted(&replay_command(self.options, finding.seed));
                let (seed, what) = (finding.seed, quoted(&finding.what));
                format!("{{\"seed\":{seed},\"kind\":\"{kind}\",\"what\":{what},\"replay\":{replay}}}")
            })
            .collect();
        let Self {
            first_seed,
            runs,
            heights,
            events,
            ..
        } = self;
        let (nodes, mode) = (self.options.nodes, self.options.mode.name());
        let (requests, leases) = (self.requests, self.leases);
        let (violations, stalls, trace) = (self.violations, self.stalls, self.trace);
        format!(
            "{{\"nodes\":{nodes},\"mode\":\"{mode}\",\"first_seed\":{first_seed},\"runs\":{runs},\"heights\":{heights},\
             \"violations\":{violations},\"stalls\":{stalls},\"requests\":{requests},\"leases\":{leases},\
             \"events\":{events},\"faults\":{{{}}},\"findings\":[{}],\"trace\":\"{trace:016x}\",\"seconds\":{:.3}}}",
            faults.join(","),
            findings.join(","),
            self.seconds
        )
    }
}

/// The command that tells the story of a seed.
#[must_use]
pub fn replay_command(options: Options, seed: u64) -> String {
    format!("daa replay --seed {seed} {}", options.flags())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (nodes, mode) = (self.options.nodes, self.options.mode.name());
        let last = self.first_seed + self.runs.saturating_sub(1);
        writeln!(
            f,
            "{nodes} validators, {mode}, seeds {} to {last}",
            self.first_seed
        )?;
        for (name, value) in [
            ("runs", self.runs),
            ("heights", self.heights),
            ("requests", self.requests),
            ("leases", self.leases),
            ("events", self.events),
            ("violations", self.violations),
            ("stalls", self.stalls),
        ] {
            writeln!(f, "{name:12} {value}")?;
        }
        writeln!(f, "{:12} {:.1}", "seconds", self.seconds)?;
        writeln!(f, "{:12} {:016x}", "trace", self.trace)?;
        writeln!(f, "faults")?;
        for (kind, count) in &self.faults {
            writeln!(f, "  {kind:24} {count}")?;
        }
        for finding in &self.findings {
            let (seed, what) = (finding.seed, &finding.what);
            let kind = match finding.kind {
                FindingKind::Violation => "violation",
                FindingKind::Stall => "stall",
            };
            writeln!(f, "{kind} with seed {seed}: {what}")?;
            writeln!(f, "  {}", replay_command(self.options, seed))?;
            let flags = self.options.flags();
            writeln!(f, "  cargo xtask sim --seeds 1 --first-seed {seed} {flags}")?;
        }
        Ok(())
    }
}

/// Mixes `value` into `state` (the finaliser of SplitMix64, Steele, Lea and Flood 2014).
#[must_use]
pub(super) const fn mix(state: u64, value: u64) -> u64 {
    let mut z = state.rotate_left(5) ^ value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c < ' ' => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_sums_and_tells_how_to_see_it_again() {
        let mut report = Report::new(Options::default(), 7);
        let stats = RunStats {
            heights: 20,
            faults: BTreeMap::from([("message lost", 3)]),
            ..RunStats::default()
        };
        report.add(&stats, None);
        assert!(report.is_clean());
        let finding = Finding {
            seed: 8,
            kind: FindingKind::Violation,
            what: "height 3 has \"two\" blocks\n".to_owned(),
        };
        report.add(&stats, Some(finding));
        assert_eq!((report.runs, report.heights, report.violations), (2, 40, 1));
        let json = report.to_json();
        assert!(
            json.contains("\"runs\":2,\"heights\":40,\"violations\":1,\"stalls\":0"),
            "{json}"
        );
        assert!(json.contains("\"faults\":{\"message lost\":6}"), "{json}");
        assert!(json.contains("has \\\"two\\\" blocks\\u000a"), "{json}");
        let text = report.to_string();
        assert!(text.contains("daa replay --seed 8 --nodes 4\n"), "{text}");
        assert!(
            text.contains("cargo xtask sim --seeds 1 --first-seed 8 --nodes 4\n"),
            "{text}"
        );
    }
}
