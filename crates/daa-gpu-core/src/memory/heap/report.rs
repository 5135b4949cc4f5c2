//! What a heap tells about itself.

use super::{Colour, PageKind};
use crate::memory::tier::Tier;
use daa_base::Bytes;
use serde::{Deserialize, Serialize};

/// A heap at one moment, and its counts since it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HeapReport {
    /// What pages and dedicated buffers may sum up to.
    pub capacity: Bytes,
    /// What the blocks were asked for.
    pub live: Bytes,
    /// What the blocks take: `live` and what rounding added.
    pub in_use: Bytes,
    /// What the pages and dedicated buffers take.
    pub reserved: Bytes,
    /// Of `reserved`, pages and dedicated buffers without a block.
    pub idle: Bytes,
    /// The largest `live` so far.
    pub peak_live: Bytes,
    /// The largest `in_use` so far.
    pub peak_in_use: Bytes,
    /// The largest `reserved` so far.
    pub peak_reserved: Bytes,
    /// The largest block that the pages have room for without a new page, of the colour that has the largest.
    pub largest_free: Bytes,
    /// The highest end of a block in its shared page so far.
    pub highest_end: Bytes,
    /// Pages and dedicated buffers at present.
    pub pages: u64,
    /// Pages and dedicated buffers made.
    pub creations: u64,
    /// Pages and dedicated buffers given up.
    pub destructions: u64,
    /// Blocks given back that were none: a fault of the caller.
    pub strays: u64,
    /// One entry per tier, smallest first.
    pub tiers: Vec<TierUse>,
    /// One entry per kind of page: slabs, shared pages, dedicated buffers.
    pub kinds: Vec<KindUse>,
}

/// The pages of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KindUse {
    /// Which.
    pub kind: PageKind,
    /// Pages at present, idle ones too.
    pub pages: u64,
    /// What the blocks in them take.
    pub in_use: Bytes,
    /// What they take.
    pub reserved: Bytes,
}

/// One tier of a heap. A block counts in the tier of the size it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TierUse {
    /// Which.
    pub tier: Tier,
    /// What its blocks were asked for.
    pub live: Bytes,
    /// What its blocks take.
    pub in_use: Bytes,
    /// The largest `in_use` so far.
    pub peak_in_use: Bytes,
    /// Blocks at present.
    pub blocks: u64,
    /// Blocks that were served from what was there.
    pub hits: u64,
    /// Blocks that a page or a dedicated buffer had to be made for.
    pub misses: u64,
    /// Requests that were refused.
    pub refusals: u64,
}

impl HeapReport {
    /// What is reserved and not in use.
    #[must_use]
    pub const fn free(&self) -> Bytes {
        Bytes(self.reserved.get() - self.in_use.get())
    }

    /// The part of the free bytes that the largest free block does not have, 0 to 1: external fragmentation. 0 if
    /// nothing is free.
    #[must_use]
    pub fn external_fragmentation(&self) -> f64 {
        match self.free().get() {
            0 => 0.0,
            free => 1.0 - self.largest_free.get() as f64 / free as f64,
        }
    }

    /// The part of the bytes in use that nobody asked for, 0 to 1. 0 if nothing is in use.
    #[must_use]
    pub fn internal_fragmentation(&self) -> f64 {
        match self.in_use.get() {
            0 => 0.0,
            in_use => 1.0 - self.live.get() as f64 / in_use as f64,
        }
    }
}

/// The running counts.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) live: u64,
    pub(super) in_use: u64,
    pub(super) peak_live: u64,
    pub(super) peak_in_use: u64,
    pub(super) highest_end: u64,
    pub(super) strays: u64,
    tiers: [Tally; 5],
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    live: u64,
    in_use: u64,
    peak_in_use: u64,
    blocks: u64,
    hits: u64,
    misses: u64,
    refusals: u64,
}

/// How a request was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Served {
    Hit,
    Miss,
    /// A block that moves, or one whose page could not be made.
    Uncounted,
}

impl Books {
    pub(super) const fn new() -> Self {
        const NOTHING: Tally = Tally {
            live: 0,
            in_use: 0,
            peak_in_use: 0,
            blocks: 0,
            hits: 0,
            misses: 0,
            refusals: 0,
        };
        Self {
            live: 0,
            in_use: 0,
            peak_live: 0,
            peak_in_use: 0,
            highest_end: 0,
            strays: 0,
            tiers: [NOTHING; 5],
        }
    }

    #[inline(always)]
    pub(super) const fn in_use_of(&self, tier: Tier) -> u64 {
        self.tiers[tier.index()].in_use
    }

    #[inline(always)]
    pub(super) fn enter(&mut self, wanted: u64, bytes: u64, served: Served) {
        self.live += wanted;
        self.in_use += bytes;
        self.peak_live = self.peak_live.max(self.live);
        self.peak_in_use = self.peak_in_use.max(self.in_use);
        let tally = &mut self.tiers[Tier::index_of(Bytes(wanted))];
        tally.live += wanted;
        tally.in_use += bytes;
        tally.peak_in_use = tally.peak_in_use.max(tally.in_use);
        tally.blocks += 1;
        match served {
            Served::Hit => tally.hits += 1,
            Served::Miss => tally.misses += 1,
            Served::Uncounted => {}
        }
    }

    #[inline(always)]
    pub(super) fn leave(&mut self, wanted: u64, bytes: u64) {
        self.live -= wanted;
        self.in_use -= bytes;
        let tally = &mut self.tiers[Tier::index_of(Bytes(wanted))];
        tally.live -= wanted;
        tally.in_use -= bytes;
        tally.blocks -= 1;
    }

    pub(super) fn refuse(&mut self, wanted: u64) {
        self.tiers[Tier::index_of(Bytes(wanted))].refusals += 1;
    }

    pub(super) fn tiers(&self) -> Vec<TierUse> {
        let of = |tier: Tier| {
            let tally = &self.tiers[tier.index()];
            TierUse {
                tier,
                live: Bytes(tally.live),
                in_use: Bytes(tally.in_use),
                peak_in_use: Bytes(tally.peak_in_use),
                blocks: tally.blocks,
                hits: tally.hits,
                misses: tally.misses,
                refusals: tally.refusals,
            }
        };
        Tier::ALL.map(of).to_vec()
    }
}

/// What a refusal ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum HeapLimit {
    /// No room in any page, and a new page or buffer would exceed the capacity.
    Capacity,
    /// The tier's own limit.
    Tier(Tier),
}

/// Why a heap has no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no room for {wanted} ({} B) {colour}: {reserved} of {capacity} are reserved, {in_use} in use, {}, the largest free block has {largest_free}",
    wanted.get(), limit_text(*limit, *allowed)
)]
#[non_exhaustive]
pub struct HeapRefusal {
    /// What was asked for.
    pub wanted: Bytes,
    /// For what.
    pub colour: Colour,
    /// Which limit it ran into.
    pub limit: HeapLimit,
    /// That limit.
    pub allowed: Bytes,
    /// What blocks take, all colours together.
    pub in_use: Bytes,
    /// What pages and dedicated buffers take, all colours together.
    pub reserved: Bytes,
    /// What those may take.
    pub capacity: Bytes,
    /// The largest block of this colour that there is room for.
    pub largest_free: Bytes,
}

fn limit_text(limit: HeapLimit, allowed: Bytes) -> String {
    match limit {
        HeapLimit::Capacity => "that is the limit".to_owned(),
        HeapLimit::Tier(tier) => format!("tier {tier} may use {allowed}"),
    }
}
