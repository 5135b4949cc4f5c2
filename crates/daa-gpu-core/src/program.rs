//! What runs on a device: a [`Program`] holds the same function twice, as WGSL and as a host function.
//!
//! Programs are supplied from above. This crate can move work between its backends without knowing any kernel.

use crate::raw::Crew;
use crate::sync::{Arc, Mutex, PoisonError};

#[cfg(test)]
pub(crate) mod samples;

/// What a program does to the memory behind one of its bindings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Only reads, from the arena. Several read bindings may name the same range.
    Read,
    /// Only reads, from the constants of the image. Several may name the same bytes.
    Constant,
    /// Writes every word without reading one.
    Write,
    /// Reads and writes in place.
    ReadWrite,
}

/// One storage binding of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BindingSpec {
    /// The name of the WGSL variable.
    pub name: &'static str,
    /// What the program does to it.
    pub access: Access,
}

/// The host form of a program. It computes the same function as the WGSL form on the same words.
pub type HostFn = fn(HostCall<'_>);

/// One kernel in both of its forms.
///
/// Conventions of the WGSL form: everything is in `@group(0)`; the storage bindings are `@binding(0)` to
/// `@binding(n - 1)` in the order of [`Program::bindings`], each declared `var<storage, read_write>` (slices of one
/// buffer are bound together, and WebGPU forbids mixing read-only and read-write uses of one buffer in a dispatch), save
/// those of [`Access::Constant`], which lie in other buffers and are declared `var<storage, read>`; the parameters, if any, are a `var<uniform>` struct of 4-byte words at `@binding(n)`.
#[derive(Debug)]
pub struct Program {
    /// Unique name, for errors, caches and profiles.
    pub name: &'static str,
    /// The whole WGSL module.
    pub wgsl: &'static str,
    /// The entry point within it.
    pub entry: &'static str,
    /// Its `@workgroup_size`.
    pub workgroup_size: [u32; 3],
    /// Its storage bindings.
    pub bindings: &'static [BindingSpec],
    /// How many 4-byte words of parameters it takes; zero for none.
    pub params_words: u32,
    /// The host form.
    pub host: HostFn,
}

/// What a host function gets: one dispatch's parameters and memory.
#[derive(Debug)]
pub struct HostCall<'a> {
    /// The parameter words.
    pub params: &'a [u32],
    /// The memory of the [`Access::Read`] and [`Access::Constant`] bindings, in binding order.
    pub reads: Vec<&'a [u32]>,
    /// The memory of the [`Access::Write`] and [`Access::ReadWrite`] bindings, in binding order.
    pub writes: Vec<&'a mut [u32]>,
    /// Working memory of the worker that runs the call.
    pub scratch: &'a mut Scratch,
}

impl Access {
    /// Whether the program writes what is bound.
    #[must_use]
    pub const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::ReadWrite)
    }
}

impl<'a> HostCall<'a> {
    /// The `N` read slices, as 4-byte floats.
    ///
    /// # Panics
    /// When the program does not have exactly `N` read bindings: the backend hands over what the program declares.
    #[must_use]
    pub fn reads_f32<const N: usize>(&self) -> [&'a [f32]; N] {
        assert_eq!(
            self.reads.len(),
            N,
            "a program's host function must take the reads that it declares"
        );
        std::array::from_fn(|i| bytemuck::cast_slice(self.reads[i]))
    }

    /// Takes the `N` written slices, as 4-byte floats.
    ///
    /// # Panics
    /// When the program does not have exactly `N` written bindings, or they were taken before.
    #[must_use]
    pub fn take_writes_f32<const N: usize>(&mut self) -> [&'a mut [f32]; N] {
        assert_eq!(
            self.writes.len(),
            N,
            "a program's host function must take the writes that it declares, once"
        );
        let mut writes = std::mem::take(&mut self.writes).into_iter();
        std::array::from_fn(|_| {
            bytemuck::cast_slice_mut(writes.next().expect("the length was checked above"))
        })
    }

    /// Parameter word `index` as a float.
    #[must_use]
    pub fn param_f32(&self, index: usize) -> f32 {
        f32::from_bits(self.params[index])
    }
}

/// Working memory of one CPU worker, kept between calls, like the workgroup memory of a GPU. Bounded by the largest
/// tile a host function asks for, not by the size of a tensor.
#[derive(Debug, Default)]
pub struct Scratch {
    words: Vec<f32>,
    /// Who may help with the call at hand.
    crew: Option<Arc<Crew>>,
}

impl Scratch {
    /// `len` floats of unspecified content.
    #[must_use]
    pub fn floats(&mut self, len: usize) -> &mut [f32] {
        if self.words.len() < len {
            self.words.resize(len, 0.0);
        }
        &mut self.words[..len]
    }

    /// Into how many parts to divide what [`Self::spread`] is to do: as many as there are workers for it now, `most` at
    /// most. What is written must be the same for every number. `most` says how many workers the function could use, and
    /// should leave each with work for ten microseconds or more.
    #[must_use]
    pub fn hands(&self, most: usize) -> usize {
        self.crew.as_ref().map_or(1, |crew| crew.hands(most)).max(1)
    }

    /// Runs `run` on each of `parts`, in any order, on this worker and on others that help it. Returns when all are done.
    ///
    /// # Panics
    /// When `run` does, on whichever worker.
    pub fn spread<I: Send>(&mut self, parts: Vec<I>, run: impl Fn(I, &mut Self) + Sync) {
        // A part has its worker to itself.
        let Some(crew) = self.crew.take_if(|_| parts.len() > 1) else {
            return parts.into_iter().for_each(|part| run(part, self));
        };
        let parts = Mutex::new(parts.into_iter());
        let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).next();
        let task = |scratch: &mut Self| {
            while let Some(part) = next() {
                run(part, scratch);
            }
        };
        crew.run(&task, self);
        self.crew = Some(crew);
    }

    /// Divides every call among `hands` workers, all of which are this one.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn with_hands_for_test(hands: usize) -> Self {
        Self {
            crew: Some(Arc::new(Crew::with_absent_helpers(hands.saturating_sub(1)))),
            ..Self::default()
        }
    }

    /// From now on `crew` may help; nobody if `None`.
    pub(crate) fn set_crew(&mut self, crew: Option<Arc<Crew>>) {
        self.crew = crew;
    }
}
