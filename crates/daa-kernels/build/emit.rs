//! Writes what is known about the shaders as Rust source.

use std::fmt::Write as _;

use crate::check::{Entry, Module};

/// The content of `kernels.rs`.
pub(crate) fn emit(modules: &[Module]) -> String {
    let mut out = String::new();
    for module in modules {
        emit_module(&mut out, module).expect("writing to a string cannot fail");
    }
    let entries = modules
        .iter()
        .flat_map(|module| module.entries.iter().map(move |entry| (module, entry)));
    out.push_str(
        "/// Every entry point of every shader, ordered by shader.\npub static ALL: &[EntryInfo] = &[\n",
    );
    for (module, entry) in entries {
        let (m, e) = (&module.name, &entry.name);
        writeln!(
            out,
            "    EntryInfo {{ shader: \"{m}\", wgsl: {m}::WGSL, entry: {m}::{e}::ENTRY, workgroup_size: \
             {m}::{e}::WORKGROUP_SIZE, bindings: {m}::{e}::SPECS, params_words: {m}::{e}::PARAMS_WORDS, \
             workgroup_bytes: {m}::{e}::WORKGROUP_BYTES, reference: {m}::{e}::REFERENCE }},"
        )
        .expect("writing to a string cannot fail");
    }
    out.push_str("];\n");
    out
}

fn emit_module(out: &mut String, module: &Module) -> std::fmt::Result {
    let names: Vec<_> = module
        .files
        .iter()
        .filter_map(|file| file.file_name()?.to_str())
        .collect();
    writeln!(out, "/// `{}`.\npub mod {} {{", names.join("`, `"), module.name)?;
    writeln!(
        out,
        "    /// The whole module, its includes resolved.\n    pub const WGSL: &str = {:?};",
        module.wgsl
    )?;
    for entry in &module.entries {
        emit_entry(out, entry)?;
    }
    writeln!(out, "}}")
}

fn emit_entry(out: &mut String, entry: &Entry) -> std::fmt::Result {
    let names: Vec<&str> = entry
        .bindings
        .iter()
        .map(|binding| binding.name.as_str())
        .collect();
    writeln!(
        out,
        "    /// Entry point `{}`.\n    pub mod {} {{",
        entry.name, entry.name
    )?;
    writeln!(out, "        use daa_gpu_core::{{Access, BindingSpec}};")?;
    writeln!(
        out,
        "        /// Its name.\n        pub const ENTRY: &str = {:?};",
        entry.name
    )?;
    writeln!(
        out,
        "        /// Its `@workgroup_size`.\n        pub const WORKGROUP_SIZE: [u32; 3] = {:?};",
        entry.workgroup_size
    )?;
    writeln!(
        out,
        "        /// Names of its storage variables by binding number.\n        pub const BINDINGS: &[&str] = &{names:?};"
    )?;
    writeln!(
        out,
        "        /// Its storage bindings, with what the shader does to them.\n        pub const SPECS: &[BindingSpec] = &["
    )?;
    for binding in &entry.bindings {
        let access = match (binding.reads, binding.writes) {
            (true, true) => "ReadWrite",
            (false, true) => "Write",
            (_, false) => "Read",
        };
        writeln!(
            out,
            "            BindingSpec {{ name: {:?}, access: Access::{access} }},",
            binding.name
        )?;
    }
    writeln!(out, "        ];")?;
    writeln!(
        out,
        "        /// 4-byte words of parameters.\n        pub const PARAMS_WORDS: u32 = {};",
        entry.params_words
    )?;
    writeln!(
        out,
        "        /// Bytes of workgroup memory.\n        pub const WORKGROUP_BYTES: u32 = {};",
        entry.workgroup_bytes
    )?;
    writeln!(
        out,
        "        /// Its host form.\n        pub const REFERENCE: &str = {:?};",
        entry.reference
    )?;
    writeln!(out, "    }}")
}
