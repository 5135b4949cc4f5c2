//! What the tests of several modules share: a host context, sessions, and small data.

use crate::data::{Dataset, InputShape, Target};
use crate::nn::Network;
use crate::train::PreparedData;
use daa_base::{FencingToken, Seed};
use daa_gpu_core::{ComputeContext, ContextConfig, DeviceChoice, Tenant, TenantSpec, Weight};
use daa_kernels::session::Session;
use std::sync::Arc;

/// A context on the CPU with `workers` threads.
pub(crate) fn context(workers: usize) -> ComputeContext {
    let config = ContextConfig {
        device: DeviceChoice::Cpu,
        cpu_workers: workers,
        ..ContextConfig::default()
    };
    ComputeContext::open(&config).expect("the host CPU is always there")
}

/// A session for `network`, under a tenant with exactly the budget that it states.
pub(crate) fn session(context: &ComputeContext, network: &Network) -> (Tenant, Session) {
    let spec = TenantSpec {
        name: "test".to_owned(),
        budget: network.peak_bytes(),
        token: FencingToken(1),
        weight: Weight::default(),
    };
    let tenant = context.tenant(spec).expect("the capacity suffices");
    let session = Session::load(&tenant, Arc::clone(network.plan())).expect("the budget is the plan's peak");
    assert_eq!(
        tenant.usage().high_water,
        network.peak_bytes(),
        "a plan takes what it states, to the byte"
    );
    (tenant, session)
}

/// `rows` rows that a small network can learn: the class is the one whose pattern was added to the noise.
pub(crate) fn classes(
    shape: InputShape,
    classes: u32,
    rows: usize,
    validation: usize,
    seed: u64,
) -> PreparedData {
    let width = shape.values();
    let mut rng = Seed(seed).stream("testing.classes").rng();
    let patterns: Vec<f32> = (0..classes as usize * width)
        .map(|_| rng.normal() as f32)
        .collect();
    let labels: Vec<u32> = (0..rows as u32).map(|row| row % classes).collect();
    let features = labels
        .iter()
        .flat_map(|&label| patterns[label as usize * width..][..width].to_vec())
        .map(|value| value + 0.5 * rng.normal() as f32)
        .collect();
    prepared(
        Dataset::new(
            shape,
            features,
            Target::Classes {
                labels,
                classes: classes as usize,
            },
        ),
        rows,
        validation,
    )
}

/// `rows` rows whose target is a weighted sum of their features.
pub(crate) fn values(features: usize, rows: usize, validation: usize, seed: u64) -> PreparedData {
    let mut rng = Seed(seed).stream("testing.values").rng();
    let weights: Vec<f32> = (0..features).map(|_| rng.normal() as f32 * 0.5).collect();
    let matrix: Vec<f32> = (0..rows * features).map(|_| rng.normal() as f32).collect();
    let targets = matrix
        .chunks_exact(features)
        .map(|row| row.iter().zip(&weights).map(|(x, w)| x * w).sum())
        .collect();
    prepared(
        Dataset::new(InputShape::Flat { features }, matrix, Target::Values(targets)),
        rows,
        validation,
    )
}

fn prepared<E: std::fmt::Debug>(dataset: Result<Dataset, E>, rows: usize, validation: usize) -> PreparedData {
    let split = (rows - validation) as u32;
    let dataset = Arc::new(dataset.expect("finite values that fit"));
    PreparedData::new(dataset, (0..split).collect(), (split..rows as u32).collect()).expect("rows in range")
}
