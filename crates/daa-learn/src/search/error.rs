//! Why a search cannot be configured or decided.

use daa_base::TrialId;

/// A search is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// A configuration field outside its range.
    #[error("search: {field} is {value}, allowed are {allowed}")]
    Config {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// The values allowed.
        allowed: String,
    },
    /// The trials before `k` are not numbered 0 to `k − 1`.
    #[error("search: position {position} of the trials holds {found}")]
    Numbering {
        /// The position.
        position: usize,
        /// The number found there, or `nothing`.
        found: String,
    },
    /// A trial that the decision must see has no result yet.
    #[error("search: the decision on {decision} needs the result of {missing}")]
    MissingResult {
        /// The trial to be decided.
        decision: TrialId,
        /// The trial without a result.
        missing: TrialId,
    },
    /// Two results of one trial.
    #[error("search: {trial} has two results")]
    TwoResults {
        /// The trial.
        trial: TrialId,
    },
    /// A trial names a rung that the configuration does not have.
    #[error("search: {trial} is on rung {rung}, the configuration has {rungs}")]
    UnknownRung {
        /// The trial.
        trial: TrialId,
        /// Its rung.
        rung: u32,
        /// How many rungs there are.
        rungs: usize,
    },
    /// Every trial diverged, so there is nothing to choose.
    #[error("search: none of {trials} trials gave a usable network")]
    NothingToChoose {
        /// How many trials there are.
        trials: usize,
    },
}
