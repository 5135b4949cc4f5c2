//! The sub-allocator: which bytes of which page a block takes. Pure: it makes no buffer, holds no lock and reads no clock.
//!
//! Small sizes are served from slabs with bitmaps, middle ones from shared pages by two-level segregated fit, large ones
//! from buffers of their own that are kept and reused. Pages are coloured: a buffer that one dispatch binds both for
//! reading and for writing is refused by wgpu, so read-only blocks never share a page with others.
//!
//! The caller makes the pages that a [`Granted`] names, and frees those that are handed back.

mod bins;
mod block;
mod compact;
mod config;
mod miss;
mod pages;
mod report;
mod shared;
mod slab;

pub use block::{Block, Colour, Granted, NewPage, PageId, PageKind, Span};
pub use config::{HeapConfig, TierLimit};
pub use report::{HeapLimit, HeapRefusal, HeapReport, KindUse, TierUse};

use super::tier::Tier;
use crate::config::ConfigError;
use bins::{Bins, NONE, bin_above, bin_of, least_of};
use daa_base::Bytes;
use pages::{Chain, Pages};
use report::{Books, Served};
use shared::Shared;

/// The sub-allocator.
#[derive(Debug)]
pub struct Heap {
    config: HeapConfig,
    unit_log2: u32,
    pages: Pages,
    /// What pages and dedicated buffers may sum up to at present, at most the capacity.
    ceiling: u64,
    /// By the room that pages are in: one per colour, then one per tier for what was made ahead for it.
    shared: [Shared; ROOMS],
    /// Per colour and class: the pages with room, and how many pages there are.
    slabs: [Vec<Class>; 3],
    /// Idle dedicated buffers by size.
    dedicated: [Bins<NONE>; 3],
    books: Books,
}

/// Three colours and five tiers.
const ROOMS: usize = 8;

#[derive(Debug, Clone, Copy)]
struct Class {
    room: u32,
    pages: u32,
}

/// A request in units.
#[derive(Debug, Clone, Copy)]
struct Wish {
    colour: Colour,
    wanted: u64,
    /// `wanted` rounded up to the alignment.
    bytes: u64,
    /// What the tier's limit leaves.
    room: u64,
}

impl Heap {
    /// A heap without pages.
    ///
    /// # Errors
    /// As [`HeapConfig::validate`].
    pub fn new(config: HeapConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let unit_log2 = config.alignment.ilog2();
        let classes = bin_above(config.slab_below.get() >> unit_log2) + 1;
        let class = Class { room: NONE, pages: 0 };
        Ok(Self {
            unit_log2,
            pages: Pages::new(),
            ceiling: config.capacity.get(),
            shared: std::array::from_fn(|_| Shared::new()),
            slabs: [vec![class; classes], vec![class; classes], vec![class; classes]],
            dedicated: [Bins::new(), Bins::new(), Bins::new()],
            books: Books::new(),
            config,
        })
    }

    /// What it was made with.
    #[must_use]
    pub const fn config(&self) -> &HeapConfig {
        &self.config
    }

    /// A block of at least `bytes` bytes; no bytes take as much as one. Where no page has room, the caller has to make
    /// one.
    ///
    /// # Errors
    /// No page has room, and a new one would exceed the capacity even with all idle pages given up; or the limit of the
    /// tier is reached. Nothing has changed then but the count of refusals.
    #[inline(always)]
    pub fn allocate(&mut self, colour: Colour, bytes: u64) -> Result<Granted, HeapRefusal> {
        match self.allocate_hit(colour, bytes) {
            Some(block) => Ok(Granted {
                block,
                new_page: None,
                evicted: Vec::new(),
            }),
            None => self.miss(colour, bytes),
        }
    }

    /// A block of at least `bytes` bytes from what is there: a constant number of steps for slabs and shared pages.
    /// `None`, and nothing has changed, where [`Heap::allocate`] makes a page, looks further or refuses.
    #[inline(always)]
    pub fn allocate_hit(&mut self, colour: Colour, bytes: u64) -> Option<Block> {
        let wish = self.wish(colour, bytes).ok()?;
        if bytes < self.config.slab_below.get() {
            self.slab_hit(wish)
        } else if bytes < self.config.dedicated_from.get() {
            self.hole(wish, shared::LOOKS)
        } else {
            self.dedicated_hit(wish)
        }
    }

