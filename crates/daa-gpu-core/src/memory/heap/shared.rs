//! The blocks and holes of all shared pages of one colour: two-level segregated fit.
//!
//! Holes are filed by size in bins, as in TLSF (Masmano, Ripoll, Crespo and Real, 2004), but a block takes exactly what it
//! needs: what is left of its hole is a hole again, however small, and neighbouring holes are always one.

use super::bins::{Bins, NONE, bin_of};

/// In `Node::before_hole`: the node is a block.
const BLOCK: u32 = u32::MAX - 1;

/// In `Node::before_hole`: the node is not in use.
const SPARE: u32 = u32::MAX - 2;

/// Holes looked at that may be too small, before one is taken that is not.
pub(super) const LOOKS: usize = 8;

/// A block or a hole. Sizes and offsets are in units of the alignment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) offset: u32,
    pub(super) units: u32,
    /// Neighbours in the page.
    below: u32,
    above: u32,
    /// Neighbours in the bin. Of a block [`BLOCK`] and when it was taken.
    before_hole: u32,
    after_hole: u32,
    pub(super) page: u32,
    /// What a block was not asked for, in bytes.
    pub(super) slack: u32,
}

/// All nodes of one colour.
#[derive(Debug)]
pub(super) struct Shared {
    nodes: Vec<Node>,
    spare: u32,
    bins: Bins,
    /// Blocks taken so far, modulo 2³².
    clock: u32,
    pub(super) reserved: u64,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            nodes: Vec::new(),
            spare: NONE,
            bins: Bins::new(),
            clock: 0,
            reserved: 0,
        }
    }

    #[inline(always)]
    pub(super) fn node(&self, index: u32) -> &Node {
        &self.nodes[index as usize]
    }

    /// Whether there is a block at `index` that begins at `offset` in `page`.
    #[inline(always)]
    pub(super) fn is_block(&self, index: u32, page: u32, offset: u64) -> bool {
        self.nodes.get(index as usize).is_some_and(|node| {
            node.before_hole == BLOCK && node.page == page && u64::from(node.offset) == offset
        })
    }

    /// A page that is one hole; returns its first node, which stays its first.
    pub(super) fn add_page(&mut self, page: u32, units: u32, bytes: u64) -> u32 {
        self.reserved += bytes;
        let index = self.new_node(Node {
            offset: 0,
            units,
            below: NONE,
            above: NONE,
            before_hole: NONE,
            after_hole: NONE,
            page,
            slack: 0,
        });
        self.file(index);
        index
    }

    /// Forgets a page that is one hole.
    pub(super) fn remove_page(&mut self, first: u32, bytes: u64) {
        self.reserved -= bytes;
        self.unfile(first);
        self.retire(first);
    }

    /// A block of `units` in the first hole of the first bin that has one, in pages that `may` be used. In the first bin,
    /// where holes may be too small, it gives up after `looks` of those.
    ///
    /// It takes the low end of the hole. But where it fills at least half of the hole and the block above that is newer
    /// than the one below, it takes the high end: what was placed at about the same time is often freed at about the same
    /// time, and then leaves one hole.
    #[inline(always)]
    pub(super) fn take(
        &mut self,
        units: u32,
        slack: u32,
        looks: usize,
        may: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let hole = self.find(units, looks, may)?;
        self.unfile(hole);
        let Node {
            units: whole,
            below,
            above,
            ..
        } = self.nodes[hole as usize];
        let block = if whole == units {
            hole
        } else if whole - units <= units && below != NONE && above != NONE && self.is_newer(above, below) {
            let block = self.split(hole, whole - units);
            self.file(hole);
            block
        } else {
            let rest = self.split(hole, units);
            self.file(rest);
            hole
        };
        self.clock = self.clock.wrapping_add(1);
        let node = &mut self.nodes[block as usize];
        (node.before_hole, node.after_hole, node.slack) = (BLOCK, self.clock, slack);
        Some(block)
    }

    /// Whether block `a` was taken after block `b`, as far as the clock has not gone round since.
    #[inline(always)]
    fn is_newer(&self, a: u32, b: u32) -> bool {
        let age = |block: u32| self.clock.wrapping_sub(self.nodes[block as usize].after_hole);
        age(a) < age(b)
    }

    /// Cuts a node that is not filed; returns the upper part.
    #[inline(always)]
    fn split(&mut self, low: u32, units: u32) -> u32 {
        let node = self.nodes[low as usize];
        let high = self.new_node(Node {
            offset: node.offset + units,
            units: node.units - units,
            below: low,
            ..node
        });
        if node.above != NONE {
            self.nodes[node.above as usize].below = high;
        }
        let node = &mut self.nodes[low as usize];
        (node.units, node.above) = (units, high);
        high
    }

    #[inline(always)]
    fn find(&self, units: u32, looks: usize, may: impl Fn(u32) -> bool) -> Option<u32> {
        let mut bin = bin_of(u64::from(units));
        while let Some(next) = self.bins.first_from(bin) {
            let (mut hole, mut small) = (self.bins.head(next), 0);
            while hole != NONE && small < looks {
                let node = &self.nodes[hole as usize];
                if node.units < units {
                    small += 1;
                } else if may(node.page) {
                    return Some(hole);
                }
                hole = node.after_hole;
            }
            bin = next + 1;
        }
        None
    }

    /// Makes a hole of a block; returns whether its page is nothing else.
    #[inline(always)]
    pub(super) fn give(&mut self, index: u32) -> bool {
        let mut index = index;
        let above = self.nodes[index as usize].above;
        if above != NONE && self.is_hole(above) {
            self.unfile(above);
            self.merge(index, above);
        }
        let below = self.nodes[index as usize].below;
        if below != NONE && self.is_hole(below) {
            self.unfile(below);
            self.merge(below, index);
            index = below;
        }
        self.file(index);
        let node = &self.nodes[index as usize];
        node.below == NONE && node.above == NONE
    }

    /// The largest hole, in units.
    pub(super) fn largest(&self) -> u32 {
        let Some(bin) = self.bins.last() else { return 0 };
        let (mut hole, mut most) = (self.bins.head(bin), 0);
        while hole != NONE {
            let node = &self.nodes[hole as usize];
            (most, hole) = (most.max(node.units), node.after_hole);
        }
        most
    }

    /// The blocks of the page that begins with `first`, by address.
    pub(super) fn blocks(&self, first: u32) -> impl Iterator<Item = (u32, &Node)> {
        let next = |&index: &u32| Some(self.nodes[index as usize].above).filter(|&above| above != NONE);
        std::iter::successors(Some(first), next)
            .map(|index| (index, &self.nodes[index as usize]))
            .filter(|(_, node)| node.before_hole == BLOCK)
    }

    #[inline(always)]
    fn is_hole(&self, index: u32) -> bool {
        self.nodes[index as usize].before_hole != BLOCK
    }

    #[inline(always)]
    fn merge(&mut self, low: u32, high: u32) {
        let Node { units, above, .. } = self.nodes[high as usize];
        let node = &mut self.nodes[low as usize];
        (node.units, node.above) = (node.units + units, above);
        if above != NONE {
            self.nodes[above as usize].below = low;
        }
        self.retire(high);
    }

    /// Files a hole in front of the others of its bin, but behind one of an earlier page: what comes first is of an
    /// early page then, most of the time.
    #[inline(always)]
    fn file(&mut self, index: u32) {
        let Node { units, page, .. } = self.nodes[index as usize];
        let bin = bin_of(u64::from(units));
        let head = self.bins.head(bin);
        let (mut before, mut after) = (NONE, head);
        if head != NONE {
            let first = &mut self.nodes[head as usize];
            if first.page < page {
                (before, after) = (head, first.after_hole);
                first.after_hole = index;
                if after != NONE {
                    self.nodes[after as usize].before_hole = index;
                }
            } else {
                first.before_hole = index;
            }
        }
        let node = &mut self.nodes[index as usize];
        (node.before_hole, node.after_hole) = (before, after);
        if before == NONE {
            self.bins.set_head(bin, index);
        }
    }

    #[inline(always)]
    fn unfile(&mut self, index: u32) {
        let Node {
            units,
            before_hole,
            after_hole,
            ..
        } = self.nodes[index as usize];
        if after_hole != NONE {
            self.nodes[after_hole as usize].before_hole = before_hole;
        }
        if before_hole == NONE {
            self.bins.set_head(bin_of(u64::from(units)), after_hole);
        } else {
            self.nodes[before_hole as usize].after_hole = after_hole;
        }
    }

    #[inline(always)]
    fn new_node(&mut self, node: Node) -> u32 {
        if self.spare == NONE {
            self.nodes.push(node);
            return self.nodes.len() as u32 - 1;
        }
        let index = self.spare;
        self.spare = self.nodes[index as usize].after_hole;
        self.nodes[index as usize] = node;
        index
    }

    #[inline(always)]
    fn retire(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        (node.before_hole, node.after_hole) = (SPARE, self.spare);
        self.spare = index;
    }
}

#[cfg(test)]
mod audit;
