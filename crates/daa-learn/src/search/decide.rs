//! The decision on one trial.

use super::config::SearchConfig;
use super::error::SearchError;
use super::space::CandidateId;
use crate::train::{TrainState, state::Evaluation};
use daa_base::TrialId;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// What one trial does: train `candidate` from one rung to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialSpec {
    /// Its number, in decision order.
    pub id: TrialId,
    /// What is trained; see [`SearchConfig::candidate`].
    pub candidate: CandidateId,
    /// The rung it trains to, from 0.
    pub rung: u32,
    /// The trial whose checkpoint it goes on from; absent on rung 0.
    pub from: Option<TrialId>,
    /// Epochs that are done already.
    pub epochs_from: u32,
    /// The epoch at which it stops.
    pub epochs_to: u32,
}

impl TrialSpec {
    /// What it takes from the budget, in epochs.
    #[must_use]
    pub const fn cost(&self) -> u32 {
        self.epochs_to.saturating_sub(self.epochs_from)
    }
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialStatus {
    /// With a network that has a score.
    Scored,
    /// With a loss that was not finite: worse than every score.
    Diverged,
}

/// What came out of a trial. Integers only, so that a ledger can carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialResult {
    /// The trial.
    pub id: TrialId,
    /// How it ended.
    pub status: TrialStatus,
    /// The best validation score so far, in millionths, higher is better; see
    /// [`Evaluation::score_micro`]. `i64::MIN` when diverged.
    pub score_micro: i64,
    /// The validation loss of that epoch, in millionths; `i64::MAX` when diverged.
    pub loss_micro: i64,
    /// The epoch of that score, from 0.
    pub best_epoch: u32,
    /// Epochs done so far, those of the trials it went on from included.
    pub epochs: u32,
}

impl TrialResult {
    /// The result of the trial whose training ended in `state`. A state that is diverged, or without validation
    /// rows, has no score and counts as diverged.
    #[must_use]
    pub fn of(id: TrialId, state: &TrainState) -> Self {
        let epochs = state.position().epoch;
        match state.best_evaluation() {
            Some((best_epoch, best)) if !state.is_diverged() => Self::scored(id, &best, best_epoch, epochs),
            _ => Self {
                id,
                status: TrialStatus::Diverged,
                score_micro: i64::MIN,
                loss_micro: i64::MAX,
                best_epoch: 0,
                epochs,
            },
        }
    }

    fn scored(id: TrialId, best: &Evaluation, best_epoch: u32, epochs: u32) -> Self {
        let (score_micro, loss_micro) = (best.score_micro(), best.loss_micro());
        Self {
            id,
            status: TrialStatus::Scored,
            score_micro,
            loss_micro,
            best_epoch,
            epochs,
        }
    }

    /// Best first: by score, then by loss, then by number.
    #[must_use]
    pub fn ranking(&self, other: &Self) -> Ordering {
        let worst_last = |result: &Self| result.status == TrialStatus::Diverged;
        worst_last(self)
            .cmp(&worst_last(other))
            .then(other.score_micro.cmp(&self.score_micro))
            .then(self.loss_micro.cmp(&other.loss_micro))
            .then(self.id.cmp(&other.id))
    }
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// This trial.
    Trial(TrialSpec),
    /// Nothing: the budget is spent. Later decisions say the same.
    Finished,
}

/// Decides what trial `k` is.
///
/// `specs` are the trials 0 to `k − 1` in order. `results` may hold any results in any order; only those of trials
/// numbered below `k − window` are read, and all of those must be there.
///
/// # Errors
/// A configuration out of range, trials that are not numbered as they should be, and missing or doubled results.
pub fn decide(
    config: &SearchConfig,
    k: TrialId,
    specs: &[TrialSpec],
    results: &[TrialResult],
) -> Result<Decision, SearchError> {
    config.validate()?;
    check_specs(config, k, specs)?;
    let visible = visible(config, k, results)?;
    let spent: u64 = specs.iter().map(|spec| u64::from(spec.cost())).sum();
    let left = u64::from(config.search_budget()).saturating_sub(spent);
    for rung in (0..config.rungs.len().saturating_sub(1)).rev() {
        let cost = u64::from(config.rungs[rung + 1] - config.rungs[rung]);
        if cost <= left
            && let Some(best) = promotable(config, specs, &visible, rung)
        {
            let before = &specs[best.id.0 as usize];
            return Ok(Decision::Trial(TrialSpec {
                id: k,
                candidate: before.candidate,
                rung: before.rung + 1,
                from: Some(before.id),
                epochs_from: before.epochs_to,
                epochs_to: config.rungs[rung + 1],
            }));
        }
    }
    Ok(new_candidate(config, k, specs, left))
}

