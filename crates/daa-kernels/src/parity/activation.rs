//! Activations and their gradients, against the table of [`crate::activation`].

use super::Family;
use crate::activation::{Activation, ActivationKind, GradFrom};
use crate::cpu::reference::{Expected, Run, assert_close, random, unwritten};
use crate::ops::activation::{BACKWARD, FORWARD, launch, launch_grad};

pub(super) const FAMILY: Family = Family {
    programs: &[&FORWARD, &BACKWARD],
    check,
};

/// What the ulps of the table count.
const ULP: f64 = 1.0 / (1 << 23) as f64;
/// `2⁻¹²⁰`, times `1 + |u|`: numbers below may be flushed to zero, and `exp` saturates near its inverse.
const FLOOR: f64 = 7.6e-37;

/// A function's value, the sum of the absolute terms of its outermost sum, and its derivative by `u`.
struct Definition {
    value: f64,
    terms: f64,
    slope: f64,
}

/// The definitions, by `u = s·x`.
fn define(kind: ActivationKind, u: f64) -> Definition {
    use ActivationKind as K;
    let single = |value: f64, slope: f64| Definition {
        value,
        terms: value.abs(),
        slope,
    };
    let sum = |a: f64, b: f64, slope: f64| Definition {
        value: a + b,
        terms: a.abs() + b.abs(),
        slope,
    };
    let bell = (-u * u).exp();
    match kind {
        K::Linear => single(u, 1.0),
        K::Threshold => single(if u < 0.0 { 0.0 } else { 1.0 }, 0.0),
        K::ThresholdSymmetric => single(if u < 0.0 { -1.0 } else { 1.0 }, 0.0),
        K::Sigmoid => single(1.0 / (1.0 + (-2.0 * u).exp()), 0.5 / u.cosh().powi(2)),
        K::SigmoidSymmetric | K::Tanh => single(u.tanh(), 1.0 / u.cosh().powi(2)),
        K::Gaussian => single(bell, -2.0 * u * bell),
        K::GaussianSymmetric => sum(2.0 * bell, -1.0, -4.0 * u * bell),
        K::Elliot => sum(u / 2.0 / (1.0 + u.abs()), 0.5, 0.5 / (1.0 + u.abs()).powi(2)),
        K::ElliotSymmetric => single(u / (1.0 + u.abs()), 1.0 / (1.0 + u.abs()).powi(2)),
        K::LinearPiece => single(u.clamp(0.0, 1.0), f64::from(u8::from(u > 0.0 && u < 1.0))),
        K::LinearPieceSymmetric => single(u.clamp(-1.0, 1.0), f64::from(u8::from(u > -1.0 && u < 1.0))),
        K::Relu => single(u.max(0.0), f64::from(u8::from(u > 0.0))),
        K::ReluLeaky => single(
            if u > 0.0 { u } else { 0.01 * u },
            if u > 0.0 { 1.0 } else { 0.01 },
        ),
        K::Sin => sum(u.sin() / 2.0, 0.5, u.cos() / 2.0),
        K::Cos => sum(u.cos() / 2.0, 0.5, -u.sin() / 2.0),
        K::SinSymmetric => single(u.sin(), u.cos()),
        K::CosSymmetric => single(u.cos(), -u.sin()),
        K::Gelu => {
            let z = (2.0 / std::f64::consts::PI).sqrt() * (u + 0.044_715 * u.powi(3));
            let dz = (2.0 / std::f64::consts::PI).sqrt() * (1.0 + 0.134_145 * u * u);
            let p = 1.0 / (1.0 + (-2.0 * z).exp());
            single(u * p, p + u * 0.5 * dz / z.cosh().powi(2))
        }
        K::Silu => {
            let p = 1.0 / (1.0 + (-u).exp());
            single(u * p, p + u * 0.25 / (u / 2.0).cosh().powi(2))
        }
    }
}

/// The derivative by `u` from the value, for the kinds that say they take it.
fn slope_of_value(kind: ActivationKind, y: f64) -> f64 {
    use ActivationKind as K;
    let inside = |low: f64| f64::from(u8::from(y > low && y < 1.0));
    match kind {
        K::Threshold | K::ThresholdSymmetric => 0.0,
        K::Sigmoid => 2.0 * y * (1.0 - y),
        K::SigmoidSymmetric | K::Tanh => 1.0 - y * y,
        K::Elliot => 0.5 * (1.0 - (2.0 * y - 1.0).abs()).powi(2),
        K::ElliotSymmetric => (1.0 - y.abs()).powi(2),
        K::LinearPiece => inside(0.0),
        K::LinearPieceSymmetric => inside(-1.0),
        K::Relu => f64::from(u8::from(y > 0.0)),
        K::ReluLeaky => {
            if y > 0.0 {
                1.0
            } else {
                0.01
            }
        }
        _ => 1.0,
    }
}

