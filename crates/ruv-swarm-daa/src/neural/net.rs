//! The older descriptions of networks and data as those of `daa-learn`, and training and asking one on a device.

use crate::error::{DAAError, DAAResult};
use crate::records::{NeuralConfig, TrainingData};
use daa_base::Seed;
use daa_gpu_core::Tenant;
use daa_kernels::activation::{Activation, ActivationKind};
use daa_kernels::{Data, Session};
use daa_learn::data::{Dataset, InputShape, Target};
use daa_learn::nn::{Architecture, Layer, OutputHead, ParameterSpec, Purpose, compile};
use daa_learn::train::{Control, Optimizer, PreparedData, Schedule, TrainConfig, Trainer};
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most trained numbers of one network.
pub(crate) const MAX_PARAMETERS: usize = 1 << 18;
/// Most numbers of the inputs of one training, and most rows.
const MAX_NUMBERS: usize = 4_000_000;
const MAX_ROWS: usize = 1_000_000;
/// Epochs of a training whose data say nothing about it.
const DEFAULT_EPOCHS: u32 = 1000;
/// Most epochs of one training.
const MAX_EPOCHS: u64 = 100_000;
const DEFAULT_BATCH: usize = 32;
/// Loss at which a training ends early, unless its data say otherwise.
const DEFAULT_TARGET_LOSS: f64 = 0.01;
/// Rows that are predicted at a time.
const PREDICT_BATCH: usize = 64;

/// A network that can be trained.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Net {
    pub(crate) architecture: Architecture,
    pub(crate) optimizer: Optimizer,
}

/// Everything a training needs but a device.
#[derive(Debug)]
pub(crate) struct Job {
    net: Net,
    data: Arc<PreparedData>,
    epochs: u32,
    batch: usize,
    pub(crate) target_loss: f64,
    seed: Seed,
}

/// What came of a training, all of it measured on the training rows with the weights that are kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trained {
    pub(crate) parameters: Vec<Vec<f32>>,
    pub(crate) epochs: u32,
    pub(crate) loss: f64,
    pub(crate) accuracy: f64,
}

fn refused(error: impl Display) -> DAAError {
    DAAError::neural(error.to_string())
}

/// The network that `config` describes.
pub(crate) fn describe(config: &NeuralConfig) -> DAAResult<Net> {
    let [input, hidden @ .., output] = config.layers.as_slice() else {
        return Err(DAAError::neural(format!(
            "`layers` has {} entries, at least 2 (input and output) are needed",
            config.layers.len()
        )));
    };
    if let Some(index) = config.layers.iter().position(|&units| units == 0) {
        return Err(DAAError::neural(format!(
            "`layers[{index}]` is 0, at least 1 unit is needed"
        )));
    }
    let activation = activation(&config.activation)?;
    let layer = |&units: &u32| Layer::Dense {
        units: units as usize,
        activation: Some(activation),
    };
    let head = match *output {
        1 => OutputHead::Regression {},
        count => OutputHead::Classes {
            count: count as usize,
        },
    };
    let shape = InputShape::Flat {
        features: *input as usize,
    };
    let architecture = Architecture::new(shape, hidden.iter().map(layer).collect(), head);
    let count = architecture.parameter_count().map_err(refused)?;
    if count > MAX_PARAMETERS {
        return Err(DAAError::neural(format!(
            "`layers` make {count} trained numbers, allowed are at most {MAX_PARAMETERS}"
        )));
    }
    Ok(Net {
        architecture,
        optimizer: optimizer(&config.optimizer, config.learning_rate)?,
    })
}

/// By its name in any case; a few older names are understood too.
fn activation(name: &str) -> DAAResult<Activation> {
    let lower = name.to_lowercase();
    let wanted = match lower.as_str() {
        "leaky_relu" | "leakyrelu" => "relu_leaky",
        "logistic" => "sigmoid",
        "swish" => "silu",
        other => other,
    };
    wanted
        .parse::<ActivationKind>()
        .map(Activation::new)
        .map_err(|_| {
            let known: Vec<&str> = ActivationKind::ALL.iter().map(|kind| kind.name()).collect();
            DAAError::neural(format!(
                "`activation` is {name:?}, allowed are {}",
                known.join(", ")
            ))
        })
}

fn optimizer(name: &str, learning_rate: f64) -> DAAResult<Optimizer> {
    let rate = learning_rate as f32;
    if !(learning_rate.is_finite() && rate > 0.0 && rate <= 100.0) {
        return Err(DAAError::neural(format!(
            "`learning_rate` is {learning_rate}, allowed are finite numbers above 0 to 100"
        )));
    }
    let descent = |momentum: f32| Optimizer::Sgd {
        learning_rate: rate,
        momentum,
        weight_decay: 0.0,
        nesterov: false,
    };
    match name.to_lowercase().as_str() {
        "adam" => Ok(Optimizer::adam(rate)),
        "adamw" => Ok(Optimizer::adam_w(rate, 0.01)),
        "sgd" => Ok(descent(0.0)),
        "momentum" => Ok(descent(0.9)),
        _ => Err(DAAError::neural(format!(
            "`optimizer` is {name:?}, allowed are adam, adamw, sgd and momentum"
        ))),
    }
}

