//! Simulated clusters of validators: sound seeds, and planted bugs that must not stay hidden.

use crate::failure::{Failure, Outcome};
use crate::{process, workspace};

/// What `cargo xtask ci` runs.
const IN_CI: &[&[&str]] = &[
    &["--seeds", "2000"],
    &["--seeds", "60", "--nodes", "7"],
    &["--seeds", "200", "--mode", "twins"],
    &["--seeds", "400", "--mode", "crash-points"],
    &["--seeds", "400", "--mode", "wal-points"],
];

/// Runs the program that holds the simulator; `args` are its own. With `--planted` it is another build, in a folder of its
/// own, in which bugs can be switched on.
pub(crate) fn run(args: &[String]) -> Outcome {
    if !args.is_empty() {
        return one(args);
    }
    for args in IN_CI {
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        one(&args)?;
    }
    Ok(())
}

fn one(args: &[String]) -> Outcome {
    let own = [
        "run",
        "--release",
        "--quiet",
        "--package",
        "daa-coord",
        "--no-default-features",
        "--features",
        "sim",
        "--example",
        "sim",
    ];
    let mut command = process::cargo(&own);
    if args.iter().any(|arg| arg == "--planted") {
        command
            .arg("--target-dir")
            .arg(workspace::root().join("target/planted"))
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("RUSTFLAGS", "--cfg planted");
    }
    command.arg("--").args(args);
    process::run(&mut command).map_err(|failure: Failure| {
        failure.hint("cargo xtask sim [--seeds N] [--first-seed S] [--nodes N] [--mode M] [--planted] [-o json]; see docs/SIMULATION.md")
    })
}
