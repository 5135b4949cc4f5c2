//! What tests compare kernels with: the definitions of the ops in 8-byte floats, term by term, and how far a computation
//! in 4-byte floats may be from them.

use crate::launch::Launch;
use daa_gpu_core::{HostCall, Scratch};

/// Half a unit in the last place of 1: the most that one rounding to a 4-byte float changes a number, relatively.
pub(crate) const ROUNDING: f64 = 1.0 / (1 << 24) as f64;

/// Below this, 4-byte floats lose relative precision, or are flushed to zero.
const TINY: f64 = f32::MIN_POSITIVE as f64;

/// A result, and how far a kernel's may be from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Expected {
    pub(crate) value: f64,
    pub(crate) bound: f64,
}

impl Expected {
    /// The sum of `terms`. Summing `n` rounded products in any order errs by less than `4 (n + 8) · 2⁻²⁴ · Σ|term|`.
    pub(crate) fn sum(terms: impl IntoIterator<Item = f64>) -> Self {
        let (mut value, mut magnitude, mut count) = (0.0, 0.0, 0_u32);
        for term in terms {
            value += term;
            magnitude += term.abs();
            count += 1;
        }
        Self {
            value,
            bound: relative(count as usize) * magnitude + f64::from(count) * TINY,
        }
    }

    /// Exactly `value`.
    pub(crate) const fn exact(value: f32) -> Self {
        Self {
            value: value as f64,
            bound: 0.0,
        }
    }
}

/// The error of a sum of `count` terms relative to the sum of their magnitudes.
pub(crate) fn relative(count: usize) -> f64 {
    4.0 * (count as f64 + 8.0) * ROUNDING
}

/// Asserts that every element is within its bound.
#[track_caller]
pub(crate) fn assert_close(what: &str, computed: &[f32], expected: &[Expected]) {
    assert_eq!(computed.len(), expected.len(), "{what}: lengths differ");
    for (index, (&computed, expected)) in computed.iter().zip(expected).enumerate() {
        let error = (f64::from(computed) - expected.value).abs();
        assert!(
            error <= expected.bound,
            "{what}[{index}] is {computed}, expected {expected:?}, off by {error:e}"
        );
    }
}

/// Runs a launch on some backend: the words behind its read bindings, then those behind its written bindings before;
/// back come the latter after it.
pub(crate) type Run<'a> = &'a mut dyn FnMut(&Launch, &[&[f32]], Vec<Vec<f32>>) -> Vec<Vec<f32>>;

/// Runs the host form. The scratch memory begins dirty, like that of a worker that ran something else before.
pub(crate) fn on_host(launch: &Launch, reads: &[&[f32]], writes: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    in_parts(Scratch::default(), launch, reads, writes)
}

/// Asserts that the host form writes the same bytes in however many parts.
pub(crate) fn assert_divisible(launch: &Launch, reads: &[&[f32]], writes: &[Vec<f32>]) {
    let bits = |hands| {
        let written = in_parts(
            Scratch::with_hands_for_test(hands),
            launch,
            reads,
            writes.to_vec(),
        );
        written
            .into_iter()
            .flatten()
            .map(f32::to_bits)
            .collect::<Vec<_>>()
    };
    let whole = bits(1);
    for hands in [2, 3, 4, 7, 64] {
        let differs = bits(hands)
            .iter()
            .zip(&whole)
            .position(|(part, whole)| part != whole);
        assert_eq!(differs, None, "{} in {hands} parts", launch.program.name);
    }
}

fn in_parts(
    mut scratch: Scratch,
    launch: &Launch,
    reads: &[&[f32]],
    mut writes: Vec<Vec<f32>>,
) -> Vec<Vec<f32>> {
    scratch.floats(1 << 12).fill(f32::NAN);
    let program = launch.program;
    assert_eq!(
        program.bindings.len(),
        reads.len() + writes.len(),
        "{}: bindings",
        program.name
    );
    assert_eq!(
        program.params_words as usize,
        launch.params.len(),
        "{}: parameters",
        program.name
    );
    (program.host)(HostCall {
        params: &launch.params,
        reads: reads.iter().map(|read| bytemuck::cast_slice(read)).collect(),
        writes: writes
            .iter_mut()
            .map(|write| bytemuck::cast_slice_mut(write))
            .collect(),
        scratch: &mut scratch,
    });
    writes
}

/// `len` numbers in [-1, 1), a different sequence for every seed.
pub(crate) fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    };
    (0..len)
        .map(|_| ((next() >> 40) as f32 - 8_388_608.0) / 8_388_608.0)
        .collect()
}

/// A buffer that a kernel must write whole: anything left over shows up in every comparison.
pub(crate) fn unwritten(len: usize) -> Vec<f32> {
    vec![f32::NAN; len]
}
