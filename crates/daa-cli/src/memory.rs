//! `daa memory`: how memory was used, how it could be laid out, and how it will be used.

mod forecast;
mod plan;
mod record;
pub(crate) mod recording;
mod replay;
mod series;

use crate::args::{Global, MemoryArgs, MemoryCommand};
use crate::exit::{Exit, Failure};
use crate::messages::Messages;
use daa_gpu_core::memory::trace::{TraceFile, TraceFileError};
use std::fs::File;
use std::path::Path;

/// Largest file that is read.
const MAX_FILE: u64 = 1 << 29;

/// Most events of a trace: a replay remembers where each block is, some 64 bytes.
const MAX_EVENTS: u64 = 1 << 24;

pub(crate) fn command(global: &Global, args: &MemoryArgs, messages: &Messages) -> Result<Exit, Failure> {
    match &args.command {
        MemoryCommand::Forecast(args) => forecast::command(global, args, messages),
        MemoryCommand::Record(args) => record::command(global, args),
        MemoryCommand::Replay(args) => replay::command(global, args, messages),
        MemoryCommand::Plan(args) => plan::command(global, args, messages),
    }
}

fn open(path: &Path) -> Result<TraceFile, Failure> {
    let named = |error: anyhow::Error| error.context(path.display().to_string());
    let input = |error| Failure::new(Exit::Input, named(error));
    let hint = "a trace is what `daa run --record-memory FILE` writes, or CSV with the columns id, lower, upper and size";
    let file = File::open(path).map_err(|error| input(error.into()).with_hint(hint))?;
    let is_folder = file.metadata().is_ok_and(|metadata| metadata.is_dir());
    if is_folder {
        return Err(input(anyhow::anyhow!("is a folder")).with_hint(hint));
    }
    let trace = TraceFile::read(file, MAX_FILE)
        .map_err(|error: TraceFileError| input(error.into()).with_hint(hint))?;
    match &trace {
        TraceFile::Trace(trace) if trace.len() > MAX_EVENTS => {
            let error = anyhow::anyhow!(
                "the trace has {} events, at most {MAX_EVENTS} are read",
                trace.len()
            );
            Err(input(error).with_hint("record a shorter part"))
        }
        _ => Ok(trace),
    }
}

/// A part as per cent.
fn per_cent(part: f64) -> String {
    format!("{:.2} %", part * 100.0)
}
