//! Gradients against central differences on the host backend.
//!
//! The loss is `Σ c·y` with fixed random `c`, summed in f64, so the only errors are those of the f32 forward pass and
//! of the difference itself. Where an op has a corner (maximum, ReLU), differences of two step sizes disagree; such
//! elements are left out, and no more than a tenth of them may be.

use super::*;
use crate::testing;
use daa_base::{Bytes, FencingToken, Seed};
use daa_gpu_core::{TenantSpec, Weight};
use daa_kernels::activation::ActivationKind;
use daa_kernels::graph::DType;
use daa_kernels::ops::pool2d::PoolKind;
use daa_kernels::plan::{Plan, PlanOptions};
use daa_kernels::session::{Data, Session};
use proptest::prelude::*;
use std::sync::Arc;

/// Builds the op under test over the parameters.
type Build<'a> = &'a dyn Fn(&mut Tape<'_>, &[TensorId]) -> Result<TensorId, GraphError>;

struct Fixture {
    session: Session,
    phase: daa_kernels::graph::PhaseId,
    parameters: Vec<TensorId>,
    values: Vec<Vec<f32>>,
    gradients: Vec<TensorId>,
    y: TensorId,
    coefficients: Vec<f32>,
}

impl Fixture {
    fn new(shapes: &[&[usize]], seed: u64, spread: f64, build: Build<'_>) -> Self {
        let mut graph = Graph::new();
        let parameters: Vec<TensorId> = (0..shapes.len())
            .map(|index| {
                graph
                    .parameter(&format!("p{index}"), shapes[index])
                    .expect("a fresh name")
            })
            .collect();
        let phase = graph.phase("check");
        let mut tape = Tape::new(&mut graph, parameters.clone());
        let y = build(&mut tape, &parameters).expect("shapes that fit");
        let shape = tape.graph().shape(y).to_vec();
        let c = tape.graph().input("c", &shape, DType::F32).expect("a fresh name");
        let gradients = tape.backward(&[(y, c)]).expect("gradients of recorded ops");
        let gradients: Vec<TensorId> = parameters
            .iter()
            .map(|&id| gradients.of(id).expect("every parameter reaches y"))
            .collect();
        for &id in gradients.iter().chain([&y]) {
            graph.output(id).expect("of this graph");
        }
        let mut rng = Seed(seed).stream("autodiff").rng();
        let mut draw = |shape: &[usize], spread: f64| -> Vec<f32> {
            (0..shape.iter().product())
                .map(|_| (rng.normal() * spread) as f32)
                .collect()
        };
        let values: Vec<Vec<f32>> = shapes.iter().map(|shape| draw(shape, spread)).collect();
        let coefficients = draw(&shape, 1.0);
        let plan = Arc::new(Plan::compile(graph, &PlanOptions::default()).expect("a graph with ops"));
        let context = testing::context(1);
        let budget = plan.peak_bytes() + Bytes::ZERO;
        let tenant = context
            .tenant(TenantSpec {
                name: "check".to_owned(),
                budget,
                token: FencingToken(1),
                weight: Weight::default(),
            })
            .expect("room");
        let mut session = Session::load(&tenant, plan).expect("the budget is the peak");
        session
            .write(&[(c, Data::F32(&coefficients))])
            .expect("c is an input");
        // The tenant's memory is wanted until the session ends.
        Box::leak(Box::new(tenant));
        Self {
            session,
            phase,
            parameters,
            values,
            gradients,
            y,
            coefficients,
        }
    }

    fn write(&mut self) {
        let writes: Vec<_> = self
            .parameters
            .iter()
            .zip(&self.values)
            .map(|(&id, data)| (id, Data::F32(data)))
            .collect();
        self.session.write(&writes).expect("parameters can be written");
    }

    fn loss(&mut self) -> f64 {
        self.write();
        let y = self
            .session
            .run_and_read(self.phase, &[], &[self.y])
            .expect("runs");
        y[0].iter()
            .zip(&self.coefficients)
            .map(|(&y, &c)| f64::from(y) * f64::from(c))
            .sum()
    }

    fn difference(&mut self, parameter: usize, element: usize, step: f32) -> f64 {
        let before = self.values[parameter][element];
        let (up, down) = (before + step, before - step);
        self.values[parameter][element] = up;
        let above = self.loss();
        self.values[parameter][element] = down;
        let below = self.loss();
        self.values[parameter][element] = before;
        (above - below) / (f64::from(up) - f64::from(down))
    }

    /// Compares every element.
    fn check(&mut self, what: &str) {
        self.write();
        let gradients = self
            .session
            .run_and_read(self.phase, &[], &self.gradients.clone())
            .expect("runs");
        let (mut compared, mut corners) = (0, 0);
        for (parameter, gradient) in gradients.iter().enumerate() {
            let scale = gradient
                .iter()
                .fold(1.0_f64, |scale, &g| scale.max(f64::from(g).abs()));
            for (element, &analytic) in gradient.iter().enumerate() {
                let coarse = self.difference(parameter, element, 1e-2);
                let fine = self.difference(parameter, element, 5e-3);
                if (coarse - fine).abs() > 5e-3 * scale {
                    corners += 1;
                    continue;
                }
                compared += 1;
                let error = (f64::from(analytic) - fine).abs();
                assert!(
                    error <= 6e-3 * scale,
                    "{what}: parameter {parameter} element {element}: gradient {analytic}, difference {fine}"
                );
            }
        }
        assert!(
            corners * 10 <= compared,
            "{what}: {corners} corners among {compared} smooth elements"
        );
    }
}

fn check(what: &str, shapes: &[&[usize]], seed: u64, build: Build<'_>) {
    Fixture::new(shapes, seed, 0.7, build).check(what);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn linear(m in 1_usize..4, k in 1_usize..5, n in 1_usize..4, seed: u64) {
        for activation in [None, Some(Activation::tanh()), Some(Activation::gelu())] {
            check("linear", &[&[m, k], &[k, n], &[n]], seed, &|tape, p| tape.linear(p[0], p[1], p[2], activation));
        }
    }

    #[test]
    fn conv2d(side in 3_usize..6, kernel in 1_usize..4, stride in 1_usize..3, padding in 0_usize..2, seed: u64) {
        let conv = Conv2d { stride: [stride; 2], padding: [padding.min(kernel - 1); 2] };
        for activation in [None, Some(Activation::tanh()), Some(Activation::silu())] {
            let shapes: [&[usize]; 3] = [&[2, 2, side, side], &[3, 2, kernel, kernel], &[3]];
            check("conv2d", &shapes, seed, &|tape, p| tape.conv2d(p[0], p[1], p[2], conv, activation));
        }
    }

    #[test]
    fn pool2d(side in 3_usize..6, kernel in 1_usize..4, stride in 1_usize..3, seed: u64) {
        for kind in [PoolKind::Max, PoolKind::Avg] {
            let pool = Pool2d { kind, kernel: [kernel; 2], stride: [stride; 2] };
            check("pool2d", &[&[2, 2, side, side]], seed, &|tape, p| tape.pool2d(p[0], pool));
        }
    }

    #[test]
    fn batch_norm(rows in 3_usize..6, channels in 1_usize..4, seed: u64) {
        let norm = |tape: &mut Tape<'_>, p: &[TensorId]| {
            let mean = tape.graph().state("mean", &[channels])?;
            let variance = tape.graph().state("variance", &[channels])?;
            tape.batch_norm(p[0], [p[1], p[2], mean, variance], BatchNorm { eps: 1e-1, momentum: 0.1 })
        };
        check("batch_norm of rows", &[&[rows, channels], &[channels], &[channels]], seed, &norm);
        check("batch_norm of images", &[&[rows, channels, 2, 3], &[channels], &[channels]], seed, &norm);
    }

    #[test]
    fn dropout_and_reshape(rows in 1_usize..4, width in 2_usize..6, seed: u64) {
        check("dropout", &[&[rows, width]], seed, &|tape, p| {
            let key = tape.graph().input("key", &[1], DType::U32)?;
            let y = tape.dropout(p[0], 0.4, key, 7)?;
            tape.reshape(y, &[width, rows])
        });
    }

    /// A tensor that is used twice gets the sum of both gradients.
    #[test]
    fn branches_that_meet_again(m in 1_usize..4, seed: u64) {
        check("branches", &[&[m, m], &[m, m]], seed, &|tape, p| {
            let product = tape.matmul(p[0], p[1])?;
            let bent = tape.activation(product, Activation::tanh())?;
            let scaled = tape.scale(product, -1.5)?;
            let sum = tape.add(bent, scaled)?;
            let again = tape.mul(sum, product)?;
            tape.add(again, p[0])
        });
    }
}

#[test]
fn every_activation() {
    for kind in ActivationKind::ALL {
        let activation = Activation {
            kind,
            steepness: 0.75,
        };
        check(kind.name(), &[&[6, 8]], 3, &|tape, p| {
            tape.activation(p[0], activation)
        });
    }
}

#[test]
fn what_no_parameter_reaches_gets_no_gradient() {
    let mut graph = Graph::new();
    let x = graph.input("x", &[2, 3], DType::F32).expect("fresh");
    let w = graph.parameter("w", &[3, 2]).expect("fresh");
    let b = graph.parameter("b", &[2]).expect("fresh");
    let apart = graph.parameter("apart", &[2]).expect("fresh");
    graph.phase("check");
    let mut tape = Tape::new(&mut graph, [w, b, apart]);
    let y = tape.linear(x, w, b, None).expect("fits");
    let gradients = tape.backward(&[(y, y)]).expect("fits");
    assert!(
        gradients.of(w).is_some() && gradients.of(b).is_some(),
        "the layer's parameters have gradients"
    );
    assert_eq!(gradients.of(x), None, "the input is not trained");
    assert_eq!(
        gradients.of(apart),
        None,
        "a parameter that the loss does not see"
    );
}