    #[inline(always)]
    fn wish(&self, colour: Colour, bytes: u64) -> Result<Wish, HeapLimit> {
        if bytes > self.config.capacity.get() {
            return Err(HeapLimit::Capacity);
        }
        let tier = Tier::of(Bytes(bytes));
        let limit = self.config.limit(tier).max_in_use;
        let room = limit.get().saturating_sub(self.books.in_use_of(tier));
        // Neither addition overflows: the capacity is at most 1 PiB.
        let unit = self.config.alignment - 1;
        let wish = Wish {
            colour,
            wanted: bytes,
            bytes: (bytes.max(1) + unit) & !unit,
            room,
        };
        if wish.bytes > room {
            return Err(HeapLimit::Tier(tier));
        }
        Ok(wish)
    }

    #[inline(always)]
    fn slab_hit(&mut self, wish: Wish) -> Option<Block> {
        let class = bin_above(wish.bytes >> self.unit_log2);
        let slot = self.slabs[wish.colour.index()][class].room;
        let fits = slot != NONE && least_of(class) << self.unit_log2 <= wish.room;
        fits.then(|| self.grant_slab(wish, slot, Served::Hit))
    }

    /// A block in a hole of a shared page, found with so many `looks` at holes of about its size.
    #[inline(always)]
    fn hole(&mut self, wish: Wish, looks: usize) -> Option<Block> {
        let units = wish.units(self.unit_log2)?;
        let room = wish.colour.index();
        let node = self.shared[room].take(units, wish.slack(), looks, |_| true)?;
        Some(self.grant_node(room, wish, node, Served::Hit))
    }

    fn dedicated_hit(&mut self, wish: Wish) -> Option<Block> {
        let bins = &self.dedicated[wish.colour.index()];
        let units = wish.bytes >> self.unit_log2;
        // The bin of the size itself and the next hold what is at most a quarter larger; an eighth is accepted.
        let most = wish.bytes + (wish.bytes / 8).min(u32::MAX.into());
        let (mut best, mut least) = (NONE, wish.room.min(most) + 1);
        let mut bin = bin_of(units);
        while let Some(found) = bins.first_from(bin).filter(|&found| found <= bin_of(units) + 1) {
            let mut slot = bins.head(found);
            while slot != NONE {
                let bytes = self.pages.get(slot).bytes;
                if bytes >= wish.bytes && bytes < least {
                    (best, least) = (slot, bytes);
                }
                slot = self.pages.next_in(Chain::Room, slot);
            }
            bin = found + 1;
        }
        if best == NONE {
            return None;
        }
        self.unfile_dedicated(best);
        Some(self.grant_dedicated(wish, best, Served::Hit))
    }

    #[inline(always)]
    fn grant_slab(&mut self, wish: Wish, slot: u32, served: Served) -> Block {
        let page = self.pages.get_mut(slot);
        let bytes = least_of(page.slab.class as usize) << self.unit_log2;
        let slack = (bytes - wish.wanted) as u32;
        let node = page.slab.take(slack);
        if page.slab.is_full() {
            let class = &mut self.slabs[wish.colour.index()][page.slab.class as usize];
            class.room = self.pages.unlink(Chain::Room, class.room, slot);
        }
        let page = self.enter(wish, bytes, slot, served);
        Block { page, node, first: 0 }
    }

    #[inline(always)]
    fn grant_node(&mut self, room: usize, wish: Wish, node: u32, served: Served) -> Block {
        let found = self.shared[room].node(node);
        let (slot, first) = (found.page, found.offset);
        let end = (u64::from(first) << self.unit_log2) + wish.bytes;
        self.books.highest_end = self.books.highest_end.max(end);
        let page = self.enter(wish, wish.bytes, slot, served);
        Block { page, node, first }
    }

    /// The buffer is not filed as idle any more.
    fn grant_dedicated(&mut self, wish: Wish, slot: u32, served: Served) -> Block {
        let page = self.pages.get_mut(slot);
        let bytes = page.bytes;
        page.mark = (bytes - wish.wanted) as u32;
        let page = self.enter(wish, bytes, slot, served);
        Block {
            page,
            node: 0,
            first: 0,
        }
    }

    /// Enters a block of `bytes` in the books; a page that is not new and had none is idle no more.
    #[inline(always)]
    fn enter(&mut self, wish: Wish, bytes: u64, slot: u32, served: Served) -> PageId {
        self.books.enter(wish.wanted, bytes, served);
        let page = self.pages.get_mut(slot);
        page.in_use += bytes;
        if page.in_use == bytes && served != Served::Miss {
            self.pages.unset_idle(slot);
        }
        self.pages.id(slot)
    }

