//! What happens where no page has room: a new page, what nobody would take otherwise, or a refusal.

use super::bins::{NONE, bin_above, least_of};
use super::pages::Pages;
use super::report::Served;
use super::shared;
use super::slab::{self, Slab};
use super::{Block, Class, Colour, Granted, Heap, HeapLimit, HeapRefusal, NewPage, PageId, PageKind, Wish};
use crate::memory::tier::Tier;
use daa_base::Bytes;

impl Heap {
    #[cold]
    #[inline(never)]
    pub(super) fn miss(&mut self, colour: Colour, bytes: u64) -> Result<Granted, HeapRefusal> {
        let wish = match self.wish(colour, bytes) {
            Ok(wish) => wish,
            Err(limit) => return Err(self.refusal(colour, bytes, limit)),
        };
        if let Some(block) = self.made_ahead(wish) {
            return Ok(Granted {
                block,
                new_page: None,
                evicted: Vec::new(),
            });
        }
        let granted = if bytes < self.config.slab_below.get() {
            // Where a class is too large for what is left of the capacity, the exact size may do.
            self.new_slab(wish).or_else(|| self.new_shared(wish))
        } else if bytes < self.config.dedicated_from.get() {
            self.new_shared(wish)
        } else {
            self.new_dedicated(wish)
        };
        let old = |block| Granted {
            block,
            new_page: None,
            evicted: Vec::new(),
        };
        granted
            .or_else(|| self.hole(wish, usize::MAX).map(old))
            .or_else(|| self.larger_slab(wish).map(old))
            .ok_or_else(|| self.refusal(colour, bytes, HeapLimit::Capacity))
    }

    fn new_slab(&mut self, wish: Wish) -> Option<Granted> {
        let class = bin_above(wish.bytes >> self.unit_log2);
        let size = least_of(class) << self.unit_log2;
        if size > wish.room {
            return None;
        }
        let pages = self.slabs[wish.colour.index()][class].pages;
        let most = (self.config.slab_page.get() / size).clamp(1, slab::MOST_BLOCKS.into());
        let target = (64_u64 << pages.min(6)).min(most);
        let (bytes, evicted) = self.make_room(size, target * size, size)?;
        let slot = self.pages.add(PageKind::Slab, wish.colour, bytes);
        self.pages.get_mut(slot).slab = Slab::new(class as u32, (bytes / size) as u32);
        // What was given up to make room may have been of the same class.
        let pages = self.slabs[wish.colour.index()][class].pages + 1;
        self.slabs[wish.colour.index()][class] = Class { room: slot, pages };
        let block = self.grant_slab(wish, slot, Served::Miss);
        Some(self.with_page(block, evicted))
    }

    fn new_shared(&mut self, wish: Wish) -> Option<Granted> {
        let units = wish.units(self.unit_log2)?;
        let shared = &self.shared[wish.colour.index()];
        let grown = shared.reserved.max(self.config.first_page.get());
        let target = grown.min(self.config.page.get()).max(wish.bytes);
        let (bytes, evicted) = self.make_room(wish.bytes, target, self.config.alignment)?;
        let slot = self.pages.add(PageKind::Shared, wish.colour, bytes);
        let shared = &mut self.shared[wish.colour.index()];
        self.pages.get_mut(slot).mark = shared.add_page(slot, (bytes >> self.unit_log2) as u32, bytes);
        let node = shared.take(units, wish.slack(), shared::LOOKS, |page| page == slot)?;
        let block = self.grant_node(wish.colour.index(), wish, node, Served::Miss);
        Some(self.with_page(block, evicted))
    }

    fn new_dedicated(&mut self, wish: Wish) -> Option<Granted> {
        let (bytes, evicted) = self.make_room(wish.bytes, wish.bytes, self.config.alignment)?;
        let slot = self.pages.add(PageKind::Dedicated, wish.colour, bytes);
        let block = self.grant_dedicated(wish, slot, Served::Miss);
        Some(self.with_page(block, evicted))
    }

