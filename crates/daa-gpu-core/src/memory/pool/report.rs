//! What the pool tells about itself.

use crate::memory::heap::HeapReport;
use crate::memory::tier::Tier;
use daa_base::Bytes;
use serde::{Deserialize, Serialize};

/// The pool at one moment, and its counts since it was made. Sums over the tiers equal the totals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolReport {
    /// What may be in use and kept together.
    pub capacity: Bytes,
    /// On loan to tenants, without what is spilled.
    pub in_use: Bytes,
    /// Kept for reuse, in sizes as they were on loan; pages that hold nothing count in `reserved` only.
    pub cached: Bytes,
    /// No more than this was ever on loan at once: the largest sum of the tenants' own high-water marks. Exact for one
    /// tenant at a time.
    pub high_water: Bytes,
    /// What buffers and pages take of the device, on loan or not.
    pub reserved: Bytes,
    /// Charged to tenants, but moved to host memory.
    pub spilled: Bytes,
    /// Tenants at present.
    pub tenants: u64,
    /// Refusals for a budget or the capacity.
    pub refusals: u64,
    /// One entry per tier, smallest first.
    pub tiers: Vec<TierReport>,
    /// The pages, on devices that have them.
    pub heap: Option<HeapReport>,
}

/// One tier of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierReport {
    /// Which tier; a buffer counts in the tier of its reserved size.
    pub tier: Tier,
    /// On loan to tenants.
    pub in_use: Bytes,
    /// Kept for reuse.
    pub cached: Bytes,
    /// No more of this tier was ever on loan at once; as [`PoolReport::high_water`].
    pub high_water: Bytes,
    /// Loans served from what was kept.
    pub hits: u64,
    /// Loans that needed a new buffer.
    pub misses: u64,
    /// Buffers made.
    pub creations: u64,
    /// Kept buffers that were freed.
    pub evictions: u64,
}

impl TierReport {
    pub(super) const fn new(tier: Tier) -> Self {
        Self {
            tier,
            in_use: Bytes::ZERO,
            cached: Bytes::ZERO,
            high_water: Bytes::ZERO,
            hits: 0,
            misses: 0,
            creations: 0,
            evictions: 0,
        }
    }

    /// Adds what another counted.
    pub(super) const fn count(&mut self, other: &Self) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.creations += other.creations;
    }
}
