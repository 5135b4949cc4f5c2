//! The pool: reuses device memory by usage and size class, and holds every tenant to its budget.
//!
//! Each tenant has an account with its books and a small magazine of what it gave back last (`Account`); the centre
//! knows the sum of what all took, and keeps what the magazines do not hold. Budgets and the capacity are counted in
//! reserved bytes, that is size classes ([`super::tier::reserved_bytes`]), so what a tenant is charged never depends on
//! what happens to be kept. What lies in magazines makes way before anybody is refused.
//!
//! Locks are taken in the order centre, account, and none is held while memory is made or freed.

mod account;
mod centre;
mod chunk;
mod kind;
mod loan;
mod magazine;
mod marks;
mod paging;
mod report;
mod shelf;

pub(crate) use account::Account;
pub(crate) use kind::BufferUsage;
#[cfg(feature = "gpu")]
pub(crate) use loan::Elsewhere;
pub(crate) use loan::{Origin, Pooled};
pub(crate) use paging::PageLimits;
pub use report::{PoolReport, TierReport};

use crate::config::{ConfigError, MemoryConfig};
use crate::error::{GpuError, MemoryError};
use crate::health::Health;
use crate::memory::heap::{Block, PageId};
use crate::memory::tier::Tier;
use crate::memory::trace::Recorder;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use centre::{Centre, Grant, Refused};
use chunk::Chunk;
use daa_base::Bytes;
use kind::Kind;
use marks::Marks;
use paging::{Freed, Missing, Paging};

/// Longest name of a tenant, in bytes.
const MAX_NAME: usize = 256;

/// Most tenants at once.
const MAX_TENANTS: usize = 65_536;

/// A pool of buffers of type `B`.
#[derive(Debug)]
pub(crate) struct Pool<B> {
    centre: Mutex<Centre<B>>,
    marks: Arc<Marks>,
    health: Arc<Health>,
    recorder: Recorder,
    capacity: Bytes,
}

impl<B> Pool<B> {
    /// A pool of pages where there are limits for them, and of whole buffers where there are none.
    ///
    /// # Errors
    /// When no heap can be made within these limits.
    pub(crate) fn new(
        capacity: Bytes,
        config: &MemoryConfig,
        pages: Option<PageLimits>,
        health: &Arc<Health>,
    ) -> Result<Arc<Self>, ConfigError> {
        let keep = config.max_cached.min(capacity);
        let memory = pages.and_then(|limits| limits.memory);
        let paging = pages
            .map(|limits| Paging::new(capacity, keep, limits, &config.tiers))
            .transpose()?;
        Ok(Arc::new(Self {
            centre: Mutex::new(Centre::new(capacity, config, paging, memory)),
            marks: Arc::default(),
            health: Arc::clone(health),
            recorder: config.recorder.clone().unwrap_or_default(),
            capacity,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Centre<B>> {
        self.centre.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `what` with the centre and frees what that takes out, without the lock.
    fn with_centre<T>(&self, what: impl FnOnce(&mut Centre<B>, &mut Vec<Freed<B>>) -> T) -> T {
        let mut freed = Vec::new();
        let result = what(&mut self.lock(), &mut freed);
        drop(freed);
        result
    }

    /// What writes down loans.
    pub(crate) const fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    pub(crate) const fn capacity(&self) -> Bytes {
        self.capacity
    }

    /// Makes what tiers want made ahead. To be called once, before there are tenants.
    ///
    /// # Errors
    /// The first tier for which there is no room, with what the driver said if it was that.
    pub(crate) fn prepare(
        &self,
        create: impl Fn(BufferUsage, Bytes) -> Result<B, GpuError>,
    ) -> Result<(), (Tier, Option<GpuError>)> {
        let pages = self.lock().prepare().map_err(|tier| (tier, None))?;
        for (page, tier) in pages {
            let buffer = create(page.colour.into(), Bytes(page.bytes));
            let buffer = buffer.map_err(|error| (tier, Some(error)))?;
            self.lock().prepared(page, buffer);
        }
        Ok(())
    }

    pub(crate) fn open_tenant(
        self: &Arc<Self>,
        name: &str,
        budget: Bytes,
    ) -> Result<Arc<Account<B>>, MemoryError> {
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(MemoryError::Name {
                length: name.len(),
                limit: MAX_NAME,
            });
        }
        self.with_centre(|centre, freed| {
            if centre.tenants.len() >= MAX_TENANTS {
                return Err(MemoryError::TooManyTenants {
                    count: centre.tenants.len(),
                    limit: MAX_TENANTS,
                });
            }
            let keeps = !centre.closed;
            let open = |key, allowance| {
                let (pool, books) = (Arc::downgrade(self), (allowance, keeps));
                let (health, marks) = (Arc::clone(&self.health), Arc::clone(&self.marks));
                let recorder = self.recorder.clone();
                Arc::new(Account::new(
                    key,
                    name,
                    budget,
                    pool,
                    health,
                    (marks, recorder),
                    books,
                ))
            };
            Ok(centre.enter(open, freed))
        })
    }

    /// Gives the tenant nothing more, takes back its magazine, and forgets it as soon as its last buffer is back.
    pub(crate) fn close_tenant(&self, account: &Account<B>) {
        self.with_centre(|centre, freed| {
            centre.retire(account.key, freed);
            centre.settle(account, &self.marks);
        });
    }

    pub(crate) fn report(&self) -> PoolReport {
        self.lock().report(&self.marks)
    }

    /// Keeps nothing from now on: what comes back is freed. For a device that is gone.
    pub(crate) fn close(&self) {
        self.with_centre(Centre::close);
    }

    /// Frees everything that is kept for reuse.
    pub(crate) fn trim(&self) {
        self.with_centre(Centre::trim);
    }

    fn check(&self, wanted: Bytes) -> Result<(), Refused> {
        self.with_centre(|centre, freed| centre.check(wanted, freed))
    }

    fn grant(&self, account: &Account<B>, kind: Kind, reserved: Bytes) -> Result<Grant<B>, Refused> {
        self.with_centre(|centre, freed| {
            centre.fetch(account, freed);
            centre.grant(kind, reserved, freed)
        })
    }

    fn made(&self, missing: Missing, page: B) -> Result<Chunk<B>, MemoryError> {
        self.with_centre(|centre, freed| centre.made(missing, page, freed))
            .ok_or(MemoryError::Gone)
    }

    fn failed(&self, missing: Missing, reserved: Bytes) -> Option<Chunk<B>> {
        self.lock().failed(missing, reserved)
    }

    fn ungrant(&self, reserved: Bytes) {
        self.lock().ungrant(reserved);
    }

    /// Takes back what is on its way here, and forgets the tenant if that was the last of it.
    fn collect(&self, account: &Account<B>) {
        if self.health.is_lost() {
            self.close();
        }
        self.with_centre(|centre, freed| {
            centre.fetch(account, freed);
            centre.settle(account, &self.marks);
        });
    }

    fn elsewhere(&self, block: Block) -> Option<Chunk<B>> {
        self.lock().elsewhere(block)
    }

    /// A block that nobody is charged for is free.
    fn leave(&self, chunk: Chunk<B>) {
        self.with_centre(|centre, freed| centre.leave(chunk, freed));
    }

    /// Pages worth emptying, sparsest first, with what they take.
    pub(crate) fn sparse_pages(&self) -> Vec<(PageId, Bytes)> {
        self.lock().sparse_pages()
    }

    fn settle(&self, account: &Account<B>) {
        self.lock().settle(account, &self.marks);
    }
}

#[cfg(all(test, shuttle))]
mod interleave;
#[cfg(test)]
mod tests;
