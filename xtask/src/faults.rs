//! Trainings under seeded fault schedules.

use crate::failure::{Failure, Outcome};
use crate::process;

/// Schedules of `cargo xtask ci`.
const IN_CI: [&str; 2] = ["--schedules", "30"];

/// Runs the program that holds the schedules; `args` are its own.
pub(crate) fn run(args: &[String]) -> Outcome {
    let own = [
        "run",
        "--release",
        "--quiet",
        "--package",
        "daa-tests",
        "--bin",
        "faults",
        "--",
    ];
    let mut command = process::cargo(&own);
    if args.is_empty() {
        command.args(IN_CI);
    }
    process::run(command.args(args)).map_err(|failure: Failure| {
        failure.hint("cargo xtask faults [--schedules N] [--seed S]; schedule number i has the seed S + i")
    })
}
