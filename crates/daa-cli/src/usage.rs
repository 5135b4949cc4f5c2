//! Wrong command lines, told like every other error.

use crate::args::Cli;
use crate::exit::{Exit, Failure};
use crate::messages::printable;
use crate::output;
use clap::CommandFactory as _;
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::io::{self, Write as _};

/// Prints help and versions to the standard output, and errors as `error:` and `hint:` to the standard error.
pub(crate) fn report(error: &clap::Error, args: &[OsString]) -> Exit {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match output::text(&text) {
            Ok(()) | Err(Failure::ReaderGone) => Exit::Done,
            Err(Failure::Told { exit, .. }) => exit,
        },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => tell(&text),
        _ => tell(&told(&text, verb(args).as_deref())),
    }
}

/// Nobody is left to tell when the standard error is gone.
fn tell(text: &str) -> Exit {
    let _ = io::stderr().write_all(text.as_bytes());
    Exit::Usage
}

/// clap's paragraphs as one line each: the error, tips as hints, and where the flags are listed.
fn told(text: &str, verb: Option<&str>) -> String {
    let mut error = String::new();
    let mut hints = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(tip) = line.strip_prefix("tip: ") {
            hints.push(tip.to_owned());
        } else if line.starts_with("Usage: ") || line.starts_with("For more information") {
            // The hint says where to look.
        } else if error.is_empty() {
            line.clone_into(&mut error);
        } else {
            error = format!("{error} {line}");
        }
    }
    if hints.is_empty() {
        let verb = verb.map(|verb| format!(" {verb}")).unwrap_or_default();
        hints.push(format!("`daa help{verb}` lists all flags and their values"));
    }
    let hints: String = hints
        .iter()
        .map(|hint| format!("hint: {}\n", printable(hint)))
        .collect();
    format!("{}\n{hints}", printable(&error))
}

/// The verb on the command line with its sub-verb, as far as they are known.
fn verb(args: &[OsString]) -> Option<String> {
    let mut definition = Cli::command();
    let mut words: Vec<String> = Vec::new();
    for arg in args.iter().skip(1) {
        let known = definition
            .get_subcommands()
            .find(|verb| arg.as_os_str() == verb.get_name());
        if let Some(verb) = known.cloned() {
            words.push(verb.get_name().to_owned());
            definition = verb;
        }
    }
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn error_of(args: &[&str]) -> String {
        let error = Cli::try_parse_from(args).expect_err("refused");
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        told(&error.render().to_string(), verb(&args).as_deref())
    }

    #[test]
    fn a_typing_error_gets_the_nearest_flag() {
        let text = error_of(&["daa", "run", "--agent", "3"]);
        assert!(
            text.starts_with("error: unexpected argument '--agent' found\nhint: "),
            "{text}"
        );
        assert!(text.contains("'--agents'") && text.lines().count() == 2, "{text}");
    }

    #[test]
    fn a_value_out_of_range_names_flag_value_and_range() {
        let text = error_of(&["daa", "run", "--agents", "0"]);
        assert!(
            text.contains("'0'") && text.contains("--agents") && text.contains("1"),
            "{text}"
        );
        assert!(
            text.ends_with("\nhint: `daa help run` lists all flags and their values\n"),
            "{text}"
        );
        assert!(text.lines().count() == 2, "{text}");
    }

    #[test]
    fn hints_name_the_sub_verb() {
        let text = error_of(&["daa", "-q", "memory", "replay", "t.csv", "--align", "3"]);
        assert!(
            text.contains("`daa help memory replay` lists all flags"),
            "{text}"
        );
    }
}
