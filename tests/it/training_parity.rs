//! A training on the software device ends where it ends on the host, but for rounding.

use daa_gpu_core::ComputeContext;
use daa_learn::data::InputShape;
use daa_learn::nn::Layer;
use daa_learn::train::{Control, Optimizer, Outcome};
use daa_tests::software;
use daa_tests::training::{Course, convolutions, perceptron};

/// Steps of every training.
const STEPS: u32 = 24;

const SGD: Optimizer = Optimizer::Sgd {
    learning_rate: 0.05,
    momentum: 0.9,
    weight_decay: 1e-3,
    nesterov: false,
};

/// Parameters and running statistics after [`STEPS`] steps on `context`.
fn train(course: &Course, context: &ComputeContext) -> Vec<Vec<f32>> {
    let (_tenant, mut session) = course.load(context);
    let mut trainer = course.trainer();
    let outcome = trainer.run(&mut session, &mut |progress| {
        if progress.position.step < STEPS {
            Control::Continue
        } else {
            Control::Yield
        }
    });
    assert_eq!(outcome.expect("it trains"), Outcome::Yielded);
    trainer.state().parameters()
}

/// The norm of `a − b` as a part of the norm of `b`.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let square = |x: f64| x * x;
    let difference: f64 = a
        .iter()
        .zip(b)
        .map(|(&a, &b)| square(f64::from(a) - f64::from(b)))
        .sum();
    let size: f64 = b.iter().map(|&b| square(b.into())).sum();
    (difference / size.max(1e-12)).sqrt()
}

/// Trains on both and holds every parameter of the software device against the host's.
///
/// A step rounds each sum in another order, by some 2⁻²⁴ of its terms; training amplifies that from step to step.
/// Adam divides by the size of the gradient and so takes small gradients, where rounding weighs most, as seriously as
/// large ones. `tolerance` is for the norm of a whole tensor, and how far the tensor moves is the measure of what a
/// real fault would do: it must be at least a hundred times more.
fn parity(layers: fn(InputShape) -> Vec<Layer>, optimizer: Optimizer, tolerance: f64) {
    let Some(device) = software::context() else { return };
    let course = Course::on_digits(layers, optimizer);
    let before = course.trainer().state().parameters();
    let (host, device) = (train(&course, &software::host(2)), train(&course, &device));
    assert_eq!(host.len(), device.len());
    for (((spec, _), before), (host, device)) in course
        .network
        .parameters()
        .iter()
        .zip(&before)
        .zip(host.iter().zip(&device))
    {
        assert!(device.iter().all(|value| value.is_finite()), "{}", spec.name);
        let (off, moved) = (distance(device, host), distance(before, host));
        assert!(
            off <= tolerance,
            "{} is off by {off:e} of its norm, it moved by {moved:e}",
            spec.name
        );
        assert!(moved > 100.0 * tolerance, "{} moved by {moved:e} only", spec.name);
    }
}

#[test]
fn software_trains_a_perceptron_as_the_host_does_under_sgd() {
    parity(perceptron, SGD, 1e-5);
}

#[test]
fn software_trains_a_perceptron_as_the_host_does_under_adam() {
    parity(perceptron, Optimizer::adam_w(2e-3, 1e-2), 1e-5);
}

#[test]
fn software_trains_convolutions_as_the_host_does_under_sgd() {
    parity(convolutions, SGD, 1e-5);
}

#[test]
fn software_trains_convolutions_as_the_host_does_under_adam() {
    parity(convolutions, Optimizer::adam_w(2e-3, 1e-2), 1e-5);
}

#[test]
fn software_repeats_itself() {
    let Some(device) = software::context() else { return };
    let course = Course::on_digits(convolutions, SGD);
    let (first, second) = (train(&course, &device), train(&course, &device));
    for ((spec, _), (first, second)) in course.network.parameters().iter().zip(first.iter().zip(&second)) {
        assert!(first == second, "{}", spec.name);
    }
}
