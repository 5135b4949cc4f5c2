//! The one task runner of the workspace: `cargo xtask <task>`.
//!
//! It holds what the house rules say in prose as code, so that breaking one is a red line and not a discussion. It
//! depends on the standard library and a JSON reader only, because it is compiled before every check.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool prints"
)]

mod bench;
mod ci;
mod failure;
mod faults;
mod features;
mod fuzz;
mod interleave;
mod kills;
mod layers;
mod miri;
mod netns;
mod package;
mod process;
mod setup;
mod shaders;
mod sim;
mod suite;
mod tally;
mod tidy;
mod workspace;

use std::process::ExitCode;

use failure::{Failure, Outcome};

/// A task that takes no arguments: its name, one line about it, and what it does.
type Task = (&'static str, &'static str, fn() -> Outcome);

/// Every task without arguments, in the order in which `cargo xtask ci` runs them; the tests stand where `None` is.
const TASKS: &[Task] = &[
    ("fmt", "rustfmt finds nothing to change", ci::fmt),
    ("layers", "every crate depends on lower layers only", layers::run),
    ("tidy", "house rules that no compiler checks", tidy::run),
    ("shaders", "every WGSL entry point is valid", shaders::run),
    ("clippy", "no lint fires on any target", ci::clippy),
    ("test", "the whole suite, after setup [FILTER..]", || {
        suite::run(&[])
    }),
    (
        "faults",
        "trainings survive seeded faults [--schedules N] [--seed S]",
        || faults::run(&[]),
    ),
    (
        "interleave",
        "threads do no harm, whoever runs when [--times N] [--seed S]",
        || interleave::run(&[]),
    ),
    (
        "sim",
        "simulated clusters agree and go on [--seeds N] [--first-seed S] [--nodes N] [-o json]",
        || sim::run(&[]),
    ),
    ("doc", "the documentation builds without a warning", ci::doc),
    (
        "features",
        "each crate builds without default features",
        features::run,
    ),
    ("bench-smoke", "every benchmark runs once", bench::smoke),
    (
        "package",
        "each crate packs what it needs, nothing else",
        package::run,
    ),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Outcome {
    let Some((verb, rest)) = args.split_first() else {
        print_usage();
        return Err(Failure::new("no task was named"));
    };
    match verb.as_str() {
        "help" | "--help" | "-h" => {
            print_usage();
            Ok(())
        }
        "test" => suite::run(rest),
        "ci" => ci::run(rest),
        "faults" => faults::run(rest),
        "fuzz" => fuzz::run(rest),
        "interleave" => interleave::run(rest),
        "sim" => sim::run(rest),
        "netns" => netns::run(rest),
        "kills" => kills::run(rest),
        "miri" => without_arguments(verb, rest).and_then(|()| miri::run()),
        "setup" => without_arguments(verb, rest).and_then(|()| setup::run().map(drop)),
        _ => {
            let Some((_, _, task)) = TASKS.iter().find(|(name, _, _)| name == verb) else {
                print_usage();
                return Err(Failure::new(format!("there is no task named {verb:?}")));
            };
            without_arguments(verb, rest)?;
            task()
        }
    }
}

fn without_arguments(verb: &str, rest: &[String]) -> Outcome {
    match rest.first() {
        None => Ok(()),
        Some(first) => Err(Failure::new(format!(
            "{verb} takes no arguments, found {first:?}"
        ))),
    }
}

fn print_usage() {
    println!("Usage: cargo xtask <task>\n");
    println!("  {:12} make the machine ready for the tests", "setup");
    for (name, about, _) in TASKS {
        println!("  {name:12} {about}");
    }
    println!("  {:12} all of the above in this order [--without TASK]..", "ci");
    println!(
        "  {:12} the program across four network namespaces, with nodes killed, cut off and late; needs root",
        "netns"
    );
    println!(
        "  {:12} nothing acknowledged is lost when validators are killed, 100 times each [--rounds N] [--seed S]; takes minutes",
        "kills"
    );
    println!(
        "  {:12} no undefined behaviour where no device is needed; takes minutes and a nightly toolchain",
        "miri"
    );
    println!(
        "  {:12} decoders of hostile bytes under libFuzzer [TARGET..] [--runs N] [--sanitizer none]; takes hours and cargo-fuzz",
        "fuzz"
    );
}
