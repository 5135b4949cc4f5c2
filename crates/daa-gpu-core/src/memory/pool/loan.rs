//! Memory on loan.

use super::account::Account;
use super::chunk::{Chunk, Spare};
use super::kind::Kind;
use crate::memory::trace::Recorded;
use daa_base::Bytes;
use std::sync::Arc;

/// What may be in the memory of a new loan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was made for this loan: zeros.
    Fresh,
    /// What the same tenant left there.
    Own,
    /// What any tenant left there.
    Foreign,
}

/// Memory on loan to a tenant. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Pooled<B> {
    /// `None` only while dropping.
    chunk: Option<Chunk<B>>,
    kind: Kind,
    reserved: Bytes,
    origin: Origin,
    recorded: Recorded,
    account: Arc<Account<B>>,
}

impl<B> Pooled<B> {
    pub(super) fn new(
        spare: Spare<B>,
        (origin, recorded): (Origin, Recorded),
        account: Arc<Account<B>>,
    ) -> Self {
        let Spare {
            kind,
            reserved,
            chunk,
        } = spare;
        Self {
            chunk: Some(chunk),
            kind,
            reserved,
            origin,
            recorded,
            account,
        }
    }

    /// What it may hold at first.
    pub(crate) const fn origin(&self) -> Origin {
        self.origin
    }

    /// What it is charged at, and how large it is.
    pub(crate) const fn reserved(&self) -> Bytes {
        self.reserved
    }

    #[cfg(any(feature = "gpu", test))]
    pub(crate) fn get(&self) -> &B {
        self.chunk
            .as_ref()
            .expect("a buffer leaves its loan only when that is dropped")
            .get()
    }

    /// Its first byte in the buffer.
    #[cfg(any(feature = "gpu", test))]
    pub(crate) fn offset(&self) -> u64 {
        self.chunk.as_ref().map_or(0, Chunk::offset)
    }

    /// The buffer, which the holder has for itself: one that is not part of a page.
    pub(crate) fn get_mut(&mut self) -> &mut B {
        match &mut self.chunk {
            Some(Chunk::Whole(buffer)) => buffer,
            Some(Chunk::Part { .. }) => unreachable!("a page is shared, and only devices have pages"),
            None => unreachable!("a buffer leaves its loan only when that is dropped"),
        }
    }
}

impl<B> Drop for Pooled<B> {
    fn drop(&mut self) {
        if let Some(chunk) = self.chunk.take() {
            let (kind, reserved) = (self.kind, self.reserved);
            let spare = Spare {
                kind,
                reserved,
                chunk,
            };
            self.account.release(spare, self.recorded);
        }
    }
}
