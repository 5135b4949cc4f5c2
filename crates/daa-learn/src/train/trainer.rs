//! The training loop.

use super::augment::epoch_stream;
use super::buffer::BatchBuffer;
use super::config::TrainConfig;
use super::error::TrainError;
use super::order::{EpochOrder, steps};
use super::prepared::PreparedData;
use super::resume;
use super::state::{Cursor, EpochRecord, Evaluation, Position, Stage, StateTensor, TrainState};
use crate::nn::{Network, Purpose};
use daa_base::Seed;
use daa_kernels::graph::TensorId;
use daa_kernels::session::{Data, Session};
use std::sync::Arc;

/// What the caller wants at a step boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Do the next step.
    Continue,
    /// Stop here; the state can be resumed.
    Yield,
}

/// Where a training stands; given to the caller before every step.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The step that comes next.
    pub position: Position,
    /// The epoch at which training stops.
    pub epochs: u32,
    /// Steps of the part of the epoch under way.
    pub steps: u32,
    /// The finished epochs.
    pub history: &'a [EpochRecord],
}

/// Why [`Trainer::run`] came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every epoch is done, or validation got no better for long enough.
    Finished,
    /// The caller asked for it.
    Yielded,
    /// A loss was not finite. Going on makes no sense.
    Diverged,
}

/// A resumable training of one network.
#[derive(Debug)]
pub struct Trainer {
    network: Arc<Network>,
    data: Arc<PreparedData>,
    config: TrainConfig,
    seed: Seed,
    state: TrainState,
}

impl Trainer {
    /// A training from its start, or from where `resume` stopped.
    ///
    /// # Errors
    /// A configuration out of range, data that do not fit the network, a network compiled for something else, or a
    /// state of another training (another network, batch size, seed, configuration or number of rows).
    pub fn new(
        network: Arc<Network>,
        data: Arc<PreparedData>,
        config: TrainConfig,
        seed: Seed,
        resume: Option<TrainState>,
    ) -> Result<Self, TrainError> {
        config.validate()?;
        data.fits(network.architecture())?;
        if network.batch() != config.batch {
            let value = config.batch.to_string();
            return Err(TrainError::Config {
                field: "batch",
                value,
                allowed: network.batch().to_string(),
            });
        }
        let wanted = Purpose::Train(config.optimizer.kind());
        if network.purpose() != wanted {
            let (found, wanted) = (format!("{:?}", network.purpose()), format!("{wanted:?}"));
            return Err(TrainError::Purpose { found, wanted });
        }
        let state = match resume {
            Some(state) => resume::check(state, &network, &data, &config, seed)?,
            None => resume::fresh(&network, &data, &config, seed)?,
        };
        Ok(Self {
            network,
            data,
            config,
            seed,
            state,
        })
    }

    /// The state after the last [`Trainer::run`], or the one training starts from.
    #[must_use]
    pub const fn state(&self) -> &TrainState {
        &self.state
    }

    /// The state, for keeping.
    #[must_use]
    pub fn into_state(self) -> TrainState {
        self.state
    }

    /// What is trained.
    #[must_use]
    pub const fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// Trains on `session`, which must have been loaded with this network's plan, until the end or until `control`
    /// says [`Control::Yield`]. `control` is asked before every step, of validation too; the host waits for the
    /// device only at the end of an epoch and when it comes back.
    ///
    /// # Errors
    /// When the device refuses or fails. The state is then the one before the call, so that it can be repeated, on
    /// another device if need be.
    pub fn run(
        &mut self,
        session: &mut Session,
        control: &mut dyn FnMut(&Progress<'_>) -> Control,
    ) -> Result<Outcome, TrainError> {
        let (outcome, state) = self.advance(session, control)?;
        self.state = state;
        Ok(outcome)
    }

    /// As [`Self::run`], but gives the new state back and leaves the old one, the checkpoint, where it is.
    pub(super) fn advance(
        &self,
        session: &mut Session,
        control: &mut dyn FnMut(&Progress<'_>) -> Control,
    ) -> Result<(Outcome, TrainState), TrainError> {
        let mut run = Run {
            network: &self.network,
            data: &self.data,
            config: &self.config,
            seed: self.seed,
            cursor: self.state.cursor.clone(),
            best: None,
            batch: BatchBuffer::new(&self.network, &self.data),
            order: None,
        };
        if let Some(outcome) = run.is_over() {
            return Ok((outcome, self.state.clone()));
        }
        run.push(session, &self.state.tensors)?;
        let outcome = run.steps(session, control)?;
        let tensors = session.read(&tensor_ids(&self.network))?;
        let (cursor, best) = (run.cursor, run.best);
        let before = &self.state;
        let tensor = |(old, data): (&StateTensor, Vec<f32>)| StateTensor {
            name: old.name.clone(),
            shape: old.shape.clone(),
            data,
        };
        let state = TrainState {
            identity: before.identity.clone(),
            cursor,
            tensors: before.tensors.iter().zip(tensors).map(tensor).collect(),
            parameter_count: before.parameter_count,
            best_parameters: best.or_else(|| before.best_parameters.clone()),
        };
        Ok((outcome, state))
    }

    /// Makes `state` the next checkpoint.
    pub(super) fn accept(&mut self, state: TrainState) {
        self.state = state;
    }
}

/// One call of [`Trainer::run`]: what changes is copied back only if it ends well.
struct Run<'a> {
    network: &'a Network,
    data: &'a PreparedData,
    config: &'a TrainConfig,
    seed: Seed,
    cursor: Cursor,
    best: Option<Vec<Vec<f32>>>,
    batch: BatchBuffer,
    /// The order of the epoch under way.
    order: Option<(u32, EpochOrder)>,
}

impl Run<'_> {
    const fn is_over(&self) -> Option<Outcome> {
        if self.cursor.is_diverged {
            Some(Outcome::Diverged)
        } else if self.cursor.is_stopped_early || self.cursor.position.epoch >= self.config.epochs {
            Some(Outcome::Finished)
        } else {
            None
        }
    }

