//! A training step makes nothing and waits for nothing: one submission, and that is all.

use daa_base::{FencingToken, ManualClock, Seed, Timestamp};
use daa_gpu_core::{BreakerConfig, ComputeContext, Counters, Failover, TenantSpec, Weight};
use daa_kernels::Runner;
use daa_learn::data::InputShape;
use daa_learn::nn::Layer;
use daa_learn::train::{Control, Optimizer, Outcome, Recovery, RunHistory, Stage, Verification};
use daa_tests::software;
use daa_tests::training::{Course, convolutions, perceptron};
use std::sync::Arc;

/// Submissions of a training beside those of its steps: what is written before the first, the sums of
/// the epoch, and what is read after the last.
const AROUND: u64 = 16;

/// The counters before every training step of the first epoch, and the submissions that the whole of it took.
fn counters_of_steps(context: &ComputeContext, course: &Course) -> (Vec<Counters>, u64) {
    let (_tenant, mut session) = course.load(context);
    let before = context.counters().submits;
    let mut trainer = course.trainer();
    let mut counters = Vec::new();
    let outcome = trainer.run(&mut session, &mut |progress| {
        let position = progress.position;
        if position.epoch > 0 || position.stage != Stage::Train {
            return Control::Yield;
        }
        counters.push(context.counters());
        Control::Continue
    });
    assert_eq!(outcome.expect("it trains"), Outcome::Yielded);
    // The training has read its state, so that nothing waits to be handed over any more.
    (counters, context.counters().submits - before)
}

fn nothing_is_made(context: &ComputeContext, layers: fn(InputShape) -> Vec<Layer>) {
    let course = Course::on_digits(layers, Optimizer::adam_w(1e-3, 1e-2));
    let (counters, submits) = counters_of_steps(context, &course);
    assert!(counters.len() >= 30, "{} steps", counters.len());
    for (step, pair) in counters.windows(2).enumerate() {
        let (before, after) = (pair[0], pair[1]);
        let made = |c: Counters| (c.buffers_created, c.bind_groups_created, c.pipelines_created);
        assert_eq!(made(after), made(before), "made in step {step}");
        assert_eq!(after.read_bytes, before.read_bytes, "read back in step {step}");
        // Only where the device is slower than the host: until one of the two staging areas is free again.
        assert!(after.host_waits - before.host_waits <= 1, "waits in step {step}");
    }
    // A device counts what it was handed, which may be a few steps later: so not step by step.
    let steps = counters.len() as u64;
    assert!(
        (steps..=steps + AROUND).contains(&submits),
        "{submits} submissions in {steps} steps"
    );
    let (first, last) = (counters[0], counters[counters.len() - 1]);
    assert!(first.buffers_created > 0, "the counters count");
    assert!(last.uploaded_bytes > first.uploaded_bytes, "the counters count");
}

#[test]
fn a_step_on_the_cpu_makes_nothing() {
    let context = software::host(2);
    nothing_is_made(&context, perceptron);
    nothing_is_made(&context, convolutions);
}

#[test]
fn software_a_step_makes_nothing() {
    let Some(context) = software::context() else {
        return;
    };
    nothing_is_made(&context, perceptron);
    nothing_is_made(&context, convolutions);
}

/// How often buffers had been made when a whole training of two epochs, with their validation, asked whether to go on; and
/// after it.
type Buffers = Vec<u64>;

/// A training as it runs where no other device stands in.
fn whole_training(context: &ComputeContext, course: &Course) -> Buffers {
    let (_tenant, mut session) = course.load(context);
    let mut made = Buffers::new();
    let outcome = course.trainer().run(&mut session, &mut |_| {
        made.push(context.counters().buffers_created);
        Control::Continue
    });
    assert_eq!(outcome.expect("it trains"), Outcome::Finished);
    made.push(context.counters().buffers_created);
    made
}

/// A training as it runs where the host stands in: it keeps its state in memory every 16 steps.
fn recovering_training(context: &ComputeContext, course: &Course) -> Buffers {
    let failover = Failover::new(
        context.clone(),
        BreakerConfig::default(),
        daa_kernels::probe::health().expect("it compiles"),
        Arc::new(ManualClock::new(Timestamp(0))),
        Seed(1).stream("back-off").rng(),
    );
    let failover = Arc::new(failover.expect("the defaults are valid"));
    let spec = TenantSpec {
        name: "training".to_owned(),
        budget: course.network.peak_bytes(),
        token: FencingToken(1),
        weight: Weight::default(),
    };
    let mut runner = Runner::new(failover, Arc::clone(course.network.plan()), spec);
    let (mut history, mut made) = (RunHistory::default(), Buffers::new());
    let recovery = Recovery::every(16, Verification::Off);
    let outcome = course
        .trainer()
        .run_recovering(&mut runner, &recovery, &mut history, &mut |_| {
            made.push(context.counters().buffers_created);
            Control::Continue
        });
    assert_eq!(outcome.expect("it trains"), Outcome::Finished);
    made.push(context.counters().buffers_created);
    made
}

fn no_buffer_is_made_after_the_first_step(context: &ComputeContext) {
    for layers in [perceptron, convolutions] {
        let course = Course::on_digits(layers, Optimizer::adam_w(1e-3, 1e-2));
        for training in [whole_training, recovering_training] {
            let made = training(context, &course);
            assert!(made.len() >= 80, "{} steps", made.len());
            // Asked before a step: the second time is after the first.
            let (first, last) = (made[1], made[made.len() - 1]);
            assert!(first > 0, "the counter counts");
            assert_eq!(last, first, "{made:?}");
        }
    }
}

#[test]
fn a_training_on_the_cpu_makes_no_buffer_after_its_first_step() {
    no_buffer_is_made_after_the_first_step(&software::host(2));
}

#[test]
fn software_a_training_makes_no_buffer_after_its_first_step() {
    if let Some(context) = software::context() {
        no_buffer_is_made_after_the_first_step(&context);
    }
}
