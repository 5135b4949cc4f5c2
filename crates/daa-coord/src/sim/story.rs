//! What happened, line by line, for people who want to see a seed again.

use super::queue::Micros;

/// Lines that are kept; a story that is longer says so.
const MAX_LINES: usize = 200_000;

/// The lines of one run, if anybody asked for them.
#[derive(Debug, Default)]
pub(super) struct Story {
    lines: Option<Vec<String>>,
}

impl Story {
    pub(super) fn told() -> Self {
        Self {
            lines: Some(Vec::new()),
        }
    }

    /// Adds a line, worked out only when somebody listens.
    pub(super) fn tell(&mut self, now: Micros, line: impl FnOnce() -> String) {
        let Some(lines) = &mut self.lines else { return };
        if lines.len() < MAX_LINES {
            lines.push(format!("{:>6}.{:03} ms  {}", now / 1000, now % 1000, line()));
        } else if lines.len() == MAX_LINES {
            lines.push("the story goes on, but is not told further".to_owned());
        }
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}
