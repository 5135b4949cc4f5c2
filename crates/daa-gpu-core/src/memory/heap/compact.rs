//! What compaction needs: which page to empty, what is in it, and where that fits.

use super::bins::{NONE, bin_above};
use super::pages::{Chain, Page};
use super::report::Served;
use super::{Block, Heap, PageId, PageKind, Wish};

impl Heap {
    /// The blocks in a page, by address.
    #[must_use]
    pub fn blocks_in(&self, id: PageId) -> Vec<Block> {
        let Some((page, kind)) = self.pages.named(id) else {
            return Vec::new();
        };
        let block = |node, first| Block {
            page: id,
            node,
            first,
        };
        match kind {
            PageKind::Slab => page.slab.blocks().map(|node| block(node, 0)).collect(),
            PageKind::Shared => {
                let blocks = self.shared[usize::from(page.room)].blocks(page.mark);
                blocks.map(|(index, node)| block(index, node.offset)).collect()
            }
            PageKind::Dedicated if page.in_use == 0 => Vec::new(),
            PageKind::Dedicated => vec![block(0, 0)],
        }
    }

    /// The page that is worth emptying: of the slab and shared pages with blocks the one with the smallest part in use,
    /// if the other pages like it have as many free bytes as it has in use.
    #[must_use]
    pub fn sparsest(&self) -> Option<PageId> {
        self.sparse_pages().into_iter().next()
    }

    /// As [`Heap::sparsest`], all of them, sparsest first.
    #[must_use]
    pub fn sparse_pages(&self) -> Vec<PageId> {
        let like = |page: &Page, kind| (page.colour.index(), kind, page.slab.class);
        let used = || {
            self.pages
                .iter()
                .filter(|(_, page, kind)| page.in_use > 0 && *kind != PageKind::Dedicated)
                // What was made ahead is to be there.
                .filter(|(_, page, _)| usize::from(page.room) == page.colour.index())
        };
        let mut free = std::collections::BTreeMap::new();
        for (_, page, kind) in used() {
            *free.entry(like(page, kind)).or_insert(0) += page.bytes - page.in_use;
        }
        let mut sparse: Vec<_> = used()
            .filter(|(_, page, kind)| {
                let others = free
                    .get(&like(page, *kind))
                    .map_or(0, |free| free - (page.bytes - page.in_use));
                others >= page.in_use
            })
            .map(|(slot, page, _)| (u128::from(page.in_use) * (1 << 64) / u128::from(page.bytes), slot))
            .collect();
        sparse.sort_unstable();
        sparse.into_iter().map(|(_, slot)| self.pages.id(slot)).collect()
    }

    /// A second block for what lies in `block` and has to leave its page: in another page that has blocks already. Never
    /// needs a new page; `None` where no such page has room, or the block is not in use.
    pub fn allocate_elsewhere(&mut self, block: Block) -> Option<Block> {
        let bytes = self.span(block)?.wanted;
        let not = block.page;
        let colour = self.pages.get(not.slot).colour;
        let wish = Wish {
            colour,
            wanted: bytes,
            bytes: bytes.max(1).checked_next_multiple_of(self.config.alignment)?,
            room: u64::MAX,
        };
        if bytes < self.config.slab_below.get() {
            let class = bin_above(wish.bytes >> self.unit_log2);
            let mut slot = self.slabs[colour.index()][class].room;
            while slot != NONE {
                if self.pages.id(slot) != not && self.pages.get(slot).in_use > 0 {
                    return Some(self.grant_slab(wish, slot, Served::Uncounted));
                }
                slot = self.pages.next_in(Chain::Room, slot);
            }
        }
        let units = wish.units(self.unit_log2)?;
        let pages = &self.pages;
        let may = |slot| pages.id(slot) != not && pages.get(slot).in_use > 0;
        let node = self.shared[colour.index()].take(units, wish.slack(), usize::MAX, may)?;
        Some(self.grant_node(colour.index(), wish, node, Served::Uncounted))
    }
}
