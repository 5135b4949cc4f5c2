//! A training step makes nothing and waits for nothing: one submission, and that is all.

use daa_gpu_core::{ComputeContext, Counters};
use daa_learn::data::InputShape;
use daa_learn::nn::Layer;
use daa_learn::train::{Control, Optimizer, Outcome, Stage};
use daa_tests::software;
use daa_tests::training::{Course, convolutions, perceptron};

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
