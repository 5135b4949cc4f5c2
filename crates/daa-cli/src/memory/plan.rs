//! `daa memory plan`: a static plan of a trace.

use crate::args::{Global, MemoryPlanArgs, Output};
use crate::exit::{Exit, Failure};
use crate::messages::Messages;
use crate::output;
use daa_base::{Bytes, Clock as _, SystemClock};
use daa_gpu_core::memory::layout::{DEEP_EFFORT, Packing, pack_with_effort};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

const SCHEMA: &str = "daa.memory.plan/1";

/// Most lifetimes that are planned: the time for one layout grows with the square of their number.
const MAX_LIFETIMES: usize = 1 << 16;

/// How often the clock of a long plan moves.
const TICK: Duration = Duration::from_millis(250);

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    trace: &'a Path,
    allocations: usize,
    alignment: u64,
    peak_bytes: Bytes,
    lower_bound_bytes: Bytes,
    seconds: f64,
}

pub(super) fn command(global: &Global, args: &MemoryPlanArgs, messages: &Messages) -> Result<Exit, Failure> {
    let lifetimes = super::open(&args.trace)?.lifetimes();
    if lifetimes.len() > MAX_LIFETIMES {
        let error = format!(
            "{}: the trace has {} allocations, at most {MAX_LIFETIMES} can be planned",
            args.trace.display(),
            lifetimes.len()
        );
        return Err(Failure::text(Exit::Input, error).with_hint(
            "`daa memory replay` takes traces of any length; a shorter recording can be planned",
        ));
    }
    let spinner = spinner(messages, lifetimes.len());
    let clock = SystemClock::new();
    let align = args.align.unwrap_or(1);
    let packing = pack_with_effort(&lifetimes, align, DEEP_EFFORT);
    let elapsed = clock.monotonic();
    spinner.finish_and_clear();
    match global.output {
        Output::Text => output::text(&text(lifetimes.len(), &packing, elapsed))?,
        Output::Json => output::json(&Report {
            schema: SCHEMA,
            trace: &args.trace,
            allocations: lifetimes.len(),
            alignment: align,
            peak_bytes: Bytes(packing.peak),
            lower_bound_bytes: Bytes(packing.lower_bound),
            seconds: elapsed.as_secs_f64(),
        })?,
    }
    Ok(Exit::Done)
}

/// The planner does not know how far it is: only the time moves.
fn spinner(messages: &Messages, lifetimes: usize) -> ProgressBar {
    let spinner = messages.bars().add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed}") {
        spinner.set_style(style);
    }
    spinner.set_message(format!("planning {lifetimes} allocations"));
    if !messages.bars().is_hidden() {
        spinner.enable_steady_tick(TICK);
    }
    spinner
}

fn text(lifetimes: usize, packing: &Packing, elapsed: Duration) -> String {
    let exact = |bytes: u64| format!("{} ({bytes} B)", Bytes(bytes));
    output::fields(&[
        ("allocations", lifetimes.to_string()),
        ("peak", exact(packing.peak)),
        ("lower bound", exact(packing.lower_bound)),
        ("time", format!("{:.2} s", elapsed.as_secs_f64())),
    ])
}
