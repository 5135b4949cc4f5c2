//! The ops of a graph as data, and how each becomes a launch.

use super::{Graph, TensorId};
use crate::activation::Activation;
use crate::error::LaunchError;
use crate::launch::Launch;
use crate::ops::batch_norm::BatchNormDims;
use crate::ops::conv2d::ConvDims;
use crate::ops::elementwise::Binary;
use crate::ops::matmul::Transpose;
use crate::ops::pool2d::{PoolDims, PoolKind};
use crate::ops::reduce::{Reduce, ReduceAxis};
use crate::ops::{
    activation, adam, batch_norm, channel_sum, conv2d, cross_entropy, dropout, elementwise, linear, matmul,
    mse, pool2d, reduce, sgd, softmax, top1,
};

/// One op with its attributes. The methods of [`Graph`] that record them say what they compute.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the fields are the sizes and constants that the methods of Graph document"
)]
pub enum Op {
    /// [`Graph::matmul`]
    Matmul {
        m: usize,
        k: usize,
        n: usize,
        transpose: Transpose,
    },
    /// [`Graph::linear`]
    Linear {
        m: usize,
        k: usize,
        n: usize,
        activation: Option<Activation>,
    },
    /// [`Graph::conv2d`]
    Conv2d {
        dims: ConvDims,
        activation: Option<Activation>,
    },
    /// [`Graph::conv2d_grad_input`]
    Conv2dGradInput { dims: ConvDims },
    /// [`Graph::conv2d_grad_weight`]
    Conv2dGradWeight { dims: ConvDims },
    /// [`Graph::channel_sum`]
    ChannelSum { n: usize, c: usize, spatial: usize },
    /// [`Graph::pool2d`]
    Pool2d { kind: PoolKind, dims: PoolDims },
    /// [`Graph::pool2d_grad`]
    Pool2dGrad { kind: PoolKind, dims: PoolDims },
    /// [`Graph::batch_norm`]
    BatchNorm {
        n: usize,
        c: usize,
        spatial: usize,
        eps: f32,
        momentum: f32,
    },
    /// [`Graph::batch_norm_grad`]
    BatchNormGrad { n: usize, c: usize, spatial: usize },
    /// [`Graph::batch_norm_infer`]
    BatchNormInfer {
        n: usize,
        c: usize,
        spatial: usize,
        eps: f32,
    },
    /// [`Graph::dropout`]
    Dropout { rate: f32, salt: u32 },
    /// [`Graph::activation`]
    Activation(Activation),
    /// [`Graph::activation_grad`]
    ActivationGrad(Activation),
    /// [`Graph::softmax`]
    Softmax { m: usize, n: usize },
    /// [`Graph::cross_entropy`]
    CrossEntropy { m: usize, n: usize },
    /// [`Graph::cross_entropy_grad`]
    CrossEntropyGrad { m: usize, n: usize, scale: f32 },
    /// [`Graph::mse`]
    Mse { m: usize, n: usize },
    /// [`Graph::mse_grad`]
    MseGrad { m: usize, n: usize, scale: f32 },
    /// [`Graph::top1`]
    Top1 { m: usize, n: usize },
    /// [`Graph::reduce`]
    Reduce {
        kind: Reduce,
        axis: ReduceAxis,
        m: usize,
        n: usize,
    },
    /// [`Graph::add`], [`Graph::sub`], [`Graph::mul`]
    Binary(Binary),
    /// [`Graph::scale`]
    Scale { factor: f32 },
    /// [`Graph::accumulate`]
    Accumulate,
    /// [`Graph::sgd`]
    Sgd,
    /// [`Graph::adam`]
    Adam,
}

