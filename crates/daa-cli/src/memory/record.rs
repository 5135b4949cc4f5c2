//! `daa memory record`: the memory of finished runs as series, sampled at equal intervals.

use crate::args::{Global, Output, RecordArgs};
use crate::exit::{Exit, Failure};
use crate::output;
use daa_agent::{AgentError, EventKind, RunFolder};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;

const SCHEMA: &str = "daa.memory.record/1";

/// Most samples of one run.
const MAX_SAMPLES: u64 = 1 << 20;

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    every_ms: u64,
    runs: Vec<Series>,
}

/// One run.
#[derive(Debug, Serialize)]
struct Series {
    run_dir: String,
    /// Bytes in use, the first at the first sample that the run recorded.
    samples: Vec<u64>,
}

pub(crate) fn command(global: &Global, args: &RecordArgs) -> Result<Exit, Failure> {
    let runs = args.runs.iter().map(|folder| series(folder, args.every));
    let runs: Vec<Series> = runs.collect::<Result<_, Failure>>()?;
    match global.output {
        Output::Text => output::text(&table(&runs, args.every))?,
        Output::Json => output::json(&Report {
            schema: SCHEMA,
            every_ms: args.every,
            runs,
        })?,
    }
    Ok(Exit::Done)
}

/// The memory of the run in `folder`, which records it whenever it changes.
fn series(folder: &Path, every: u64) -> Result<Series, Failure> {
    let told = |error| Failure::from(AgentError::from(error));
    let events = RunFolder::open(folder).map_err(told)?.events().map_err(told)?;
    let changes: Vec<(u64, u64)> = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Memory { sample } => Some((
                event.at_ms,
                sample.in_use.iter().copied().map(daa_base::Bytes::get).sum(),
            )),
            _ => None,
        })
        .collect();
    let Some(samples) = sampled(&changes, every) else {
        let text = format!(
            "{}: the run is too long for a sample every {every} ms",
            folder.display()
        );
        return Err(Failure::text(Exit::Input, text).with_hint("raise --every"));
    };
    Ok(Series {
        run_dir: folder.display().to_string(),
        samples,
    })
}

/// What was in use every `every` milliseconds from the first change to the last; `None` for too many samples.
/// Of a run that went on after an interruption, times may fall back: they count as the latest before.
fn sampled(changes: &[(u64, u64)], every: u64) -> Option<Vec<u64>> {
    let Some(&(begin, _)) = changes.first() else {
        return Some(Vec::new());
    };
    let end = changes.iter().map(|(at, _)| *at).max().unwrap_or(begin);
    let steps = (end - begin) / every;
    if steps >= MAX_SAMPLES {
        return None;
    }
    let mut next = changes.iter().peekable();
    let mut now = 0;
    let samples = (0..=steps).map(|step| {
        while let Some((_, bytes)) = next.next_if(|(at, _)| *at <= begin + step * every) {
            now = *bytes;
        }
        now
    });
    Some(samples.collect())
}

/// A column of times in milliseconds and one per run; runs that ended have empty cells.
fn table(runs: &[Series], every: u64) -> String {
    let mut text = "ms".to_owned();
    for run in 1..=runs.len() {
        // Writing to a string cannot fail.
        let _ = write!(text, ",run{run}");
    }
    text.push('\n');
    let longest = runs.iter().map(|run| run.samples.len()).max().unwrap_or(0);
    for row in 0..longest {
        let _ = write!(text, "{}", row as u64 * every);
        for run in runs {
            text.push(',');
            if let Some(bytes) = run.samples.get(row) {
                let _ = write!(text, "{bytes}");
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_become_samples_at_equal_intervals() {
        let changes = [(7, 10), (9, 20), (30, 5)];
        assert_eq!(sampled(&changes, 10), Some(vec![10, 20, 20]));
        assert_eq!(sampled(&[], 10), Some(Vec::new()));
        assert_eq!(sampled(&[(0, 1), (u64::MAX, 2)], 1), None);
        assert_eq!(sampled(&[(5, 1), (2, 9)], 10), Some(vec![9]));
    }

    #[test]
    fn runs_that_ended_leave_their_cells_empty() {
        let run = |samples: &[u64]| Series {
            run_dir: String::new(),
            samples: samples.to_vec(),
        };
        assert_eq!(
            table(&[run(&[1, 2]), run(&[3])], 50),
            "ms,run1,run2\n0,1,3\n50,2,\n"
        );
    }
}
