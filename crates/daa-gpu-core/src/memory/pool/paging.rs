//! Pages: which buffers the blocks of the sub-allocator lie in.

use super::chunk::Chunk;
use crate::memory::heap::{Block, Colour, Heap, HeapConfig, HeapReport, NewPage, PageId, TierLimit};
use crate::memory::tier::Tier;
use daa_base::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Shared pages at most.
const LARGEST_PAGE: Bytes = Bytes::mib(64);

/// The first shared page of a colour; the following grow.
const FIRST_PAGE: Bytes = Bytes::mib(2);

/// What a device says about the pages that may be made on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageLimits {
    /// What offsets of bindings are multiples of: a power of two.
    pub(crate) alignment: u64,
    /// Its largest buffer.
    pub(crate) max_buffer: Bytes,
    /// Its memory, where known: what pages and buffers together never exceed.
    pub(crate) memory: Option<Bytes>,
}

/// What was taken out and is to be dropped without the lock.
#[derive(Debug)]
#[expect(dead_code, reason = "held for the drop only")]
pub(super) enum Freed<B> {
    Chunk(Chunk<B>),
    Page(Arc<B>),
}

/// The sub-allocator with its pages.
#[derive(Debug)]
pub(super) struct Paging<B> {
    heap: Heap,
    pages: BTreeMap<PageId, Page<B>>,
}

#[derive(Debug)]
struct Page<B> {
    /// `None` while it is being made.
    buffer: Option<Arc<B>>,
    bytes: Bytes,
    /// How many are making it: everybody who gets a block of it while it is not there. The first to end gives theirs.
    makers: u32,
}

/// Where a block went.
#[derive(Debug)]
pub(super) enum Placed<B> {
    Ready(Chunk<B>),
    /// The page has to be made first.
    Missing(Missing),
}

/// A block in a page that is not there yet. Has to go to [`Paging::made`] or [`Paging::failed`].
#[derive(Debug)]
#[must_use]
pub(super) struct Missing {
    block: Block,
    /// How large the page is.
    pub(super) bytes: Bytes,
}

/// How a heap for `capacity` bytes of loans is made on a device.
///
/// Pages may take a quarter of the capacity more, and twice their own size for each of the three colours: what the
/// holes in them may cost before a loan gets a buffer of its own instead; but never more than the device has. Idle pages
/// count into `keep`, but for those made ahead.
fn heap_config(capacity: Bytes, keep: Bytes, limits: PageLimits, tiers: &[TierLimit; 5]) -> HeapConfig {
    let largest = limits.max_buffer.get().max(1) / 9 * 8;
    let aim = (capacity.get() / 8).clamp(Bytes::kib(256).get(), LARGEST_PAGE.get());
    let page = Bytes(aim.min(largest).max(limits.alignment));
    let reserve = capacity.get().saturating_add(capacity.get() / 4);
    let reserve = reserve.saturating_add(6 * page.get()).min(1 << 50);
    let reserve = limits
        .memory
        .map_or(reserve, |memory| reserve.min(memory.get().max(1)));
    let mut config = HeapConfig::new(Bytes(reserve), limits.alignment);
    config.page = page;
    config.first_page = FIRST_PAGE.min(page);
    config.dedicated_from = Bytes(page.get() / 4).max(Bytes(1));
    config.slab_below = config.slab_below.min(config.dedicated_from);
    config.slab_page = config.slab_page.min(page).max(config.slab_below);
    let ahead = tiers.iter().map(|tier| tier.preallocate);
    config.keep = ahead.fold(keep, |sum, more| Bytes(sum.get().saturating_add(more.get())));
    // Limits of tiers are the pool's affair; it has refused before.
    config.tiers = tiers.map(|tier| TierLimit {
        preallocate: tier.preallocate,
        ..TierLimit::default()
    });
    config
}

impl<B> Paging<B> {
    pub(super) fn new(
        capacity: Bytes,
        keep: Bytes,
        limits: PageLimits,
        tiers: &[TierLimit; 5],
    ) -> Result<Self, crate::config::ConfigError> {
        Ok(Self {
            heap: Heap::new(heap_config(capacity, keep, limits, tiers))?,
            pages: BTreeMap::new(),
        })
    }

    /// Pages for what tiers want made ahead.
    pub(super) fn prepare(&mut self) -> Result<Vec<(NewPage, Tier)>, Tier> {
        self.heap.prepare()
    }

    /// A page made ahead is there.
    pub(super) fn prepared(&mut self, page: NewPage, buffer: B) {
        let page_of = Page {
            buffer: Some(Arc::new(buffer)),
            bytes: Bytes(page.bytes),
            makers: 0,
        };
        self.pages.insert(page.id, page_of);
    }

    /// What pages may sum up to from now on.
    pub(super) fn set_ceiling(&mut self, ceiling: Bytes) {
        self.heap.set_ceiling(ceiling.get());
    }

    pub(super) const fn reserved(&self) -> Bytes {
        Bytes(self.heap.reserved())
    }

    pub(super) fn report(&self) -> HeapReport {
        self.heap.report()
    }

