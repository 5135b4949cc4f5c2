//! From a description to a compiled plan.

use super::architecture::{Architecture, Layer, OutputHead, PoolKind};
use super::autodiff::{Gradients, Tape};
use super::error::NetworkError;
use super::shape::{ParameterKind, ParameterSpec, Shape, input_shape};
use daa_base::Bytes;
use daa_kernels::error::GraphError;
use daa_kernels::graph::{
    ADAM_HYPER_WORDS, BatchNorm, Conv2d, DType, Graph, PhaseId, Pool2d, SGD_HYPER_WORDS, TensorId,
};
use daa_kernels::ops::pool2d::PoolKind as KernelPool;
use daa_kernels::ops::reduce::{Reduce, ReduceAxis};
use daa_kernels::plan::{Plan, PlanOptions};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Most rows of a batch.
pub const MAX_BATCH: usize = 65_534;
/// The constant that keeps a batch normalization from dividing by zero.
pub const BATCH_NORM_EPS: f32 = 1e-5;
/// The share by which a batch's statistics move the running ones.
pub const BATCH_NORM_MOMENTUM: f32 = 0.1;

/// Which update rule a training plan holds. AdamW is Adam with other hyperparameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerKind {
    /// Gradient descent with momentum: one moment per parameter.
    Sgd,
    /// Adam and AdamW: two moments per parameter.
    Adam,
}

/// What a network is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Training steps, evaluation and prediction.
    Train(OptimizerKind),
    /// Prediction alone: no gradients, no moments, so less memory.
    Predict,
}

/// The phases of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phases {
    /// One step: forward, backward, update; adds the batch's loss and hits to the metrics.
    pub train: Option<PhaseId>,
    /// Forward in inference mode; adds the weighted loss and hits to the metrics.
    pub evaluate: Option<PhaseId>,
    /// Forward in inference mode; leaves probabilities (or values) in [`Network::output`].
    pub predict: PhaseId,
}

/// The tensors that only training has.
#[derive(Debug, Clone)]
pub(crate) struct TrainingTensors {
    /// `u32 [batch]` class numbers, or `f32 [batch, 1]` values.
    pub(crate) targets: TensorId,
    /// `f32 [batch]`: 1 for a row that counts, 0 for padding.
    pub(crate) weights: TensorId,
    /// `u32 [1]`, if any layer drops out.
    pub(crate) dropout_seed: Option<TensorId>,
    /// Hyperparameters for weights.
    pub(crate) hyper_decay: TensorId,
    /// Hyperparameters for everything else: the same without weight decay.
    pub(crate) hyper_plain: TensorId,
    /// The optimizer's moments.
    pub(crate) moments: Vec<(String, Vec<usize>, TensorId)>,
    /// `f32 [1]`: sum of weighted losses.
    pub(crate) loss: TensorId,
    /// `f32 [1]`: sum of weights of rows predicted right; absent for regression.
    pub(crate) hits: Option<TensorId>,
}

/// A compiled network: its plan and the names of what is in it. Cheap to share behind an [`Arc`].
#[derive(Debug)]
pub struct Network {
    architecture: Architecture,
    batch: usize,
    purpose: Purpose,
    plan: Arc<Plan>,
    phases: Phases,
    features: TensorId,
    output: TensorId,
    parameters: Vec<(ParameterSpec, TensorId)>,
    pub(crate) training: Option<TrainingTensors>,
}

impl Network {
    /// What it was compiled from.
    #[must_use]
    pub const fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Rows per batch, in every phase.
    #[must_use]
    pub const fn batch(&self) -> usize {
        self.batch
    }

    /// What it was compiled for.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The plan, for [`daa_kernels::Session::load`].
    #[must_use]
    pub const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Exactly what loading the plan takes, in bytes, padding included.
    #[must_use]
    pub fn peak_bytes(&self) -> Bytes {
        self.plan.peak_bytes()
    }

    /// The phases.
    #[must_use]
    pub const fn phases(&self) -> Phases {
        self.phases
    }

