//! `daa replay`: one simulated cluster, from its seed, with everything that happens in it.

use crate::args::{Global, Output, ReplayArgs};
use crate::exit::{Exit, Failure};
use crate::output;
use daa_base::Seed;
use daa_coord::sim::{FindingKind, Mode, Options, Tale, replay};
use serde::Serialize;
use std::collections::BTreeMap;

const SCHEMA: &str = "daa.replay/1";

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    seed: u64,
    plan: &'a str,
    events: &'a [String],
    heights: u64,
    faults: &'a BTreeMap<&'static str, u64>,
    trace: String,
    finding: Option<Finding<'a>>,
}

#[derive(Debug, Serialize)]
struct Finding<'a> {
    kind: &'static str,
    what: &'a str,
}

pub(crate) fn command(global: &Global, args: &ReplayArgs) -> Result<Exit, Failure> {
    let mode = Mode::named(&args.mode)
        .ok_or_else(|| Failure::text(Exit::Usage, format!("there is no mode {:?}", args.mode)))?;
    let options = Options {
        nodes: args.nodes,
        mode,
        liars: args.liars,
        heights: args.heights,
        real_every: args.real_every,
    };
    let tale = replay(options, Seed(args.seed)).map_err(|error| Failure::new(Exit::Usage, error))?;
    match global.output {
        Output::Text => output::text(&text(&tale))?,
        Output::Json => output::json(&report(args.seed, &tale))?,
    }
    match &tale.outcome.finding {
        None => Ok(Exit::Done),
        Some(finding) => Err(Failure::text(
            Exit::Unexpected,
            format!("{}: {}", kind(finding.kind), finding.what),
        )),
    }
}

const fn kind(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::Violation => "violation",
        FindingKind::Stall => "stall",
    }
}

fn text(tale: &Tale) -> String {
    let stats = &tale.outcome.stats;
    let mut text = tale.plan.clone();
    for line in &tale.lines {
        text.push_str(line);
        text.push('\n');
    }
    let (heights, leases, events, trace) = (stats.heights, stats.leases, stats.events, stats.trace);
    text.push_str(&format!(
        "{heights} heights, {leases} leases, {events} events, trace {trace:016x}\n"
    ));
    text
}

fn report(seed: u64, tale: &Tale) -> Report<'_> {
    let stats = &tale.outcome.stats;
    let finding = tale.outcome.finding.as_ref();
    Report {
        schema: SCHEMA,
        seed,
        plan: &tale.plan,
        events: &tale.lines,
        heights: stats.heights,
        faults: &stats.faults,
        trace: format!("{:016x}", stats.trace),
        finding: finding.map(|finding| Finding {
            kind: kind(finding.kind),
            what: &finding.what,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_begins_with_its_plan_and_ends_with_its_sums() {
        let tale = replay(Options::default(), Seed(1)).expect("usual options");
        let text = text(&tale);
        assert!(text.starts_with("seed 1: 4 validators, mixed"), "{text}");
        let last = text.lines().last().unwrap_or_default();
        assert!(last.contains(" heights, ") && last.contains("trace "), "{last}");
        let json = serde_json::to_value(report(1, &tale)).expect("plain data");
        assert_eq!(json["schema"], SCHEMA);
        assert!(json["finding"].is_null(), "{json}");
    }
}
