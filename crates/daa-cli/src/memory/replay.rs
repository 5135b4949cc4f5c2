//! `daa memory replay`: a trace run against a pool configuration.

use super::per_cent;
use crate::args::{Global, MemoryReplayArgs, Output};
use crate::exit::{Exit, Failure};
use crate::messages::Messages;
use crate::output;
use daa_base::{Bytes, SystemClock};
use daa_gpu_core::ConfigError;
use daa_gpu_core::memory::heap::HeapConfig;
use daa_gpu_core::memory::replay::{self, OnRefusal, ReplayConfig, ReplayReport, Space};
use daa_gpu_core::memory::trace::Trace;
use serde::Serialize;
use std::path::Path;

const SCHEMA: &str = "daa.memory.replay/1";

/// Alignment that every device allows: the most that WebGPU lets an adapter ask for.
const SAFE_ALIGNMENT: u64 = 256;

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    trace: &'a Path,
    tenants: usize,
    against: &'static str,
    alignment: Option<u64>,
    capacity_bytes: Bytes,
    #[serde(flatten)]
    report: &'a ReplayReport,
    ns_per_operation: Option<f64>,
    timed_operations: u64,
}

pub(super) fn command(
    global: &Global,
    args: &MemoryReplayArgs,
    messages: &Messages,
) -> Result<Exit, Failure> {
    let trace = super::open(&args.trace)?.into_trace();
    if trace.lost() > 0 {
        messages.warning(&format!(
            "the trace is cut: {} allocations found no room in it, figures are of the rest",
            trace.lost()
        ));
    }
    let config = config(args);
    let wrong = |error: ConfigError| {
        Failure::new(Exit::Usage, error)
            .with_hint("`daa help memory replay` lists the flags and their ranges")
    };
    let report = replay::replay(&trace, &config).map_err(wrong)?;
    let timing = replay::time(&trace, &config, &SystemClock::new()).map_err(wrong)?;
    let ns_per_operation = timing.ns_per_operation();
    match global.output {
        Output::Text => output::text(&text(&trace, &config, &report, ns_per_operation))?,
        Output::Json => output::json(&Report {
            schema: SCHEMA,
            trace: &args.trace,
            tenants: trace.tenants().len(),
            against: against(&config).0,
            alignment: config.alignment(),
            capacity_bytes: config.capacity(),
            report: &report,
            ns_per_operation,
            timed_operations: timing.operations,
        })?,
    }
    Ok(Exit::Done)
}

fn config(args: &MemoryReplayArgs) -> ReplayConfig {
    let alignment = args.align.unwrap_or(SAFE_ALIGNMENT);
    let capacity = args.capacity.unwrap_or(ReplayConfig::DEFAULT_CAPACITY);
    if args.one_page {
        let page = args.capacity.unwrap_or(ReplayConfig::largest_page(alignment));
        return ReplayConfig::one_page(page, alignment);
    }
    if args.no_pages {
        return ReplayConfig::pool(capacity, None);
    }
    if !args.heap {
        return ReplayConfig::pool(capacity, Some(alignment));
    }
    let mut config = ReplayConfig::heap(HeapConfig::new(capacity, alignment));
    if args.compact {
        config.on_refusal = OnRefusal::Compact;
    }
    config
}

/// What the trace was run against, for JSON and in words.
const fn against(config: &ReplayConfig) -> (&'static str, &'static str) {
    match &config.space {
        Space::Pool(pool) if pool.pages.is_some() => ("pool", "the pool of a GPU"),
        Space::Pool(_) => ("pool_without_pages", "the pool of the CPU, without pages"),
        Space::OnePage(_) => ("one_page", "one page"),
        _ => ("heap", "the sub-allocator alone"),
    }
}

fn text(trace: &Trace, config: &ReplayConfig, report: &ReplayReport, ns: Option<f64>) -> String {
    let exact = |bytes: Bytes| format!("{bytes} ({} B)", bytes.get());
    let share = |part: Option<f64>| part.map_or_else(|| "-".to_owned(), per_cent);
    let rows: Vec<Vec<String>> = report
        .tiers
        .iter()
        .map(|tier| {
            vec![
                tier.tier.to_string(),
                tier.hits.to_string(),
                tier.misses.to_string(),
                tier.refusals.to_string(),
                share(tier.hit_rate),
            ]
        })
        .collect();
    let mut closing = vec![
        (
            "operations",
            format!("{} of {} tenants", report.operations, trace.tenants().len()),
        ),
        ("against", against(config).1.to_owned()),
        ("capacity", exact(config.capacity())),
        ("peak live", exact(report.peak_live_bytes)),
        ("peak charged", exact(report.peak_charged_bytes)),
        ("peak reserved", exact(report.peak_reserved_bytes)),
        ("lost to rounding", per_cent(report.fragmentation.internal)),
        ("lost to holes", per_cent(report.fragmentation.external)),
        (
            "refused",
            format!("{} of {} allocations", report.refusals, report.allocations),
        ),
        (
            "pages",
            format!("{} made, {} given up", report.pages_created, report.pages_freed),
        ),
    ];
    if report.moved_blocks > 0 {
        closing.push((
            "moved",
            format!("{} blocks, {}", report.moved_blocks, report.moved_bytes),
        ));
    }
    if let Some(ns) = ns {
        closing.push(("time", format!("{ns:.1} ns an operation")));
    }
    let table = output::table(&["tier", "hits", "misses", "refused", "hit rate"], &rows);
    format!("{table}\n{}", output::fields(&closing))
}