    /// A block of a class that is larger than need be: better than none.
    fn larger_slab(&mut self, wish: Wish) -> Option<Block> {
        let least = bin_above(wish.bytes >> self.unit_log2);
        let classes = self.slabs[wish.colour.index()].iter().enumerate().skip(least);
        let mut with_room = classes.filter(|(_, class)| class.room != NONE);
        let (class, slot) = with_room.next().map(|(class, pages)| (class, pages.room))?;
        let fits = least_of(class) << self.unit_log2 <= wish.room;
        fits.then(|| self.grant_slab(wish, slot, Served::Hit))
    }

    /// Pages for what tiers want made ahead ([`super::TierLimit::preallocate`]), one for each tier that does. The caller
    /// has to make them. To be called once, before there are blocks.
    ///
    /// # Errors
    /// The first tier for whose page the ceiling leaves no room.
    pub fn prepare(&mut self) -> Result<Vec<(NewPage, Tier)>, Tier> {
        let mut made = Vec::new();
        for tier in Tier::ALL {
            let wanted = self.config.limit(tier).preallocate.get();
            let bytes = wanted.next_multiple_of(self.config.alignment);
            if bytes == 0 {
                continue;
            }
            if bytes > self.ceiling.saturating_sub(self.pages.reserved) {
                return Err(tier);
            }
            let slot = self.pages.add(PageKind::Shared, Colour::ReadWrite, bytes);
            let room = room_of(tier);
            let mark = self.shared[room].add_page(slot, (bytes >> self.unit_log2) as u32, bytes);
            let page = self.pages.get_mut(slot);
            (page.mark, page.room) = (mark, room as u8);
            self.pages.set_idle(slot);
            let page = NewPage {
                id: self.pages.id(slot),
                colour: Colour::ReadWrite,
                kind: PageKind::Shared,
                bytes,
            };
            made.push((page, tier));
        }
        Ok(made)
    }

    /// A block of what was made ahead for its tier, whatever its size.
    fn made_ahead(&mut self, wish: Wish) -> Option<Block> {
        let room = room_of(Tier::of(Bytes(wish.wanted)));
        if wish.colour != Colour::ReadWrite || self.shared[room].reserved == 0 {
            return None;
        }
        let units = wish.units(self.unit_log2)?;
        let node = self.shared[room].take(units, wish.slack(), usize::MAX, |_| true)?;
        Some(self.grant_node(room, wish, node, Served::Hit))
    }

    /// How large a new page may be, `least` to `target` and a multiple of `step`, once the pages returned are given up.
    fn make_room(&mut self, least: u64, target: u64, step: u64) -> Option<(u64, Vec<PageId>)> {
        let Pages { reserved, idle, .. } = self.pages;
        let bytes = target.min(self.ceiling.saturating_sub(reserved - idle));
        let bytes = bytes - bytes % step;
        if bytes < least {
            return None;
        }
        let evicted = self.trim(self.ceiling - bytes);
        Some((bytes, evicted))
    }

    fn with_page(&self, block: Block, evicted: Vec<PageId>) -> Granted {
        let page = self.pages.get(block.page.slot);
        let new_page = page.kind.map(|kind| NewPage {
            id: block.page,
            colour: page.colour,
            kind,
            bytes: page.bytes,
        });
        Granted {
            block,
            new_page,
            evicted,
        }
    }

    fn refusal(&mut self, colour: Colour, wanted: u64, limit: HeapLimit) -> HeapRefusal {
        self.books.refuse(wanted);
        let allowed = match limit {
            HeapLimit::Tier(tier) => self.config.limit(tier).max_in_use,
            HeapLimit::Capacity => self.config.capacity,
        };
        HeapRefusal {
            wanted: Bytes(wanted),
            colour,
            limit,
            allowed,
            in_use: Bytes(self.books.in_use),
            reserved: Bytes(self.pages.reserved),
            capacity: self.config.capacity,
            largest_free: Bytes(self.largest_free(colour, &[Tier::of(Bytes(wanted))])),
        }
    }
}

/// Where what was made ahead for a tier is: behind the rooms of the colours.
pub(super) const fn room_of(tier: Tier) -> usize {
    Colour::ALL.len() + tier.index()
}
