//! A random mix in the style of RMM's `random_allocations` benchmark: 73 % of the operations allocate, sizes are
//! log-uniform from 256 B to 64 MiB, the budget is 4 GiB. An allocation that would bring what is live above 90 % of the
//! budget is not made: a random block is freed instead. So what is live stays just under those 90 %.

use super::*;
use daa_base::{Rng, Seed};
use std::collections::HashMap;

const BUDGET: u64 = 4 << 30;

struct Mix {
    heap: Heap,
    live: Vec<Block>,
    peak_live: u64,
    places: HashMap<Block, usize>,
    refusals: u64,
    compactions: u64,
    moved: u64,
    peak_ratio: f64,
}

impl Mix {
    fn new(capacity: u64) -> Self {
        let mut config = HeapConfig::new(Bytes(BUDGET), 256);
        config.capacity = Bytes(capacity);
        Self {
            heap: Heap::new(config).unwrap(),
            peak_live: 0,
            live: Vec::new(),
            places: HashMap::new(),
            refusals: 0,
            compactions: 0,
            moved: 0,
            peak_ratio: 0.0,
        }
    }

    fn enter(&mut self, block: Block) {
        self.places.insert(block, self.live.len());
        self.live.push(block);
    }

    fn free(&mut self, index: usize) {
        let block = self.live.swap_remove(index);
        self.places.remove(&block);
        if let Some(moved) = self.live.get(index) {
            self.places.insert(*moved, index);
        }
        self.heap.free(block);
    }

    /// Empties one page; whether that worked.
    fn empty(&mut self, page: PageId) -> bool {
        for block in self.heap.blocks_in(page) {
            let Some(to) = self.heap.allocate_elsewhere(block) else {
                return false;
            };
            let index = self.places.remove(&block).expect("blocks keep their names");
            self.places.insert(to, index);
            self.live[index] = to;
            self.moved += self.heap.span(to).unwrap().wanted;
            self.heap.free(block);
        }
        true
    }

    fn allocate(&mut self, bytes: u64, compacts: bool) {
        let mut granted = self.heap.allocate(Colour::ReadWrite, bytes);
        if granted.is_err() && compacts {
            self.compactions += 1;
            for page in self.heap.sparse_pages() {
                self.empty(page);
                granted = self.heap.allocate(Colour::ReadWrite, bytes);
                if granted.is_ok() {
                    break;
                }
            }
        }
        match granted {
            Ok(granted) => self.enter(granted.block),
            Err(_) => self.refusals += 1,
        }
    }

    fn run(&mut self, rng: &mut Rng, operations: usize, compacts: bool) {
        for _ in 0..operations {
            let bytes = (256.0 * (18.0 * rng.uniform()).exp2()) as u64;
            if rng.below(100) < 73 && self.heap.live() + bytes <= BUDGET / 10 * 9 {
                self.allocate(bytes, compacts);
                if self.heap.live() > self.peak_live {
                    self.peak_live = self.heap.live();
                    self.peak_ratio = self.heap.reserved() as f64 / self.heap.live() as f64;
                }
            } else if !self.live.is_empty() {
                let index = rng.below(self.live.len());
                self.free(index);
            }
        }
    }
}

#[test]
fn nothing_is_refused_below_nine_tenths_of_the_budget() {
    let mut mix = Mix::new(BUDGET);
    mix.run(
        &mut Seed(1).stream("heap-mix").rng(),
        if cfg!(miri) { 100 } else { 2_000_000 },
        true,
    );
    let report = mix.heap.report();
    assert_eq!(mix.refusals, 0, "{report:#?}");
    assert!(cfg!(miri) || mix.moved > 0, "nothing had to be moved");
    assert!(
        cfg!(miri) || report.peak_live.get() > BUDGET / 100 * 89,
        "it was full"
    );
}

#[test]
fn little_more_is_reserved_than_live() {
    // A capacity that is never reached: what is reserved is what the heap takes of its own accord.
    let mut mix = Mix::new(4 * BUDGET);
    mix.run(
        &mut Seed(2).stream("heap-mix").rng(),
        if cfg!(miri) { 100 } else { 2_000_000 },
        false,
    );
    let report = mix.heap.report();
    let peaks = report.peak_reserved.get() as f64 / report.peak_live.get() as f64;
    assert!(
        cfg!(miri) || mix.peak_ratio <= 1.15,
        "{}: {report:#?}",
        mix.peak_ratio
    );
    assert!(cfg!(miri) || peaks <= 1.15, "{peaks}: {report:#?}");
    assert_eq!(mix.refusals, 0);
}