    fn give_up(&mut self, pages: Vec<PageId>, freed: &mut Vec<Freed<B>>) {
        let buffers = pages.into_iter().filter_map(|id| self.pages.remove(&id)?.buffer);
        freed.extend(buffers.map(Freed::Page));
    }

    /// A block; `None` when the pages may not grow any more.
    pub(super) fn place(
        &mut self,
        colour: Colour,
        bytes: Bytes,
        freed: &mut Vec<Freed<B>>,
    ) -> Option<Placed<B>> {
        let granted = self.heap.allocate(colour, bytes.get()).ok()?;
        self.give_up(granted.evicted, freed);
        if let Some(new) = granted.new_page {
            let page = Page {
                buffer: None,
                bytes: Bytes(new.bytes),
                makers: 0,
            };
            self.pages.insert(new.id, page);
        }
        let block = granted.block;
        let page = self.pages.get_mut(&block.page())?;
        Some(match &page.buffer {
            Some(buffer) => Placed::Ready(part(&self.heap, Arc::clone(buffer), block)?),
            None => {
                page.makers += 1;
                let bytes = page.bytes;
                Placed::Missing(Missing { block, bytes })
            }
        })
    }

    /// The page was made.
    pub(super) fn made(
        &mut self,
        missing: Missing,
        buffer: B,
        freed: &mut Vec<Freed<B>>,
    ) -> Option<Chunk<B>> {
        let Missing { block, .. } = missing;
        let page = self.pages.get_mut(&block.page())?;
        page.makers -= 1;
        let buffer = Arc::new(buffer);
        let first = page.buffer.get_or_insert_with(|| Arc::clone(&buffer));
        let page = Arc::clone(first);
        freed.push(Freed::Page(buffer));
        part(&self.heap, page, block)
    }

    /// The page could not be made. Somebody else may have made it meanwhile.
    pub(super) fn failed(&mut self, missing: Missing) -> Option<Chunk<B>> {
        let Missing { block, .. } = missing;
        let page = self.pages.get_mut(&block.page())?;
        page.makers -= 1;
        if let Some(buffer) = &page.buffer {
            let page = Arc::clone(buffer);
            return part(&self.heap, page, block);
        }
        if page.makers == 0 {
            self.pages.remove(&block.page());
            self.heap.abandon_page(block.page());
        } else {
            // Others have blocks in it, so that it is not idle now.
            self.heap.free(block);
        }
        None
    }

    /// A block is not used any more.
    pub(super) fn free(&mut self, block: Block, freed: &mut Vec<Freed<B>>) {
        let pages = self.heap.free(block);
        self.give_up(pages, freed);
    }

    /// Gives up all pages without a block.
    pub(super) fn trim(&mut self, freed: &mut Vec<Freed<B>>) {
        let pages = self.heap.trim(0);
        self.give_up(pages, freed);
    }

    /// Pages worth emptying, sparsest first.
    pub(super) fn sparse_pages(&self) -> Vec<(PageId, Bytes)> {
        let bytes = |id| Some((id, self.pages.get(&id)?.bytes));
        self.heap.sparse_pages().into_iter().filter_map(bytes).collect()
    }

    /// A second place for a block, in another page that has blocks.
    pub(super) fn elsewhere(&mut self, block: Block) -> Option<Chunk<B>> {
        let to = self.heap.allocate_elsewhere(block)?;
        if let Some(buffer) = self.pages.get(&to.page()).and_then(|page| page.buffer.as_ref()) {
            let page = Arc::clone(buffer);
            return part(&self.heap, page, to);
        }
        // That page is still being made, and so has other blocks.
        self.heap.free(to);
        None
    }
}

/// What is lent out; `None` if the block is not in use.
fn part<B>(heap: &Heap, page: Arc<B>, block: Block) -> Option<Chunk<B>> {
    let offset = heap.span(block)?.offset;
    Some(Chunk::Part { page, block, offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capacity_and_device_gives_a_valid_heap() {
        for log2 in 10..=50 {
            for max_buffer in [Bytes::kib(1), Bytes::mib(256), Bytes(u64::MAX)] {
                for alignment in [32, 256, 65_536] {
                    let limits = PageLimits {
                        alignment,
                        max_buffer,
                        memory: None,
                    };
                    let config =
                        heap_config(Bytes(1 << log2), Bytes::ZERO, limits, &[TierLimit::default(); 5]);
                    assert_eq!(config.validate(), Ok(()), "{config:?}");
                    assert!(config.capacity > Bytes(1 << log2) || log2 == 50);
                    assert!(config.page <= max_buffer || config.page == Bytes(alignment));
                    for memory in [Bytes(1), Bytes::kib(3), Bytes::gib(3)] {
                        let limits = PageLimits {
                            memory: Some(memory),
                            ..limits
                        };
                        let known =
                            heap_config(Bytes(1 << log2), Bytes::ZERO, limits, &[TierLimit::default(); 5]);
                        assert_eq!(known.validate(), Ok(()), "{known:?}");
                        assert_eq!(known.capacity, config.capacity.min(memory));
                    }
                }
            }
        }
    }
}
