//! What is said on the standard error: warnings, errors and hints, each a line, never through a progress bar.

use crate::args::Global;
use crate::exit::{Exit, Failure};
use indicatif::{MultiProgress, ProgressDrawTarget};
use std::io::{self, IsTerminal as _, Write as _};

/// The standard error. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Messages {
    bars: MultiProgress,
    quiet: bool,
}

impl Messages {
    pub(crate) fn new(global: &Global) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        // With -v there is a line per event: bars would only tear them apart.
        let wanted = !global.quiet && !global.no_progress && global.verbose == 0;
        let target = if wanted && !dumb && io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Self {
            bars: MultiProgress::with_draw_target(target),
            quiet: global.quiet,
        }
    }

    /// Where progress bars are drawn; hidden when nobody would see them.
    pub(crate) const fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// One line that -q silences.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.line(text);
        }
    }

    /// One warning that -q silences.
    pub(crate) fn warning(&self, text: &str) {
        self.note(&format!("warning: {text}"));
    }

    /// Tells why the program ends, and gives the code.
    pub(crate) fn failure(&self, failure: &Failure) -> Exit {
        match failure {
            Failure::ReaderGone => Exit::Done,
            Failure::Told { exit, error, hint } => {
                self.line(&format!("error: {}", one_line(error)));
                if let Some(hint) = hint {
                    self.line(&format!("hint: {hint}"));
                }
                *exit
            }
        }
    }

    fn line(&self, text: &str) {
        let line = format!("{}\n", printable(text));
        self.raw(line.as_bytes());
    }

    /// Writes bytes between two drawings of the bars. Nobody is left to tell when it fails.
    pub(crate) fn raw(&self, bytes: &[u8]) {
        let _ = self.bars.suspend(|| io::stderr().write_all(bytes));
    }
}

/// An error and its causes on one line; a cause that the line tells already is left out.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

/// `text` without characters that would move the cursor or change colours: file names and data are not trusted.
pub(crate) fn printable(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_on_one_line_and_are_told_once() {
        let error = anyhow::anyhow!("disk full")
            .context("a.csv: cannot be written: disk full")
            .context("no model");
        assert_eq!(one_line(&error), "no model: a.csv: cannot be written: disk full");
    }

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(printable("\u{1b}[2Jé\n"), "\\u{1b}[2Jé\\n");
    }
}
