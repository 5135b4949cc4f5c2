//! The sub-allocator alone.

use super::{Counts, Fragmentation, OnRefusal, Stage, missing_part};
use crate::config::ConfigError;
use crate::memory::heap::{Block, Colour, Heap, HeapConfig, HeapReport, TierUse};
use crate::memory::tier::Tier;
use crate::memory::trace::{Action, Event, Trace, Usage};
use daa_base::Bytes;
use std::collections::HashMap;

/// Which heap.
const PAGES: usize = 0;
const STAGING: usize = 1;

/// Serves events from heaps.
#[derive(Debug)]
pub(super) struct HeapStage {
    /// Pages, and buffers of their own for staging.
    heaps: [Heap; 2],
    is_one_page: bool,
    on_refusal: OnRefusal,
    /// By number of the allocation; `None` for those that were refused or freed.
    blocks: Vec<Option<Placed>>,
    moved_blocks: u64,
    moved_bytes: u64,
    /// Whether the last compaction moved nothing, and nothing was freed since: the next would not either.
    is_compact: bool,
}

#[derive(Debug, Clone, Copy)]
struct Placed {
    block: Block,
    heap: usize,
}

impl HeapStage {
    pub(super) fn new(
        trace: &Trace,
        heap: &HeapConfig,
        is_one_page: bool,
        on_refusal: OnRefusal,
    ) -> Result<Self, ConfigError> {
        let own_buffers = HeapConfig {
            slab_below: Bytes::ZERO,
            dedicated_from: Bytes::ZERO,
            ..heap.clone()
        };
        Ok(Self {
            heaps: [Heap::new(heap.clone())?, Heap::new(own_buffers)?],
            is_one_page,
            on_refusal,
            blocks: vec![None; trace.allocations() as usize],
            moved_blocks: 0,
            moved_bytes: 0,
            is_compact: false,
        })
    }

    const fn home(&self, usage: Usage) -> (usize, Colour) {
        match (self.is_one_page, usage) {
            (true, _) | (_, Usage::ReadWrite) => (PAGES, Colour::ReadWrite),
            (_, Usage::ReadOnly) => (PAGES, Colour::ReadOnly),
            (_, Usage::Uniform) => (PAGES, Colour::Uniform),
            // Two kinds that never serve each other.
            (_, Usage::Upload) => (STAGING, Colour::ReadWrite),
            (_, Usage::Readback) => (STAGING, Colour::ReadOnly),
        }
    }

    fn allocate(&mut self, heap: usize, colour: Colour, bytes: u64) -> Option<Block> {
        match self.heaps[heap].allocate(colour, bytes) {
            Ok(granted) => Some(granted.block),
            Err(_) if self.on_refusal == OnRefusal::Compact && heap == PAGES && !self.is_compact => {
                self.compact();
                let granted = self.heaps[heap].allocate(colour, bytes).ok()?;
                Some(granted.block)
            }
            Err(_) => None,
        }
    }

    /// Empties pages into others, the sparsest first, each as far as there is room.
    fn compact(&mut self) {
        let moved = self.moved_blocks;
        let mut owners: HashMap<Block, usize> = (0..self.blocks.len())
            .filter_map(|id| Some((self.blocks[id]?, id)))
            .filter(|(placed, _)| placed.heap == PAGES)
            .map(|(placed, id)| (placed.block, id))
            .collect();
        for page in self.heaps[PAGES].sparse_pages() {
            for block in self.heaps[PAGES].blocks_in(page) {
                let owner = owners.remove(&block);
                if !owner.is_some_and(|owner| self.move_out(block, owner, &mut owners)) {
                    break;
                }
            }
        }
        self.is_compact = self.moved_blocks == moved;
    }

    /// Whether there was room elsewhere.
    fn move_out(&mut self, block: Block, owner: usize, owners: &mut HashMap<Block, usize>) -> bool {
        let heap = &mut self.heaps[PAGES];
        let span = heap.span(block);
        let (Some(to), Some(span), Some(placed)) =
            (heap.allocate_elsewhere(block), span, self.blocks[owner].as_mut())
        else {
            owners.insert(block, owner);
            return false;
        };
        // There are no pages to free, and no bytes to copy.
        let _ = heap.free(block);
        placed.block = to;
        owners.insert(to, owner);
        self.moved_blocks += 1;
        self.moved_bytes += span.wanted;
        true
    }

    /// The largest gap between blocks of the one page below `end`.
    fn largest_hole(&self, end: u64) -> u64 {
        let mut blocks: Vec<(u64, u64)> = self
            .blocks
            .iter()
            .flatten()
            .filter_map(|placed| self.heaps[placed.heap].span(placed.block))
            .map(|span| (span.offset, span.bytes))
            .collect();
        blocks.sort_unstable();
        blocks.push((end, 0));
        let (mut last, mut largest) = (0, 0);
        for (offset, bytes) in blocks {
            largest = largest.max(offset.saturating_sub(last));
            last = offset + bytes;
        }
        largest
    }
}

impl Stage for HeapStage {
    fn serve(&mut self, event: &Event) -> bool {
        match event.action {
            Action::Allocate { id, bytes, usage, .. } => {
                let (heap, colour) = self.home(usage);
                let block = self.allocate(heap, colour, bytes);
                self.blocks[id as usize] = block.map(|block| Placed { block, heap });
                block.is_some()
            }
            Action::Free { id } => {
                if let Some(placed) = self.blocks[id as usize].take() {
                    self.is_compact = false;
                    // There are no pages to free.
                    let _ = self.heaps[placed.heap].free(placed.block);
                }
                true
            }
        }
    }

    fn reserved(&self) -> u64 {
        self.heaps[PAGES].reserved() + self.heaps[STAGING].reserved()
    }

    fn tier(&self, bytes: u64) -> Tier {
        Tier::of(Bytes(bytes))
    }

    fn fragmentation(&self, live: u64) -> Fragmentation {
        let [pages, staging] = [self.heaps[PAGES].report(), self.heaps[STAGING].report()];
        let in_use = pages.in_use.get() + staging.in_use.get();
        let (reserved, largest) = if self.is_one_page {
            let end = pages.highest_end.get();
            (end, self.largest_hole(end))
        } else {
            (
                pages.reserved.get() + staging.reserved.get(),
                pages.largest_free.max(staging.largest_free).get(),
            )
        };
        Fragmentation {
            internal: missing_part(live, in_use),
            external: missing_part(largest, reserved - in_use),
        }
    }

    fn counts(&self) -> Counts {
        let reports = [self.heaps[PAGES].report(), self.heaps[STAGING].report()];
        Counts {
            peak_reserved: self.is_one_page.then(|| reports[PAGES].highest_end.get()),
            hits: by_tier(&reports, |tier| tier.hits),
            misses: by_tier(&reports, |tier| tier.misses),
            created: reports.iter().map(|report| report.creations).sum(),
            freed: reports.iter().map(|report| report.destructions).sum(),
            moved_blocks: self.moved_blocks,
            moved_bytes: self.moved_bytes,
        }
    }
}

fn by_tier(reports: &[HeapReport; 2], count: fn(&TierUse) -> u64) -> [u64; 5] {
    Tier::ALL.map(|tier| {
        let of = |report: &HeapReport| report.tiers.get(tier.index()).map_or(0, count);
        reports.iter().map(of).sum()
    })
}
