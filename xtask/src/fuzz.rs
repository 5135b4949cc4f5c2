//! Decoders of daa-coord under libFuzzer, by cargo-fuzz on a nightly toolchain.

use std::process::Command;

use crate::failure::{Failure, Outcome};
use crate::{process, workspace};

/// Each target with the longest input worth trying: what its decoder takes, or enough to hold one of everything.
const TARGETS: &[(&str, u32)] = &[
    ("command", 560),
    ("signed_command", 900),
    ("consensus_message", 2600),
    ("block", 1800),
    ("write_ahead_log", 1600),
    ("snapshot", 2600),
    ("genesis_file", 2400),
    ("key_file", 256),
    ("manifest", 700),
    ("insight", 700),
    ("negotiation", 560),
    ("contract", 512),
    ("request", 1600),
    ("response", 1200),
];

/// Writes the samples of all decoders as corpora, then runs the targets named, or all, so many times each.
pub(crate) fn run(args: &[String]) -> Outcome {
    let asked = parse(args)?;
    if !process::succeeds(fuzz().arg("--version")) {
        return Err(Failure::new("nothing was fuzzed: there is no cargo-fuzz here")
            .hint("rustup toolchain install nightly; cargo install cargo-fuzz"));
    }
    let sanitizer = asked.sanitizer.as_str();
    // The program that writes the samples is built like the targets.
    process::run(fuzz().args(["run", "--sanitizer", sanitizer, "seeds"]))?;
    for (name, length) in asked.targets {
        println!("== {name}");
        let mut command = fuzz();
        command
            .args(["run", "--sanitizer", sanitizer, name, "--"])
            .arg(format!("-runs={}", asked.runs))
            .arg(format!("-max_len={length}"))
            .args(["-timeout=20", "-print_final_stats=1"]);
        process::run(&mut command)?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Asked {
    targets: Vec<(&'static str, u32)>,
    runs: u64,
    sanitizer: String,
}

fn parse(args: &[String]) -> Result<Asked, Failure> {
    let mut asked = Asked {
        targets: Vec::new(),
        runs: 10_000_000,
        sanitizer: "address".to_owned(),
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || {
            let missing = || Failure::new(format!("{arg} needs a value"));
            args.next().ok_or_else(missing)
        };
        match arg.as_str() {
            "--runs" => {
                let value = value()?;
                let wrong = |_| Failure::new(format!("--runs needs a number, not {value:?}"));
                asked.runs = value.parse().map_err(wrong)?;
            }
            "--sanitizer" => asked.sanitizer.clone_from(value()?),
            name => {
                let known = TARGETS.iter().find(|(target, _)| *target == name);
                let missing = || Failure::new(format!("there is no fuzz target {name:?}"));
                asked.targets.push(*known.ok_or_else(missing)?);
            }
        }
    }
    if asked.targets.is_empty() {
        asked.targets = TARGETS.to_vec();
    }
    Ok(asked)
}

/// cargo-fuzz of the nightly toolchain, in the crate whose decoders these are.
fn fuzz() -> Command {
    let mut command = Command::new("rustup");
    command
        .current_dir(workspace::root().join("crates/daa-coord"))
        .args(["run", "nightly", "cargo", "fuzz"])
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn targets_and_runs_are_asked_for_by_name() {
        let asked = parse(&words(&["block", "--runs", "5", "--sanitizer", "none"]));
        let expected = Asked {
            targets: vec![("block", 1800)],
            runs: 5,
            sanitizer: "none".to_owned(),
        };
        assert_eq!(asked, Ok(expected));
        assert_eq!(parse(&[]).map(|asked| asked.targets.len()), Ok(14));
        assert!(parse(&words(&["blok"])).is_err() && parse(&words(&["--runs"])).is_err());
    }

    #[test]
    fn every_target_of_the_package_is_known() {
        let manifest = include_str!("../../crates/daa-coord/fuzz/Cargo.toml");
        let targets = manifest.matches("path = \"fuzz_targets/").count();
        assert_eq!(targets, TARGETS.len());
    }
}
