//! Whether a state is one that an order can have ended in.

use super::{Order, state_path};
use crate::error::AgentError;
use daa_learn::train::{EpochRecord, Evaluation, Outcome, Stage, TrainError, TrainState, Trainer};

impl Order {
    /// Hands `state` back if this training can have ended in it with `outcome`, as far as can be seen without training: it
    /// is this training's, it goes on from where the order begins and stands where the order ends, and its history is
    /// one that leads there. That its numbers are the right ones is not proven.
    ///
    /// # Errors
    /// [`TrainError`] that says what is wrong with the state, or what is wrong with the one that the order begins with.
    pub(crate) fn ended_in(&self, state: TrainState, outcome: Outcome) -> Result<TrainState, AgentError> {
        let (network, data) = (self.network.clone(), self.data.clone());
        let trainer = Trainer::new(network, data, self.config.clone(), self.seed, Some(state))?;
        let state = trainer.into_state();
        let from = self.from.as_deref().map(state_path);
        let from = from.map(|path| TrainState::load(&path)).transpose()?;
        self.check_end(&state, outcome)?;
        self.check_history(&state, from.as_ref())?;
        Ok(state)
    }

    pub(super) fn check_end(&self, state: &TrainState, outcome: Outcome) -> Result<(), TrainError> {
        let (position, epochs) = (state.position(), self.config.epochs);
        let is_at_start = position.stage == Stage::Train && position.step == 0;
        let is_whole = match outcome {
            Outcome::Finished if state.is_stopped_early() => is_at_start && position.epoch <= epochs,
            Outcome::Finished => is_at_start && position.epoch == epochs,
            Outcome::Diverged => position.epoch < epochs,
            Outcome::Yielded => false,
        };
        if is_whole && state.is_diverged() == (outcome == Outcome::Diverged) {
            return Ok(());
        }
        let word = |is: bool, what| if is { what } else { "" };
        let (early, diverged) = (
            word(state.is_stopped_early(), ", stopped early"),
            word(state.is_diverged(), ", diverged"),
        );
        let found = format!(
            "epoch {}, {:?} step {}{early}{diverged}",
            position.epoch, position.stage, position.step
        );
        Err(TrainError::OtherTraining {
            what: "the position at the end",
            found,
            wanted: format!("{outcome:?} by epoch {epochs}"),
        })
    }

    fn check_history(&self, state: &TrainState, from: Option<&TrainState>) -> Result<(), TrainError> {
        let (history, begun) = (state.history(), from.map_or(&[][..], TrainState::history));
        let other = |what, found: String, wanted: &str| {
            let wanted = wanted.to_owned();
            Err(TrainError::OtherTraining { what, found, wanted })
        };
        if !history.starts_with(begun) {
            let found = format!("another, of {} epochs", history.len());
            return other("the history", found, "that of the state it began with");
        }
        let has_validation = !self.data.validation().is_empty();
        let is_sound = |(at, record): (usize, &EpochRecord)| {
            record.epoch as usize == at
                && is_sound(&record.train)
                && record.validation.is_some() == has_validation
                && record.validation.as_ref().is_none_or(is_sound)
        };
        if let Some(at) = history.iter().enumerate().position(|one| !is_sound(one)) {
            return other("the history", format!("{:?}", history[at]), "one of such data");
        }
        let (best, is_early) = replay(history, self.config.patience);
        if state.best_evaluation() != best {
            return other(
                "the best epoch",
                format!("{:?}", state.best_evaluation()),
                "that of the history",
            );
        }
        if state.is_stopped_early() != is_early {
            let found = state.is_stopped_early().to_string();
            return other("whether it stopped early", found, "what the history says");
        }
        Ok(())
    }
}

fn is_sound(evaluation: &Evaluation) -> bool {
    evaluation.loss.is_finite()
        && evaluation
            .accuracy
            .is_none_or(|share| (0.0..=1.0).contains(&share))
}

/// The best epoch of a history, and whether a training with such patience stopped after it. A training stops at the first
/// epoch at which it may; one that went on from its end has not moved.
fn replay(history: &[EpochRecord], patience: Option<u32>) -> (Option<(u32, Evaluation)>, bool) {
    let (mut best, mut is_early): (Option<(u32, Evaluation)>, bool) = (None, false);
    for record in history {
        let better = |validation: &Evaluation| {
            best.as_ref()
                .is_none_or(|(_, best)| validation.is_better_than(best))
        };
        if let Some(validation) = record.validation.filter(|validation| better(validation)) {
            best = Some((record.epoch, validation));
        }
        if let (Some(patience), Some((best, _))) = (patience, best) {
            is_early = record.epoch.saturating_sub(best) >= patience;
        }
    }
    (best, is_early)
}

#[cfg(test)]
mod tests;
