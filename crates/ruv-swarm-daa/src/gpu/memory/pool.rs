//! Buffers in host memory, kept for reuse.

use super::store::{Lent, Shared, Store};
use super::{GpuMemoryConfig, MemoryPressure};
use crate::error::{DAAError, DAAResult};

/// A buffer in host memory that belongs to a pool.
#[derive(Debug)]
pub struct PooledBuffer {
    /// The bytes, at least as many as were asked for. What they hold at first is 0 or left from an earlier use.
    pub data: Vec<u8>,
    lent: Lent,
    store: Shared,
}

/// Keeps released buffers for reuse, the least recently released go first. The buffers lie in host memory.
#[derive(Debug)]
pub struct AdvancedBufferPool {
    store: Shared,
    hits: u64,
    misses: u64,
}

impl AdvancedBufferPool {
    /// A pool of its own for so many MiB in use and cached together, with the default settings. The pool of an agent
    /// shares the capacity and the settings of its manager
    /// ([`EnhancedGpuMemoryManager::buffer_pool`](super::EnhancedGpuMemoryManager::buffer_pool)).
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "the default settings are valid")]
    pub fn new(capacity_mb: u64) -> Self {
        let config = GpuMemoryConfig {
            buffer_pool_size_mb: capacity_mb,
            ..GpuMemoryConfig::default()
        };
        let store = Store::shared(capacity_mb.saturating_mul(1 << 20), &config);
        Self::sharing(&store.expect("the default thresholds are valid"))
    }

    pub(super) fn sharing(store: &Shared) -> Self {
        Self {
            store: store.clone(),
            hits: 0,
            misses: 0,
        }
    }

    /// A buffer of at least `bytes`: a released one of at most an eighth more, else a new one.
    ///
    /// # Errors
    /// [`DAAError::MemoryError`] past the capacity, and where the host has no memory.
    pub fn allocate(&mut self, bytes: usize) -> DAAResult<PooledBuffer> {
        let (lent, kept) = self.store.lock().lend(bytes as u64)?;
        let hit = kept.is_some();
        let data = match kept.map_or_else(|| zeros(lent.bytes), Ok) {
            Ok(data) => data,
            Err(error) => {
                self.store.lock().take_back(lent, None);
                return Err(error);
            }
        };
        if hit {
            self.hits += 1;
        } else {
            self.misses += 1;
        }
        Ok(PooledBuffer {
            data,
            lent,
            store: self.store.clone(),
        })
    }

    /// Takes a buffer back and keeps it for reuse, as long as the clean-up threshold allows. A buffer of another pool
    /// goes to that one.
    pub fn release(&mut self, buffer: PooledBuffer) {
        let PooledBuffer {
            mut data,
            lent,
            store,
        } = buffer;
        // Its holder may have changed the length.
        data.resize(usize::try_from(lent.bytes).unwrap_or(usize::MAX), 0);
        store.lock().take_back(lent, Some(data));
    }

    /// Drops all released buffers.
    pub fn trim(&mut self) {
        self.store.lock().trim(0);
    }

    /// Bytes in buffers that are held.
    #[must_use]
    pub fn in_use(&self) -> u64 {
        self.store.lock().lent()
    }

    /// Bytes kept for reuse.
    #[must_use]
    pub fn cached(&self) -> u64 {
        self.store.lock().cached()
    }

    /// Allocations served from released buffers, and those that were not.
    #[must_use]
    pub fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits, self.misses)
    }

    /// How scarce the pool's memory is; for the pool of an agent, what its tasks hold counts too.
    #[must_use]
    pub fn pressure(&self) -> MemoryPressure {
        let store = self.store.lock();
        MemoryPressure::of(store.in_use(), store.capacity())
    }
}

fn zeros(bytes: u64) -> DAAResult<Vec<u8>> {
    let mut data = Vec::new();
    let length = usize::try_from(bytes).unwrap_or(usize::MAX);
    data.try_reserve_exact(length)
        .map_err(|error| DAAError::memory(format!("{bytes} bytes: {error}")))?;
    data.resize(length, 0);
    Ok(data)
}
