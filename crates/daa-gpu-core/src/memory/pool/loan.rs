//! Memory on loan.

use super::Pool;
use super::account::Account;
use super::chunk::{Chunk, Spare};
use super::kind::{BufferUsage, Kind};
use crate::error::GpuError;
#[cfg(feature = "gpu")]
use crate::memory::heap::PageId;
use crate::memory::trace::Recorded;
use crate::sync::{Arc, Weak};
use daa_base::Bytes;

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
    /// `None` while it is spilled.
    chunk: Option<Chunk<B>>,
    usage: BufferUsage,
    kind: Kind,
    reserved: Bytes,
    origin: Origin,
    recorded: Recorded,
    account: Arc<Account<B>>,
}

const SPILLED: &str = "who spills a loan refills it before using it";

impl<B> Pooled<B> {
    pub(super) fn new(
        usage: BufferUsage,
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
            usage,
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
        self.chunk.as_ref().expect(SPILLED).get()
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
            None => unreachable!("{SPILLED}"),
        }
    }

    /// Gives the memory back, but not the right to it: the tenant stays charged, and its content is lost.
    pub(crate) fn spill(&mut self) {
        if let Some(chunk) = self.chunk.take() {
            let (kind, reserved) = (self.kind, self.reserved);
            self.account.spill(Spare {
                kind,
                reserved,
                chunk,
            });
        }
    }

    /// Takes memory again for a loan that was spilled. What it holds is as [`Self::origin`] then says.
    pub(crate) fn refill(
        &mut self,
        create: impl Fn(BufferUsage, Bytes) -> Result<B, GpuError>,
    ) -> Result<(), GpuError> {
        if self.chunk.is_none() {
            let (chunk, origin) = self
                .account
                .refill(self.usage, self.kind, self.reserved, create)?;
            (self.chunk, self.origin) = (Some(chunk), origin);
        }
        Ok(())
    }

    /// The page that it lies in.
    #[cfg(feature = "gpu")]
    pub(crate) fn page(&self) -> Option<PageId> {
        Some(self.chunk.as_ref()?.block()?.page())
    }

    /// A second place for it, in another page that has blocks already.
    #[cfg_attr(
        not(any(feature = "gpu", test)),
        expect(dead_code, reason = "only devices have pages")
    )]
    pub(crate) fn elsewhere(&self) -> Option<Elsewhere<B>> {
        let block = self.chunk.as_ref()?.block()?;
        let chunk = self.account.pool().upgrade()?.elsewhere(block)?;
        Some(Elsewhere {
            chunk: Some(chunk),
            pool: Weak::clone(self.account.pool()),
        })
    }

    /// Has the second place from now on, and gives the first back. Copying is the caller's affair.
    #[cfg_attr(
        not(any(feature = "gpu", test)),
        expect(dead_code, reason = "only devices have pages")
    )]
    pub(crate) fn move_to(&mut self, mut to: Elsewhere<B>) {
        // What it had goes back when `to` is dropped.
        std::mem::swap(&mut self.chunk, &mut to.chunk);
    }
}

impl<B> Drop for Pooled<B> {
    fn drop(&mut self) {
        match self.chunk.take() {
            Some(chunk) => {
                let (kind, reserved) = (self.kind, self.reserved);
                let spare = Spare {
                    kind,
                    reserved,
                    chunk,
                };
                self.account.release(spare, self.recorded);
            }
            None => self.account.forget(self.reserved, self.recorded),
        }
    }
}

/// Room in a page that nobody is charged for, while a block moves. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Elsewhere<B> {
    /// `None` only while dropping.
    chunk: Option<Chunk<B>>,
    pool: Weak<Pool<B>>,
}

#[cfg(any(feature = "gpu", test))]
impl<B> Elsewhere<B> {
    /// The buffer and the first byte there.
    pub(crate) fn place(&self) -> (&B, u64) {
        let chunk = self.chunk.as_ref().expect("it leaves only when this is dropped");
        (chunk.get(), chunk.offset())
    }
}

impl<B> Drop for Elsewhere<B> {
    fn drop(&mut self) {
        if let (Some(chunk), Some(pool)) = (self.chunk.take(), self.pool.upgrade()) {
            pool.leave(chunk);
        }
    }
}