    fn unfile_dedicated(&mut self, slot: u32) {
        let page = self.pages.get(slot);
        let bins = &mut self.dedicated[page.colour.index()];
        let bin = bin_of(page.bytes >> self.unit_log2);
        bins.set_head(bin, self.pages.unlink(Chain::Room, bins.head(bin), slot));
    }

    /// Gives a block back. Returns the pages that the caller has to free: idle ones beyond what is kept.
    ///
    /// A block that is not in use, say because it was given back before, changes nothing and is counted.
    #[inline(always)]
    pub fn free(&mut self, block: Block) -> Vec<PageId> {
        if !self.release(block) {
            self.books.strays += 1;
            return Vec::new();
        }
        if self.pages.idle <= self.config.keep.get() {
            return Vec::new();
        }
        let over = self.pages.idle - self.config.keep.get();
        self.trim(self.pages.reserved - over)
    }

    /// Where a block is; `None` if it is not in use.
    #[must_use]
    #[inline]
    pub fn span(&self, block: Block) -> Option<Span> {
        let (page, kind) = self.pages.named(block.page)?;
        let (offset, bytes, slack) = match kind {
            PageKind::Slab => {
                let bytes = least_of(page.slab.class as usize) << self.unit_log2;
                (
                    u64::from(block.node) * bytes,
                    bytes,
                    page.slab.slack_of(block.node)?,
                )
            }
            PageKind::Shared => {
                let shared = &self.shared[usize::from(page.room)];
                let node = shared.block(block.node, block.page.slot, block.first)?;
                let bytes = |units: u32| u64::from(units) << self.unit_log2;
                (bytes(node.offset), bytes(node.units), node.slack)
            }
            PageKind::Dedicated if page.in_use == 0 => return None,
            PageKind::Dedicated => (0, page.bytes, page.mark),
        };
        Some(Span {
            offset,
            bytes,
            wanted: bytes - u64::from(slack),
        })
    }

    /// Whether the block was one.
    #[inline(always)]
    fn release(&mut self, block: Block) -> bool {
        let Some((page, kind)) = self.pages.named(block.page) else {
            return false;
        };
        let (slot, colour) = (block.page.slot, page.colour.index());
        let (bytes, slack) = match kind {
            PageKind::Slab => {
                let Some(slack) = page.slab.slack_of(block.node) else {
                    return false;
                };
                let page = self.pages.get_mut(slot);
                let (was_full, class) = (page.slab.is_full(), page.slab.class as usize);
                page.slab.give(block.node);
                if was_full {
                    let class = &mut self.slabs[colour][class];
                    self.pages.link(Chain::Room, class.room, slot);
                    class.room = slot;
                }
                (least_of(class) << self.unit_log2, slack)
            }
            PageKind::Shared => {
                let shared = &mut self.shared[usize::from(page.room)];
                let Some(node) = shared.block(block.node, slot, block.first) else {
                    return false;
                };
                let (units, slack) = (node.units, node.slack);
                shared.give(block.node);
                (u64::from(units) << self.unit_log2, slack)
            }
            PageKind::Dedicated => {
                if page.in_use == 0 {
                    return false;
                }
                let (bytes, slack) = (page.bytes, page.mark);
                let bins = &mut self.dedicated[colour];
                let bin = bin_of(bytes >> self.unit_log2);
                self.pages.link(Chain::Room, bins.head(bin), slot);
                bins.set_head(bin, slot);
                (bytes, slack)
            }
        };
        self.books.leave(bytes - u64::from(slack), bytes);
        let page = self.pages.get_mut(slot);
        page.in_use -= bytes;
        if page.in_use == 0 {
            self.pages.set_idle(slot);
        }
        true
    }

    /// Gives up idle pages, the least recently used first, until at most `target_reserved` bytes are reserved or none is
    /// left. The caller has to free them.
    pub fn trim(&mut self, target_reserved: u64) -> Vec<PageId> {
        let mut given_up = Vec::new();
        while self.pages.reserved > target_reserved && self.pages.oldest_idle() != NONE {
            let slot = self.pages.oldest_idle();
            given_up.push(self.pages.id(slot));
            self.drop_idle(slot);
        }
        given_up
    }

