//! `daa memory plan`: a static plan of a trace.

use crate::args::{Global, MemoryPlanArgs, Output};
use crate::exit::{Exit, Failure};
use crate::messages::Messages;
use crate::output;
use daa_base::{Bytes, Clock as _, SystemClock};
use daa_gpu_core::memory::layout::{DEEP_EFFORT, Ended, Packing, Progress, SumError, pack_watched};
use daa_gpu_core::memory::trace::TraceFile;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

const SCHEMA: &str = "daa.memory.plan/1";

/// Most lifetimes that are planned: the time for one layout grows with the square of their number.
const MAX_LIFETIMES: usize = 1 << 16;

/// When the search is ended; what is left then takes a part of a second.
const MOST_TIME: Duration = Duration::from_secs(8);

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
    ended: &'static str,
    seconds: f64,
}

pub(super) fn command(global: &Global, args: &MemoryPlanArgs, messages: &Messages) -> Result<Exit, Failure> {
    let clock = SystemClock::new();
    let trace = super::open(&args.trace)?;
    let lifetimes = trace.lifetimes();
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
    let bar = bar(messages);
    let align = args.align.unwrap_or(1);
    let watch = |progress: &Progress| {
        bar.set_position(progress.work);
        bar.set_message(told(lifetimes.len(), progress));
        if clock.monotonic() < MOST_TIME {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    };
    let packing = pack_watched(&lifetimes, align, DEEP_EFFORT, watch);
    let elapsed = clock.monotonic();
    bar.finish_and_clear();
    let packing = packing.map_err(|error| too_much(&args.trace, &trace, &error))?;
    match global.output {
        Output::Text => output::text(&text(lifetimes.len(), &packing, elapsed))?,
        Output::Json => output::json(&Report {
            schema: SCHEMA,
            trace: &args.trace,
            allocations: lifetimes.len(),
            alignment: align,
            peak_bytes: Bytes(packing.peak),
            lower_bound_bytes: Bytes(packing.lower_bound),
            ended: match packing.ended {
                Ended::Least => "least",
                Ended::Effort => "effort",
                Ended::Watcher => "time",
            },
            seconds: elapsed.as_secs_f64(),
        })?,
    }
    Ok(Exit::Done)
}

/// Names the row, or the allocation of a recording, whose size goes beyond.
fn too_much(path: &Path, trace: &TraceFile, error: &SumError) -> Failure {
    let SumError {
        index,
        size,
        align,
        allowed,
        ..
    } = error;
    let number = index + 1;
    let place = match trace {
        TraceFile::Lifetimes(rows) => {
            let id = rows.rows().get(*index).map_or("", |row| &row.id);
            format!("row {number}, id `{}`", id.escape_debug())
        }
        TraceFile::Trace(_) => format!("allocation {number}"),
    };
    let text = format!(
        "{}: {place}: `size` is {size}, allowed are 1 to {allowed}",
        path.display()
    );
    Failure::text(Exit::Input, text).with_hint(format!(
        "all sizes, rounded up to multiples of {align}, may sum up to 2^63 - 1 bytes"
    ))
}

fn bar(messages: &Messages) -> ProgressBar {
    let bar = messages.bars().add(ProgressBar::new(DEEP_EFFORT));
    if let Ok(style) = ProgressStyle::with_template("{bar:20} {percent} %  {msg}, {elapsed}") {
        bar.set_style(style);
    }
    if !messages.bars().is_hidden() {
        bar.enable_steady_tick(TICK);
    }
    bar
}

/// How far the planner is. It may end at any moment: with a plan that nothing can beat, or when its time is over.
fn told(allocations: usize, progress: &Progress) -> String {
    let least = Bytes(progress.lower_bound);
    match progress.peak {
        Some(peak) => format!(
            "{allocations} allocations, {} so far, {least} at least",
            Bytes(peak)
        ),
        None => format!("{allocations} allocations, {least} at least"),
    }
}

fn text(lifetimes: usize, packing: &Packing, elapsed: Duration) -> String {
    let exact = |bytes: u64| format!("{} ({bytes} B)", Bytes(bytes));
    let ended = match packing.ended {
        Ended::Least => "no plan takes less",
        Ended::Effort => "nothing better found with the effort allowed",
        Ended::Watcher => "nothing better found in the time allowed; another run may differ",
    };
    output::fields(&[
        ("allocations", lifetimes.to_string()),
        ("peak", exact(packing.peak)),
        ("lower bound", exact(packing.lower_bound)),
        ("ended", ended.to_owned()),
        ("time", format!("{:.2} s", elapsed.as_secs_f64())),
    ])
}
