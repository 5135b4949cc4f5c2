//! The parts that need neither a device nor a thread, in an interpreter that sees undefined behaviour.

use std::process::Command;

use crate::failure::{Failure, Outcome};
use crate::{process, tally, workspace};

/// Tests of `daa-gpu-core` whose names begin so.
const MODULES: &[&str] = &[
    "backend::host::split::",
    "breaker::",
    "config::",
    "image::",
    "memory::",
    "pressure::ladder::",
    "pressure::level::",
    "pressure::monitor::",
    "pressure::source::",
    "profile::",
    "raw::crew::",
    "schedule::",
    "sync::",
    "tenant::fences::",
];

/// Runs those tests under Miri, which only nightly toolchains have. Where it is missing, that is an error.
pub(crate) fn run() -> Outcome {
    if !process::succeeds(nightly().args(["miri", "--version"])) {
        return Err(Failure::new("nothing was checked: there is no Miri here")
            .hint("rustup toolchain install nightly --component miri, rust-src"));
    }
    let mut command = nightly();
    command
        .args(["miri", "test", "--quiet", "--package", "daa-gpu-core", "--lib"])
        .args(["--no-default-features", "--target-dir"])
        .arg(workspace::root().join("target/miri"))
        .arg("--")
        .args(MODULES)
        // Property tests look for their folder, and draw few cases.
        .env("MIRIFLAGS", "-Zmiri-disable-isolation")
        .env("PROPTEST_CASES", "4")
        .env("PROPTEST_RNG_SEED", "20261122");
    let output = process::tee(&mut command)?;
    if let Some(failure) = output.failure {
        return Err(failure);
    }
    match tally::of_libtest(&output.stdout) {
        Some(tally) if tally.passed > 0 => Ok(()),
        _ => Err(Failure::new("no test ran under Miri")),
    }
}

/// Cargo of the nightly toolchain.
fn nightly() -> Command {
    let mut command = Command::new("rustup");
    command
        .current_dir(workspace::root())
        .args(["run", "nightly", "cargo"])
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN");
    command
}
