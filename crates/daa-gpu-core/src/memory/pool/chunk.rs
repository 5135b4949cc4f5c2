//! What a loan is made of.

use super::kind::Kind;
use daa_base::Bytes;

/// Memory that is lent out whole.
#[derive(Debug)]
pub(super) enum Chunk<B> {
    /// A buffer of its own.
    Whole(B),
}

impl<B> Chunk<B> {
    pub(super) const fn get(&self) -> &B {
        match self {
            Self::Whole(buffer) => buffer,
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