/// The results that decision `k` may see, best first.
fn visible(
    config: &SearchConfig,
    k: TrialId,
    results: &[TrialResult],
) -> Result<Vec<TrialResult>, SearchError> {
    let end = k.0.saturating_sub(config.window);
    let mut visible: Vec<TrialResult> = results
        .iter()
        .copied()
        .filter(|result| result.id.0 < end)
        .collect();
    visible.sort_by_key(|result| result.id);
    for (wanted, result) in (0..end).zip(&visible) {
        match result.id.0.cmp(&wanted) {
            Ordering::Less => return Err(SearchError::TwoResults { trial: result.id }),
            Ordering::Greater => {
                return Err(SearchError::MissingResult {
                    decision: k,
                    missing: TrialId(wanted),
                });
            }
            Ordering::Equal => {}
        }
    }
    match u32::try_from(visible.len()) {
        Ok(count) if count == end => {}
        Ok(count) if count < end => {
            return Err(SearchError::MissingResult {
                decision: k,
                missing: TrialId(count),
            });
        }
        _ => {
            return Err(SearchError::TwoResults {
                trial: visible[end as usize].id,
            });
        }
    }
    visible.sort_by(TrialResult::ranking);
    Ok(visible)
}

/// The best of the top `1/eta` on `rung` that has not gone on yet.
fn promotable(
    config: &SearchConfig,
    specs: &[TrialSpec],
    visible: &[TrialResult],
    rung: usize,
) -> Option<TrialResult> {
    let on_rung: Vec<&TrialResult> = visible
        .iter()
        .filter(|result| specs[result.id.0 as usize].rung as usize == rung)
        .collect();
    let quota = on_rung.len() / config.eta as usize;
    let has_gone_on = |result: &TrialResult| specs.iter().any(|spec| spec.from == Some(result.id));
    on_rung
        .into_iter()
        .take(quota)
        .find(|result| result.status == TrialStatus::Scored && !has_gone_on(result))
        .copied()
}

fn new_candidate(config: &SearchConfig, k: TrialId, specs: &[TrialSpec], left: u64) -> Decision {
    let started = specs.iter().filter(|spec| spec.rung == 0).count();
    let first = config.rungs[0];
    // A candidate that could never go on would only spend epochs; before anything is visible nobody can know.
    let could_go_on = config
        .rungs
        .get(1)
        .is_none_or(|&second| u64::from(second) <= left)
        || k.0 <= config.window;
    if left < u64::from(first) || !could_go_on || started >= config.max_candidates() {
        return Decision::Finished;
    }
    Decision::Trial(TrialSpec {
        id: k,
        candidate: CandidateId(u32::try_from(started).unwrap_or(u32::MAX)),
        rung: 0,
        from: None,
        epochs_from: 0,
        epochs_to: first,
    })
}

fn check_specs(config: &SearchConfig, k: TrialId, specs: &[TrialSpec]) -> Result<(), SearchError> {
    let numbers = specs
        .iter()
        .map(|spec| Some(spec.id))
        .chain(std::iter::once(None));
    for (position, found) in numbers.enumerate() {
        let wanted = (position < k.0 as usize).then(|| TrialId(u32::try_from(position).unwrap_or(u32::MAX)));
        if found != wanted {
            let found = found.map_or_else(|| "nothing".to_owned(), |id| id.to_string());
            return Err(SearchError::Numbering { position, found });
        }
    }
    let rungs = config.rungs.len();
    match specs.iter().find(|spec| spec.rung as usize >= rungs) {
        Some(spec) => Err(SearchError::UnknownRung {
            trial: spec.id,
            rung: spec.rung,
            rungs,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
