//! `cargo xtask faults`: seeded schedules of faults over a short training, each held against a training without
//! faults that is forced through the same backends.
//!
//! Besides schedules it plays the child in `tests/it/faults.rs`, under limits that a test cannot put on itself.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool prints"
)]

mod child;
mod schedule;
mod trial;

use daa_base::{Clock, SystemClock};
use schedule::Schedule;
use std::process::ExitCode;
use trial::{Table, Trials};

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    schedules: u64,
    seed: u64,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.first().map(String::as_str) {
        Some("out-of-memory") => child::out_of_memory(),
        Some("sparse") => child::sparse(),
        Some("driver-gone") => child::driver_gone(args.get(1).map(String::as_str)),
        _ => parse(&args).and_then(|request| run(&request)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(args: &[String]) -> Result<Request, String> {
    let mut request = Request {
        schedules: 30,
        seed: 1,
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let place = match arg.as_str() {
            "--schedules" => &mut request.schedules,
            "--seed" => &mut request.seed,
            _ => return Err(format!("faults takes --schedules N and --seed S, found {arg:?}")),
        };
        let value = args.next().ok_or_else(|| format!("{arg} needs a number"))?;
        *place = value
            .parse()
            .map_err(|_| format!("{arg} needs a number, found {value:?}"))?;
    }
    Ok(request)
}

fn run(request: &Request) -> Result<(), String> {
    let clock = SystemClock::new();
    let mut trials = Trials::open()?;
    println!("{}", trials.describe());
    let mut table = Table::default();
    let mut failed = Vec::new();
    for number in 0..request.schedules {
        let seed = request.seed.wrapping_add(number);
        let schedule = Schedule::draw(seed);
        match trials.run(&schedule) {
            Ok(ran) => table.add(&ran),
            Err(reason) => {
                eprintln!("schedule {seed} failed: {reason}\n  {schedule:?}");
                failed.push(seed);
            }
        }
    }
    println!("{table}");
    let (good, took) = (request.schedules - failed.len() as u64, clock.monotonic());
    println!(
        "{good} of {} schedules end bit-equal to a run without faults along the same backends, in {:.1} s",
        request.schedules,
        took.as_secs_f64()
    );
    match failed.first() {
        None => Ok(()),
        Some(seed) => Err(format!(
            "{} schedules failed: {failed:?}; `cargo xtask faults --schedules 1 --seed {seed}` repeats the first",
            failed.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_anything_else_is_refused() {
        let parsed = |args: &[&str]| parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
        let wanted = Request {
            schedules: 4,
            seed: 9,
        };
        assert_eq!(parsed(&["--seed", "9", "--schedules", "4"]), Ok(wanted));
        assert!(parsed(&["--seed"]).is_err() && parsed(&["--seed", "x"]).is_err() && parsed(&["4"]).is_err());
    }

    #[test]
    fn a_seed_gives_one_schedule_and_every_fault_is_drawn() {
        let mut labels = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let schedule = Schedule::draw(seed);
            assert_eq!(format!("{schedule:?}"), format!("{:?}", Schedule::draw(seed)));
            labels.extend(schedule.planned.iter().map(|planned| schedule::label_of(planned)));
        }
        assert_eq!(labels.len(), schedule::LABELS.len(), "{labels:?}");
    }
}
