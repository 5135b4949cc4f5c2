//! Architecture search by asynchronous successive halving, as a pure function.
//!
//! Trials are numbered in decision order. [`decide()`] says what trial `k` is, from the trials before it and from the
//! results of trials numbered below `k − W` only, `W` being [`SearchConfig::window`]. So up to `W + 1` trials can run
//! at once, and whichever finishes first, on however many agents, every decision and the final choice are the same.
//!
//! The method is ASHA (L. Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning"): a candidate is
//! trained to the first rung; the best `1/eta` of what is visible on a rung go on to the next one, from where they
//! stopped; where nobody can go on, a new candidate starts. The budget is counted in epochs, so it does not depend on
//! the speed of a machine.

pub mod config;
pub mod decide;
pub mod error;
pub mod select;
pub mod space;
#[cfg(test)]
mod tests;

pub use config::SearchConfig;
pub use decide::{Decision, TrialResult, TrialSpec, TrialStatus, decide};
pub use error::SearchError;
pub use select::{FinalSpec, FinalTraining, select_final};
pub use space::{Candidate, CandidateId, MAX_SUGGESTIONS, SearchSpace, Suggestion};
