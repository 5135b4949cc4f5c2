//! The state of a replay.

use super::{Fragmentation, OnRefusal, ReplayConfig, ReplayReport, Space, TierReplay};
use crate::config::ConfigError;
use crate::memory::heap::{Block, Colour, Heap, HeapConfig, HeapReport, TierUse};
use crate::memory::tier::{Tier, reserved_bytes};
use crate::memory::trace::{Action, Event, Trace, Usage};
use daa_base::Bytes;
use std::collections::HashMap;

/// Which heap.
const PAGES: usize = 0;
const STAGING: usize = 1;

/// Runs events and keeps the books that a heap has not.
#[derive(Debug)]
pub(super) struct Player {
    /// Pages, and buffers of their own for staging.
    heaps: [Heap; 2],
    space: Space,
    on_refusal: OnRefusal,
    /// By number of the allocation; `None` for those that were refused or freed.
    blocks: Vec<Option<Placed>>,
    events: u64,
    live: Level,
    charged: Level,
    reserved: Level,
    /// Events up to the first moment of the highest live bytes.
    peak_event: u64,
    moved_blocks: u64,
    moved_bytes: u64,
    /// By tier.
    refusals: [u64; 5],
    /// Whether the last compaction moved nothing, and nothing was freed since: the next would not either.
    is_compact: bool,
}

#[derive(Debug, Clone, Copy)]
struct Placed {
    block: Block,
    heap: usize,
}

/// A sum that rises and falls.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    now: u64,
    peak: u64,
}

impl Level {
    /// Whether it was never as high.
    fn set(&mut self, now: u64) -> bool {
        self.now = now;
        let higher = now > self.peak;
        self.peak = self.peak.max(now);
        higher
    }
}

impl Player {
    pub(super) fn new(trace: &Trace, config: &ReplayConfig) -> Result<Self, ConfigError> {
        let own_buffers = HeapConfig {
            slab_below: Bytes::ZERO,
            dedicated_from: Bytes::ZERO,
            ..config.heap.clone()
        };
        Ok(Self {
            heaps: [Heap::new(config.heap.clone())?, Heap::new(own_buffers)?],
            space: config.space,
            on_refusal: config.on_refusal,
            blocks: vec![None; trace.allocations() as usize],
            events: 0,
            live: Level::default(),
            charged: Level::default(),
            reserved: Level::default(),
            peak_event: 0,
            moved_blocks: 0,
            moved_bytes: 0,
            refusals: [0; 5],
            is_compact: false,
        })
    }

    /// Serves an event and does the books.
    pub(super) fn play(&mut self, event: &Event) {
        let freed = match event.action {
            Action::Free { id } => self.blocks[id as usize].and_then(|placed| self.wanted(placed)),
            Action::Allocate { .. } => None,
        };
        self.serve(event);
        self.events += 1;
        let charge = |bytes: u64| reserved_bytes(Bytes(bytes)).get();
        match event.action {
            Action::Allocate { id, bytes, .. } if self.blocks[id as usize].is_some() => {
                self.charged.set(self.charged.now + charge(bytes));
                if self.live.set(self.live.now + bytes) {
                    self.peak_event = self.events;
                }
            }
            Action::Allocate { bytes, .. } => self.refusals[Tier::of(Bytes(bytes)).index()] += 1,
            Action::Free { .. } => {
                let bytes = freed.unwrap_or(0);
                self.live.set(self.live.now - bytes);
                self.charged.set(self.charged.now - charge(bytes));
            }
        }
        self.reserved
            .set(self.heaps[PAGES].reserved() + self.heaps[STAGING].reserved());
    }

    fn wanted(&self, placed: Placed) -> Option<u64> {
        Some(self.heaps[placed.heap].span(placed.block)?.wanted)
    }

    /// Serves an event.
    pub(super) fn serve(&mut self, event: &Event) {
        match event.action {
            Action::Allocate { id, bytes, usage, .. } => {
                let (heap, colour) = self.home(usage);
                let block = self.allocate(heap, colour, bytes);
                self.blocks[id as usize] = block.map(|block| Placed { block, heap });
            }
            Action::Free { id } => {
                if let Some(placed) = self.blocks[id as usize].take() {
                    self.is_compact = false;
                    // There are no pages to free.
                    let _ = self.heaps[placed.heap].free(placed.block);
                }
            }
        }
    }

    const fn home(&self, usage: Usage) -> (usize, Colour) {
        match (self.space, usage) {
            (Space::OnePage, _) | (_, Usage::ReadWrite) => (PAGES, Colour::ReadWrite),
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

    pub(super) const fn peak_event(&self) -> u64 {
        self.peak_event
    }

    /// At this moment.
    pub(super) fn fragmentation(&self) -> Fragmentation {
        let [pages, staging] = [self.heaps[PAGES].report(), self.heaps[STAGING].report()];
        let in_use = pages.in_use.get() + staging.in_use.get();
        let (reserved, largest) = match self.space {
            Space::Pages => (
                pages.reserved.get() + staging.reserved.get(),
                pages.largest_free.max(staging.largest_free).get(),
            ),
            Space::OnePage => {
                let end = pages.highest_end.get();
                (end, self.largest_hole(end))
            }
        };
        Fragmentation {
            internal: missing_part(self.live.now, in_use),
            external: missing_part(largest, reserved - in_use),
        }
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

    /// All but the fragmentation, which is of another moment.
    pub(super) fn report(&self, trace: &Trace) -> ReplayReport {
        let reports = [self.heaps[PAGES].report(), self.heaps[STAGING].report()];
        let tiers: Vec<TierReplay> = Tier::ALL
            .map(|tier| tier_of(&reports, tier, self.refusals[tier.index()]))
            .to_vec();
        let sum = |count: fn(&TierReplay) -> u64| tiers.iter().map(count).sum::<u64>();
        let peak_reserved = match self.space {
            Space::Pages => self.reserved.peak,
            Space::OnePage => reports[PAGES].highest_end.get(),
        };
        ReplayReport {
            operations: self.events,
            allocations: u64::from(trace.allocations()),
            lost: trace.lost(),
            refusals: sum(|tier| tier.refusals),
            peak_live_bytes: Bytes(self.live.peak),
            peak_charged_bytes: Bytes(self.charged.peak),
            peak_reserved_bytes: Bytes(peak_reserved),
            fragmentation: Fragmentation::default(),
            hit_rate: rate(sum(|tier| tier.hits), sum(|tier| tier.misses)),
            pages_created: reports.iter().map(|report| report.creations).sum(),
            pages_freed: reports.iter().map(|report| report.destructions).sum(),
            moved_blocks: self.moved_blocks,
            moved_bytes: Bytes(self.moved_bytes),
            tiers,
        }
    }
}

fn tier_of(reports: &[HeapReport; 2], tier: Tier, refusals: u64) -> TierReplay {
    let sum = |count: fn(&TierUse) -> u64| {
        let of = |report: &HeapReport| report.tiers.get(tier.index()).map_or(0, count);
        reports.iter().map(of).sum::<u64>()
    };
    let (hits, misses) = (sum(|tier| tier.hits), sum(|tier| tier.misses));
    TierReplay {
        tier,
        hits,
        misses,
        refusals,
        hit_rate: rate(hits, misses),
    }
}

fn rate(hits: u64, misses: u64) -> Option<f64> {
    let granted = hits + misses;
    (granted > 0).then(|| hits as f64 / granted as f64)
}

/// The part of `whole` that is not `there`; 0 of nothing.
fn missing_part(there: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        whole => 1.0 - there as f64 / whole as f64,
    }
}
