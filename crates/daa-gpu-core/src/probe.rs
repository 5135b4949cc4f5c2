//! A small piece of work whose answer is known: whether a device still computes, and computes right.

use crate::config::ConfigError;
use crate::context::ComputeContext;
use crate::error::GpuError;
use crate::image::{Clear, Command, CommandList, Dispatch, Image, SLICE_ALIGN, Slice};
use crate::program::{Access, Program};
use crate::schedule::Weight;
use crate::tenant::{TenantSpec, Work};
use daa_base::{Bytes, FencingToken};
use std::time::Duration;

/// What a right answer looks like.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Expected {
    /// These words, bit by bit: for programs whose result does not depend on the order of their sums.
    Exact(Vec<u32>),
    /// Floats, each off by at most `tolerance`; a NaN is never right.
    Near {
        /// The right values.
        values: Vec<f32>,
        /// The largest absolute difference.
        tolerance: f32,
    },
}

impl Expected {
    const fn len(&self) -> usize {
        match self {
            Self::Exact(words) => words.len(),
            Self::Near { values, .. } => values.len(),
        }
    }

    /// The first place where `found` is wrong.
    fn wrong_at(&self, found: &[u32]) -> Option<usize> {
        match self {
            Self::Exact(words) => words.iter().zip(found).position(|(want, found)| want != found),
            Self::Near { values, tolerance } => values.iter().zip(found).position(|(want, found)| {
                let off = (want - f32::from_bits(*found)).abs();
                off.is_nan() || off > *tolerance
            }),
        }
    }
}

/// One dispatch of a program, with its input and the answer that is right.
#[derive(Debug, Clone)]
pub struct Probe {
    image: Image,
    inputs: Vec<(Slice, Vec<u8>)>,
    answer: Slice,
    expected: Expected,
}

impl Probe {
    /// One dispatch of `program` over `groups` workgroups. `bindings` holds the words of each storage binding before
    /// it runs, in binding order; binding number `answer` is compared with `expected` afterwards.
    ///
    /// # Errors
    /// A number of parameters or bindings that is not the program's, one of constants, an empty binding, an answer that the program does
    /// not write, or one of another length than what is expected.
    pub fn new(
        program: &'static Program,
        params: Vec<u32>,
        groups: [u32; 3],
        bindings: &[Vec<u32>],
        answer: usize,
        expected: Expected,
    ) -> Result<Self, ConfigError> {
        let sizes = (params.len(), program.params_words as usize);
        check("probe.params", sizes.0 == sizes.1, sizes.0, sizes.1)?;
        let sizes = (bindings.len(), program.bindings.len());
        check("probe.bindings", sizes.0 == sizes.1, sizes.0, sizes.1)?;
        let is_written = |spec: &crate::BindingSpec| matches!(spec.access, Access::Write | Access::ReadWrite);
        let is_answer = program.bindings.get(answer).is_some_and(is_written);
        check("probe.answer", is_answer, answer, "a binding that is written")?;
        let sizes = (expected.len(), bindings[answer].len());
        check("probe.expected", sizes.0 == sizes.1, sizes.0, sizes.1)?;
        // What a run uploads goes to the arena.
        let constant = program
            .bindings
            .iter()
            .find(|spec| spec.access == Access::Constant);
        check(
            "probe.program",
            constant.is_none(),
            program.name,
            "one without constants",
        )?;
        let mut end = 0_u64;
        let mut inputs = Vec::with_capacity(bindings.len());
        for words in bindings {
            check("probe.bindings", !words.is_empty(), 0, "at least one word each")?;
            let slice = Slice {
                offset: end,
                bytes: words.len() as u64 * 4,
            };
            end = slice.end().next_multiple_of(SLICE_ALIGN);
            inputs.push((slice, bytemuck::cast_slice(words).to_vec()));
        }
        let answer = inputs[answer].0;
        let dispatch = Dispatch {
            program,
            params,
            bindings: inputs.iter().map(|(slice, _)| *slice).collect(),
            groups,
        };
        let image = Image {
            arena: Bytes(end),
            constants: Bytes::ZERO,
            clear: Clear::Always,
            lists: vec![CommandList {
                name: "probe".to_owned(),
                commands: vec![Command::Dispatch(dispatch)],
            }],
            upload: Bytes(end),
            upload_ring: 1,
            readback: Bytes(answer.bytes),
        };
        Ok(Self {
            image,
            inputs,
            answer,
            expected,
        })
    }

    /// The memory that one run takes, for its duration.
    #[must_use]
    pub fn footprint(&self) -> Bytes {
        self.image.footprint()
    }

    /// Runs it on `context` and checks the answer, each wait within `deadline`.
    ///
    /// # Errors
    /// [`GpuError::Corruption`] when the answer is wrong, and whatever keeps the device from giving one.
    pub fn run(&self, context: &ComputeContext, deadline: Duration) -> Result<(), GpuError> {
        let tenant = context.tenant(TenantSpec {
            name: "health probe".to_owned(),
            budget: self.footprint(),
            token: FencingToken(0),
            weight: Weight::default(),
        })?;
        let mut loaded = tenant.load(&self.image)?;
        let uploads: Vec<_> = self
            .inputs
            .iter()
            .map(|(slice, words)| (*slice, words.as_slice()))
            .collect();
        let upload = Work {
            uploads: &uploads,
            ..Work::default()
        };
        loaded.submit(upload)?.wait_within(deadline)?;
        #[cfg(any(test, feature = "testing"))]
        if let Some(crate::injection::Fault::FlipBit { word, bit }) =
            context.pass_for_test(crate::injection::Site::Probe)
        {
            // Within the first input, so that it is sure to matter to a program that reads it.
            loaded.flip_for_test(word % (self.inputs[0].0.bytes / 4), bit)?;
        }
        let run = Work {
            list: Some(0),
            reads: &[self.answer],
            ..Work::default()
        };
        let bytes = loaded.submit(run)?.wait_within(deadline)?;
        self.judge(&bytes, context)
    }

    fn judge(&self, bytes: &[u8], context: &ComputeContext) -> Result<(), GpuError> {
        let found: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
        let Some(at) = self.expected.wrong_at(&found) else {
            return Ok(());
        };
        let name = &context.info().name;
        let message = match &self.expected {
            Expected::Exact(words) => {
                format!(
                    "word {at} of the probe's answer is {:#010x} instead of {:#010x} on {name}",
                    found[at], words[at]
                )
            }
            Expected::Near { values, tolerance } => format!(
                "value {at} of the probe's answer is {} instead of {} within {tolerance} on {name}",
                f32::from_bits(found[at]),
                values[at]
            ),
        };
        Err(GpuError::Corruption { message })
    }
}

fn check(
    field: &'static str,
    is_allowed: bool,
    value: impl ToString,
    allowed: impl ToString,
) -> Result<(), ConfigError> {
    if is_allowed {
        return Ok(());
    }
    Err(ConfigError {
        field,
        value: value.to_string(),
        allowed: allowed.to_string(),
    })
}

#[cfg(test)]
mod tests;
