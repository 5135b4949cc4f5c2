//! Every benchmark runs once.

use crate::failure::{Failure, Outcome};
use crate::process;

/// Runs criterion's test mode: each benchmark's body once, nothing is measured. With the profile and the features of
/// the tests, so that nothing is compiled twice.
pub(crate) fn smoke() -> Outcome {
    let args = [
        "bench",
        "--workspace",
        "--profile",
        "release",
        "--benches",
        "--",
        "--test",
    ];
    let output = process::tee(&mut process::cargo(&args))?;
    if let Some(failure) = output.failure {
        return Err(failure);
    }
    let ran = output.stdout.iter().filter(|line| is_success(line)).count();
    if ran == 0 {
        return Err(Failure::new("bench-smoke: no benchmark ran"));
    }
    println!("{ran} benchmarks ran");
    Ok(())
}

/// Criterion prints `Testing NAME` and then `Success` for each benchmark.
fn is_success(line: &str) -> bool {
    line.trim() == "Success"
}
