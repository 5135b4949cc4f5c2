//! Small programs for tests.

use super::{Access, BindingSpec, HostFn, Program};

/// Reads one binding and writes another.
pub(crate) const IN_OUT: &[BindingSpec] = &[
    BindingSpec {
        name: "values",
        access: Access::Read,
    },
    BindingSpec {
        name: "out",
        access: Access::Write,
    },
];

/// Reads and writes one binding.
pub(crate) const IN_PLACE: &[BindingSpec] = &[BindingSpec {
    name: "values",
    access: Access::ReadWrite,
}];

/// A program without parameters. On a GPU, one thread takes one of 64 words.
pub(crate) const fn sample(
    name: &'static str,
    wgsl: &'static str,
    bindings: &'static [BindingSpec],
    host: HostFn,
) -> Program {
    Program {
        name,
        wgsl,
        entry: "main",
        workgroup_size: [64, 1, 1],
        bindings,
        params_words: 0,
        host,
    }
}
