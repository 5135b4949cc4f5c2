//! What tells pipelines, and the files they are saved in, apart.

use crate::program::Program;
use std::fmt;

/// Longest identity of an adapter that is written to a file.
pub(super) const MAX_IDENTITY: usize = 4096;

/// A hash that is the same in every process and on every machine, because it goes to disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Digest(pub(super) [u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex()[..16])
    }
}

/// A hash over fields of which none can run into the next.
#[derive(Debug)]
struct Fields(blake3::Hasher);

impl Fields {
    /// `purpose` keeps hashes of different things apart.
    fn new(purpose: &str) -> Self {
        Self(blake3::Hasher::new()).add(purpose.as_bytes())
    }

    fn add(mut self, field: &[u8]) -> Self {
        self.0.update(&(field.len() as u64).to_le_bytes()).update(field);
        self
    }

    fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

/// The pipeline of a program on the device at hand: everything that compiling looks at.
pub(super) fn of_program(program: &Program, layout: &[u8]) -> Digest {
    Fields::new("daa pipeline 1")
        .add(program.name.as_bytes())
        .add(program.entry.as_bytes())
        .add(program.wgsl.as_bytes())
        .add(layout)
        .finish()
}

/// The adapter and driver that compiled pipelines are good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity(String);

impl Identity {
    pub(super) fn new(text: &str) -> Self {
        Self(text.chars().take(MAX_IDENTITY / 4).collect())
    }

    pub(super) fn of(info: &wgpu::AdapterInfo) -> Self {
        Self::new(&format!(
            "{:?}\n{:08x}:{:08x}\n{}\n{}\n{}\n{}-{}",
            info.backend,
            info.vendor,
            info.device,
            info.name,
            info.driver,
            info.driver_info,
            std::env::consts::ARCH,
            usize::BITS,
        ))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// A file name for it, without the ending.
    pub(super) fn file_stem(&self) -> String {
        let digest = Fields::new("daa pipeline file 1").add(self.as_bytes()).finish();
        format!("pipelines-{digest:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{Access, BindingSpec, HostCall};

    const fn program(name: &'static str, entry: &'static str, wgsl: &'static str) -> Program {
        Program {
            name,
            wgsl,
            entry,
            workgroup_size: [1, 1, 1],
            bindings: &[BindingSpec {
                name: "values",
                access: Access::ReadWrite,
            }],
            params_words: 0,
            host: |_: HostCall<'_>| {},
        }
    }

    #[test]
    fn whatever_compiling_looks_at_is_in_the_key() {
        let base = of_program(&program("a", "main", "text"), &[0]);
        assert_eq!(base, of_program(&program("a", "main", "text"), &[0]));
        let others = [
            of_program(&program("b", "main", "text"), &[0]),
            of_program(&program("a", "mai", "ntext"), &[0]),
            of_program(&program("a", "main", "text "), &[0]),
            of_program(&program("a", "main", "text"), &[1]),
            of_program(&program("a", "main", "text"), &[]),
        ];
        for other in others {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn keys_are_the_same_in_every_process() {
        // Fixed here, because a file written by one build is read by the next.
        let key = of_program(&program("add", "main", "@compute fn main() {}"), &[1, 1, 2]);
        assert_eq!(format!("{key:?}"), "e666e588d035cc9a");
        assert_eq!(Identity::new("adapter").file_stem(), "pipelines-8020dff5fa827fff");
    }

    #[test]
    fn a_name_without_end_is_cut() {
        let identity = Identity::new(&"\u{1F600}".repeat(100_000));
        assert!(identity.as_bytes().len() <= MAX_IDENTITY);
    }
}
