//! Every kernel of this crate, for tables, caches and tests.

use crate::kernels::{self, EntryInfo};
use crate::ops::{
    activation, adam, batch_norm, channel_sum, conv2d, cross_entropy, dropout, elementwise, linear, matmul,
    mse, pool2d, reduce, sgd, softmax, top1,
};
use daa_gpu_core::Program;

/// One kernel: what runs, and what the build found out about its shader.
#[derive(Debug, Clone, Copy)]
pub struct KernelInfo {
    /// What runs.
    pub program: &'static Program,
    /// Its shader and its host form by name.
    pub entry: &'static EntryInfo,
}

/// Every program, by op.
static PROGRAMS: &[&Program] = &[
    &activation::FORWARD,
    &activation::BACKWARD,
    &adam::ADAM,
    &batch_norm::BATCH_NORM,
    &batch_norm::BATCH_NORM_GRAD,
    &batch_norm::BATCH_NORM_INFER,
    &channel_sum::CHANNEL_SUM,
    &conv2d::CONV2D,
    &conv2d::CONV2D_GRAD_INPUT,
    &conv2d::CONV2D_GRAD_WEIGHT,
    &cross_entropy::ROWS,
    &cross_entropy::BACKWARD,
    &dropout::DROPOUT,
    &elementwise::ADD,
    &elementwise::SUB,
    &elementwise::MUL,
    &elementwise::SCALE,
    &elementwise::ACCUMULATE,
    &linear::LINEAR,
    &matmul::MATMUL,
    &mse::ROWS,
    &mse::BACKWARD,
    &pool2d::MAX_POOL2D,
    &pool2d::AVG_POOL2D,
    &pool2d::MAX_POOL2D_GRAD,
    &pool2d::AVG_POOL2D_GRAD,
    &reduce::EVERYTHING,
    &reduce::OVER_ROWS,
    &reduce::OVER_COLS,
    &sgd::SGD,
    &softmax::SOFTMAX,
    &top1::TOP1,
];

/// Every kernel of this crate.
pub fn all() -> impl Iterator<Item = KernelInfo> {
    PROGRAMS
        .iter()
        .filter_map(|program| entry_of(program).map(|entry| KernelInfo { program, entry }))
}

/// What the build found out about the shader of `program`, which is named `shader.entry`.
fn entry_of(program: &Program) -> Option<&'static EntryInfo> {
    let (shader, point) = program.name.split_once('.')?;
    kernels::ALL
        .iter()
        .find(|entry| entry.shader == shader && entry.entry == point)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_entry_point_is_registered_exactly_once() {
        let mut registered: Vec<&str> = PROGRAMS.iter().map(|program| program.name).collect();
        let mut built: Vec<String> = kernels::ALL
            .iter()
            .map(|entry| format!("{}.{}", entry.shader, entry.entry))
            .collect();
        registered.sort_unstable();
        built.sort_unstable();
        assert_eq!(registered, built);
        assert_eq!(all().count(), PROGRAMS.len());
    }

    #[test]
    fn programs_say_of_themselves_what_the_build_found() {
        for KernelInfo { program, entry } in all() {
            assert_eq!(program.entry, entry.entry, "{}", program.name);
            assert_eq!(program.workgroup_size, entry.workgroup_size, "{}", program.name);
            assert_eq!(program.bindings, entry.bindings, "{}", program.name);
            assert_eq!(program.params_words, entry.params_words, "{}", program.name);
            assert_eq!(program.wgsl, entry.wgsl, "{}", program.name);
        }
    }

    #[test]
    fn every_reference_is_a_function_of_this_crate() {
        for entry in kernels::ALL {
            let mut path = entry.reference.split("::").skip(1);
            let (op, function) = (
                path.next().expect("the build checked the form"),
                path.next().unwrap_or(""),
            );
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/cpu/{op}.rs"));
            let text =
                std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let found = !function.is_empty() && text.contains(&format!("fn {function}("));
            assert!(
                found,
                "{}.{}: {} is not in {}",
                entry.shader,
                entry.entry,
                entry.reference,
                file.display()
            );
        }
    }
}
