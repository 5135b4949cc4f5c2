//! The choice at the end of a search.

use super::config::SearchConfig;
use super::decide::{TrialResult, TrialSpec, TrialStatus};
use super::error::SearchError;
use super::space::CandidateId;
use crate::nn::Architecture;
use crate::train::{Schedule, TrainConfig};
use daa_base::{Seed, TrialId};
use serde::{Deserialize, Serialize};

/// Which candidate is trained at last, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalSpec {
    /// The trial that won.
    pub trial: TrialId,
    /// Its candidate.
    pub candidate: CandidateId,
    /// Epochs of the final training.
    pub epochs: u32,
    /// The winner's validation score, in millionths.
    pub score_micro: i64,
}

/// Everything that the final training needs.
#[derive(Debug, Clone, PartialEq)]
pub struct FinalTraining {
    /// The network.
    pub architecture: Architecture,
    /// How it is trained: on the training and validation rows together, see [`crate::train::PreparedData::merged`].
    pub config: TrainConfig,
    /// The seed of its weights, order and dropout.
    pub seed: Seed,
}

/// Chooses the trial with the best validation score; the lower loss, then the lower number wins among equals.
///
/// The final training is as much shorter than [`SearchConfig::final_epochs`] as the winner's best epoch came before
/// its last one, but at least three quarters as long: under a falling learning rate the last epochs are mostly the
/// best, and few validation rows leave the order of good epochs to chance.
///
/// # Errors
/// A missing or doubled result, or no trial with a score.
pub fn select_final(
    config: &SearchConfig,
    specs: &[TrialSpec],
    results: &[TrialResult],
) -> Result<FinalSpec, SearchError> {
    config.validate()?;
    for spec in specs {
        match results.iter().filter(|result| result.id == spec.id).count() {
            0 => {
                return Err(SearchError::MissingResult {
                    decision: spec.id,
                    missing: spec.id,
                });
            }
            1 => {}
            _ => return Err(SearchError::TwoResults { trial: spec.id }),
        }
    }
    let scored = results
        .iter()
        .filter(|result| result.status == TrialStatus::Scored);
    let chosen = scored
        .filter_map(|result| Some((result, specs.iter().find(|spec| spec.id == result.id)?)))
        .min_by(|(a, _), (b, _)| a.ranking(b));
    let Some((result, spec)) = chosen else {
        return Err(SearchError::NothingToChoose { trials: specs.len() });
    };
    Ok(FinalSpec {
        trial: spec.id,
        candidate: spec.candidate,
        epochs: final_epochs(config.final_epochs, result),
        score_micro: result.score_micro,
    })
}

fn final_epochs(most: u32, result: &TrialResult) -> u32 {
    let (best, done) = (u64::from(result.best_epoch) + 1, u64::from(result.epochs.max(1)));
    let scaled = (u64::from(most) * best.min(done)).div_ceil(done);
    u32::try_from(scaled)
        .unwrap_or(most)
        .clamp(most.saturating_mul(3).div_ceil(4), most)
}

impl SearchConfig {
    /// The final training of the chosen candidate: its own recipe, the schedule stretched to the final length.
    #[must_use]
    pub fn final_training(&self, chosen: &FinalSpec) -> FinalTraining {
        let candidate = self.candidate(chosen.candidate);
        let schedule = match candidate.training.schedule {
            Schedule::Constant => Schedule::Constant,
            Schedule::Cosine {
                warmup_epochs, floor, ..
            } => {
                let warmup_epochs = warmup_epochs.min(chosen.epochs - 1);
                Schedule::Cosine {
                    epochs: chosen.epochs,
                    warmup_epochs,
                    floor,
                }
            }
        };
        let config = TrainConfig {
            epochs: chosen.epochs,
            schedule,
            patience: None,
            ..candidate.training
        };
        let seed = Seed(self.seed.stream("search.final").rng().next_u64());
        FinalTraining {
            architecture: candidate.architecture,
            config,
            seed,
        }
    }
}
