//! Size bins with a two-level bitmap: finding the first bin that is not empty takes two bit scans.

/// Bins per doubling of the size, as a power of two.
const PER_DOUBLING_LOG2: u32 = 3;

/// Words of 64 bins each, enough for every size of 64 bits.
const WORDS: usize = 8;

/// Ends a list of pages.
pub(super) const NONE: u32 = u32::MAX;

/// Where something of `units` is filed: the last bin whose least size is not above it. Sizes below 16 have a bin each,
/// larger ones eight bins per doubling. Zero and one share their place in the order, not their bin.
#[inline(always)]
pub(super) const fn bin_of(units: u64) -> usize {
    let doubling = (units | 1 << PER_DOUBLING_LOG2).ilog2() - PER_DOUBLING_LOG2;
    ((doubling as usize) << PER_DOUBLING_LOG2) + (units >> doubling) as usize
}

/// The least size that is filed in `bin`.
#[inline(always)]
pub(super) const fn least_of(bin: usize) -> u64 {
    let doubling = (bin >> PER_DOUBLING_LOG2).saturating_sub(1);
    ((bin - (doubling << PER_DOUBLING_LOG2)) as u64) << doubling
}

/// The first bin in which everything is at least `units` large.
#[inline(always)]
pub(super) const fn bin_above(units: u64) -> usize {
    let bin = bin_of(units);
    bin + (least_of(bin) != units) as usize
}

/// The heads of one list per bin, and which of them are not empty: those whose head is not `NONE`. The links are with what
/// is filed.
#[derive(Debug, Clone)]
pub(super) struct Bins<const NONE: u32> {
    heads: Box<[u32; WORDS * 64]>,
    words: [u64; WORDS],
    summary: u32,
}

impl<const NONE: u32> Bins<NONE> {
    pub(super) fn new() -> Self {
        Self {
            heads: Box::new([NONE; WORDS * 64]),
            words: [0; WORDS],
            summary: 0,
        }
    }

    #[inline(always)]
    pub(super) fn head(&self, bin: usize) -> u32 {
        self.heads[bin]
    }

    /// Without a branch on whether the bin was empty or will be: which it is follows no pattern.
    #[inline(always)]
    pub(super) fn set_head(&mut self, bin: usize, head: u32) {
        self.heads[bin] = head;
        let (word, bit) = (bin / 64, bin % 64);
        let bits = self.words[word] & !(1 << bit) | u64::from(head != NONE) << bit;
        self.words[word] = bits;
        self.summary = self.summary & !(1 << word) | u32::from(bits != 0) << word;
    }

    /// The first bin from `bin` on that holds something.
    #[inline(always)]
    pub(super) fn first_from(&self, bin: usize) -> Option<usize> {
        let word = bin / 64;
        let rest = self.words.get(word)? & (u64::MAX << (bin % 64));
        if rest != 0 {
            return Some(word * 64 + rest.trailing_zeros() as usize);
        }
        let later = self.summary & (u32::MAX << (word + 1));
        if later == 0 {
            return None;
        }
        let word = later.trailing_zeros() as usize;
        Some(word * 64 + self.words[word].trailing_zeros() as usize)
    }

    /// The last bin that holds something.
    pub(super) fn last(&self) -> Option<usize> {
        let word = self.summary.checked_ilog2()? as usize;
        Some(word * 64 + self.words[word].ilog2() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bins_are_ordered_and_at_most_one_eighth_wide(shift in 0_u32..64, low in any::<u64>()) {
            let units = (low >> shift).max(1);
            let bin = bin_of(units);
            prop_assert!(bin < WORDS * 64);
            prop_assert!(least_of(bin) <= units);
            if bin + 1 < bin_of(u64::MAX) {
                prop_assert!(units < least_of(bin + 1));
            }
            prop_assert!(units - least_of(bin) <= least_of(bin) / 8);
            prop_assert_eq!(bin_of(least_of(bin)), bin);
            let above = bin_above(units);
            prop_assert!(above == bin || above == bin + 1);
        }

        #[test]
        fn the_first_and_last_bins_are_found(
            changes in proptest::collection::vec((0_usize..496, any::<bool>()), 1..60), from in 0_usize..500,
        ) {
            let mut bins = Bins::<NONE>::new();
            let mut model = std::collections::BTreeSet::new();
            for (bin, filled) in changes {
                bins.set_head(bin, if filled { 7 } else { NONE });
                if filled { model.insert(bin); } else { model.remove(&bin); }
            }
            prop_assert_eq!(bins.first_from(from), model.range(from..).next().copied());
            prop_assert_eq!(bins.last(), model.last().copied());
        }
    }
}
