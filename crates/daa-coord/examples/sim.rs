//! Simulated clusters, many seeds at once. `cargo xtask sim` builds and runs this.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool prints"
)]

use daa_base::Seed;
use daa_coord::consensus::planted::{self, Bug};
use daa_coord::sim::{Mode, Options, Report, Sweep, replay, sweep};
use std::process::ExitCode;

const USAGE: &str = "sim [--seeds N] [--first-seed S] [--nodes N] [--mode mixed|twins|calm|crash-points|wal-points] [--liars N] \
    [--heights N] [--real-every N] [--threads N] [--planted] [--story] [-o json]";

struct Args {
    sweep: Sweep,
    json: bool,
    planted: bool,
    story: bool,
}

fn parse() -> Result<Args, String> {
    let mut args = Args {
        sweep: Sweep {
            options: Options::default(),
            first_seed: 0,
            seeds: 200,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            stop_at_first: false,
        },
        json: false,
        planted: false,
        story: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--planted" {
            args.planted = true;
            continue;
        }
        if word == "--story" {
            args.story = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("{word} needs a number, not {value:?}"))
        };
        let sweep = &mut args.sweep;
        match word.as_str() {
            "--seeds" => sweep.seeds = number()?,
            "--first-seed" => sweep.first_seed = number()?,
            "--nodes" => sweep.options.nodes = number()? as usize,
            "--liars" => sweep.options.liars = Some(number()? as usize),
            "--heights" => sweep.options.heights = number()?,
            "--real-every" => sweep.options.real_every = number()?,
            "--threads" => sweep.threads = number()? as usize,
            "--mode" => {
                sweep.options.mode =
                    Mode::named(&value).ok_or_else(|| format!("there is no mode {value:?}"))?;
            }
            "-o" | "--output" if value == "json" || value == "text" => args.json = value == "json",
            _ => return Err(format!("{word} {value} is not understood")),
        }
    }
    Ok(args)
}

fn main() -> ExitCode {
    let outcome = parse().and_then(|args| {
        if args.story {
            story(&args)
        } else if args.planted {
            mutations(&args)
        } else {
            plain(&args)
        }
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn progress(report: &Report, seeds: u64, step: u64) {
    if report.runs.is_multiple_of(step) {
        let Report {
            runs,
            violations,
            stalls,
            seconds,
            ..
        } = report;
        let pace = *runs as f64 / seconds.max(1e-9);
        eprintln!("{runs} of {seeds} runs, {violations} violations, {stalls} stalls, {pace:.0} a second");
    }
}

fn plain(args: &Args) -> Result<bool, String> {
    let seeds = args.sweep.seeds;
    let step = (seeds / 20).max(1);
    let mut told = 0;
    let watch = |report: &Report| {
        for finding in &report.findings[told..] {
            let (seed, what) = (finding.seed, &finding.what);
            eprintln!("{:?} with seed {seed}: {what}", finding.kind);
        }
        told = report.findings.len();
        progress(report, seeds, step);
    };
    let report = sweep(&args.sweep, watch).map_err(|error| error.to_string())?;
    if args.json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    Ok(report.is_clean())
}

/// What happens with the first seed.
fn story(args: &Args) -> Result<bool, String> {
    let Sweep {
        options, first_seed, ..
    } = args.sweep;
    let tale = replay(options, Seed(first_seed)).map_err(|error| error.to_string())?;
    print!("{}", tale.plan);
    for line in &tale.lines {
        println!("{line}");
    }
    Ok(tale.outcome.finding.is_none())
}

/// Plants one bug after the other and looks for it.
fn mutations(args: &Args) -> Result<bool, String> {
    if !planted::POSSIBLE {
        return Err("bugs can be planted in a build with --cfg planted only".to_owned());
    }
    let mut all = true;
    let mut rows = Vec::new();
    for bug in Bug::ALL {
        planted::plant(Some(bug));
        let sweep_for = Sweep {
            stop_at_first: true,
            ..args.sweep
        };
        let report = sweep(&sweep_for, |_| {}).map_err(|error| error.to_string())?;
        let what = report.findings.first().map(|finding| finding.what.clone());
        let (name, runs, caught) = (bug.name(), report.runs, what.is_some());
        eprintln!(
            "{name}: {}",
            what.as_ref().map_or_else(
                || format!("not caught in {runs} seeds"),
                |what| format!("caught by seed {runs}: {what}")
            )
        );
        rows.push(format!(
            "{{\"bug\":\"{name}\",\"caught\":{caught},\"seeds\":{runs}}}"
        ));
        if !args.json {
            println!(
                "{name:28} {} {runs}",
                if caught { "caught after" } else { "NOT caught in" }
            );
        }
        all &= caught;
    }
    planted::plant(None);
    if args.json {
        println!("[{}]", rows.join(","));
    }
    Ok(all)
}