impl Op {
    /// The op's name, as errors and explanations print it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Matmul { .. } => "matmul",
            Self::Linear { .. } => "linear",
            Self::Conv2d { .. } => "conv2d",
            Self::Conv2dGradInput { .. } => "conv2d_grad_input",
            Self::Conv2dGradWeight { .. } => "conv2d_grad_weight",
            Self::ChannelSum { .. } => "channel_sum",
            Self::Pool2d { .. } => "pool2d",
            Self::Pool2dGrad { .. } => "pool2d_grad",
            Self::BatchNorm { .. } => "batch_norm",
            Self::BatchNormGrad { .. } => "batch_norm_grad",
            Self::BatchNormInfer { .. } => "batch_norm_infer",
            Self::Dropout { .. } => "dropout",
            Self::Activation(_) => "activation",
            Self::ActivationGrad(_) => "activation_grad",
            Self::Softmax { .. } => "softmax",
            Self::CrossEntropy { .. } => "cross_entropy",
            Self::CrossEntropyGrad { .. } => "cross_entropy_grad",
            Self::Mse { .. } => "mse",
            Self::MseGrad { .. } => "mse_grad",
            Self::Top1 { .. } => "top1",
            Self::Reduce { .. } => "reduce",
            Self::Binary(Binary::Add) => "add",
            Self::Binary(Binary::Sub) => "sub",
            Self::Binary(Binary::Mul) => "mul",
            Self::Scale { .. } => "scale",
            Self::Accumulate => "accumulate",
            Self::Sgd => "sgd",
            Self::Adam => "adam",
        }
    }

    /// Floating-point operations of one run over tensors of `elements` elements, a multiplication and an addition
    /// counted apart. Element-wise ops count one per element; the figure serves [`crate::Plan::explain`].
    #[must_use]
    pub fn flops(&self, elements: u64) -> u64 {
        let product = |sizes: &[usize]| 2 * sizes.iter().map(|&size| size as u64).product::<u64>();
        match self {
            Self::Matmul { m, k, n, .. } | Self::Linear { m, k, n, .. } => product(&[*m, *k, *n]),
            Self::Conv2d { dims, .. } | Self::Conv2dGradInput { dims } | Self::Conv2dGradWeight { dims } => {
                let [oh, ow] = dims.output().unwrap_or_default();
                product(&[dims.n, dims.o, oh, ow, dims.c, dims.kh, dims.kw])
            }
            _ => elements,
        }
    }

    /// The launch of this op, recorded in `graph` over `inputs` and `updates`.
    pub(crate) fn launch(
        &self,
        graph: &Graph,
        inputs: &[TensorId],
        updates: &[TensorId],
    ) -> Result<Launch, LaunchError> {
        let first = inputs.first().or(updates.first());
        let len = first.map_or(0, |&id| graph.tensor(id).elements());
        match *self {
            Self::Matmul { m, k, n, transpose } => matmul::launch(m, k, n, transpose),
            Self::Linear { m, k, n, activation } => linear::launch(m, k, n, activation),
            Self::Conv2d { dims, activation } => conv2d::launch_forward(dims, activation),
            Self::Conv2dGradInput { dims } => conv2d::launch_grad_input(dims),
            Self::Conv2dGradWeight { dims } => conv2d::launch_grad_weight(dims),
            Self::ChannelSum { n, c, spatial } => channel_sum::launch(n, c, spatial),
            Self::Pool2d { kind, dims } => pool2d::launch_forward(kind, dims),
            Self::Pool2dGrad { kind, dims } => pool2d::launch_grad(kind, dims),
            Self::BatchNorm {
                n,
                c,
                spatial,
                eps,
                momentum,
            } => batch_norm::launch(BatchNormDims { n, c, spatial }, eps, momentum),
            Self::BatchNormGrad { n, c, spatial } => batch_norm::launch_grad(BatchNormDims { n, c, spatial }),
            Self::BatchNormInfer { n, c, spatial, eps } => {
                batch_norm::launch_infer(BatchNormDims { n, c, spatial }, eps)
            }
            Self::Dropout { rate, salt } => dropout::launch(len, rate, salt),
            Self::Activation(kind) => activation::launch(len, kind),
            Self::ActivationGrad(kind) => activation::launch_grad(len, kind),
            Self::Softmax { m, n } => softmax::launch(m, n),
            Self::CrossEntropy { m, n } => cross_entropy::launch_rows(m, n),
            Self::CrossEntropyGrad { m, n, scale } => cross_entropy::launch_grad(m, n, scale),
            Self::Mse { m, n } => mse::launch_rows(m, n),
            Self::MseGrad { m, n, scale } => mse::launch_grad(m, n, scale),
            Self::Top1 { m, n } => top1::launch(m, n),
            Self::Reduce { kind, axis, m, n } => reduce::launch(kind, axis, m, n),
            Self::Binary(kind) => elementwise::launch(kind, len),
            Self::Scale { factor } => elementwise::launch_scale(len, factor),
            Self::Accumulate => elementwise::launch_accumulate(len),
            Self::Sgd => sgd::launch(len),
            Self::Adam => adam::launch(len),
        }
    }
}
