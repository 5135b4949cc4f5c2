//! What a loan is made of.

use super::kind::Kind;
use crate::memory::heap::Block;
use daa_base::Bytes;
use std::sync::Arc;

/// Memory that is lent out.
#[derive(Debug)]
pub(super) enum Chunk<B> {
    /// A buffer of its own.
    Whole(B),
    /// A part of a page.
    Part {
        /// The page.
        page: Arc<B>,
        /// Which part.
        block: Block,
        /// Its first byte.
        #[cfg_attr(
            not(any(feature = "gpu", test)),
            expect(dead_code, reason = "only devices have pages")
        )]
        offset: u64,
    },
}

impl<B> Chunk<B> {
    #[cfg(any(feature = "gpu", test))]
    pub(super) fn get(&self) -> &B {
        match self {
            Self::Whole(buffer) => buffer,
            Self::Part { page, .. } => page,
        }
    }

    /// Its block, if it is part of a page.
    pub(super) const fn block(&self) -> Option<Block> {
        match self {
            Self::Whole(_) => None,
            Self::Part { block, .. } => Some(*block),
        }
    }

    /// Its first byte in the buffer.
    #[cfg(any(feature = "gpu", test))]
    pub(super) const fn offset(&self) -> u64 {
        match self {
            Self::Whole(_) => 0,
            Self::Part { offset, .. } => *offset,
        }
    }
}

/// Memory that nobody holds at the moment.
#[derive(Debug)]
pub(super) struct Spare<B> {
    pub(super) kind: Kind,
    pub(super) reserved: Bytes,
    pub(super) chunk: Chunk<B>,
}
