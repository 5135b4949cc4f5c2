//! Everything that must hold before a change lands, in the order in which it is cheapest to fail.

use std::time::{Duration, Instant};

use crate::TASKS;
use crate::failure::{Failure, Outcome};
use crate::process;

/// Runs the tasks, stops at the first that fails, and closes with a table of times.
pub(crate) fn run(args: &[String]) -> Outcome {
    let without = parse(args)?;
    let began = now();
    let mut rows = Vec::new();
    let mut failure = None;
    for (name, about, task) in TASKS.iter().filter(|(name, _, _)| !without.contains(name)) {
        println!("\n== {name}: {about}");
        let started = now();
        let outcome = task();
        let took = started.elapsed();
        println!("== {name} took {}", seconds(took));
        rows.push((*name, took, outcome.is_ok()));
        if let Err(error) = outcome {
            failure = Some(error);
            break;
        }
    }
    print_table(&rows, began.elapsed());
    let Some(failure) = failure else { return Ok(()) };
    let (name, _, _) = rows.last().ok_or_else(|| failure.clone())?;
    eprintln!("{failure}");
    Err(Failure::new(format!("ci stopped at {name}")).hint(format!("`cargo xtask {name}` runs it alone")))
}

/// Names of the tasks to leave out.
fn parse(args: &[String]) -> Result<Vec<&'static str>, Failure> {
    let mut without = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg != "--without" {
            return Err(Failure::new(format!(
                "ci takes only `--without TASK`, found {arg:?}"
            )));
        }
        let wanted = args
            .next()
            .ok_or_else(|| Failure::new("--without needs the name of a task"))?;
        let Some((name, _, _)) = TASKS.iter().find(|(name, _, _)| name == wanted) else {
            let known: Vec<&str> = TASKS.iter().map(|(name, _, _)| *name).collect();
            return Err(Failure::new(format!("there is no task {wanted:?}")).hint(known.join(", ")));
        };
        without.push(*name);
    }
    Ok(without)
}

/// Formatting.
pub(crate) fn fmt() -> Outcome {
    process::run(&mut process::cargo(&["fmt", "--all", "--check"]))
}

/// Lints on every target.
pub(crate) fn clippy() -> Outcome {
    let args = [
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--release",
        "--",
        "-D",
        "warnings",
    ];
    process::run(&mut process::cargo(&args))
}

/// The documentation, private links and all.
pub(crate) fn doc() -> Outcome {
    let args = ["doc", "--quiet", "--workspace", "--no-deps", "--release"];
    process::run(process::cargo(&args).env("RUSTDOCFLAGS", "-D warnings"))
}

fn print_table(rows: &[(&str, Duration, bool)], total: Duration) {
    println!("\n{:12} {:>10}  outcome", "task", "time");
    for (name, took, good) in rows {
        println!(
            "{name:12} {:>10}  {}",
            seconds(*took),
            if *good { "ok" } else { "FAILED" }
        );
    }
    println!("{:12} {:>10}", "all", seconds(total));
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the times are printed for people, or bound waits"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_can_be_left_out_by_name_only() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            parse(&words(&["--without", "test", "--without", "doc"])),
            Ok(vec!["test", "doc"])
        );
        assert!(parse(&words(&["--without", "tests"])).is_err());
        assert!(parse(&words(&["--without"])).is_err());
        assert!(parse(&words(&["test"])).is_err());
    }
}
