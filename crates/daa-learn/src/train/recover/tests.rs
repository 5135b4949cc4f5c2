//! The host in the part of the device: what fails is told honestly, the numbers are the same on both sides. Runs on a
//! software device, where they are not, are in `cargo xtask faults`.

use super::*;
use crate::data::InputShape;
use crate::nn::{Architecture, Layer, OptimizerKind, OutputHead, Purpose, compile};
use crate::testing;
use crate::train::{Optimizer, Schedule, TrainConfig};
use daa_base::{Clock, FencingToken, ManualClock, Seed, Timestamp};
use daa_gpu_core::injection::{Fault, Planned, Site};
use daa_gpu_core::{BreakerConfig, ComputeContext, Failover, TenantSpec, Weight};
use daa_kernels::activation::Activation;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// Steps of the whole training: three epochs of five training and two validation steps.
const STEPS: u64 = 21;

fn trainer() -> Trainer {
    let input = InputShape::Flat { features: 5 };
    let layers = vec![
        Layer::Dense {
            units: 8,
            activation: Some(Activation::tanh()),
        },
        Layer::Dropout { rate: 0.25 },
    ];
    let architecture = Architecture::new(input, layers, OutputHead::Classes { count: 3 });
    let network = compile(&architecture, 8, Purpose::Train(OptimizerKind::Adam)).expect("compiles");
    let config = TrainConfig {
        epochs: 3,
        batch: 8,
        epoch_rows: None,
        optimizer: Optimizer::adam_w(1e-2, 1e-2),
        schedule: Schedule::Constant,
        patience: None,
        augment: None,
    };
    let data = testing::classes(input, 3, 53, 13, 1);
    Trainer::new(Arc::new(network), Arc::new(data), config, Seed(7), None).expect("a training that fits")
}

struct World {
    failover: Arc<Failover>,
    clock: Arc<ManualClock>,
    device: ComputeContext,
}

fn world() -> World {
    let device = testing::context(1);
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let of_failover: Arc<dyn Clock> = clock.clone();
    let probe = daa_kernels::probe::health().expect("it fits its kernel");
    let rng = Seed(1).stream("recovery test").rng();
    let mut breaker = BreakerConfig::default();
    breaker.base = Duration::from_secs(1);
    let failover = Failover::new(device.clone(), breaker, probe, of_failover, rng).expect("in range");
    World {
        failover: Arc::new(failover.as_device_for_test()),
        clock,
        device,
    }
}

impl World {
    fn runner(&self, trainer: &Trainer) -> Runner {
        let spec = TenantSpec {
            name: "test".to_owned(),
            budget: trainer.network().peak_bytes(),
            token: FencingToken(1),
            weight: Weight::default(),
        };
        Runner::new(
            Arc::clone(&self.failover),
            Arc::clone(trainer.network().plan()),
            spec,
        )
    }

    /// Trains to the end; a second passes before every step.
    fn train(&self, recovery: &Recovery) -> (TrainState, RunHistory, u64) {
        let mut trainer = trainer();
        let mut runner = self.runner(&trainer);
        let (mut history, mut asked) = (RunHistory::default(), 0);
        let outcome = trainer
            .run_recovering(&mut runner, recovery, &mut history, &mut |_| {
                asked += 1;
                self.clock.advance(Duration::from_secs(1));
                Control::Continue
            })
            .expect("the host steps in");
        assert_eq!(outcome, Outcome::Finished);
        (trainer.into_state(), history, asked)
    }
}

fn whole() -> TrainState {
    let mut trainer = trainer();
    let (_tenant, mut session) = testing::session(&testing::context(1), trainer.network());
    let outcome = trainer.run(&mut session, &mut |_| Control::Continue);
    assert_eq!(outcome.expect("the host does not fail"), Outcome::Finished);
    trainer.into_state()
}

