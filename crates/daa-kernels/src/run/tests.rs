use super::*;
use crate::graph::{DType, Graph};
use crate::plan::PlanOptions;
use crate::probe;
use daa_base::{FencingToken, ManualClock, Seed, Timestamp};
use daa_gpu_core::breaker::blame;
use daa_gpu_core::injection::{Fault, Planned, Site};
use daa_gpu_core::{BreakerConfig, ComputeContext, ContextConfig, DeviceChoice, Weight};

/// A sum that each step adds its input to.
struct Sums {
    plan: Arc<Plan>,
    input: TensorId,
    sum: TensorId,
    add: PhaseId,
}

fn sums() -> Sums {
    let mut graph = Graph::new();
    let input = graph.input("input", &[4], DType::F32).expect("declared");
    let sum = graph.state("sum", &[4]).expect("declared");
    let add = graph.phase("add");
    let twice = graph.scale(input, 2.0).expect("recorded");
    graph.accumulate(sum, twice).expect("recorded");
    let plan = Arc::new(Plan::compile(graph, &PlanOptions::default()).expect("compiles"));
    Sums {
        plan,
        input,
        sum,
        add,
    }
}

/// A failover with the host in the part of the device.
fn failover() -> Arc<Failover> {
    let config = ContextConfig {
        device: DeviceChoice::Cpu,
        cpu_workers: 1,
        ..ContextConfig::default()
    };
    let primary = ComputeContext::open(&config).expect("the host is always there");
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let rng = Seed(1).stream("run test").rng();
    let probe = probe::health().expect("it fits its kernel");
    let failover = Failover::new(primary, BreakerConfig::default(), probe, clock, rng).expect("in range");
    Arc::new(failover.as_device_for_test())
}

fn runner(failover: &Arc<Failover>, plan: &Arc<Plan>) -> Runner {
    let spec = TenantSpec {
        name: "test".to_owned(),
        budget: plan.peak_bytes(),
        token: FencingToken(1),
        weight: Weight::default(),
    };
    Runner::new(Arc::clone(failover), Arc::clone(plan), spec)
}

fn primary(failover: &Failover) -> ComputeContext {
    failover.acquire().expect("it is there").context
}

/// Replays three steps from a sum of ones.
fn replay(runner: &mut Runner, sums: &Sums) -> Result<(Vec<f32>, Role), RunError> {
    let inputs = [[1.0_f32; 4], [2.0; 4], [3.0; 4]];
    let steps: Vec<Step<'_>> = inputs
        .iter()
        .map(|input| Step {
            phase: sums.add,
            inputs: vec![(sums.input, Data::F32(input))],
        })
        .collect();
    let state = [(sums.sum, Data::F32(&[1.0; 4]))];
    let (mut read, place) = runner.replay(None, &state, &steps, &[sums.sum])?;
    Ok((read.remove(0), place.role))
}

#[test]
fn a_range_is_replayed_from_its_state_whenever_the_device_goes() {
    let sums = sums();
    // Loading submits nothing, so the submissions are: state, three steps, read.
    for after in 0..5 {
        for fault in [Fault::DestroyBefore, Fault::DestroyDuring, Fault::DestroyAfter] {
            let failover = failover();
            let mut runner = runner(&failover, &sums.plan);
            let context = primary(&failover);
            let site = Site::Submit;
            context.inject_for_test(&[Planned { site, after, fault }]);
            let (sum, role) = replay(&mut runner, &sums).expect("the host steps in");
            assert_eq!(
                (sum, role),
                (vec![13.0; 4], Role::Host),
                "{fault:?} after {after}"
            );
            assert_eq!(context.struck_for_test().len(), 1);
            assert_eq!(runner.take_switches().len(), 1);
            assert_eq!(runner.high_water(), sums.plan.peak_bytes());
        }
    }
}

#[test]
fn transient_faults_are_repeated_on_the_device_until_it_counts_as_broken() {
    let (sums, failover) = (sums(), failover());
    let mut runner = runner(&failover, &sums.plan);
    let load = |after| Planned {
        site: Site::Load,
        after,
        fault: Fault::SayOutOfMemory,
    };
    primary(&failover).inject_for_test(&[load(0), load(1)]);
    assert_eq!(
        replay(&mut runner, &sums).expect("the third time"),
        (vec![13.0; 4], Role::Primary)
    );
    runner.leave();
    primary(&failover).inject_for_test(&[load(0), load(1), load(2)]);
    assert_eq!(
        replay(&mut runner, &sums).expect("the fourth time"),
        (vec![13.0; 4], Role::Host)
    );
    assert_eq!(failover.counts().openings, 1);
}

#[test]
fn attempts_are_bounded_and_the_last_error_is_told() {
    let (sums, failover) = (sums(), failover());
    let mut runner = runner(&failover, &sums.plan).with_attempts(2);
    let load = |after| Planned {
        site: Site::Load,
        after,
        fault: Fault::SayOutOfMemory,
    };
    primary(&failover).inject_for_test(&[load(0), load(1)]);
    let error = replay(&mut runner, &sums).expect_err("two attempts are not enough");
    assert!(error.to_string().contains("says a test"), "{error}");
    assert_eq!(
        replay(&mut runner, &sums).expect("and it goes on").1,
        Role::Primary
    );
}

#[test]
fn mistakes_of_the_caller_are_not_repeated_and_not_blamed_on_the_device() {
    let (sums, failover) = (sums(), failover());
    let mut runner = runner(&failover, &sums.plan);
    let mut calls = 0;
    let error = runner
        .run::<(), RunError>(None, &mut |session| {
            calls += 1;
            session.write(&[(sums.sum, Data::F32(&[1.0]))])
        })
        .expect_err("too short");
    assert!(matches!(error, RunError::Length { .. }), "{error}");
    assert_eq!((calls, failover.counts().openings), (1, 0));
    let poor = TenantSpec {
        budget: Bytes(1),
        ..runner.spec.clone()
    };
    let mut runner = Runner::new(Arc::clone(&failover), Arc::clone(&sums.plan), poor);
    let error = replay(&mut runner, &sums).expect_err("one byte");
    assert_eq!(error.gpu().and_then(blame), None, "{error}");
    assert_eq!(failover.counts().openings, 0);
}

#[test]
fn work_can_be_sent_to_either_side_and_the_seat_is_kept_meanwhile() {
    let (sums, failover) = (sums(), failover());
    let mut runner = runner(&failover, &sums.plan);
    let mut read = |role| {
        let (_, place) = runner
            .run::<_, RunError>(Some(role), &mut |session| session.read(&[sums.sum]))
            .expect("both are well");
        place.role
    };
    assert_eq!(read(Role::Host), Role::Host);
    assert_eq!(read(Role::Primary), Role::Primary);
    let made = primary(&failover).counters().buffers_created;
    assert_eq!(read(Role::Primary), Role::Primary);
    assert_eq!(primary(&failover).counters().buffers_created, made);
    let wrong = GpuError::Corruption {
        message: "found by a test".to_owned(),
    };
    assert!(runner.disown(&wrong));
    assert!(!runner.disown(&wrong), "nothing came from anywhere since");
    assert_eq!(replay(&mut runner, &sums).expect("the host").1, Role::Host);
}
