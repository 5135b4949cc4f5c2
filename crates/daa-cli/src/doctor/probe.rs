//! A layer small enough to check by hand, run on a device the way training runs.

use crate::budget::Budget;
use anyhow::{Context as _, Result, ensure};
use daa_base::FencingToken;
use daa_gpu_core::{ComputeContext, ContextConfig, DeviceChoice, TenantSpec, Weight};
use daa_kernels::graph::{DType, Graph};
use daa_kernels::plan::{Plan, PlanOptions};
use daa_kernels::session::{Data, Session};
use std::sync::Arc;
use std::time::Duration;

const ROWS: usize = 3;
const INNER: usize = 5;
const COLUMNS: usize = 4;

/// Longest wait for the device.
const DEADLINE: Duration = Duration::from_secs(20);

/// Opens the device, runs `x · w + bias` on it and compares every number. Gives the device's name and its memory.
pub(super) fn run(choice: DeviceChoice) -> Result<(String, Budget), String> {
    try_run(choice).map_err(|error| format!("{error:#}"))
}

fn try_run(choice: DeviceChoice) -> Result<(String, Budget)> {
    let config = ContextConfig {
        device: choice,
        step_deadline: DEADLINE,
        ..ContextConfig::default()
    };
    let context = ComputeContext::open(&config).context("cannot be opened")?;
    let mut graph = Graph::new();
    let x = graph.input("x", &[ROWS, INNER], DType::F32)?;
    let w = graph.input("w", &[INNER, COLUMNS], DType::F32)?;
    let bias = graph.input("bias", &[COLUMNS], DType::F32)?;
    let phase = graph.phase("probe");
    let y = graph.linear(x, w, bias, None)?;
    graph.output(y)?;
    let plan = Arc::new(Plan::compile(graph, &PlanOptions::default())?);
    let budget = plan.peak_bytes();
    let tenant = context
        .tenant(TenantSpec {
            name: "doctor".to_owned(),
            budget,
            token: FencingToken(1),
            weight: Weight::default(),
        })
        .context("gives no memory")?;
    let mut session = Session::load(&tenant, plan).context("cannot load a kernel")?;
    let (xs, ws, bs) = (
        quarters(ROWS * INNER, 7),
        quarters(INNER * COLUMNS, 11),
        quarters(COLUMNS, 5),
    );
    let inputs = [(x, Data::F32(&xs)), (w, Data::F32(&ws)), (bias, Data::F32(&bs))];
    let found = session
        .run_and_read(phase, &inputs, &[y])
        .context("cannot run a kernel")?;
    let wanted = product(&xs, &ws, &bs);
    // All numbers are multiples of 1/16 far below 2^20: every device can represent each sum exactly.
    ensure!(
        found.first() == Some(&wanted),
        "computes wrong: {found:?} instead of {wanted:?}"
    );
    Ok((context.info().to_string(), Budget::of_open(&context)))
}

/// `count` multiples of 1/4 between -2 and 2, in an order that `step` mixes.
fn quarters(count: usize, step: usize) -> Vec<f32> {
    (0..count)
        .map(|index| ((index * step + 3) % 17) as f32 / 4.0 - 2.0)
        .collect()
}

fn product(x: &[f32], w: &[f32], bias: &[f32]) -> Vec<f32> {
    let cell = |row: usize, column: usize| {
        let terms = (0..INNER).map(|k| f64::from(x[row * INNER + k]) * f64::from(w[k * COLUMNS + column]));
        (terms.sum::<f64>() + f64::from(bias[column])) as f32
    };
    (0..ROWS)
        .flat_map(|row| (0..COLUMNS).map(move |column| cell(row, column)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_passes_its_probe() {
        let (device, _) = run(DeviceChoice::Cpu).expect("the CPU is always there");
        assert!(device.contains("host"), "{device}");
    }

    #[test]
    fn a_wrong_number_would_be_seen() {
        let (x, w, bias) = (quarters(15, 7), quarters(20, 11), quarters(4, 5));
        let right = product(&x, &w, &bias);
        assert!(
            right.iter().any(|&value| value != right[0]),
            "the numbers tell the cells apart"
        );
        let mut other = x.clone();
        other.swap(0, 1);
        assert_ne!(product(&other, &w, &bias), right, "and the operands");
    }
}
