//! The whole test suite.

use std::env;
use std::process::Command;

use crate::failure::{Failure, Outcome};
use crate::process;
use crate::setup::{self, SoftwareGpu};
use crate::tally::{self, Tally};
use crate::workspace;

/// Set for the tests when a software Vulkan driver is there: then a test that needs it fails where it would skip.
const REQUIRE_SOFTWARE_GPU: &str = "DAA_REQUIRE_SOFTWARE_GPU";

/// Where property tests take their random cases from.
const PROPTEST_SEED: &str = "PROPTEST_RNG_SEED";

/// The seed of property tests unless the environment or `--explore` says otherwise: a change is judged by the same
/// cases as the state before it.
const FIXED_SEED: &str = "20261122";

/// What `cargo xtask test` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    packages: Vec<String>,
    filters: Vec<String>,
    plain: bool,
    without_software_gpu: bool,
    explore: bool,
}

/// Makes the machine ready, then runs unit, property and integration tests, then the examples in the documentation.
pub(crate) fn run(args: &[String]) -> Outcome {
    let request = parse(args)?;
    let gpu = if request.without_software_gpu {
        println!("setup skipped: tests that need a software Vulkan driver skip themselves if there is none");
        SoftwareGpu::NotUsed
    } else {
        setup::run()?
    };
    let nextest = !request.plain && process::succeeds(&mut process::cargo(&["nextest", "--version"]));
    let mut tally = if nextest {
        with_nextest(&request, gpu)?
    } else {
        with_libtest(&request, gpu)?
    };
    tally += documentation(&request, gpu)?;
    if tally == Tally::default() {
        return Err(Failure::new("no test matches the filter"));
    }
    println!("\n{tally}");
    Ok(())
}

fn parse(args: &[String]) -> Result<Request, Failure> {
    let mut request = Request::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--" => {}
            "--plain" => request.plain = true,
            "--explore" => request.explore = true,
            "--without-software-gpu" => request.without_software_gpu = true,
            "-p" | "--package" => {
                let name = args
                    .next()
                    .ok_or_else(|| Failure::new(format!("{arg} needs the name of a crate")))?;
                request.packages.push(name.clone());
            }
            flag if flag.starts_with('-') => {
                return Err(Failure::new(format!("test does not know the flag {flag}")).hint(
                    "cargo xtask test [-p CRATE].. [--plain] [--explore] [--without-software-gpu] [FILTER]..; --plain takes cargo test where nextest is installed, --explore gives property tests new random cases",
                ));
            }
            filter => request.filters.push(filter.to_owned()),
        }
    }
    Ok(request)
}

fn with_nextest(request: &Request, gpu: SoftwareGpu) -> Result<Tally, Failure> {
    let profile = if env::var_os("CI").is_some() {
        "ci"
    } else {
        "default"
    };
    let mut command = selected(
        &["nextest", "run", "--release", "--profile", profile],
        request,
        gpu,
    );
    command.args(["--no-tests", "pass"]).args(&request.filters);
    let output = process::tee(&mut command)?;
    finish(tally::of_nextest(&output.stderr), output.failure)
}

fn with_libtest(request: &Request, gpu: SoftwareGpu) -> Result<Tally, Failure> {
    println!("cargo-nextest is not used: running cargo test");
    // Benchmarks are not tests; `cargo xtask bench-smoke` runs them.
    let mut command = selected(&["test", "--release", "--no-fail-fast", "--tests"], request, gpu);
    command.arg("--").args(&request.filters);
    let output = process::tee(&mut command)?;
    finish(tally::of_libtest(&output.stdout), output.failure)
}

fn documentation(request: &Request, gpu: SoftwareGpu) -> Result<Tally, Failure> {
    let packages = workspace::load()?.packages;
    let asked = |name: &String| request.packages.is_empty() || request.packages.contains(name);
    if !packages
        .iter()
        .any(|package| package.has_library && asked(&package.name))
    {
        return Ok(Tally::default());
    }
    let mut command = selected(&["test", "--doc", "--release"], request, gpu);
    command.arg("--").args(&request.filters);
    let output = process::tee(&mut command)?;
    finish(tally::of_libtest(&output.stdout), output.failure)
}

/// A cargo command on the asked-for crates, in the environment of the tests.
fn selected(args: &[&str], request: &Request, gpu: SoftwareGpu) -> Command {
    let mut command = process::cargo(args);
    if request.packages.is_empty() {
        command.arg("--workspace");
    }
    for package in &request.packages {
        command.args(["--package", package]);
    }
    if !request.explore && env::var_os(PROPTEST_SEED).is_none() {
        command.env(PROPTEST_SEED, FIXED_SEED);
    }
    if gpu == SoftwareGpu::Ready {
        command.env(REQUIRE_SOFTWARE_GPU, "1");
    }
    command
}

fn finish(tally: Option<Tally>, failure: Option<Failure>) -> Result<Tally, Failure> {
    match (tally, failure) {
        (tally, Some(failure)) => {
            if let Some(tally) = tally {
                println!("\n{tally}");
            }
            Err(failure)
        }
        (Some(tally), None) if tally.failed == 0 => Ok(tally),
        (Some(tally), None) => Err(Failure::new(format!(
            "{tally}, though the test runner reports success"
        ))),
        (None, None) => Err(Failure::new("the test runner ended without a closing line")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Request, Failure> {
        parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn flags_and_filters_are_told_apart() {
        let request = parsed(&["-p", "daa-base", "--plain", "--explore", "--", "codec", "ids"])
            .expect("valid arguments");
        assert_eq!(request.packages, ["daa-base"]);
        assert_eq!(request.filters, ["codec", "ids"]);
        assert!(request.plain && request.explore && !request.without_software_gpu);
    }

    #[test]
    fn unknown_flags_and_missing_names_are_errors() {
        assert!(parsed(&["--relase"]).is_err());
        assert!(parsed(&["-p"]).is_err());
    }

    #[test]
    fn a_failed_or_silent_runner_never_counts_as_success() {
        assert!(finish(Some(Tally { passed: 3, failed: 0 }), Some(Failure::new("exit 1"))).is_err());
        assert!(finish(Some(Tally { passed: 3, failed: 1 }), None).is_err());
        assert!(finish(None, None).is_err());
        assert_eq!(
            finish(Some(Tally { passed: 3, failed: 0 }), None),
            Ok(Tally { passed: 3, failed: 0 })
        );
    }
}
