//! Where a training starts, and whether a saved state is one that this training can go on from.

use super::config::TrainConfig;
use super::error::TrainError;
use super::order::steps;
use super::prepared::PreparedData;
use super::state::{Cursor, Identity, Stage, StateTensor, TrainState, layout};
use crate::nn::{Network, init};
use daa_base::Seed;

/// Hands `state` back if this training can go on from it.
pub(super) fn check(
    state: TrainState,
    network: &Network,
    data: &PreparedData,
    config: &TrainConfig,
    seed: Seed,
) -> Result<TrainState, TrainError> {
    check_identity(&state, &identity(network, data, config, seed)?)?;
    check_layout(&state, network, config)?;
    Ok(state)
}

fn identity(
    network: &Network,
    data: &PreparedData,
    config: &TrainConfig,
    seed: Seed,
) -> Result<Identity, TrainError> {
    let digest = |text: &str| blake3::hash(text.as_bytes()).to_hex().to_string();
    let without_end = TrainConfig {
        epochs: 1,
        ..config.clone()
    };
    let text = serde_json::to_string(&without_end).map_err(|error| TrainError::Config {
        field: "configuration",
        value: error.to_string(),
        allowed: "finite numbers".to_owned(),
    })?;
    Ok(Identity {
        architecture: digest(&network.architecture().to_json()?),
        batch: network.batch(),
        optimizer: config.optimizer.kind(),
        seed,
        config: digest(&text),
        train_rows: data.train().len(),
        validation_rows: data.validation().len(),
    })
}

fn check_identity(state: &TrainState, wanted: &Identity) -> Result<(), TrainError> {
    let found = &state.identity;
    let pairs = [
        (
            "the architecture's digest",
            found.architecture.clone(),
            wanted.architecture.clone(),
        ),
        (
            "the batch size",
            found.batch.to_string(),
            wanted.batch.to_string(),
        ),
        (
            "the optimizer",
            format!("{:?}", found.optimizer),
            format!("{:?}", wanted.optimizer),
        ),
        ("the seed", found.seed.0.to_string(), wanted.seed.0.to_string()),
        (
            "the configuration's digest",
            found.config.clone(),
            wanted.config.clone(),
        ),
        (
            "the number of training rows",
            found.train_rows.to_string(),
            wanted.train_rows.to_string(),
        ),
        (
            "the number of validation rows",
            found.validation_rows.to_string(),
            wanted.validation_rows.to_string(),
        ),
    ];
    match pairs.into_iter().find(|(_, found, wanted)| found != wanted) {
        Some((what, found, wanted)) => Err(TrainError::OtherTraining { what, found, wanted }),
        None => Ok(()),
    }
}

/// A state that came from a file may say anything: its tensors and its position must fit this network and these rows.
fn check_layout(state: &TrainState, network: &Network, config: &TrainConfig) -> Result<(), TrainError> {
    let other = |what, found: String, wanted: String| Err(TrainError::OtherTraining { what, found, wanted });
    let wanted = layout(network);
    if state.tensors.len() != wanted.len() || state.parameter_count != network.parameters().len() {
        return other(
            "the number of tensors",
            state.tensors.len().to_string(),
            wanted.len().to_string(),
        );
    }
    for (tensor, (name, shape)) in state.tensors.iter().zip(&wanted) {
        if tensor.name != *name
            || tensor.shape != *shape
            || tensor.data.len() != shape.iter().product::<usize>()
        {
            let found = format!("{} {:?}", tensor.name, tensor.shape);
            return other("a tensor", found, format!("{name} {shape:?}"));
        }
    }
    let best = state.best_parameters.as_deref();
    if best.is_some() != state.cursor.best.is_some() {
        let is_there = |there: bool| if there { "there" } else { "missing" }.to_owned();
        return other(
            "the best weights",
            is_there(best.is_some()),
            is_there(state.cursor.best.is_some()),
        );
    }
    let fits = |data: &[Vec<f32>]| {
        data.len() == network.parameters().len()
            && data
                .iter()
                .zip(network.parameters())
                .all(|(data, (spec, _))| data.len() == spec.elements())
    };
    if best.is_some_and(|best| !fits(best)) {
        return other(
            "the size of the best weights",
            "another".to_owned(),
            "the network's".to_owned(),
        );
    }
    check_position(state, config)
}

fn check_position(state: &TrainState, config: &TrainConfig) -> Result<(), TrainError> {
    let Cursor {
        position,
        pending,
        history,
        is_diverged,
        ..
    } = &state.cursor;
    let Identity {
        train_rows,
        validation_rows,
        ..
    } = state.identity;
    let is_validating = position.stage == Stage::Validate;
    let steps = if is_validating {
        steps(validation_rows, None, config.batch)
    } else {
        steps(train_rows, config.epoch_rows, config.batch)
    };
    // A diverged training stands behind the last step of the part that went wrong.
    let is_within = (position.step as usize) < steps || (*is_diverged && position.step as usize == steps);
    if is_within && pending.is_some() == is_validating && history.len() == position.epoch as usize {
        return Ok(());
    }
    let found = format!(
        "epoch {}, {:?} step {}",
        position.epoch, position.stage, position.step
    );
    let wanted = "one that its history leads to".to_owned();
    Err(TrainError::OtherTraining {
        what: "the position",
        found,
        wanted,
    })
}

/// The state that a training starts from.
pub(super) fn fresh(
    network: &Network,
    data: &PreparedData,
    config: &TrainConfig,
    seed: Seed,
) -> Result<TrainState, TrainError> {
    let identity = identity(network, data, config, seed)?;
    let mut initial = init::initial(network.architecture(), seed)?.into_iter();
    let tensors = layout(network).into_iter().map(|(name, shape)| {
        let elements = shape.iter().product();
        StateTensor {
            name,
            shape,
            data: initial.next().unwrap_or_else(|| vec![0.0; elements]),
        }
    });
    Ok(TrainState {
        identity,
        cursor: Cursor::start(),
        tensors: tensors.collect(),
        parameter_count: network.parameters().len(),
        best_parameters: None,
    })
}
