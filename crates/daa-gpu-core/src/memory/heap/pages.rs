//! The table of pages, and which of them are idle.

use super::bins::NONE;
use super::slab::Slab;
use super::{Colour, PageId, PageKind};
use std::num::NonZeroU32;

/// The lists that a page can be in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Chain {
    /// Pages without blocks, least recently used first.
    Idle,
    /// Slab pages of one class with room; idle dedicated buffers of one bin.
    Room,
}

#[derive(Debug, Clone, Copy)]
struct Links {
    before: u32,
    after: u32,
}

const UNLINKED: Links = Links {
    before: NONE,
    after: NONE,
};

/// One page or dedicated buffer. What every request touches is in the first cache line.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Page {
    generation: NonZeroU32,
    /// `None`: the slot is vacant.
    pub(super) kind: Option<PageKind>,
    pub(super) colour: Colour,
    /// Of a shared page: whose blocks it is for.
    pub(super) room: u8,
    pub(super) bytes: u64,
    pub(super) in_use: u64,
    pub(super) slab: Slab,
    /// Of a shared page its first node; of a dedicated buffer with a block what that was not asked for.
    pub(super) mark: u32,
    links: [Links; 2],
}

/// All of them.
#[derive(Debug)]
pub(super) struct Pages {
    slots: Vec<Page>,
    vacant: Vec<u32>,
    oldest_idle: u32,
    newest_idle: u32,
    pub(super) reserved: u64,
    pub(super) idle: u64,
    pub(super) peak_reserved: u64,
    pub(super) creations: u64,
    pub(super) destructions: u64,
}

impl Pages {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            vacant: Vec::new(),
            oldest_idle: NONE,
            newest_idle: NONE,
            reserved: 0,
            idle: 0,
            peak_reserved: 0,
            creations: 0,
            destructions: 0,
        }
    }

    pub(super) fn add(&mut self, kind: PageKind, colour: Colour, bytes: u64) -> u32 {
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(Page {
                generation: NonZeroU32::MIN,
                kind: None,
                colour,
                bytes: 0,
                in_use: 0,
                mark: NONE,
                slab: Slab::default(),
                room: 0,
                links: [UNLINKED; 2],
            });
            self.slots.len() as u32 - 1
        });
        let page = &mut self.slots[slot as usize];
        (page.kind, page.colour, page.bytes, page.in_use) = (Some(kind), colour, bytes, 0);
        page.room = colour as u8;
        self.reserved += bytes;
        self.peak_reserved = self.peak_reserved.max(self.reserved);
        self.creations += 1;
        slot
    }

    /// The page is in no list any more.
    pub(super) fn remove(&mut self, slot: u32) {
        let page = &mut self.slots[slot as usize];
        page.kind = None;
        page.generation = page.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        page.slab = Slab::default();
        self.reserved -= page.bytes;
        self.destructions += 1;
        self.vacant.push(slot);
    }

    #[inline(always)]
    pub(super) fn id(&self, slot: u32) -> PageId {
        PageId {
            slot,
            generation: self.slots[slot as usize].generation,
        }
    }

    #[inline(always)]
    pub(super) fn get(&self, slot: u32) -> &Page {
        &self.slots[slot as usize]
    }

    #[inline(always)]
    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Page {
        &mut self.slots[slot as usize]
    }

    /// The page, if there is one by that name.
    #[inline(always)]
    pub(super) fn named(&self, id: PageId) -> Option<(&Page, PageKind)> {
        let page = self.slots.get(id.slot as usize)?;
        (page.generation == id.generation)
            .then_some(page)
            .and_then(|page| Some((page, page.kind?)))
    }

    pub(super) fn count(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Page, PageKind)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(slot, page)| Some((slot as u32, page, page.kind?)))
    }

    #[inline(always)]
    pub(super) fn next_in(&self, chain: Chain, slot: u32) -> u32 {
        self.slots[slot as usize].links[chain as usize].after
    }

    /// Puts the page in front of `head`; it is the head afterwards.
    #[inline(always)]
    pub(super) fn link(&mut self, chain: Chain, head: u32, slot: u32) {
        self.slots[slot as usize].links[chain as usize] = Links {
            before: NONE,
            after: head,
        };
        if head != NONE {
            self.slots[head as usize].links[chain as usize].before = slot;
        }
    }

    /// Takes the page out of the list that begins with `head`, and returns what that begins with afterwards.
    #[inline(always)]
    pub(super) fn unlink(&mut self, chain: Chain, head: u32, slot: u32) -> u32 {
        let index = chain as usize;
        let Links { before, after } =
            std::mem::replace(&mut self.slots[slot as usize].links[index], UNLINKED);
        if after != NONE {
            self.slots[after as usize].links[index].before = before;
        }
        if before == NONE {
            return after;
        }
        self.slots[before as usize].links[index].after = after;
        head
    }

    #[inline(always)]
    pub(super) const fn oldest_idle(&self) -> u32 {
        self.oldest_idle
    }

    #[inline(always)]
    pub(super) fn set_idle(&mut self, slot: u32) {
        let newest = self.newest_idle;
        self.slots[slot as usize].links[Chain::Idle as usize] = Links {
            before: newest,
            after: NONE,
        };
        if newest == NONE {
            self.oldest_idle = slot;
        } else {
            self.slots[newest as usize].links[Chain::Idle as usize].after = slot;
        }
        self.newest_idle = slot;
        self.idle += self.slots[slot as usize].bytes;
    }

    #[inline(always)]
    pub(super) fn unset_idle(&mut self, slot: u32) {
        if self.newest_idle == slot {
            self.newest_idle = self.slots[slot as usize].links[Chain::Idle as usize].before;
        }
        self.oldest_idle = self.unlink(Chain::Idle, self.oldest_idle, slot);
        self.idle -= self.slots[slot as usize].bytes;
    }
}
