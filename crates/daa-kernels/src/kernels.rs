//! The shaders as the build script found them: text and metadata, one module per file, one per entry point.
#![expect(
    clippy::module_inception,
    reason = "a shader and its only entry point may share a name"
)]

use daa_gpu_core::BindingSpec;

/// What the build found out about one entry point.
#[derive(Debug, Clone, Copy)]
pub struct EntryInfo {
    /// The shader's file name without its ending.
    pub shader: &'static str,
    /// The whole module.
    pub wgsl: &'static str,
    /// The entry point.
    pub entry: &'static str,
    /// Its `@workgroup_size`.
    pub workgroup_size: [u32; 3],
    /// Its storage bindings, with what the shader does to them.
    pub bindings: &'static [BindingSpec],
    /// 4-byte words of parameters.
    pub params_words: u32,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Its host form, such as `cpu::softmax`.
    pub reference: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// Defines the [`daa_gpu_core::Program`] of one entry point. Its name is `shader.entry`.
///
/// ```text
/// program! {
///     /// `y = a + b`.
///     pub static ADD = elementwise::add, crate::cpu::elementwise::add;
/// }
/// ```
macro_rules! program {
    ($($(#[$meta:meta])* $vis:vis static $name:ident = $shader:ident :: $entry:ident, $host:path;)+) => {$(
        $(#[$meta])*
        $vis static $name: ::daa_gpu_core::Program = ::daa_gpu_core::Program {
            name: concat!(stringify!($shader), ".", stringify!($entry)),
            wgsl: $crate::kernels::$shader::WGSL,
            entry: $crate::kernels::$shader::$entry::ENTRY,
            workgroup_size: $crate::kernels::$shader::$entry::WORKGROUP_SIZE,
            bindings: $crate::kernels::$shader::$entry::SPECS,
            params_words: $crate::kernels::$shader::$entry::PARAMS_WORDS,
            host: $host,
        };
    )+};
}
pub(crate) use program;
