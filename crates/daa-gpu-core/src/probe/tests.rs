use super::*;
use crate::program::HostCall;
use crate::program::samples::{IN_OUT, sample};
use crate::{ContextConfig, ErrorClass};

fn add_one(mut call: HostCall<'_>) {
    let reads = call.reads_f32::<1>()[0];
    let [out] = call.take_writes_f32();
    for (out, value) in out.iter_mut().zip(reads) {
        *out = value + 1.0;
    }
}

/// Never runs on a GPU here.
static ADD_ONE: Program = sample("add one", "", IN_OUT, add_one);

fn make(answer: usize, expected: Expected) -> Result<Probe, ConfigError> {
    let bindings = [vec![0.5_f32.to_bits(); 3], vec![0; 3]];
    Probe::new(&ADD_ONE, vec![], [1, 1, 1], &bindings, answer, expected)
}

fn run(expected: Expected) -> Result<(), GpuError> {
    let context = ComputeContext::host(&ContextConfig {
        cpu_workers: 1,
        ..ContextConfig::default()
    })
    .expect("the host is there");
    let probe = make(1, expected).expect("it fits");
    let outcome = probe.run(&context, Duration::from_secs(10));
    assert_eq!(
        context.pool_report().in_use,
        Bytes::ZERO,
        "it leaves nothing behind"
    );
    outcome
}

#[test]
fn right_answers_pass_and_wrong_ones_are_corruption() {
    let words = |values: [f32; 3]| Expected::Exact(values.map(f32::to_bits).to_vec());
    assert_eq!(run(words([1.5; 3])), Ok(()));
    let error = run(words([1.5, 1.5, 1.500_001])).expect_err("one bit is off");
    assert_eq!(error.class(), ErrorClass::Corruption);
    assert!(error.to_string().contains("word 2"), "{error}");
    let near = |value: f32, tolerance| Expected::Near {
        values: vec![value; 3],
        tolerance,
    };
    assert_eq!(run(near(1.501, 0.01)), Ok(()));
    assert!(run(near(1.6, 0.01)).is_err());
    assert!(run(near(f32::NAN, 0.01)).is_err(), "a NaN is never right");
}

#[test]
fn probes_that_do_not_fit_their_program_are_refused() {
    let field = |made: Result<Probe, ConfigError>| made.expect_err("it does not fit").field;
    let exact = |len| Expected::Exact(vec![0; len]);
    assert_eq!(field(make(0, exact(3))), "probe.answer");
    assert_eq!(field(make(7, exact(3))), "probe.answer");
    assert_eq!(field(make(1, exact(2))), "probe.expected");
    let few = Probe::new(&ADD_ONE, vec![], [1, 1, 1], &[vec![0]], 0, exact(1));
    assert_eq!(field(few), "probe.bindings");
    let words = Probe::new(&ADD_ONE, vec![1], [1, 1, 1], &[vec![0], vec![0]], 1, exact(1));
    assert_eq!(field(words), "probe.params");
    let empty = Probe::new(&ADD_ONE, vec![], [1, 1, 1], &[vec![], vec![0]], 1, exact(1));
    assert_eq!(field(empty), "probe.bindings");
}

/// Constants would be left at zero.
#[test]
fn programs_with_constants_are_refused_by_name() {
    const BINDINGS: &[crate::BindingSpec] = &[
        crate::BindingSpec {
            name: "factors",
            access: Access::Constant,
        },
        IN_OUT[1],
    ];
    static CONSTANT: Program = sample("scale by constants", "", BINDINGS, |_| {});
    let refused = Probe::new(
        &CONSTANT,
        vec![],
        [1, 1, 1],
        &[vec![1], vec![0]],
        1,
        Expected::Exact(vec![0]),
    );
    let error = refused.expect_err("refused");
    assert_eq!(
        (error.field, error.value.as_str()),
        ("probe.program", "scale by constants")
    );
}
