//! A random mix of allocations for sub-allocators, and the contenders that run it.

use daa_base::{Rng, Seed};
use daa_gpu_core::Bytes;
use daa_gpu_core::memory::heap::{Block, Colour, Heap, HeapConfig};
use offset_allocator::{Allocation, Allocator};

/// What every block is aligned to, and the unit of the `offset-allocator` crate.
const UNIT: u64 = 256;

/// A sub-allocator.
pub trait Contender {
    /// What it needs to free a block.
    type Block;

    /// A block, if there is room.
    fn allocate(&mut self, bytes: u64) -> Option<Self::Block>;

    /// Gives it back.
    fn free(&mut self, block: Self::Block);
}

impl Contender for Heap {
    type Block = Block;

    #[inline]
    fn allocate(&mut self, bytes: u64) -> Option<Block> {
        match self.allocate_hit(Colour::ReadWrite, bytes) {
            Some(block) => Some(block),
            None => missed(self, bytes),
        }
    }

    #[inline]
    fn free(&mut self, block: Block) {
        drop(Self::free(self, block));
    }
}

/// Makes a page, on paper.
#[cold]
#[inline(never)]
fn missed(heap: &mut Heap, bytes: u64) -> Option<Block> {
    let granted = heap.allocate(Colour::ReadWrite, bytes);
    granted.ok().map(|granted| granted.block)
}

/// The `offset-allocator` crate: one arena, no pages.
#[derive(Debug)]
pub struct Offset(Allocator);

impl Offset {
    /// An arena of `bytes`.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self(Allocator::new((bytes / UNIT) as u32))
    }
}

impl Contender for Offset {
    type Block = Allocation;

    #[inline]
    fn allocate(&mut self, bytes: u64) -> Option<Allocation> {
        self.0.allocate(bytes.div_ceil(UNIT) as u32)
    }

    #[inline]
    fn free(&mut self, block: Allocation) {
        self.0.free(block);
    }
}

/// A heap with the defaults for `capacity` that never gives a page up.
///
/// # Panics
/// The capacity is 0 or above 1 PiB.
#[must_use]
pub fn heap(capacity: u64) -> Heap {
    let mut config = HeapConfig::new(Bytes(capacity), UNIT);
    config.keep = config.capacity;
    Heap::new(config).expect("the defaults are valid")
}

/// A heap of one page of `bytes` and nothing else.
///
/// # Panics
/// `bytes` is less than 256 or more than 2³¹ times as much.
#[must_use]
pub fn one_page(bytes: u64) -> Heap {
    Heap::new(HeapConfig::one_page(Bytes(bytes), UNIT)).expect("the page is not too large")
}

/// Sizes log-uniform from 256 B to 64 MiB; what is asked for stays just under 80 % of the arena, where neither contender has
/// to refuse often.
#[derive(Debug)]
pub struct Mix<C: Contender> {
    contender: C,
    limit: u64,
    live: Vec<(C::Block, u64)>,
    bytes: u64,
    steps: Vec<(u64, usize)>,
    next: usize,
    random: usize,
    /// Allocations that were refused.
    pub refusals: u64,
}

impl<C: Contender> Mix<C> {
    /// With an arena of `arena` bytes behind the contender, filled.
    #[must_use]
    pub fn new(contender: C, arena: u64) -> Self {
        let mut rng = Seed(1).stream("allocation-mix").rng();
        let step = |rng: &mut Rng| {
            (
                (256.0 * (18.0 * rng.uniform()).exp2()) as u64,
                rng.below(usize::MAX >> 1),
            )
        };
        let mut mix = Self {
            contender,
            limit: arena / 10 * 8,
            live: Vec::new(),
            bytes: 0,
            steps: (0..1 << 18).map(|_| step(&mut rng)).collect(),
            next: 0,
            random: 0,
            refusals: 0,
        };
        for _ in 0..1 << 18 {
            mix.step();
        }
        mix.refusals = 0;
        mix
    }

    /// The next allocation, or, where what is asked for would be too much or it is refused, one free. It comes next again
    /// then, so that the sizes of the blocks stay log-uniform.
    pub fn step(&mut self) {
        let (bytes, random) = self.steps[self.next % self.steps.len()];
        if self.bytes + bytes <= self.limit {
            if let Some(block) = self.contender.allocate(bytes) {
                self.next += 1;
                self.bytes += bytes;
                self.live.push((block, bytes));
                return;
            }
            self.refusals += 1;
        }
        if !self.live.is_empty() {
            self.random = self.random.wrapping_add(random);
            let (block, bytes) = self.live.swap_remove(self.random % self.live.len());
            self.bytes -= bytes;
            self.contender.free(block);
        }
    }
}
