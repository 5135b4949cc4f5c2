//! What a tenant loads: one arena, and command lists over slices of it.

use crate::program::Program;
use daa_base::Bytes;

/// Alignment of every slice that a dispatch binds, in bytes: the strictest that WebGPU lets an adapter demand, so that
/// one layout, and one peak, holds on every adapter.
pub const SLICE_ALIGN: u64 = 256;

/// A range of an image's arena.
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
    /// The arena slices behind its storage bindings, in binding order.
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

/// Everything that loading needs to know: how much memory, and which lists run over it.
///
/// The memory of a loaded image: the arena, one parameter slot of [`SLICE_ALIGN`]-rounded size per dispatch,
/// `upload_ring` upload staging areas of `upload` bytes, and one readback staging area of `readback` bytes.
#[derive(Debug, Clone)]
pub struct Image {
    /// Size of the arena.
    pub arena: Bytes,
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