/// Arguments of every size, both signs, the corners of the clamped functions, and beyond where `exp` saturates.
fn arguments() -> Vec<f32> {
    let mut x = vec![
        0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1e-6, -1e-6, 1e-30, -1e-30, 20.0, -20.0, 43.0, -43.0, 89.0, -89.0,
        120.0, -120.0, 1000.0, -1000.0, 4000.0, -4000.0,
    ];
    for (seed, scale) in [(1, 1.0), (2, 4.0), (3, 16.0), (4, 100.0)] {
        x.extend(random(500, seed).into_iter().map(|value| value * scale));
    }
    x
}

/// How far a function may be from its definition, after the table.
fn bound(kind: ActivationKind, terms: f64, u: f64, slope: f64) -> f64 {
    f64::from(kind.ulps()) * ULP * (terms + (u * slope).abs()) + FLOOR * (1.0 + u.abs())
}

fn check_value(run: Run<'_>, activation: Activation, x: &[f32]) {
    let launch = launch(x.len(), activation).expect("a small length");
    let y = run(&launch, &[x], vec![unwritten(x.len())]);
    let expect = |&x: &f32| {
        let u = f64::from(activation.steepness) * f64::from(x);
        let Definition { value, terms, slope } = define(activation.kind, u);
        let exact = activation.kind.ulps() == 0;
        Expected {
            value,
            bound: if exact {
                0.0
            } else {
                bound(activation.kind, terms, u, slope)
            },
        }
    };
    let expected: Vec<_> = x.iter().map(expect).collect();
    assert_close(&format!("{activation}"), &y[0], &expected);
}

/// Gradients from the argument: the second derivative, for the error of the argument, by differences.
fn gradient_from_argument(activation: Activation, x: f32, dy: f32) -> Expected {
    let (s, x, dy) = (f64::from(activation.steepness), f64::from(x), f64::from(dy));
    let u = s * x;
    let slope = define(activation.kind, u).slope;
    let step = 1e-5 * u.abs().max(1.0);
    let curvature =
        (define(activation.kind, u + step).slope - define(activation.kind, u - step).slope) / (2.0 * step);
    // GELU and SiLU add two terms; the first is at most 1.
    let terms = if matches!(activation.kind, ActivationKind::Gelu | ActivationKind::Silu) {
        let value = define(activation.kind, u).value;
        if u == 0.0 {
            1.0
        } else {
            (value / u).abs() + (slope - value / u).abs()
        }
    } else {
        slope.abs()
    };
    let bound = 2.0 * bound(activation.kind, terms, u, curvature) * (s * dy).abs() + FLOOR;
    Expected {
        value: s * dy * slope,
        bound,
    }
}

/// Gradients from the value: the error of `1 - y`, which is exact but for a rounding, times the other factors.
fn gradient_from_value(activation: Activation, y: f32, dy: f32) -> Expected {
    let (s, y, dy) = (f64::from(activation.steepness), f64::from(y), f64::from(dy));
    let slope = slope_of_value(activation.kind, y);
    Expected {
        value: s * dy * slope,
        bound: 2.0 * bound(activation.kind, slope, 0.0, 0.0) * (s * dy).abs() + FLOOR,
    }
}

fn check_gradient(run: Run<'_>, activation: Activation, x: &[f32]) {
    let dy: Vec<f32> = random(x.len(), 77).into_iter().map(|value| value * 3.0).collect();
    let mut v = x.to_vec();
    if activation.grad_from() == GradFrom::Output {
        crate::cpu::activation::map(activation, x, &mut v);
    }
    let launch = launch_grad(x.len(), activation).expect("a small length");
    let dx = run(&launch, &[&v, &dy], vec![unwritten(x.len())]);
    let expect = match activation.grad_from() {
        GradFrom::Input => gradient_from_argument,
        GradFrom::Output => gradient_from_value,
    };
    let expected: Vec<_> = v
        .iter()
        .zip(&dy)
        .map(|(&v, &dy)| expect(activation, v, dy))
        .collect();
    assert_close(&format!("gradient of {activation}"), &dx[0], &expected);
}

fn check(run: Run<'_>) {
    let x = arguments();
    for kind in ActivationKind::ALL {
        for steepness in [1.0, 0.5, 1.7] {
            let activation = Activation { kind, steepness };
            check_value(run, activation, &x);
            check_gradient(run, activation, &x);
        }
    }
}

#[test]
fn gradients_match_finite_differences_of_the_definitions() {
    for kind in ActivationKind::ALL {
        for step in 0..200 {
            let u = f64::from(step) * 0.0771 - 7.7123;
            let corner = [-1.0, 0.0, 1.0].iter().any(|corner| (u - corner).abs() < 1e-3);
            if corner {
                continue;
            }
            let Definition { value, slope, .. } = define(kind, u);
            let numeric = (define(kind, u + 1e-6).value - define(kind, u - 1e-6).value) / 2e-6;
            assert!(
                (slope - numeric).abs() < 1e-8,
                "{kind} at {u}: {slope} or {numeric}"
            );
            if kind.grad_from() == GradFrom::Output {
                let from_value = slope_of_value(kind, value);
                assert!(
                    (slope - from_value).abs() < 1e-9,
                    "{kind} at {u}: {slope} or {from_value}"
                );
            }
        }
    }
}
