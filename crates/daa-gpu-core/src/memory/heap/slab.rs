//! A page of blocks of one size: a two-level bitmap of those that are free.

/// Blocks in a page at most: 64 words of 64 bits, so that one more word says which of them have a bit.
pub(super) const MOST_BLOCKS: u32 = 64 * 64;

/// One page's blocks.
#[derive(Debug, Default)]
pub(super) struct Slab {
    /// The bin of its blocks' size.
    pub(super) class: u32,
    pub(super) count: u32,
    pub(super) used: u32,
    /// Words that have a bit set.
    summary: u64,
    /// A set bit is a free block.
    free: Vec<u64>,
    /// What each block in use was not asked for, in bytes.
    slack: Vec<u32>,
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
            free,
            slack: vec![0; count as usize],
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
        self.free[word] = bits & (bits - 1);
        if self.free[word] == 0 {
            self.summary &= !(1 << word);
        }
        self.used += 1;
        self.slack[block as usize] = slack;
        block
    }

    /// Whether there is such a block and it is in use.
    #[inline(always)]
    pub(super) fn is_taken(&self, block: u32) -> bool {
        let word = self.free.get(block as usize / 64);
        block < self.count && word.is_some_and(|word| word >> (block % 64) & 1 == 0)
    }

    /// Frees a block in use.
    #[inline(always)]
    pub(super) fn give(&mut self, block: u32) {
        self.free[block as usize / 64] |= 1 << (block % 64);
        self.summary |= 1 << (block / 64);
        self.used -= 1;
    }

    /// The blocks in use with their slack, in order.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (u32, u32)> {
        let taken = (0..self.count).filter(|&block| self.is_taken(block));
        taken.map(|block| (block, self.slack[block as usize]))
    }
}