/// A whole number from 1 to `most` out of what a caller wrote beside the data.
fn whole(
    metadata: &HashMap<String, Value>,
    name: &str,
    default: u64,
    least: u64,
    most: u64,
) -> DAAResult<u64> {
    metadata.get(name).map_or(Ok(default), |value| {
        value
            .as_u64()
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| {
                DAAError::neural(format!(
                    "`{name}` is {value}, allowed are whole numbers from {least} to {most}"
                ))
            })
    })
}

impl Job {
    /// A training of `net` on `data`. The metadata may say `epochs`, `batch_size`, `target_loss` and `seed`.
    pub(crate) fn new(net: Net, data: &TrainingData) -> DAAResult<Self> {
        let prepared = prepare(&net.architecture, data)?;
        let metadata = &data.metadata;
        let rows = data.inputs.len();
        let batch = whole(metadata, "batch_size", DEFAULT_BATCH as u64, 1, 4096)?;
        let epochs = whole(metadata, "epochs", u64::from(DEFAULT_EPOCHS), 1, MAX_EPOCHS)?;
        let target_loss = metadata
            .get("target_loss")
            .map_or(Ok(DEFAULT_TARGET_LOSS), |value| {
                let number = value.as_f64().filter(|loss| loss.is_finite() && *loss >= 0.0);
                number.ok_or_else(|| {
                    DAAError::neural(format!(
                        "`target_loss` is {value}, allowed are finite numbers from 0"
                    ))
                })
            })?;
        Ok(Self {
            net,
            data: Arc::new(prepared),
            epochs: epochs as u32,
            batch: (batch as usize).min(rows),
            target_loss,
            seed: Seed(whole(metadata, "seed", 0, 0, u64::MAX)?),
        })
    }
}

/// Checks every number. The rows trained on are also those measured on: the older API hands over no others.
fn prepare(architecture: &Architecture, data: &TrainingData) -> DAAResult<PreparedData> {
    let (features, outputs) = (architecture.input.values(), architecture.output.width());
    let rows = data.inputs.len();
    if rows == 0 || rows != data.targets.len() {
        return Err(DAAError::neural(format!(
            "{rows} inputs and {} targets were given, allowed is the same number, at least 1",
            data.targets.len()
        )));
    }
    if rows > MAX_ROWS || rows.saturating_mul(features) > MAX_NUMBERS {
        return Err(DAAError::neural(format!(
            "{rows} rows of {features} numbers were given, allowed are {MAX_ROWS} rows and {MAX_NUMBERS} numbers"
        )));
    }
    check_rows("inputs", &data.inputs, features)?;
    check_rows("targets", &data.targets, outputs)?;
    let target = match architecture.output {
        OutputHead::Regression {} => Target::Values(data.targets.concat()),
        OutputHead::Classes { count } => Target::Classes {
            labels: labels(&data.targets)?,
            classes: count,
        },
    };
    let dataset = Dataset::new(architecture.input, data.inputs.concat(), target).map_err(refused)?;
    let all: Vec<u32> = (0..rows as u32).collect();
    PreparedData::new(Arc::new(dataset), all.clone(), all).map_err(refused)
}

pub(crate) fn check_rows(name: &str, rows: &[Vec<f32>], wanted: usize) -> DAAResult<()> {
    let bad = |row: &Vec<f32>| row.len() != wanted || row.iter().any(|x| !x.is_finite());
    rows.iter().position(bad).map_or(Ok(()), |row| {
        Err(DAAError::neural(format!(
            "`{name}[{row}]` must be {wanted} finite numbers"
        )))
    })
}

/// The position of the 1 in each row.
fn labels(targets: &[Vec<f32>]) -> DAAResult<Vec<u32>> {
    let label = |(index, row): (usize, &Vec<f32>)| {
        let ones = row.iter().filter(|&&x| x == 1.0).count();
        let zeros = row.iter().filter(|&&x| x == 0.0).count();
        let found = row.iter().position(|&x| x == 1.0);
        found
            .filter(|_| ones == 1 && zeros == row.len() - 1)
            .map(|label| label as u32)
            .ok_or_else(|| {
                DAAError::neural(format!(
                    "`targets[{index}]` must be one 1 and zeros: several outputs are classes here; several numbers at \
                     once are not built yet"
                ))
            })
    };
    targets.iter().enumerate().map(label).collect()
}

