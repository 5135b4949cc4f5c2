//! What threads share, under many schedules.

use crate::failure::{Failure, Outcome};
use crate::tally;
use crate::{process, workspace};

/// Runs the tests of `daa-gpu-core` that let shuttle decide who runs when. They are another build of that crate and of
/// what it needs, without a GPU, so they have a folder of their own.
pub(crate) fn run(args: &[String]) -> Outcome {
    let mut command = process::cargo(&["test", "--release", "--quiet", "--package", "daa-gpu-core"]);
    command
        .args(["--lib", "--no-default-features", "--target-dir"])
        .arg(workspace::root().join("target/interleave"))
        .args(["--", "interleave"])
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", "--cfg shuttle")
        .env("SHUTTLE_SILENCE_WARNINGS", "1");
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let variable = match arg.as_str() {
            "--times" => "DAA_INTERLEAVE_TIMES",
            "--seed" => "SHUTTLE_RANDOM_SEED",
            _ => return Err(usage(format!("interleave does not know {arg:?}"))),
        };
        let number = args.next().filter(|number| number.parse::<u32>().is_ok());
        let number = number.ok_or_else(|| usage(format!("{arg} needs a number")))?;
        command.env(variable, number);
    }
    let output = process::tee(&mut command)?;
    if let Some(failure) = output.failure {
        return Err(failure.hint("the lines above hold the schedule that failed; shuttle replays it"));
    }
    match tally::of_libtest(&output.stdout) {
        Some(tally) if tally.passed > 0 => Ok(()),
        _ => Err(Failure::new("no test ran under shuttle")),
    }
}

fn usage(message: String) -> Failure {
    Failure::new(message)
        .hint("cargo xtask interleave [--times N] [--seed S]; N times as many schedules, drawn from S")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_checked_before_anything_is_built() {
        for args in [&["--time", "3"][..], &["--times"], &["--seed", "x"]] {
            let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
            assert!(run(&args).is_err());
        }
    }
}