    fn push(&mut self, session: &mut Session, tensors: &[StateTensor]) -> Result<(), TrainError> {
        let ids = tensor_ids(self.network);
        let writes: Vec<_> = ids
            .into_iter()
            .zip(tensors)
            .map(|(id, tensor)| (id, Data::F32(&tensor.data)))
            .collect();
        session.write(&writes)?;
        if self.cursor.position.stage == Stage::Train {
            self.set_all_weights(session)?;
        }
        Ok(())
    }

    /// Every row of a training batch counts.
    fn set_all_weights(&mut self, session: &mut Session) -> Result<(), TrainError> {
        self.batch.weights.fill(1.0);
        session.write(&[(training(self.network).weights, Data::F32(&self.batch.weights))])?;
        Ok(())
    }

    fn steps(
        &mut self,
        session: &mut Session,
        control: &mut dyn FnMut(&Progress<'_>) -> Control,
    ) -> Result<Outcome, TrainError> {
        loop {
            if let Some(outcome) = self.is_over() {
                return Ok(outcome);
            }
            let steps = self.steps_of_stage();
            let position = self.cursor.position;
            let progress = Progress {
                position,
                epochs: self.config.epochs,
                steps,
                history: &self.cursor.history,
            };
            if control(&progress) == Control::Yield {
                return Ok(Outcome::Yielded);
            }
            match position.stage {
                Stage::Train => self.train_step(session)?,
                Stage::Validate => self.validate_step(session)?,
            }
            self.cursor.position.step += 1;
            if self.cursor.position.step == steps {
                self.end_stage(session)?;
            }
        }
    }

    fn steps_of_stage(&self) -> u32 {
        let batch = self.config.batch;
        let steps = match self.cursor.position.stage {
            Stage::Train => steps(self.data.train().len(), self.config.epoch_rows, batch),
            Stage::Validate => steps(self.data.validation().len(), None, batch),
        };
        u32::try_from(steps).expect("row numbers are 32 bits wide")
    }

    fn train_step(&mut self, session: &mut Session) -> Result<(), TrainError> {
        let Position { epoch, step, .. } = self.cursor.position;
        let steps_per_epoch = u64::from(self.steps_of_stage());
        self.gather_train(epoch, step as usize);
        let global = u64::from(epoch) * steps_per_epoch + u64::from(step);
        let factor = self.config.schedule.factor(global, steps_per_epoch);
        let (decay, plain) = self.config.optimizer.hyper(factor, global);
        let dropout_key = [self.seed.stream("dropout").child(global).key32()];
        let tensors = training(self.network);
        let mut inputs = vec![
            (self.network.features(), Data::F32(&self.batch.features)),
            (tensors.targets, self.batch.targets.data()),
            (tensors.hyper_decay, Data::F32(&decay)),
            (tensors.hyper_plain, Data::F32(&plain)),
        ];
        if let Some(seed) = tensors.dropout_seed {
            inputs.push((seed, Data::U32(&dropout_key)));
        }
        let phase = self
            .network
            .phases()
            .train
            .expect("Trainer::new checks the purpose");
        // Not waited for: an error of this step comes back with the next read, at the latest at the epoch's end.
        drop(session.run(phase, &inputs)?);
        Ok(())
    }

    fn gather_train(&mut self, epoch: u32, step: usize) {
        if self.order.as_ref().is_none_or(|(of, _)| *of != epoch) {
            let order = EpochOrder::new(self.data.train(), self.seed, epoch, self.config.epoch_rows);
            self.order = Some((epoch, order));
        }
        let (_, order) = self.order.as_ref().expect("set above");
        let image = self.network.architecture().input;
        let stream = epoch_stream(self.seed, epoch);
        for (slot, row) in order.batch(step, self.config.batch).enumerate() {
            let target = self.batch.slot(slot);
            match self.config.augment {
                Some(augment) => {
                    augment.copy(image, self.data.dataset().row(row as usize), target, &stream, row)
                }
                None => target.copy_from_slice(self.data.dataset().row(row as usize)),
            }
            self.batch.targets.set(slot, self.data.dataset().target(), row);
        }
    }

    fn validate_step(&mut self, session: &mut Session) -> Result<(), TrainError> {
        let rows = self.data.validation();
        let start = self.cursor.position.step as usize * self.config.batch;
        for slot in 0..self.config.batch {
            // Rows behind the last one are the last one again, and weigh nothing.
            let row = rows[(start + slot).min(rows.len() - 1)];
            self.batch
                .slot(slot)
                .copy_from_slice(self.data.dataset().row(row as usize));
            self.batch.targets.set(slot, self.data.dataset().target(), row);
            self.batch.weights[slot] = f32::from(u8::from(start + slot < rows.len()));
        }
        let tensors = training(self.network);
        let inputs = [
            (self.network.features(), Data::F32(&self.batch.features)),
            (tensors.targets, self.batch.targets.data()),
            (tensors.weights, Data::F32(&self.batch.weights)),
        ];
        let phase = self
            .network
            .phases()
            .evaluate
            .expect("Trainer::new checks the purpose");
        drop(session.run(phase, &inputs)?);
        Ok(())
    }

    fn end_stage(&mut self, session: &mut Session) -> Result<(), TrainError> {
        let rows = match self.cursor.position.stage {
            Stage::Train => self.cursor.position.step as usize * self.config.batch,
            Stage::Validate => self.data.validation().len(),
        };
        let evaluation = self.take_metrics(session, rows)?;
        if !evaluation.loss.is_finite() {
            self.cursor.is_diverged = true;
            return Ok(());
        }
        self.cursor.position.step = 0;
        match self.cursor.position.stage {
            Stage::Train if self.data.validation().is_empty() => self.end_epoch(evaluation, None),
            Stage::Train => {
                self.cursor.pending = Some(evaluation);
                self.cursor.position.stage = Stage::Validate;
            }
            Stage::Validate => {
                self.keep_if_better(session, evaluation)?;
                let train = self.cursor.pending.take().expect("set when validation began");
                self.end_epoch(train, Some(evaluation));
                self.cursor.position.stage = Stage::Train;
                self.set_all_weights(session)?;
            }
        }
        Ok(())
    }

    /// Reads the metrics and sets them back to zero: the one wait of an epoch's part.
    fn take_metrics(&self, session: &mut Session, rows: usize) -> Result<Evaluation, TrainError> {
        let tensors = training(self.network);
        let ids: Vec<TensorId> = std::iter::once(tensors.loss).chain(tensors.hits).collect();
        let sums = session.read(&ids)?;
        let zeros: Vec<_> = ids.iter().map(|&id| (id, Data::F32(&[0.0]))).collect();
        session.write(&zeros)?;
        let mean = |sum: &Vec<f32>| sum[0] / rows as f32;
        Ok(Evaluation {
            loss: mean(&sums[0]),
            accuracy: sums.get(1).map(mean),
        })
    }

    fn keep_if_better(&mut self, session: &mut Session, evaluation: Evaluation) -> Result<(), TrainError> {
        if self
            .cursor
            .best
            .is_some_and(|(_, best)| !evaluation.is_better_than(&best))
        {
            return Ok(());
        }
        let ids: Vec<TensorId> = self.network.parameters().iter().map(|&(_, id)| id).collect();
        self.best = Some(session.read(&ids)?);
        self.cursor.best = Some((self.cursor.position.epoch, evaluation));
        Ok(())
    }

    fn end_epoch(&mut self, train: Evaluation, validation: Option<Evaluation>) {
        let epoch = self.cursor.position.epoch;
        self.cursor.history.push(EpochRecord {
            epoch,
            train,
            validation,
        });
        self.cursor.position.epoch += 1;
        if let (Some(patience), Some((best, _))) = (self.config.patience, self.cursor.best) {
            self.cursor.is_stopped_early = epoch - best >= patience;
        }
    }
}

fn training(network: &Network) -> &crate::nn::compile::TrainingTensors {
    network
        .training
        .as_ref()
        .expect("Trainer::new checks the purpose")
}

/// The tensors of a state, in the order of [`super::state::layout`].
fn tensor_ids(network: &Network) -> Vec<TensorId> {
    let tensors = training(network);
    let parameters = network.parameters().iter().map(|&(_, id)| id);
    let moments = tensors.moments.iter().map(|&(_, _, id)| id);
    parameters
        .chain(moments)
        .chain([tensors.loss])
        .chain(tensors.hits)
        .collect()
}

#[cfg(test)]
mod tests;
