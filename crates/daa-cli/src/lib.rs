#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod args;
mod budget;
mod cache;
mod devices;
mod doctor;
mod exit;
mod genesis;
mod invite;
mod join;
mod keys;
mod ledger;
mod logging;
mod memory;
mod messages;
mod node;
mod output;
mod predict;
mod progress;
mod replay;
mod run;
mod signals;
mod usage;

pub use exit::Exit;

use args::{Cli, Command};
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};
use exit::Failure;
use messages::Messages;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the program on `args`, whose first element is the program's name.
///
/// Data go to the standard output, everything else to the standard error. The code says how it ended: see [`Exit`].
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let parsed = Cli::command().try_get_matches_from(&args);
    let parsed = parsed.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return usage::report(&error, &args).into(),
    };
    let messages = Messages::new(&cli.global);
    logging::start(&cli.global, &messages);
    match dispatch(&cli, &matches, &messages) {
        Ok(exit) => exit.into(),
        Err(failure) => messages.failure(&failure).into(),
    }
}

fn dispatch(cli: &Cli, matches: &ArgMatches, messages: &Messages) -> Result<Exit, Failure> {
    match &cli.command {
        Command::Run(args) => {
            // The subcommand is there: clap made `cli` from it.
            let given = matches.subcommand_matches("run").unwrap_or(matches);
            run::command(&cli.global, args, given, messages)
        }
        Command::Predict(args) => predict::command(&cli.global, args, messages),
        Command::Devices(args) => devices::command(&cli.global, args),
        Command::Doctor => doctor::command(&cli.global),
        Command::Keys(args) => keys::command(&cli.global, args, messages),
        Command::Genesis(args) => genesis::command(&cli.global, args, messages),
        Command::Node(args) => node::command(&cli.global, args, messages),
        Command::Ledger(args) => ledger::command(&cli.global, args),
        Command::Replay(args) => replay::command(&cli.global, args),
        Command::Memory(args) => memory::command(&cli.global, args, messages),
    }
}
