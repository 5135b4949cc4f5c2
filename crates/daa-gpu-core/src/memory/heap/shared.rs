//! The blocks and holes of all shared pages of one colour: two-level segregated fit.
//!
//! Holes are filed by size in bins, as in TLSF (Masmano, Ripoll, Crespo and Real, 2004), but a block takes exactly what it
//! needs: what is left of its hole is a hole again, however small, and neighbouring holes are always one.

use super::bins::{Bins, bin_of};

/// No node: a place in the table that is nobody's. It reads like a block of an earlier page, and what is written to it is
/// never read, so that links can be set without asking whether there is a neighbour. Whether there is follows no pattern.
const NONE: u32 = 0;

/// In `Node::slack`: the node is a hole. Larger than the slack of any block, which is less than the alignment.
const HOLE: u32 = u32::MAX;

/// In `Node::slack`: the node is not in use.
const SPARE: u32 = u32::MAX - 1;

/// Holes looked at that may be too small, before one is taken that is not.
pub(super) const LOOKS: usize = 8;

/// A block or a hole. Sizes and offsets are in units of the alignment. Two share a cache line, and none lies in two.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
pub(super) struct Node {
    pub(super) offset: u32,
    pub(super) units: u32,
    /// Neighbours in the page.
    below: u32,
    above: u32,
    /// Neighbours in the bin.
    before_hole: u32,
    /// Of a block when it was taken.
    after_hole: u32,
    pub(super) page: u32,
    /// What a block was not asked for, in bytes; or [`HOLE`] or [`SPARE`].
    pub(super) slack: u32,
}

const NOBODY: Node = Node {
    offset: 0,
    units: 0,
    below: NONE,
    above: NONE,
    before_hole: NONE,
    after_hole: NONE,
    page: u32::MAX,
    slack: 0,
};

/// All nodes of one colour.
#[derive(Debug)]
pub(super) struct Shared {
    nodes: Vec<Node>,
    spare: u32,
    bins: Bins<NONE>,
    /// Blocks taken so far, modulo 2³².
    clock: u32,
    pub(super) reserved: u64,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![NOBODY],
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

    /// The block at `index`, if there is one and it begins at `offset` in `page`.
    #[inline(always)]
    pub(super) fn block(&self, index: u32, page: u32, offset: u32) -> Option<&Node> {
        let node = self.nodes.get(index as usize)?;
        (node.slack < SPARE && node.page == page && node.offset == offset).then_some(node)
    }

    /// A page that is one hole; returns its first node, which stays its first.
    pub(super) fn add_page(&mut self, page: u32, units: u32, bytes: u64) -> u32 {
        self.reserved += bytes;
        let index = self.new_node(Node {
            units,
            page,
            ..NOBODY
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
        } else {
            let high =
                whole - units <= units && below != NONE && above != NONE && self.is_newer(above, below);
            // Selected rather than branched on: which end it is follows no pattern.
            let upper = self.split(hole, if high { whole - units } else { units });
            let (block, rest) = if high { (upper, hole) } else { (hole, upper) };
            self.file(rest);
            block
        };
        self.clock = self.clock.wrapping_add(1);
        let node = &mut self.nodes[block as usize];
        (node.after_hole, node.slack) = (self.clock, slack);
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
        self.nodes[node.above as usize].below = high;
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
        if self.is_hole(above) {
            self.unfile(above);
            self.merge(index, above);
        }
        let below = self.nodes[index as usize].below;
        if self.is_hole(below) {
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
            .filter(|(_, node)| node.slack < SPARE)
    }

    #[inline(always)]
    fn is_hole(&self, index: u32) -> bool {
        self.nodes[index as usize].slack == HOLE
    }

    #[inline(always)]
    fn merge(&mut self, low: u32, high: u32) {
        let Node { units, above, .. } = self.nodes[high as usize];
        let node = &mut self.nodes[low as usize];
        (node.units, node.above) = (node.units + units, above);
        self.nodes[above as usize].below = low;
        self.retire(high);
    }

    /// Files a hole in front of the others of its bin, but behind one of an earlier page: what comes first is of an
    /// early page then, most of the time.
    #[inline(always)]
    fn file(&mut self, index: u32) {
        let Node { units, page, .. } = self.nodes[index as usize];
        let bin = bin_of(u64::from(units));
        let head = self.bins.head(bin);
        let first = &self.nodes[head as usize];
        let behind = first.page < page;
        let (before, after) = if behind {
            (head, first.after_hole)
        } else {
            (NONE, head)
        };
        self.link(bin, before, index);
        self.nodes[after as usize].before_hole = index;
        let node = &mut self.nodes[index as usize];
        (node.before_hole, node.after_hole, node.slack) = (before, after, HOLE);
    }

    #[inline(always)]
    fn unfile(&mut self, index: u32) {
        let Node {
            units,
            before_hole,
            after_hole,
            ..
        } = self.nodes[index as usize];
        self.nodes[after_hole as usize].before_hole = before_hole;
        self.link(bin_of(u64::from(units)), before_hole, after_hole);
    }

    /// Lets a hole follow another in its bin, or begin it.
    #[inline(always)]
    fn link(&mut self, bin: usize, before: u32, hole: u32) {
        self.nodes[before as usize].after_hole = hole;
        let head = if before == NONE { hole } else { self.bins.head(bin) };
        self.bins.set_head(bin, head);
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
        (node.slack, node.after_hole) = (SPARE, self.spare);
        self.spare = index;
    }
}

#[cfg(test)]
mod audit;
