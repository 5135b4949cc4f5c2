//! Whether the books of the shared pages are in order, for tests.

use super::super::bins::bin_of;
use super::{HOLE, NONE, SPARE, Shared};
use std::collections::BTreeSet;

impl Shared {
    /// Holes by index, from the bins.
    fn filed(&self) -> BTreeSet<u32> {
        let mut filed = BTreeSet::new();
        let mut bin = 0;
        while let Some(found) = self.bins.first_from(bin) {
            let (mut hole, mut before) = (self.bins.head(found), NONE);
            assert_ne!(hole, NONE, "a bit without a hole");
            while hole != NONE {
                let node = &self.nodes[hole as usize];
                assert_eq!(bin_of(u64::from(node.units)), found, "in its bin");
                assert_eq!(node.before_hole, before);
                assert!(filed.insert(hole), "filed once");
                (before, hole) = (hole, node.after_hole);
            }
            bin = found + 1;
        }
        filed
    }

    /// `pages` are the slots, sizes in units and first nodes of all pages.
    pub(in super::super) fn audit(&self, pages: &[(u32, u32, u32)]) {
        let mut filed = self.filed();
        let mut seen = 0;
        for &(slot, units, first) in pages {
            let (mut index, mut below, mut offset, mut after_hole) = (first, NONE, 0, false);
            while index != NONE {
                let node = &self.nodes[index as usize];
                assert_eq!((node.page, node.offset, node.below), (slot, offset, below));
                assert!(node.units > 0);
                assert_ne!(node.slack, SPARE);
                let is_block = node.slack != HOLE;
                if !is_block {
                    assert!(!after_hole, "neighbouring holes are one");
                    assert!(filed.remove(&index), "every hole is filed");
                }
                seen += 1;
                (after_hole, offset, below, index) = (!is_block, offset + node.units, index, node.above);
            }
            assert_eq!(offset, units, "no byte is lost");
        }
        assert!(filed.is_empty(), "what is filed is in a page");
        let mut spare = self.spare;
        while spare != NONE {
            assert_eq!(self.nodes[spare as usize].slack, SPARE);
            seen += 1;
            spare = self.nodes[spare as usize].after_hole;
        }
        assert_eq!(seen + 1, self.nodes.len(), "no node is lost");
    }
}
