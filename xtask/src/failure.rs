//! Why a task failed.

use std::fmt;

/// What a task returns.
pub(crate) type Outcome = Result<(), Failure>;

/// One clear line about what went wrong, and what to do about it where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    what: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A failure that stands for a list of findings; `None` when there are none.
    pub(crate) fn of_findings(task: &str, findings: &[String]) -> Outcome {
        if findings.is_empty() {
            return Ok(());
        }
        for finding in findings {
            eprintln!("{task}: {finding}");
        }
        let noun = if findings.len() == 1 {
            "finding"
        } else {
            "findings"
        };
        Err(Self::new(format!(
            "{task}: {} {noun}, listed above",
            findings.len()
        )))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "error: {}", self.what)?;
        match &self.hint {
            Some(hint) => write!(out, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}
