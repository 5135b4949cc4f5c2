//! Activations on slices, twins of `shaders/activation.wgsl`. The formulas are those of [`crate::activation`].

use crate::activation::{Activation, ActivationKind};
use crate::cpu::math;
use daa_gpu_core::HostCall;

/// `sqrt(8/π)`: `sigma(2z) = (1 + tanh(z)) / 2` without cancellation.
const GELU_SCALE: f32 = 1.595_769;
const GELU_CUBIC: f32 = 0.044_715;

/// Something done with a function of one number, compiled once per kind so that its loop vectorises.
trait Visit {
    fn visit(self, f: impl Fn(f32) -> f32);
}

/// Something done with a gradient function `(v, dy) -> dx`.
trait VisitGrad {
    fn visit(self, f: impl Fn(f32, f32) -> f32);
}

fn with_value(activation: Activation, then: impl Visit) {
    let s = activation.steepness;
    match activation.kind {
        ActivationKind::Linear => then.visit(|x| s * x),
        ActivationKind::Threshold => then.visit(|x| if x < 0.0 { 0.0 } else { 1.0 }),
        ActivationKind::ThresholdSymmetric => then.visit(|x| if x < 0.0 { -1.0 } else { 1.0 }),
        ActivationKind::Sigmoid => then.visit(|x| 1.0 / (1.0 + math::exp(-2.0 * (s * x)))),
        ActivationKind::SigmoidSymmetric | ActivationKind::Tanh => then.visit(|x| math::tanh(s * x)),
        ActivationKind::Gaussian => then.visit(|x| math::exp(-(s * x * (s * x)))),
        ActivationKind::GaussianSymmetric => then.visit(|x| 2.0 * math::exp(-(s * x * (s * x))) - 1.0),
        ActivationKind::Elliot => then.visit(|x| 0.5 * (s * x) / (1.0 + (s * x).abs()) + 0.5),
        ActivationKind::ElliotSymmetric => then.visit(|x| s * x / (1.0 + (s * x).abs())),
        ActivationKind::LinearPiece => then.visit(|x| (s * x).clamp(0.0, 1.0)),
        ActivationKind::LinearPieceSymmetric => then.visit(|x| (s * x).clamp(-1.0, 1.0)),
        // Not `max`, which would turn NaN into 0.
        ActivationKind::Relu => then.visit(|x| if s * x < 0.0 { 0.0 } else { s * x }),
        ActivationKind::ReluLeaky => then.visit(|x| if s * x > 0.0 { s * x } else { 0.01 * (s * x) }),
        ActivationKind::Sin => then.visit(|x| 0.5 * math::sin(s * x) + 0.5),
        ActivationKind::Cos => then.visit(|x| 0.5 * math::cos(s * x) + 0.5),
        ActivationKind::SinSymmetric => then.visit(|x| math::sin(s * x)),
        ActivationKind::CosSymmetric => then.visit(|x| math::cos(s * x)),
        ActivationKind::Gelu => then.visit(|x| {
            let b = (s * x).clamp(-20.0, 20.0);
            s * x / (1.0 + math::exp(-GELU_SCALE * (b + GELU_CUBIC * b * b * b)))
        }),
        ActivationKind::Silu => then.visit(|x| s * x / (1.0 + math::exp(-(s * x)))),
    }
}

