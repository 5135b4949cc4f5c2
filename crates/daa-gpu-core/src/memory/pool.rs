//! The buffer pool: reuses buffers by usage and size class, and holds every tenant to its budget.
//!
//! Budgets and the capacity are counted in reserved bytes, that is size classes ([`super::tier::reserved_bytes`]), so
//! what a tenant is charged never depends on what happens to be cached. The lock is never held while a buffer is
//! made or freed.

mod report;
mod state;

pub use report::{PoolReport, TierReport};
pub(crate) use state::TenantKey;

use super::tier::reserved_bytes;
use crate::config::MemoryConfig;
use crate::error::{ErrorClass, GpuError, MemoryError};
use crate::tenant::TenantUsage;
use daa_base::Bytes;
use state::{Found, State};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a buffer is for; buffers are reused only for the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum BufferUsage {
    /// An image's arena: storage, copied from and to.
    Arena,
    /// An image's parameter slots.
    Params,
    /// Staging that the host writes. At rest it is mapped, where the backend maps.
    Upload,
    /// Staging that the host reads. At rest it is not mapped.
    Readback,
}

/// A pool of buffers of type `B`.
#[derive(Debug)]
pub(crate) struct Pool<B> {
    state: Mutex<State<B>>,
}

/// A buffer on loan to a tenant. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Pooled<B> {
    /// `None` only while dropping.
    buffer: Option<B>,
    usage: BufferUsage,
    reserved: Bytes,
    tenant: TenantKey,
    fresh: bool,
    pool: Arc<Pool<B>>,
}

impl<B> Pool<B> {
    pub(crate) fn new(capacity: Bytes, config: &MemoryConfig) -> Self {
        Self {
            state: Mutex::new(State::new(capacity, config.max_cached.min(capacity))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn capacity(&self) -> Bytes {
        self.lock().capacity()
    }

    pub(crate) fn open_tenant(&self, name: &str, budget: Bytes) -> Result<TenantKey, MemoryError> {
        self.lock().open_tenant(name, budget)
    }

    /// Forgets the tenant as soon as its last buffer is back.
    pub(crate) fn close_tenant(&self, tenant: TenantKey) {
        self.lock().close_tenant(tenant);
    }

    pub(crate) fn usage(&self, tenant: TenantKey) -> TenantUsage {
        self.lock().usage(tenant)
    }

    pub(crate) fn report(&self) -> PoolReport {
        self.lock().report()
    }

    /// Whether `tenant` could reserve `wanted` (already rounded) more; the refusal names the whole of it.
    pub(crate) fn check(&self, tenant: TenantKey, wanted: Bytes) -> Result<(), MemoryError> {
        self.lock().check(tenant, wanted)
    }

    /// Keeps nothing from now on: what comes back is freed. For a device that is gone.
    pub(crate) fn close(&self) {
        let freed = self.lock().close();
        drop(freed);
    }

    /// Frees everything that is kept for reuse.
    fn trim(&self) {
        let freed = self.lock().trim_to(Bytes::ZERO);
        drop(freed);
    }

    /// A buffer of at least `size` bytes, charged to `tenant`: a kept one, or one that `create` makes with the size
    /// it gets. When the driver is out of memory, everything kept is freed and `create` is asked once more.
    pub(crate) fn acquire(
        self: &Arc<Self>,
        tenant: TenantKey,
        usage: BufferUsage,
        size: Bytes,
        create: impl Fn(BufferUsage, Bytes) -> Result<B, GpuError>,
    ) -> Result<Pooled<B>, GpuError> {
        let reserved = reserved_bytes(size);
        let (found, evicted) = self.lock().reserve(tenant, usage, reserved)?;
        drop(evicted);
        let loan = |buffer, fresh| Pooled {
            buffer: Some(buffer),
            usage,
            reserved,
            tenant,
            fresh,
            pool: Arc::clone(self),
        };
        if let Found::Kept(buffer) = found {
            return Ok(loan(buffer, false));
        }
        let made = create(usage, reserved).or_else(|error| {
            if error.class() != ErrorClass::OutOfMemory {
                return Err(error);
            }
            self.trim();
            create(usage, reserved)
        });
        match made {
            Ok(buffer) => {
                self.lock().created(tenant, reserved);
                Ok(loan(buffer, true))
            }
            Err(error) => {
                self.lock().abandon(tenant, reserved);
                Err(error)
            }
        }
    }
}

impl<B> Pooled<B> {
    /// Whether the buffer was made for this loan, and so holds nothing of anybody else.
    pub(crate) const fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// What it is charged at, and how large it is.
    #[cfg(feature = "gpu")]
    pub(crate) const fn reserved(&self) -> Bytes {
        self.reserved
    }

    #[cfg(any(feature = "gpu", test))]
    pub(crate) fn get(&self) -> &B {
        self.buffer
            .as_ref()
            .expect("a buffer leaves its loan only when that is dropped")
    }

    pub(crate) fn get_mut(&mut self) -> &mut B {
        self.buffer
            .as_mut()
            .expect("a buffer leaves its loan only when that is dropped")
    }
}

impl<B> Drop for Pooled<B> {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            let freed = self
                .pool
                .lock()
                .release(self.tenant, self.usage, self.reserved, buffer);
            drop(freed);
        }
    }
}

#[cfg(test)]
mod tests;