    /// The input of features: `[batch, features]` or `[batch, channels, height, width]`.
    #[must_use]
    pub const fn features(&self) -> TensorId {
        self.features
    }

    /// Class probabilities `[batch, classes]` or values `[batch, 1]`, after the prediction phase.
    #[must_use]
    pub const fn output(&self) -> TensorId {
        self.output
    }

    /// Parameters and running statistics, in the order of [`Architecture::parameters`].
    #[must_use]
    pub fn parameters(&self) -> &[(ParameterSpec, TensorId)] {
        &self.parameters
    }
}

/// Compiles `architecture` for batches of `batch` rows.
///
/// # Errors
/// A description or batch size that is refused, and sizes beyond what a kernel handles.
pub fn compile(architecture: &Architecture, batch: usize, purpose: Purpose) -> Result<Network, NetworkError> {
    if !(1..=MAX_BATCH).contains(&batch) {
        return Err(NetworkError::Batch {
            value: batch,
            limit: MAX_BATCH,
        });
    }
    let specs = architecture.parameters()?;
    let mut builder = Builder::declare(architecture, batch, specs)?;
    let (training, train, evaluate) = match purpose {
        Purpose::Predict => (None, None, None),
        Purpose::Train(kind) => {
            let tensors = builder.declare_training(kind)?;
            let train = builder.record_train(&tensors, kind)?;
            let evaluate = builder.record_evaluate(&tensors)?;
            (Some(tensors), Some(train), Some(evaluate))
        }
    };
    let (predict, output) = builder.record_predict()?;
    let Builder {
        graph,
        features,
        parameters,
        ..
    } = builder;
    Ok(Network {
        architecture: architecture.clone(),
        batch,
        purpose,
        plan: Arc::new(Plan::compile(graph, &PlanOptions::default())?),
        phases: Phases {
            train,
            evaluate,
            predict,
        },
        features,
        output,
        parameters,
        training,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Train { dropout_seed: Option<TensorId> },
    Infer,
}

struct Builder<'a> {
    architecture: &'a Architecture,
    batch: usize,
    graph: Graph,
    features: TensorId,
    parameters: Vec<(ParameterSpec, TensorId)>,
}

impl<'a> Builder<'a> {
    fn declare(
        architecture: &'a Architecture,
        batch: usize,
        specs: Vec<ParameterSpec>,
    ) -> Result<Self, NetworkError> {
        let mut graph = Graph::new();
        let mut parameters = Vec::with_capacity(specs.len());
        for spec in specs {
            let id = if spec.kind.is_trained() {
                graph.parameter(&spec.name, &spec.shape)?
            } else {
                graph.state(&spec.name, &spec.shape)?
            };
            parameters.push((spec, id));
        }
        let features = graph.input(
            "features",
            &input_shape(architecture.input).batch(batch),
            DType::F32,
        )?;
        Ok(Self {
            architecture,
            batch,
            graph,
            features,
            parameters,
        })
    }

    fn declare_training(&mut self, kind: OptimizerKind) -> Result<TrainingTensors, NetworkError> {
        let batch = self.batch;
        let drops = |layer: &Layer| matches!(*layer, Layer::Dropout { rate } if rate > 0.0);
        let has_dropout = self.architecture.layers.iter().any(drops);
        let is_classes = matches!(self.architecture.output, OutputHead::Classes { .. });
        let graph = &mut self.graph;
        let (names, words): (&[&str], usize) = match kind {
            OptimizerKind::Sgd => (&["velocity"], SGD_HYPER_WORDS),
            OptimizerKind::Adam => (&["m", "v"], ADAM_HYPER_WORDS),
        };
        let mut moments = Vec::new();
        for (spec, _) in self.parameters.iter().filter(|(spec, _)| spec.kind.is_trained()) {
            for moment in names {
                let name = format!("{}.{moment}", spec.name);
                let id = graph.state(&name, &spec.shape)?;
                moments.push((name, spec.shape.clone(), id));
            }
        }
        Ok(TrainingTensors {
            targets: if is_classes {
                graph.input("targets", &[batch], DType::U32)?
            } else {
                graph.input("targets", &[batch, 1], DType::F32)?
            },
            weights: graph.input("weights", &[batch], DType::F32)?,
            dropout_seed: if has_dropout {
                Some(graph.input("dropout_seed", &[1], DType::U32)?)
            } else {
                None
            },
            hyper_decay: graph.input("hyper.decay", &[words], DType::F32)?,
            hyper_plain: graph.input("hyper.plain", &[words], DType::F32)?,
            moments,
            loss: graph.state("metrics.loss", &[1])?,
            hits: if is_classes {
                Some(graph.state("metrics.hits", &[1])?)
            } else {
                None
            },
        })
    }

    fn record_train(
        &mut self,
        tensors: &TrainingTensors,
        kind: OptimizerKind,
    ) -> Result<PhaseId, NetworkError> {
        let phase = self.graph.phase("train");
        let trained: Vec<TensorId> = self
            .parameters
            .iter()
            .filter(|(spec, _)| spec.kind.is_trained())
            .map(|&(_, id)| id)
            .collect();
        let mut tape = Tape::new(&mut self.graph, trained);
        let mode = Mode::Train {
            dropout_seed: tensors.dropout_seed,
        };
        let logits = forward(
            &mut tape,
            self.architecture,
            &self.parameters,
            self.features,
            mode,
        )?;
        record_metrics(tape.graph(), logits, tensors)?;
        let scale = 1.0 / self.batch as f32;
        let dlogits = match tensors.hits {
            Some(_) => tape
                .graph()
                .cross_entropy_grad(logits, tensors.targets, tensors.weights, scale)?,
            None => tape
                .graph()
                .mse_grad(logits, tensors.targets, tensors.weights, scale)?,
        };
        let gradients = tape.backward(&[(logits, dlogits)])?;
        self.record_updates(tensors, kind, &gradients)?;
        Ok(phase)
    }

    fn record_updates(
        &mut self,
        tensors: &TrainingTensors,
        kind: OptimizerKind,
        gradients: &Gradients,
    ) -> Result<(), NetworkError> {
        let mut moments = tensors.moments.iter().map(|&(_, _, id)| id);
        for (spec, id) in self.parameters.iter().filter(|(spec, _)| spec.kind.is_trained()) {
            let gradient = gradients
                .of(*id)
                .expect("every trained parameter lies on the way to the logits");
            let is_weight = matches!(spec.kind, ParameterKind::Weight { .. });
            let hyper = if is_weight {
                tensors.hyper_decay
            } else {
                tensors.hyper_plain
            };
            let mut moment = || {
                moments
                    .next()
                    .expect("declare_training made the moments in this order")
            };
            match kind {
                OptimizerKind::Sgd => self.graph.sgd(*id, gradient, moment(), hyper)?,
                OptimizerKind::Adam => {
                    let (m, v) = (moment(), moment());
                    self.graph.adam(*id, gradient, m, v, hyper)?;
                }
            }
        }
        Ok(())
    }

    fn record_evaluate(&mut self, tensors: &TrainingTensors) -> Result<PhaseId, NetworkError> {
        let phase = self.graph.phase("evaluate");
        let logits = self.infer()?;
        record_metrics(&mut self.graph, logits, tensors)?;
        Ok(phase)
    }

    fn record_predict(&mut self) -> Result<(PhaseId, TensorId), NetworkError> {
        let phase = self.graph.phase("predict");
        let logits = self.infer()?;
        let output = match self.architecture.output {
            OutputHead::Classes { .. } => self.graph.softmax(logits)?,
            OutputHead::Regression {} => logits,
        };
        self.graph.output(output)?;
        Ok((phase, output))
    }

    fn infer(&mut self) -> Result<TensorId, NetworkError> {
        let mut tape = Tape::new(&mut self.graph, []);
        forward(
            &mut tape,
            self.architecture,
            &self.parameters,
            self.features,
            Mode::Infer,
        )
    }
}

/// Records the forward pass; returns the logits (or values), `[batch, width of the head]`.
fn forward(
    tape: &mut Tape<'_>,
    architecture: &Architecture,
    parameters: &[(ParameterSpec, TensorId)],
    features: TensorId,
    mode: Mode,
) -> Result<TensorId, NetworkError> {
    let mut next = parameters.iter().map(|&(_, id)| id);
    let mut next = || {
        next.next()
            .expect("Architecture::parameters lists the tensors in this order")
    };
    let shapes = architecture.shapes()?;
    let mut shape = input_shape(architecture.input);
    let mut x = features;
    for (index, (layer, &after)) in architecture.layers.iter().zip(&shapes).enumerate() {
        x = match *layer {
            Layer::Dense { activation, .. } => {
                let rows = flatten(tape, x, shape)?;
                tape.linear(rows, next(), next(), activation)?
            }
            Layer::Conv2d {
                stride,
                padding,
                activation,
                ..
            } => {
                let conv = Conv2d {
                    stride: [stride; 2],
                    padding: [padding; 2],
                };
                tape.conv2d(x, next(), next(), conv, activation)?
            }
            Layer::Pool { kind, kernel, stride } => {
                let kind = match kind {
                    PoolKind::Max => KernelPool::Max,
                    PoolKind::Average => KernelPool::Avg,
                };
                tape.pool2d(
                    x,
                    Pool2d {
                        kind,
                        kernel: [kernel; 2],
                        stride: [stride; 2],
                    },
                )?
            }
            Layer::BatchNorm { activation } => {
                let tensors = [next(), next(), next(), next()];
                let y = normalize(tape, x, tensors, mode)?;
                activation.map_or(Ok(y), |activation| tape.activation(y, activation))?
            }
            Layer::Dropout { rate } => match mode {
                Mode::Train {
                    dropout_seed: Some(seed),
                } if rate > 0.0 => tape.dropout(x, rate, seed, u32::try_from(index).unwrap_or(u32::MAX))?,
                _ => x,
            },
            Layer::Flatten {} => flatten(tape, x, shape)?,
        };
        shape = after;
    }
    let rows = flatten(tape, x, shape)?;
    Ok(tape.linear(rows, next(), next(), None)?)
}

fn normalize(
    tape: &mut Tape<'_>,
    x: TensorId,
    tensors: [TensorId; 4],
    mode: Mode,
) -> Result<TensorId, GraphError> {
    match mode {
        Mode::Train { .. } => tape.batch_norm(
            x,
            tensors,
            BatchNorm {
                eps: BATCH_NORM_EPS,
                momentum: BATCH_NORM_MOMENTUM,
            },
        ),
        Mode::Infer => {
            let [gamma, beta, mean, variance] = tensors;
            tape.graph()
                .batch_norm_infer(x, gamma, beta, mean, variance, BATCH_NORM_EPS)
        }
    }
}

fn flatten(tape: &mut Tape<'_>, x: TensorId, shape: Shape) -> Result<TensorId, GraphError> {
    match shape {
        Shape::Flat(_) => Ok(x),
        Shape::Image(..) => {
            let batch = tape.graph().shape(x)[0];
            tape.reshape(x, &[batch, shape.features()])
        }
    }
}

/// Adds the batch's weighted loss and hits to the metrics, so that a step needs no readback.
fn record_metrics(graph: &mut Graph, logits: TensorId, tensors: &TrainingTensors) -> Result<(), GraphError> {
    let (targets, weights) = (tensors.targets, tensors.weights);
    let rows = match tensors.hits {
        Some(_) => graph.cross_entropy(logits, targets, weights)?,
        None => graph.mse(logits, targets, weights)?,
    };
    let sum = graph.reduce(rows, Reduce::Sum, ReduceAxis::All)?;
    graph.accumulate(tensors.loss, sum)?;
    if let Some(hits) = tensors.hits {
        let rows = graph.top1(logits, targets, weights)?;
        let sum = graph.reduce(rows, Reduce::Sum, ReduceAxis::All)?;
        graph.accumulate(hits, sum)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
