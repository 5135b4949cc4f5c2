//! The blocks and holes of all shared pages of one colour: two-level segregated fit.
//!
//! Holes are filed by size in bins, as in TLSF (Masmano, Ripoll, Crespo and Real, 2004), but a block takes exactly what it
//! needs: what is left of its hole is a hole again, however small, and neighbouring holes are always one.

use super::bins::{Bins, NONE, bin_of};

/// In `Node::before_hole`: the node is a block.
const BLOCK: u32 = u32::MAX - 1;

/// In `Node::before_hole`: the node is not in use.
const SPARE: u32 = u32::MAX - 2;

/// Holes of one bin that are looked at before the best of them is taken.
const LOOKS: usize = 8;

/// A block or a hole. Sizes and offsets are in units of the alignment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) offset: u32,
    pub(super) units: u32,
    /// Neighbours in the page.
    below: u32,
    above: u32,
    /// Neighbours in the bin, or what the node is.
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
    pub(super) reserved: u64,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            nodes: Vec::new(),
            spare: NONE,
            bins: Bins::new(),
            reserved: 0,
        }
    }

    pub(super) fn node(&self, index: u32) -> &Node {
        &self.nodes[index as usize]
    }

    /// Whether there is a block at `index` that begins at `offset` in `page`.
    pub(super) fn is_block(&self, index: u32, page: u32, offset: u64) -> bool {
        self.nodes.get(index as usize).is_some_and(|node| {
            node.before_hole == BLOCK && node.page == page && u64::from(node.offset) == offset
        })
    }

    /// A page that is one hole; returns its first node, which stays its first.
    pub(super) fn add_page(&mut self, page: u32, units: u32) -> u32 {
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
    pub(super) fn remove_page(&mut self, first: u32) {
        self.unfile(first);
        self.retire(first);
    }

    /// A block of `units`, at the low end of the hole that suits it best of those looked at, not in page `not`.
    pub(super) fn take(&mut self, units: u32, slack: u32, may: impl Fn(u32) -> bool) -> Option<u32> {
        let index = self.find(units, may)?;
        self.unfile(index);
        let node = self.nodes[index as usize];
        if node.units > units {
            let rest = self.new_node(Node {
                offset: node.offset + units,
                units: node.units - units,
                below: index,
                above: node.above,
                ..node
            });
            if node.above != NONE {
                self.nodes[node.above as usize].below = rest;
            }
            let node = &mut self.nodes[index as usize];
            (node.above, node.units) = (rest, units);
            self.file(rest);
        }
        let node = &mut self.nodes[index as usize];
        (node.before_hole, node.slack) = (BLOCK, slack);
        Some(index)
    }

    fn find(&self, units: u32, may: impl Fn(u32) -> bool) -> Option<u32> {
        let mut bin = bin_of(u64::from(units));
        while let Some(next) = self.bins.first_from(bin) {
            let (mut best, mut least) = (NONE, u32::MAX);
            let (mut hole, mut looks) = (self.bins.head(next), 0);
            while hole != NONE && looks < LOOKS {
                let node = &self.nodes[hole as usize];
                if node.units >= units && node.units < least && may(node.page) {
                    (best, least) = (hole, node.units);
                    looks += 1;
                }
                hole = node.after_hole;
            }
            if best != NONE {
                return Some(best);
            }
            bin = next + 1;
        }
        None
    }

    /// Makes a hole of a block; returns whether its page is nothing else.
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

    fn is_hole(&self, index: u32) -> bool {
        self.nodes[index as usize].before_hole != BLOCK
    }

    fn merge(&mut self, low: u32, high: u32) {
        let Node { units, above, .. } = self.nodes[high as usize];
        let node = &mut self.nodes[low as usize];
        (node.units, node.above) = (node.units + units, above);
        if above != NONE {
            self.nodes[above as usize].below = low;
        }
        self.retire(high);
    }

    fn file(&mut self, index: u32) {
        let bin = bin_of(u64::from(self.nodes[index as usize].units));
        let head = self.bins.head(bin);
        let node = &mut self.nodes[index as usize];
        (node.before_hole, node.after_hole) = (NONE, head);
        if head != NONE {
            self.nodes[head as usize].before_hole = index;
        }
        self.bins.set_head(bin, index);
    }

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

    fn retire(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        (node.before_hole, node.after_hole) = (SPARE, self.spare);
        self.spare = index;
    }
}
