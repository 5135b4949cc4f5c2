//! `kill -9` of every validator, again and again.

use crate::failure::{Failure, Outcome};
use crate::process;

/// Runs the program that kills; `args` are its own.
pub(crate) fn run(args: &[String]) -> Outcome {
    let own = [
        "run",
        "--release",
        "--quiet",
        "--package",
        "daa-coord",
        "--example",
        "engine_kills",
        "--",
    ];
    process::run(process::cargo(&own).args(args)).map_err(|failure: Failure| {
        failure.hint("cargo xtask kills [--rounds N] [--seed S] [--forget]; the same seed kills at the same moments, but threads run as they do")
    })
}
