//! The trials of a search, as every agent derives them for itself.
//!
//! What trial `k` does is a function of the search's configuration and of the results of the trials numbered below
//! `k − window`. The ledger says which results count; their contents lie in the run folder and are believed only if
//! their digest is the one that the ledger recorded.

use crate::error::AgentError;
use crate::events::Work;
use crate::folder::RunFolder;
use crate::order::read_result;
use daa_base::TrialId;
use daa_coord::{Digest, Ledger};
use daa_learn::search::{Decision, SearchConfig, TrialResult, TrialSpec, decide};
use std::sync::{Arc, Mutex, PoisonError};

/// What an agent may do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Claim this trial.
    Claim(TrialSpec),
    /// Wait for the results of others.
    Wait,
    /// Nothing: every trial has its result.
    Done,
}

/// The trials so far. Shared by the agents of one process; each entry is checked before it enters.
#[derive(Debug)]
pub(crate) struct TrialBook {
    config: SearchConfig,
    folder: Arc<RunFolder>,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    specs: Vec<TrialSpec>,
    results: Vec<TrialResult>,
    is_finished: bool,
}

impl TrialBook {
    pub(crate) fn new(config: SearchConfig, folder: Arc<RunFolder>) -> Self {
        Self {
            config,
            folder,
            pages: Mutex::default(),
        }
    }

    pub(crate) const fn config(&self) -> &SearchConfig {
        &self.config
    }

    /// The trials decided so far with their results, in order.
    pub(crate) fn contents(&self) -> (Vec<TrialSpec>, Vec<TrialResult>) {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        (pages.specs.clone(), pages.results.clone())
    }

    /// What can be done at the state of `ledger`.
    pub(crate) fn next(&self, ledger: &Ledger) -> Result<Next, AgentError> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        self.read_results(&mut pages, ledger)?;
        if let Some(trial) = ledger.claimable_trial()
            && self.decide_up_to(&mut pages, trial)?
        {
            return Ok(Next::Claim(pages.specs[trial.get() as usize]));
        }
        let is_over = pages.is_finished && pages.results.len() == pages.specs.len();
        Ok(if is_over { Next::Done } else { Next::Wait })
    }

    /// Adds the results that the ledger recorded since the last look. They enter in order: a result beyond a gap is
    /// not needed yet.
    fn read_results(&self, pages: &mut Pages, ledger: &Ledger) -> Result<(), AgentError> {
        while let Some(trial) = u32::try_from(pages.results.len()).ok().map(TrialId)
            && let Some(record) = ledger.record(trial)
        {
            let dir = self.folder.work_dir(Work::Trial(trial))?;
            let stored = read_result(&dir)?.filter(|stored| stored.digest() == record.checkpoint);
            let result = stored
                .and_then(|stored| stored.result)
                .filter(|result| result.id == trial);
            pages
                .results
                .push(result.ok_or(AgentError::ResultGone { trial })?);
        }
        Ok(())
    }

    /// Decides the trials up to `trial`; whether `trial` is one.
    fn decide_up_to(&self, pages: &mut Pages, trial: TrialId) -> Result<bool, AgentError> {
        while !pages.is_finished && pages.specs.len() <= trial.get() as usize {
            let next = TrialId(u32::try_from(pages.specs.len()).unwrap_or(u32::MAX));
            if pages.results.len() < next.get().saturating_sub(self.config.window) as usize {
                return Ok(false);
            }
            match decide(&self.config, next, &pages.specs, &pages.results)? {
                Decision::Trial(spec) => pages.specs.push(spec),
                Decision::Finished => pages.is_finished = true,
            }
        }
        Ok((trial.get() as usize) < pages.specs.len())
    }
}

/// Digest of a decision, for the ledger: agents that claim a trial say what they take it to be.
pub(crate) fn decision_digest(decision: &impl serde::Serialize) -> Result<Digest, AgentError> {
    let text = serde_json::to_vec(decision).map_err(|error| AgentError::internal("a decision", error))?;
    Ok(Digest::of(&text))
}