fn any_fault() -> impl Strategy<Value = Planned> {
    let fault = prop::sample::select(vec![
        Fault::DestroyBefore,
        Fault::DestroyDuring,
        Fault::DestroyAfter,
        Fault::SayTimeout,
    ]);
    (0_u64..60, fault).prop_map(|(after, fault)| Planned {
        site: Site::Submit,
        after,
        fault,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_fault_loses_a_step_or_does_it_twice(
        faults in prop::collection::vec(any_fault(), 0..5),
        every in 1_u32..9,
        is_verified: bool,
    ) {
        let world = world();
        world.device.inject_for_test(&faults);
        let verification = if is_verified { Verification::Repeat } else { Verification::Off };
        let (state, history, asked) = world.train(&Recovery::every(every, verification));
        prop_assert!(state.is_bitwise(&whole()));
        prop_assert_eq!((history.steps(), asked), (STEPS, STEPS));
    }
}

#[test]
fn a_flipped_bit_is_noticed_by_repeating_and_only_by_that() {
    // The parameters are at the start of the arena, and the fifth submission is a step in the middle.
    let flip = Planned {
        site: Site::Submit,
        after: 5,
        fault: Fault::FlipBit { word: 2, bit: 30 },
    };
    let world_with_flip = || {
        let world = world();
        world.device.inject_for_test(&[flip]);
        world
    };
    let world = world_with_flip();
    let (state, _, _) = world.train(&Recovery::every(7, Verification::Off));
    assert_eq!(world.device.struck_for_test(), [flip]);
    assert!(
        !state.is_bitwise(&whole()),
        "without verification it goes into the result"
    );
    let world = world_with_flip();
    let (state, history, asked) = world.train(&Recovery::every(7, Verification::Repeat));
    assert!(state.is_bitwise(&whole()));
    assert_eq!((history.steps(), asked), (STEPS, STEPS));
    assert!(world.device.is_lost(), "its epoch ended");
    assert_eq!(world.failover.counts().openings, 1);
    assert_eq!(history.stretches()[0].role, Role::Host, "{history:?}");
}

#[test]
fn work_returns_to_the_device_and_the_history_repeats_it() {
    let world = world();
    world.device.inject_for_test(&[Planned {
        site: Site::Submit,
        after: 9,
        fault: Fault::DestroyDuring,
    }]);
    let (state, history, _) = world.train(&Recovery::every(3, Verification::Off));
    let roles: Vec<Role> = history.stretches().iter().map(|stretch| stretch.role).collect();
    assert_eq!(roles, [Role::Primary, Role::Host, Role::Primary], "{history:?}");
    let mut again = trainer();
    let mut runner = self::world().runner(&again);
    let outcome = again.run_along(&mut runner, &history).expect("nothing fails");
    assert_eq!(outcome, Outcome::Finished, "the history ends with the last step");
    assert!(again.state().is_bitwise(&state));
}

#[test]
fn yielding_ends_an_interval_and_what_is_told_stays() {
    let world = world();
    world.device.inject_for_test(&[Planned {
        site: Site::Submit,
        after: 20,
        fault: Fault::DestroyAfter,
    }]);
    let mut trainer = trainer();
    let mut runner = world.runner(&trainer);
    let (mut history, mut told) = (RunHistory::default(), Vec::new());
    let recovery = Recovery::every(100, Verification::Off);
    let outcome = trainer
        .run_recovering(&mut runner, &recovery, &mut history, &mut |progress| {
            told.push(progress.history.len());
            if told.len() > 16 {
                Control::Yield
            } else {
                Control::Continue
            }
        })
        .expect("the host steps in");
    assert_eq!((outcome, history.steps()), (Outcome::Yielded, 16));
    assert_eq!(told, [0; 17], "an epoch is told when it is sure to stay");
    assert_eq!(trainer.state().history().len(), 2);
    let outcome = trainer
        .run_recovering(&mut runner, &recovery, &mut history, &mut |progress| {
            assert_eq!(progress.history.len(), 2);
            Control::Continue
        })
        .expect("it goes on");
    assert_eq!((outcome, history.steps()), (Outcome::Finished, STEPS));
    assert!(trainer.state().is_bitwise(&whole()));
}

#[test]
fn a_host_that_computes_wrong_is_an_error() {
    let world = world();
    world.device.destroy_device_for_test();
    let host = world.failover.ask(Role::Host).expect("it opens").context;
    host.inject_for_test(&[Planned {
        site: Site::Submit,
        after: 3,
        fault: Fault::FlipBit { word: 2, bit: 30 },
    }]);
    let mut trainer = trainer();
    let mut runner = world.runner(&trainer);
    let before = trainer.state().clone();
    let error = trainer
        .run_recovering(
            &mut runner,
            &Recovery::every(5, Verification::Repeat),
            &mut RunHistory::default(),
            &mut |_| Control::Continue,
        )
        .expect_err("there is nothing behind the host");
    assert!(
        error.to_string().contains("two runs of 5 steps from epoch 0"),
        "{error}"
    );
    assert!(trainer.state().is_bitwise(&before), "the checkpoint stays");
}

#[test]
fn the_number_of_steps_between_checkpoints_has_bounds() {
    for every in [0, MAX_EVERY + 1] {
        let error = Recovery::every(every, Verification::Off)
            .validate()
            .expect_err("out of range");
        assert!(error.to_string().contains("recovery.every"), "{error}");
    }
}