    fn drop_idle(&mut self, slot: u32) {
        self.pages.unset_idle(slot);
        let page = self.pages.get(slot);
        let (colour, class) = (page.colour.index(), page.slab.class as usize);
        let room = usize::from(page.room);
        match page.kind {
            Some(PageKind::Slab) => {
                let class = &mut self.slabs[colour][class];
                class.pages -= 1;
                class.room = self.pages.unlink(Chain::Room, class.room, slot);
            }
            Some(PageKind::Shared) => {
                self.shared[room].remove_page(page.mark, page.bytes);
            }
            Some(PageKind::Dedicated) => self.unfile_dedicated(slot),
            None => return,
        }
        self.pages.remove(slot);
    }

    /// Forgets a page that the caller could not make, with every block in it; those are returned and must not be used
    /// or given back. A page that does not exist changes nothing.
    pub fn abandon_page(&mut self, id: PageId) -> Vec<Block> {
        let blocks = self.blocks_in(id);
        for &block in &blocks {
            self.release(block);
        }
        if self.pages.named(id).is_some() {
            self.drop_idle(id.slot);
        }
        blocks
    }

    /// The books.
    #[must_use]
    pub fn report(&self) -> HeapReport {
        let largest = Colour::ALL.map(|colour| self.largest_free(colour, &Tier::ALL));
        HeapReport {
            capacity: self.config.capacity,
            live: Bytes(self.books.live),
            in_use: Bytes(self.books.in_use),
            reserved: Bytes(self.pages.reserved),
            idle: Bytes(self.pages.idle),
            peak_live: Bytes(self.books.peak_live),
            peak_in_use: Bytes(self.books.peak_in_use),
            peak_reserved: Bytes(self.pages.peak_reserved),
            largest_free: Bytes(largest.into_iter().max().unwrap_or(0)),
            highest_end: Bytes(self.books.highest_end),
            pages: self.pages.count() as u64,
            creations: self.pages.creations,
            destructions: self.pages.destructions,
            strays: self.books.strays,
            tiers: self.books.tiers(),
            kinds: self.kinds(),
        }
    }

    fn kinds(&self) -> Vec<KindUse> {
        let mut kinds = [PageKind::Slab, PageKind::Shared, PageKind::Dedicated].map(|kind| KindUse {
            kind,
            pages: 0,
            in_use: Bytes::ZERO,
            reserved: Bytes::ZERO,
        });
        for (_, page, kind) in self.pages.iter() {
            let sum = &mut kinds[kind as usize];
            sum.pages += 1;
            sum.in_use = Bytes(sum.in_use.get() + page.in_use);
            sum.reserved = Bytes(sum.reserved.get() + page.bytes);
        }
        kinds.to_vec()
    }

    /// Lets pages and dedicated buffers sum up to no more than this from now on, or to the capacity where that is less.
    /// What there is beyond that stays.
    pub fn set_ceiling(&mut self, bytes: u64) {
        self.ceiling = bytes.min(self.config.capacity.get());
    }

    /// What pages and dedicated buffers take.
    #[must_use]
    pub const fn reserved(&self) -> u64 {
        self.pages.reserved
    }

    /// What the blocks were asked for.
    #[must_use]
    pub const fn live(&self) -> u64 {
        self.books.live
    }

    /// The largest block of a colour and of one of these tiers that the pages have room for.
    fn largest_free(&self, colour: Colour, tiers: &[Tier]) -> u64 {
        let tiers = if colour == Colour::ReadWrite { tiers } else { &[] };
        let ahead = tiers.iter().map(|&tier| miss::room_of(tier));
        let rooms = ahead.chain([colour.index()]);
        let hole = rooms.map(|room| self.shared[room].largest()).max().unwrap_or(0);
        let hole = u64::from(hole) << self.unit_log2;
        let bins = &self.dedicated[colour.index()];
        let next = |&slot: &u32| Some(self.pages.next_in(Chain::Room, slot)).filter(|&slot| slot != NONE);
        let idle = std::iter::successors(bins.last().map(|bin| bins.head(bin)), next);
        let slab = self.slabs[colour.index()]
            .iter()
            .rposition(|class| class.room != NONE);
        let slab = slab.map_or(0, |class| least_of(class) << self.unit_log2);
        idle.map(|slot| self.pages.get(slot).bytes)
            .fold(hole.max(slab), u64::max)
    }
}

impl Wish {
    /// In units, if a shared page can hold as much.
    fn units(&self, unit_log2: u32) -> Option<u32> {
        u32::try_from(self.bytes >> unit_log2).ok()
    }

    /// What the block was not asked for, if it takes `bytes`. Less than the alignment but for an empty one.
    const fn slack(&self) -> u32 {
        (self.bytes - self.wanted) as u32
    }
}

#[cfg(test)]
mod tests;
