//! Decoders of what peers and files say under libFuzzer, by cargo-fuzz on a nightly toolchain.

use std::process::Command;

use crate::failure::{Failure, Outcome};
use crate::{process, workspace};

/// A crate with fuzz targets: each with the longest input worth trying, which is what its decoder takes, or enough to hold
/// one of everything.
#[derive(Debug)]
struct Package {
    folder: &'static str,
    targets: &'static [(&'static str, u32)],
}

const PACKAGES: [Package; 3] = [
    Package {
        folder: "crates/daa-coord",
        targets: &[
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
            ("history", 600),
            ("engine_part", 600),
            ("engine_stream", 600),
            ("engine_consensus", 400),
            ("engine_liveness", 700),
            ("engine_status", 128),
            ("engine_request", 32),
            ("engine_response", 1600),
            ("engine_frames", 2600),
            ("discovery_frame", 64),
        ],
    },
    Package {
        folder: "crates/daa-learn",
        targets: &[("state", 2600), ("data_file", 600)],
    },
    Package {
        folder: "crates/daa-agent",
        targets: &[
            ("ask", 600),
            ("tell", 600),
            ("job", 600),
            ("orders", 600),
            ("recipes", 2000),
            ("events", 1200),
        ],
    },
];

fn targets() -> impl Iterator<Item = Target> {
    let all = |package: &'static Package| {
        let of = |&(name, length)| Target {
            folder: package.folder,
            name,
            length,
        };
        package.targets.iter().map(of)
    };
    PACKAGES.iter().flat_map(all)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Target {
    folder: &'static str,
    name: &'static str,
    length: u32,
}

/// Largest single piece of memory that a decoder may ask for, in MiB: above the largest message, far below what a length in
/// a few bytes can promise. Only the address sanitizer watches it.
const MALLOC_MIB: u32 = 64;

/// Writes the samples of all decoders as corpora, then runs the targets named, or all, so many times each.
pub(crate) fn run(args: &[String]) -> Outcome {
    let asked = parse(args)?;
    if !process::succeeds(fuzz(PACKAGES[0].folder).arg("--version")) {
        return Err(Failure::new("nothing was fuzzed: there is no cargo-fuzz here")
            .hint("rustup toolchain install nightly; cargo install cargo-fuzz"));
    }
    let sanitizer = asked.sanitizer.as_str();
    let mut sown = None;
    for Target { folder, name, length } in asked.targets {
        if sown != Some(folder) {
            // The program that writes the samples is built like the targets.
            process::run(fuzz(folder).args(["run", "--sanitizer", sanitizer, "seeds"]))?;
            sown = Some(folder);
        }
        println!("== {name}");
        let mut command = fuzz(folder);
        command
            .args(["run", "--sanitizer", sanitizer, name, "--"])
            .arg(format!("-runs={}", asked.runs))
            .arg(format!("-max_len={length}"))
            .arg(format!("-malloc_limit_mb={MALLOC_MIB}"))
            .args(["-timeout=20", "-print_final_stats=1"]);
        process::run(&mut command)?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Asked {
    targets: Vec<Target>,
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
                let known = targets().find(|target| target.name == name);
                let missing = || Failure::new(format!("there is no fuzz target {name:?}"));
                asked.targets.push(known.ok_or_else(missing)?);
            }
        }
    }
    if asked.targets.is_empty() {
        asked.targets = targets().collect();
    }
    Ok(asked)
}

/// cargo-fuzz of the nightly toolchain, in the crate whose decoders these are.
fn fuzz(folder: &str) -> Command {
    let mut command = Command::new("rustup");
    command
        .current_dir(workspace::root().join(folder))
        .args(["run", "nightly", "cargo", "fuzz"])
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN");
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn targets_and_runs_are_asked_for_by_name() {
        let asked = parse(&words(&["block", "--runs", "5", "--sanitizer", "none"]));
        let expected = Asked {
            targets: vec![Target {
                folder: "crates/daa-coord",
                name: "block",
                length: 1800,
            }],
            runs: 5,
            sanitizer: "none".to_owned(),
        };
        assert_eq!(asked, Ok(expected));
        assert_eq!(parse(&[]).map(|asked| asked.targets.len()), Ok(32));
        assert!(parse(&words(&["blok"])).is_err() && parse(&words(&["--runs"])).is_err());
    }

    #[test]
    fn every_target_of_the_packages_is_known_by_a_name_of_its_own() {
        for package in &PACKAGES {
            let manifest = workspace::root().join(package.folder).join("fuzz/Cargo.toml");
            let manifest = std::fs::read_to_string(manifest).expect("each has a manifest");
            let found = manifest.matches("path = \"fuzz_targets/").count();
            assert_eq!(found, package.targets.len(), "{}", package.folder);
            for (name, _) in package.targets {
                assert!(manifest.contains(&format!("fuzz_targets/{name}.rs")), "{name}");
            }
        }
        let names: BTreeSet<&str> = targets().map(|target| target.name).collect();
        assert_eq!(names.len(), targets().count());
    }
}
