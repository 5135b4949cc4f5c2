//! What a tenant loads: one arena, and command lists over slices of it.

mod check;

use crate::memory::pool::Origin;
use crate::memory::tier::reserved_bytes;
use crate::program::Program;
use daa_base::Bytes;

pub use check::ImageError;
pub(crate) use check::check;

/// Alignment of every slice that a dispatch binds, in bytes: the strictest that WebGPU lets an adapter demand, so that
/// one layout, and one peak, holds on every adapter.
pub const SLICE_ALIGN: u64 = 256;

/// A range of an image's arena, or of its constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slice {
    /// First byte, a multiple of [`SLICE_ALIGN`].
    pub offset: u64,
    /// Length in bytes, a multiple of 4, not zero.
    pub bytes: u64,
}

impl Slice {
    /// One past the last byte.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.offset + self.bytes
    }
}

/// One recorded dispatch.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// What runs.
    pub program: &'static Program,
    /// Its parameter words, fixed when the list is recorded.
    pub params: Vec<u32>,
    /// The slices behind its storage bindings, in binding order: of the arena, and for [`crate::Access::Constant`] of
    /// the constants.
    pub bindings: Vec<Slice>,
    /// Workgroups per dimension, each 1 to 65,535.
    pub groups: [u32; 3],
}

/// One recorded command.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Command {
    /// Runs a program.
    Dispatch(Dispatch),
    /// Fills a slice with zero bytes.
    Zero(Slice),
}

/// Commands that run in order, each seeing what the ones before wrote.
#[derive(Debug, Clone, Default)]
pub struct CommandList {
    /// For errors and profiles.
    pub name: String,
    /// The commands.
    pub commands: Vec<Command>,
}

/// When loading fills memory with zeros. What another tenant left in it is always gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Clear {
    /// Always: a loaded image starts from zeros.
    #[default]
    Always,
    /// Only memory that another tenant had. In what the same tenant had before, anything may be left: for images whose
    /// lists write every word before they read it. Saves the filling, which on a large arena takes longer than the
    /// first dispatch.
    Foreign,
}

/// Everything that loading needs to know: how much memory, and which lists run over it.
///
/// The memory of a loaded image: the arena, the constants, one parameter slot of [`SLICE_ALIGN`]-rounded size per dispatch,
/// `upload_ring` upload staging areas of `upload` bytes, and one readback staging area of `readback` bytes.
#[derive(Debug, Clone)]
pub struct Image {
    /// Size of the arena.
    pub arena: Bytes,
    /// Size of the memory that programs only read ([`crate::Access::Constant`]); 0 for none. Only
    /// [`crate::Loaded::upload_constants`] writes it.
    pub constants: Bytes,
    /// Whether loading fills arena and constants with zeros.
    pub clear: Clear,
    /// The lists; callers name them by index.
    pub lists: Vec<CommandList>,
    /// Capacity of one upload staging area: the most bytes one submission uploads in its common case (each upload
    /// rounded up to [`SLICE_ALIGN`]). Larger uploads go in several pieces.
    pub upload: Bytes,
    /// How many uploads may be in flight before a submission waits for the oldest; at least 1.
    pub upload_ring: u32,
    /// Capacity of the readback staging area. Larger reads go in several pieces.
    pub readback: Bytes,
}

impl Image {
    /// An arena of `bytes` and nothing else.
    #[must_use]
    pub const fn arena(bytes: Bytes) -> Self {
        Self {
            arena: bytes,
            constants: Bytes::ZERO,
            clear: Clear::Always,
            lists: Vec::new(),
            upload: Bytes::ZERO,
            upload_ring: 1,
            readback: Bytes::ZERO,
        }
    }

    /// Exactly what [`crate::Tenant::load`] reserves, on any backend, to the byte: the memory named above, each buffer
    /// rounded to its size class ([`reserved_bytes`]). Parts of no bytes reserve nothing. Saturates at `u64::MAX`.
    #[must_use]
    pub fn footprint(&self) -> Bytes {
        let ring = u64::from(self.upload_ring).saturating_mul(reserved_bytes(self.upload).get());
        let parts = [
            reserved_bytes(self.arena).get(),
            reserved_bytes(self.constants).get(),
            reserved_bytes(self.params()).get(),
            reserved_bytes(self.readback).get(),
        ];
        Bytes(parts.into_iter().fold(ring, u64::saturating_add))
    }

    /// Bytes of the one buffer that holds every dispatch's parameters.
    pub(crate) fn params(&self) -> Bytes {
        let slots = self
            .dispatches()
            .map(|dispatch| params_slot(dispatch.params.len()));
        Bytes(slots.fold(0, u64::saturating_add))
    }

    /// Whether memory of this origin has to be filled with zeros.
    pub(crate) const fn must_clear(&self, origin: Origin) -> bool {
        match origin {
            Origin::Fresh => false,
            Origin::Own => matches!(self.clear, Clear::Always),
            Origin::Foreign => true,
        }
    }

    fn dispatches(&self) -> impl Iterator<Item = &Dispatch> {
        self.lists
            .iter()
            .flat_map(|list| &list.commands)
            .filter_map(|command| match command {
                Command::Dispatch(dispatch) => Some(dispatch),
                Command::Zero(_) => None,
            })
    }
}

/// Bytes of the slot for `words` parameter words.
pub(crate) const fn params_slot(words: usize) -> u64 {
    (words as u64 * 4).next_multiple_of(SLICE_ALIGN)
}
