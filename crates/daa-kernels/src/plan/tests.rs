use super::*;
use crate::activation::Activation;
use crate::error::RunError;
use crate::graph::DType;
use crate::ops::matmul::Transpose;
use crate::session::{Data, Session};
use daa_base::FencingToken;
use daa_gpu_core::{ComputeContext, ContextConfig, DeviceChoice, Tenant, TenantSpec, Weight};
use proptest::prelude::*;
use std::sync::Arc;

fn tenant(budget: Bytes) -> Tenant {
    let config = ContextConfig {
        device: DeviceChoice::Cpu,
        ..ContextConfig::default()
    };
    let context = ComputeContext::open(&config).expect("the host is always there");
    context
        .tenant(TenantSpec {
            name: "test".to_owned(),
            budget,
            token: FencingToken(1),
            weight: Weight::default(),
        })
        .expect("a tenant")
}

/// Two layers forward, and a phase that accumulates.
fn example(batch: usize, inner: usize) -> (Plan, [TensorId; 5], [PhaseId; 2]) {
    let mut g = Graph::new();
    let x = g.input("x", &[batch, 3], DType::F32).expect("declared");
    let w = g.parameter("w", &[3, inner]).expect("declared");
    let b = g.parameter("b", &[inner]).expect("declared");
    let sum = g.state("sum", &[batch, inner]).expect("declared");
    let forward = g.phase("forward");
    let h = g.linear(x, w, b, Some(Activation::relu())).expect("recorded");
    let y = g.scale(h, 2.0).expect("recorded");
    let z = g.add(y, h).expect("recorded");
    g.output(z).expect("marked");
    let add = g.phase("add");
    let h = g.matmul(x, w, Transpose::None).expect("recorded");
    g.accumulate(sum, h).expect("recorded");
    (
        Plan::compile(g, &PlanOptions::default()).expect("compiles"),
        [x, w, b, sum, z],
        [forward, add],
    )
}

#[test]
fn a_plan_computes_what_the_graph_says() {
    let (plan, [x, w, b, sum, z], [forward, add]) = example(2, 2);
    let tenant = tenant(plan.peak_bytes());
    let mut session = Session::load(&tenant, Arc::new(plan)).expect("fits its own peak");
    session
        .write(&[
            (w, Data::F32(&[1.0, 0.0, 0.0, 1.0, 1.0, -1.0])),
            (b, Data::F32(&[0.5, -0.5])),
        ])
        .expect("written");
    let input = [1.0, 2.0, 3.0, -4.0, 0.0, 1.0];
    let rows = session
        .run_and_read(forward, &[(x, Data::F32(&input))], &[z])
        .expect("runs");
    // relu(x·w + b) = [[4.5, 0], [0, 0]], and the output is three times that.
    assert_eq!(rows, [[13.5, 0.0, 0.0, 0.0]]);
    for _ in 0..3 {
        drop(session.run(add, &[]).expect("the input keeps its value"));
    }
    assert_eq!(session.read(&[sum]).expect("read"), [[12.0, -3.0, -9.0, -3.0]]);
}

#[test]
fn what_a_session_reserves_is_the_peak_to_the_byte() {
    for (batch, inner) in [(1, 1), (2, 3), (64, 65), (7, 1000)] {
        let (plan, ..) = example(batch, inner);
        let (peak, plan) = (plan.peak_bytes(), Arc::new(plan));
        let tenant = tenant(peak);
        let session = Session::load(&tenant, Arc::clone(&plan)).expect("fits");
        assert_eq!(tenant.usage().high_water, peak, "batch {batch}, inner {inner}");
        drop(session);
        assert_eq!(tenant.usage().in_use, Bytes::ZERO, "all is given back");
        let tight = self::tenant(Bytes(peak.get() - 1));
        assert!(
            matches!(Session::load(&tight, plan), Err(RunError::Gpu(_))),
            "one byte less is refused"
        );
    }
}

#[test]
fn data_of_the_wrong_kind_is_refused_by_name() {
    let (plan, [x, _, _, sum, z], [forward, add]) = example(2, 2);
    let tenant = tenant(plan.peak_bytes());
    let mut session = Session::load(&tenant, Arc::new(plan)).expect("fits");
    let message = |result: Result<(), RunError>| result.expect_err("must be refused").to_string();
    assert_eq!(
        message(session.write(&[(x, Data::F32(&[1.0]))])),
        "tensor `x` holds 6 elements, given were 1"
    );
    assert_eq!(
        message(session.write(&[(x, Data::U32(&[1; 6]))])),
        "tensor `x` holds f32, given was u32"
    );
    assert!(message(session.write(&[(z, Data::F32(&[0.0; 4]))])).contains("temporary"));
    assert!(message(session.read(&[z]).map(drop)).contains("cannot be read"));
    assert!(message(session.run_and_read(add, &[], &[z]).map(drop)).contains("cannot be read"));
    session
        .run_and_read(forward, &[], &[z, sum])
        .expect("an output after its phase, and what persists");
}

#[test]
fn options_out_of_range_and_empty_graphs_are_refused() {
    assert_eq!(
        Plan::compile(Graph::new(), &PlanOptions::default()).expect_err("empty"),
        PlanError::Empty
    );
    let options = PlanOptions {
        upload_ring: 17,
        ..PlanOptions::default()
    };
    let error = Plan::compile(Graph::new(), &options)
        .expect_err("out of range")
        .to_string();
    assert_eq!(error, "plan option upload_ring is 17, allowed are 1 to 16");
}

#[test]
fn an_explanation_adds_up() {
    let (plan, ..) = example(2, 2);
    let explanation = plan.explain();
    assert_eq!(
        explanation
            .phases
            .iter()
            .map(|phase| phase.ops.len())
            .collect::<Vec<_>>(),
        [3, 2]
    );
    // 2·m·k·n for the layer, one per element for the others.
    assert_eq!(explanation.phases[0].flops(), 2 * 2 * 3 * 2 + 4 + 4);
    assert!(explanation.arena >= explanation.arena_lower_bound);
    let text = explanation.to_string();
    assert!(
        text.contains("phase forward: 3 ops") && text.contains("linear"),
        "{text}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Chains and branches of element-wise ops: whatever is live together lies apart, and the values come out right.
    #[test]
    fn tensors_that_live_together_never_share_memory(steps in prop::collection::vec((0_usize..8, 0_usize..8), 1..24)) {
        let mut g = Graph::new();
        let x = g.input("x", &[5], DType::F32).expect("declared");
        let phase = g.phase("step");
        let mut ids = vec![x];
        let mut values = vec![vec![1.0_f32, -2.0, 0.5, 3.0, 0.0]];
        for &(a, b) in &steps {
            let (a, b) = (ids.len().saturating_sub(1 + a % ids.len()), ids.len().saturating_sub(1 + b % ids.len()));
            let half = g.scale(ids[a], 0.5).expect("recorded");
            ids.push(g.add(half, ids[b]).expect("recorded"));
            let sum = values[a].iter().zip(&values[b]).map(|(a, b)| a * 0.5 + b).collect();
            values.push(sum);
        }
        let last = ids[ids.len() - 1];
        g.output(last).expect("marked");
        let plan = Arc::new(Plan::compile(g, &PlanOptions::default()).expect("compiles"));
        let tenant = tenant(plan.peak_bytes());
        let mut session = Session::load(&tenant, plan).expect("fits");
        let out = session.run_and_read(phase, &[(x, Data::F32(&values[0]))], &[last]).expect("runs");
        prop_assert_eq!(&out[0], &values[values.len() - 1]);
    }
}
