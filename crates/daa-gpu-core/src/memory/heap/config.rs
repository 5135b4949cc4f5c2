//! What a heap is made with.

use crate::config::ConfigError;
use crate::memory::tier::Tier;
use daa_base::Bytes;

/// Limits of one tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierLimit {
    /// What blocks of this tier may reserve together.
    pub max_in_use: Bytes,
    /// What is made ahead for read-write blocks of this tier alone, as one page ([`super::Heap::prepare`]): so many
    /// bytes of them, each rounded up to the alignment, need no new page. Whatever their sizes, they share it. It is used
    /// where pages that there are have no room, before one more is made; idle, it is given up as other pages are.
    pub preallocate: Bytes,
}

impl Default for TierLimit {
    fn default() -> Self {
        Self {
            max_in_use: Bytes(u64::MAX),
            preallocate: Bytes::ZERO,
        }
    }
}

/// How a [`super::Heap`] is made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeapConfig {
    /// What all pages and dedicated buffers may sum up to, 1 B to 1 PiB.
    pub capacity: Bytes,
    /// What every block's offset and size is a multiple of: a power of two, 1 to 64 KiB. On a device the larger of its
    /// two least offset alignments, for storage and for uniform bindings.
    pub alignment: u64,
    /// Sizes below this are served from slabs, up to 1 MiB; 0 for no slabs.
    pub slab_below: Bytes,
    /// Largest page of slabs, at least `slab_below`, up to 64 MiB.
    pub slab_page: Bytes,
    /// First shared page of a colour; the following double what the colour has, up to `page`. At least 1 B.
    pub first_page: Bytes,
    /// Largest shared page: `first_page` to 2³¹ times the alignment.
    pub page: Bytes,
    /// Sizes from here on get a buffer of their own, where the capacity allows. At least `slab_below`, up to `page`.
    pub dedicated_from: Bytes,
    /// Pages and dedicated buffers without blocks that are kept for reuse, at most; the least recently used go first.
    pub keep: Bytes,
    /// Limits per tier, smallest tier first.
    pub tiers: [TierLimit; 5],
}

impl HeapConfig {
    /// The defaults for a device that has `capacity` and wants blocks aligned to `alignment` bytes.
    #[must_use]
    pub fn new(capacity: Bytes, alignment: u64) -> Self {
        Self {
            capacity,
            alignment,
            slab_below: Bytes::kib(64),
            slab_page: Bytes::mib(2),
            first_page: Bytes::mib(8),
            page: Bytes::mib(64),
            dedicated_from: Bytes::mib(16),
            keep: Bytes(capacity.get() / 64),
            tiers: [TierLimit::default(); 5],
        }
    }

    /// One page of `page` bytes without slabs and dedicated buffers, in which every block lies: for replays that are
    /// compared with other single-arena allocators.
    #[must_use]
    pub fn one_page(page: Bytes, alignment: u64) -> Self {
        Self {
            slab_below: Bytes::ZERO,
            first_page: page,
            page,
            dedicated_from: page,
            keep: page,
            ..Self::new(page, alignment)
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field out of range, its value and the allowed range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !self.alignment.is_power_of_two() || self.alignment > 1 << 16 {
            return Err(ConfigError {
                field: "alignment",
                value: self.alignment.to_string(),
                allowed: "powers of two from 1 to 65536".to_owned(),
            });
        }
        let pebi = Bytes(1 << 50);
        let largest_page = Bytes(self.alignment << 31);
        check("capacity", self.capacity, Bytes(1), pebi)?;
        check("slab_below", self.slab_below, Bytes::ZERO, Bytes::mib(1))?;
        check("slab_page", self.slab_page, self.slab_below, Bytes::mib(64))?;
        check("page", self.page, Bytes(self.alignment), largest_page)?;
        check("first_page", self.first_page, Bytes(1), self.page)?;
        check("dedicated_from", self.dedicated_from, self.slab_below, self.page)?;
        let mut left = self.capacity;
        for tier in &self.tiers {
            check(
                "preallocate",
                tier.preallocate,
                Bytes::ZERO,
                left.min(largest_page),
            )?;
            left = left - tier.preallocate;
        }
        Ok(())
    }

    pub(super) const fn limit(&self, tier: Tier) -> &TierLimit {
        &self.tiers[tier.index()]
    }
}

fn check(field: &'static str, value: Bytes, least: Bytes, most: Bytes) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError {
        field,
        value: format!("{} B", value.get()),
        allowed: format!("{} B to {} B", least.get(), most.get()),
    })
}
