//! Blocks and pages as the caller sees them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroU32;

/// What the blocks of a page are used for. One page serves one colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// Storage that kernels write.
    ReadWrite,
    /// Storage that kernels only read.
    ReadOnly,
    /// Uniform bindings.
    Uniform,
}

impl Colour {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ReadWrite, Self::ReadOnly, Self::Uniform];

    /// Its place in [`Colour::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadWrite => "read-write",
            Self::ReadOnly => "read-only",
            Self::Uniform => "uniform",
        })
    }
}

/// How a page is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageKind {
    /// Into blocks of one size.
    Slab,
    /// Into blocks of any size.
    Shared,
    /// Not: the buffer is one block.
    Dedicated,
}

/// Names a page or a dedicated buffer. Names are not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId {
    pub(super) slot: u32,
    /// Not zero, so that no block is as large as a block.
    pub(super) generation: NonZeroU32,
}

impl PageId {
    /// Its place in a table of pages: less than the most pages that there ever were at once. Used again once the page
    /// is given up.
    #[must_use]
    pub const fn slot(self) -> usize {
        self.slot as usize
    }
}

/// Names a piece of a page; [`super::Heap::span`] tells where it is. Small, since whoever holds memory holds one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Block {
    pub(super) page: PageId,
    /// Which of its page's kind: a slab's block, or a node.
    pub(super) node: u32,
    /// Of a block in a shared page, its first unit of the alignment.
    pub(super) first: u32,
}

impl Block {
    /// The page it lies in.
    #[must_use]
    pub const fn page(&self) -> PageId {
        self.page
    }
}

/// Where a block is, and how large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Span {
    /// Its first byte in the page, a multiple of the alignment.
    pub offset: u64,
    /// How many bytes it takes, at least what it was asked for.
    pub bytes: u64,
    /// How many bytes it was asked for.
    pub wanted: u64,
}

impl Span {
    /// The byte after its last in the page.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.offset + self.bytes
    }
}

/// A page that the caller has to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewPage {
    /// Its name.
    pub id: PageId,
    /// What it is for.
    pub colour: Colour,
    /// How it is divided.
    pub kind: PageKind,
    /// Its size.
    pub bytes: u64,
}

/// A block, and what the caller has to do before it uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the block leaks, and so does a new page"]
pub struct Granted {
    /// The block.
    pub block: Block,
    /// Has to be made before the block is used. See [`super::Heap::abandon_page`] for when that fails.
    pub new_page: Option<NewPage>,
    /// Idle pages that made room for the new one: to be freed before it is made.
    pub evicted: Vec<PageId>,
}
