//! What is searched, and for how long.

use super::decide::TrialSpec;
use super::error::SearchError;
use super::space::{Candidate, CandidateId, SearchSpace, Suggestion};
use crate::data::InputShape;
use crate::nn::OutputHead;
use crate::train::TrainConfig;
use daa_base::Seed;
use serde::{Deserialize, Serialize};

/// Most rungs.
pub const MAX_RUNGS: usize = 16;
/// Most candidates of one search.
pub const MAX_CANDIDATES: usize = 4_096;
/// Largest budget, in epochs.
pub const MAX_BUDGET: u32 = 100_000;

/// A search: a pure function of this, and of the data that the candidates are trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchConfig {
    /// The candidates.
    pub space: SearchSpace,
    /// One in `eta` candidates of a rung goes on; 2 to 16.
    pub eta: u32,
    /// Epochs after which a candidate is compared, rising; 1 to 16 of them.
    pub rungs: Vec<u32>,
    /// Epochs of everything, the final training included; 2 to 100,000.
    pub epochs_budget: u32,
    /// Epochs of the budget that are kept for the final training; 1 to below the budget.
    pub final_epochs: u32,
    /// Decision `k` sees the results of trials below `k − window`; up to `window + 1` trials run at once. 0 to 1,024.
    pub window: u32,
    /// Most rows of one epoch, so that an epoch of large data stays a small unit of work. Absent: all rows.
    pub epoch_rows: Option<usize>,
    /// Where candidates, weights and row orders come from.
    pub seed: Seed,
}

impl SearchConfig {
    /// A search that suits data of `train_rows` training rows: small data get many short epochs, large data few
    /// epochs of at most 10,000 rows.
    #[must_use]
    pub fn for_dataset(train_rows: usize, input: InputShape, output: OutputHead, seed: Seed) -> Self {
        let (rungs, epochs_budget, final_epochs): (&[u32], u32, u32) = match train_rows {
            0..=500 => (&[10, 30, 90], 420, 90),
            501..=4_000 => (&[3, 9, 27], 160, 40),
            4_001..=20_000 => (&[1, 3, 9], 80, 30),
            _ => (&[1, 3, 9], 130, 70),
        };
        Self {
            space: SearchSpace::new(train_rows, input, output),
            eta: 3,
            rungs: rungs.to_vec(),
            epochs_budget,
            final_epochs,
            window: 8,
            epoch_rows: (train_rows > 10_000).then_some(10_000),
            seed,
        }
    }

    /// The same search under another budget: a third of it for the final training, rungs that no longer fit left out.
    #[must_use]
    pub fn with_budget(mut self, epochs: u32) -> Self {
        self.epochs_budget = epochs;
        self.final_epochs = (epochs / 3).max(1);
        let search = self.search_budget().max(1);
        self.rungs.retain(|&rung| rung <= search);
        if self.rungs.is_empty() {
            self.rungs.push(search);
        }
        self
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Names the field, its value and what is allowed.
    pub fn validate(&self) -> Result<(), SearchError> {
        let range = |field, value: u64, low: u64, high: u64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            let (value, allowed) = (value.to_string(), format!("{low} to {high}"));
            Err(SearchError::Config {
                field,
                value,
                allowed,
            })
        };
        range("eta", u64::from(self.eta), 2, 16)?;
        range(
            "epochs_budget",
            u64::from(self.epochs_budget),
            2,
            u64::from(MAX_BUDGET),
        )?;
        range(
            "final_epochs",
            u64::from(self.final_epochs),
            1,
            u64::from(self.epochs_budget) - 1,
        )?;
        range("window", u64::from(self.window), 0, 1_024)?;
        range("rungs (count)", self.rungs.len() as u64, 1, MAX_RUNGS as u64)?;
        range(
            "rungs (first)",
            u64::from(self.rungs[0]),
            1,
            u64::from(self.search_budget()),
        )?;
        range(
            "epoch_rows",
            self.epoch_rows.unwrap_or(1) as u64,
            1,
            u64::from(u32::MAX),
        )?;
        if self.rungs.windows(2).any(|pair| pair[0] >= pair[1]) {
            let value = format!("{:?}", self.rungs);
            return Err(SearchError::Config {
                field: "rungs",
                value,
                allowed: "rising numbers".to_owned(),
            });
        }
        self.space.validate()
    }

    /// Epochs that trials may spend together.
    #[must_use]
    pub const fn search_budget(&self) -> u32 {
        self.epochs_budget.saturating_sub(self.final_epochs)
    }

    /// The most candidates that the budget can start.
    #[must_use]
    pub fn max_candidates(&self) -> usize {
        let first = self.rungs.first().copied().unwrap_or(1).max(1);
        ((self.search_budget() / first) as usize).min(MAX_CANDIDATES)
    }

    /// Candidate `id`: a pure function of seed and number.
    #[must_use]
    pub fn candidate(&self, id: CandidateId) -> Candidate {
        let epochs = self.rungs.last().copied().unwrap_or(1);
        self.space.candidate(id, self.seed, epochs, self.epoch_rows)
    }

    /// Candidate `id` as a suggestion to others who search the same space.
    #[must_use]
    pub fn suggestion(&self, id: CandidateId) -> Suggestion {
        let candidate = self.candidate(id);
        let optimizer = candidate.training.optimizer;
        Suggestion {
            architecture: candidate.architecture,
            learning_rate: optimizer.learning_rate(),
            weight_decay: optimizer.weight_decay(),
        }
    }

    /// Every candidate that the search may ever start, so that the largest plan can be known before it begins.
    #[must_use]
    pub fn candidates(&self) -> Vec<Candidate> {
        (0..self.max_candidates())
            .map(|id| self.candidate(CandidateId(u32::try_from(id).unwrap_or(u32::MAX))))
            .collect()
    }

    /// How the trial's candidate is trained up to the trial's rung.
    #[must_use]
    pub fn training(&self, spec: &TrialSpec) -> TrainConfig {
        TrainConfig {
            epochs: spec.epochs_to,
            ..self.candidate(spec.candidate).training
        }
    }
}
