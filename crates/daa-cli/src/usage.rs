//! Wrong command lines, told like every other error.

use crate::exit::{Exit, Failure};
use crate::output;
use clap::error::ErrorKind;
use std::io::{self, Write as _};

/// Prints help and versions to the standard output, and errors as `error:` and `hint:` to the standard error.
pub(crate) fn report(error: &clap::Error) -> Exit {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match output::text(&text) {
            Ok(()) | Err(Failure::ReaderGone) => Exit::Done,
            Err(Failure::Told { exit, .. }) => exit,
        },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => tell(&text),
        _ => tell(&told(&text)),
    }
}

/// Nobody is left to tell when the standard error is gone.
fn tell(text: &str) -> Exit {
    let _ = io::stderr().write_all(text.as_bytes());
    Exit::Usage
}

/// clap's paragraphs as one line each: the error, tips as hints, and where the flags are listed.
fn told(text: &str) -> String {
    let mut error = String::new();
    let mut hints = Vec::new();
    let mut usage = None;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(tip) = line.strip_prefix("tip: ") {
            hints.push(tip.to_owned());
        } else if let Some(line) = line.strip_prefix("Usage: ") {
            usage = Some(line.to_owned());
        } else if line.starts_with("For more information") {
            // Said below, with the verb.
        } else if error.is_empty() {
            line.clone_into(&mut error);
        } else {
            error = format!("{error} {line}");
        }
    }
    if hints.is_empty() {
        let verb = usage
            .as_deref()
            .and_then(verb)
            .map(|verb| format!(" {verb}"))
            .unwrap_or_default();
        hints.push(format!("`daa help{verb}` lists all flags and their values"));
    }
    let hints: String = hints.iter().map(|hint| format!("hint: {hint}\n")).collect();
    format!("{error}\n{hints}")
}

/// The verb in `daa run [OPTIONS]`.
fn verb(usage: &str) -> Option<&str> {
    let word = usage.split_whitespace().nth(1)?;
    word.chars().all(|c| c.is_ascii_lowercase()).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::Parser as _;

    fn error_of(args: &[&str]) -> String {
        let error = Cli::try_parse_from(args).expect_err("refused");
        told(&error.render().to_string())
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
        assert!(text.lines().count() == 2, "{text}");
    }
}