fn with_grad(activation: Activation, then: impl VisitGrad) {
    let s = activation.steepness;
    match activation.kind {
        ActivationKind::Linear => then.visit(|_, dy| s * dy),
        ActivationKind::Threshold | ActivationKind::ThresholdSymmetric => then.visit(|_, _| 0.0),
        ActivationKind::Sigmoid => then.visit(|y, dy| s * dy * (2.0 * y * (1.0 - y))),
        ActivationKind::SigmoidSymmetric | ActivationKind::Tanh => {
            then.visit(|y, dy| s * dy * ((1.0 - y) * (1.0 + y)));
        }
        ActivationKind::Gaussian => {
            then.visit(|x, dy| s * dy * (-2.0 * (s * x) * math::exp(-(s * x * (s * x)))))
        }
        ActivationKind::GaussianSymmetric => {
            then.visit(|x, dy| s * dy * (-4.0 * (s * x) * math::exp(-(s * x * (s * x)))));
        }
        ActivationKind::Elliot => then.visit(|y, dy| {
            let rest = 1.0 - (2.0 * y - 1.0).abs();
            s * dy * (0.5 * rest * rest)
        }),
        ActivationKind::ElliotSymmetric => then.visit(|y, dy| s * dy * ((1.0 - y.abs()) * (1.0 - y.abs()))),
        ActivationKind::LinearPiece => then.visit(|y, dy| if y > 0.0 && y < 1.0 { s * dy } else { 0.0 }),
        ActivationKind::LinearPieceSymmetric => {
            then.visit(|y, dy| if y > -1.0 && y < 1.0 { s * dy } else { 0.0 })
        }
        ActivationKind::Relu => then.visit(|y, dy| if y > 0.0 { s * dy } else { 0.0 }),
        ActivationKind::ReluLeaky => then.visit(|y, dy| if y > 0.0 { s * dy } else { 0.01 * (s * dy) }),
        ActivationKind::Sin => then.visit(|x, dy| s * dy * (0.5 * math::cos(s * x))),
        ActivationKind::Cos => then.visit(|x, dy| s * dy * (-0.5 * math::sin(s * x))),
        ActivationKind::SinSymmetric => then.visit(|x, dy| s * dy * math::cos(s * x)),
        ActivationKind::CosSymmetric => then.visit(|x, dy| s * dy * -math::sin(s * x)),
        ActivationKind::Gelu => then.visit(|x, dy| {
            let b = (s * x).clamp(-20.0, 20.0);
            let e = math::exp(-GELU_SCALE * (b + GELU_CUBIC * b * b * b));
            let p = 1.0 / (1.0 + e);
            s * dy * (p + b * p * (e * p) * (GELU_SCALE * (1.0 + 3.0 * GELU_CUBIC * b * b)))
        }),
        ActivationKind::Silu => then.visit(|x, dy| {
            let u = (s * x).clamp(-88.0, 88.0);
            let e = math::exp(-u);
            let p = 1.0 / (1.0 + e);
            s * dy * (p + u * p * (e * p))
        }),
    }
}

struct Map<'a>(&'a [f32], &'a mut [f32]);

impl Visit for Map<'_> {
    fn visit(self, f: impl Fn(f32) -> f32) {
        for (y, x) in self.1.iter_mut().zip(self.0) {
            *y = f(*x);
        }
    }
}

struct InPlace<'a>(&'a mut [f32]);

impl Visit for InPlace<'_> {
    fn visit(self, f: impl Fn(f32) -> f32) {
        for x in self.0 {
            *x = f(*x);
        }
    }
}

struct MapGrad<'a>(&'a [f32], &'a [f32], &'a mut [f32]);

impl VisitGrad for MapGrad<'_> {
    fn visit(self, f: impl Fn(f32, f32) -> f32) {
        for ((dx, v), dy) in self.2.iter_mut().zip(self.0).zip(self.1) {
            *dx = f(*v, *dy);
        }
    }
}

/// `y = f(x)`, over the shorter of both.
pub fn map(activation: Activation, x: &[f32], y: &mut [f32]) {
    with_value(activation, Map(x, y));
}

/// `x = f(x)`. The linear function of steepness 1 costs nothing.
pub fn apply(activation: Activation, x: &mut [f32]) {
    if activation != Activation::linear() {
        with_value(activation, InPlace(x));
    }
}

/// `dx = dy · f'`, with `v` the argument or the value as [`Activation::grad_from`] says, over the shortest.
pub fn grad(activation: Activation, v: &[f32], dy: &[f32], dx: &mut [f32]) {
    with_grad(activation, MapGrad(v, dy, dx));
}

/// Host form of `activation.forward`.
pub(crate) fn forward_host(mut call: HostCall<'_>) {
    let [x] = call.reads_f32();
    let [y] = call.take_writes_f32();
    map(Activation::from_words(call.params[1], call.params[2]), x, y);
}

/// Host form of `activation.backward`.
pub(crate) fn backward_host(mut call: HostCall<'_>) {
    let [v, dy] = call.reads_f32();
    let [dx] = call.take_writes_f32();
    grad(Activation::from_words(call.params[1], call.params[2]), v, dy, dx);
}
