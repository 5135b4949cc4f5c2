//! A page of blocks of one size: a two-level bitmap of those that are free.

/// Blocks in a page at most: 64 words of 64 bits, so that one more word says which of them have a bit.
pub(super) const MOST_BLOCKS: u32 = 64 * 64;

/// One page's blocks.
///
/// What most requests touch comes first, so that it shares a cache line with what they touch of the page.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Slab {
    /// The bin of its blocks' size.
    pub(super) class: u32,
    pub(super) count: u32,
    pub(super) used: u32,
    /// Words that have a bit set.
    summary: u64,
    /// A set bit is a free block.
    free: Box<[u64]>,
    /// What each block in use was not asked for, in bytes.
    slack: Box<[u32]>,
}

impl Slab {
    /// `count` free blocks, 1 to [`MOST_BLOCKS`].
    pub(super) fn new(class: u32, count: u32) -> Self {
        let words = count.div_ceil(64);
        let mut free = vec![u64::MAX; words as usize];
        if !count.is_multiple_of(64) {
            free[words as usize - 1] = (1 << (count % 64)) - 1;
        }
        Self {
            class,
            count,
            used: 0,
            summary: u64::MAX >> (64 - words),
            free: free.into(),
            slack: vec![0; count as usize].into(),
        }
    }

    #[inline(always)]
    pub(super) const fn is_full(&self) -> bool {
        self.used == self.count
    }

    /// The first free block. There is one.
    #[inline(always)]
    pub(super) fn take(&mut self, slack: u32) -> u32 {
        let word = self.summary.trailing_zeros() as usize;
        let bits = self.free[word];
        let block = word as u32 * 64 + bits.trailing_zeros();
        let rest = bits & (bits - 1);
        self.free[word] = rest;
        self.summary &= !(u64::from(rest == 0) << word);
        self.used += 1;
        self.slack[block as usize] = slack;
        block
    }

    /// What such a block was not asked for, in bytes; `None` if it is not in use.
    #[inline(always)]
    pub(super) fn slack_of(&self, block: u32) -> Option<u32> {
        let word = self.free.get(block as usize / 64)?;
        let taken = word >> (block % 64) & 1 == 0;
        self.slack.get(block as usize).filter(|_| taken).copied()
    }

    /// Frees a block in use.
    #[inline(always)]
    pub(super) fn give(&mut self, block: u32) {
        self.free[block as usize / 64] |= 1 << (block % 64);
        self.summary |= 1 << (block / 64);
        self.used -= 1;
    }

    /// The blocks in use, in order.
    pub(super) fn blocks(&self) -> impl Iterator<Item = u32> {
        (0..self.count).filter(|&block| self.slack_of(block).is_some())
    }
}