/// Trains on `tenant` until the target loss, the last epoch, or until `leave` rises.
pub(crate) fn train(job: &Job, tenant: &Tenant, leave: &AtomicBool) -> DAAResult<Trained> {
    let purpose = Purpose::Train(job.net.optimizer.kind());
    let network = Arc::new(compile(&job.net.architecture, job.batch, purpose).map_err(refused)?);
    let config = TrainConfig {
        epochs: job.epochs,
        batch: job.batch,
        epoch_rows: None,
        optimizer: job.net.optimizer,
        schedule: Schedule::Constant,
        patience: None,
        augment: None,
    };
    let mut session = Session::load(tenant, Arc::clone(network.plan())).map_err(refused)?;
    let data = Arc::clone(&job.data);
    let mut trainer = Trainer::new(network, data, config, job.seed, None).map_err(refused)?;
    let outcome = trainer
        .run(&mut session, &mut |progress| {
            let is_met = progress
                .history
                .last()
                .and_then(|epoch| epoch.validation)
                .is_some_and(|measured| f64::from(measured.loss) <= job.target_loss);
            if is_met || leave.load(Ordering::Acquire) {
                Control::Yield
            } else {
                Control::Continue
            }
        })
        .map_err(refused)?;
    let state = trainer.into_state();
    let epochs = state.history().len() as u32;
    let best = state.best().filter(|_| !state.is_diverged()).ok_or_else(|| {
        DAAError::neural(format!(
            "training ended ({outcome:?}) after {epochs} epochs without usable weights; a smaller learning rate may help"
        ))
    })?;
    let loss = f64::from(best.validation.loss);
    let accuracy = match best.validation.accuracy {
        Some(share) => f64::from(share),
        None => {
            let rows: Vec<&[f32]> = (0..job.data.dataset().rows())
                .map(|row| job.data.dataset().row(row))
                .collect();
            drop(session);
            let said = predict(&job.net.architecture, &best.parameters, &rows, tenant)?;
            agreement(job.data.dataset().target(), &said)
        }
    };
    Ok(Trained {
        parameters: best.parameters,
        epochs,
        loss,
        accuracy,
    })
}

/// How well numbers are predicted: if all targets are 0 or 1, the share of rows on the right side of 0.5; otherwise
/// the share of the targets' variance that is explained (R²), at least 0.
fn agreement(target: &Target, said: &[Vec<f32>]) -> f64 {
    let Target::Values(values) = target else {
        return 0.0;
    };
    let pairs = || {
        values
            .iter()
            .zip(said)
            .map(|(&wanted, said)| (f64::from(wanted), f64::from(said[0])))
    };
    let count = values.len() as f64;
    if values.iter().all(|&x| x == 0.0 || x == 1.0) {
        let right = pairs().filter(|(wanted, said)| (*said > 0.5) == (*wanted > 0.5));
        return right.count() as f64 / count;
    }
    let mean = pairs().map(|(wanted, _)| wanted).sum::<f64>() / count;
    let total: f64 = pairs().map(|(wanted, _)| (wanted - mean).powi(2)).sum();
    let missed: f64 = pairs().map(|(wanted, said)| (wanted - said).powi(2)).sum();
    if total == 0.0 {
        return if missed == 0.0 { 1.0 } else { 0.0 };
    }
    (1.0 - missed / total).max(0.0)
}

/// The outputs for `rows`, each of the network's width and finite: a number, or a probability per class.
pub(crate) fn predict(
    architecture: &Architecture,
    parameters: &[Vec<f32>],
    rows: &[&[f32]],
    tenant: &Tenant,
) -> DAAResult<Vec<Vec<f32>>> {
    let batch = rows.len().clamp(1, PREDICT_BATCH);
    let network = compile(architecture, batch, Purpose::Predict).map_err(refused)?;
    let mut session = Session::load(tenant, Arc::clone(network.plan())).map_err(refused)?;
    let pairs = network.parameters().iter().zip(parameters);
    let writes: Vec<_> = pairs.map(|(&(_, id), data)| (id, Data::F32(data))).collect();
    session.write(&writes).map_err(refused)?;
    let (features, width) = (architecture.input.values(), architecture.output.width());
    let mut input = vec![0.0; batch * features];
    let mut outputs = Vec::with_capacity(rows.len());
    for some in rows.chunks(batch) {
        for (slot, row) in input.chunks_exact_mut(features).zip(some) {
            slot.copy_from_slice(row);
        }
        let (phase, output) = (network.phases().predict, network.output());
        let read = session
            .run_and_read(phase, &[(network.features(), Data::F32(&input))], &[output])
            .map_err(refused)?;
        outputs.extend(read[0].chunks_exact(width).take(some.len()).map(<[f32]>::to_vec));
    }
    Ok(outputs)
}

/// The tensors that a network of this architecture has, in the order of its parameters.
pub(crate) fn tensors(architecture: &Architecture) -> DAAResult<Vec<ParameterSpec>> {
    architecture.parameters().map_err(refused)
}
