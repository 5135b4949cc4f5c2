//! The heap against a model that knows nothing but intervals.

use super::*;
use crate::memory::effort::operations;
use daa_base::{Rng, Seed};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What the caller of a heap knows.
struct Model {
    heap: Heap,
    pages: BTreeMap<PageId, (NewPage, BTreeMap<u64, u64>)>,
    live: Vec<(Colour, Block, Span)>,
    /// Made ahead for a tier.
    ahead: BTreeMap<PageId, Tier>,
}

impl Model {
    fn new(config: HeapConfig) -> Self {
        let mut heap = Heap::new(config).unwrap();
        let made = heap.prepare().expect("the capacity has room for it");
        let wanted: u64 = heap
            .config()
            .tiers
            .iter()
            .map(|tier| tier.preallocate.get())
            .sum();
        let page = |page: NewPage| (page.id, (page, BTreeMap::new()));
        let model = Self {
            ahead: made.iter().map(|(page, tier)| (page.id, *tier)).collect(),
            pages: made.into_iter().map(|(new, _)| page(new)).collect(),
            live: Vec::new(),
            heap,
        };
        assert!(model.heap.reserved() >= wanted && model.heap.report().idle.get() >= wanted);
        model
    }

    fn gone(&mut self, ids: Vec<PageId>) {
        for id in ids {
            let (_, blocks) = self.pages.remove(&id).expect("a page is given up once");
            assert!(blocks.is_empty(), "a page with blocks is never given up");
        }
    }

    fn enter(&mut self, colour: Colour, wanted: u64, block: Block) {
        let alignment = self.heap.config().alignment;
        let span = self.heap.span(block).expect("it is in use");
        assert_eq!(span.wanted, wanted);
        assert!(span.bytes >= wanted.max(1));
        assert_eq!((span.offset % alignment, span.bytes % alignment), (0, 0));
        let (page, blocks) = self.pages.get_mut(&block.page()).expect("the page was made");
        assert_eq!(page.colour, colour);
        let tier = self.ahead.get(&block.page());
        assert!(
            tier.is_none_or(|&tier| tier == Tier::of(Bytes(wanted))),
            "made ahead for another tier"
        );
        assert!(span.end() <= page.bytes);
        let below = blocks.range(..span.end()).next_back();
        assert!(below.is_none_or(|(_, &other)| other <= span.offset), "no overlap");
        blocks.insert(span.offset, span.end());
        self.live.push((colour, block, span));
    }

    fn leave(&mut self, index: usize) -> Block {
        let (_, block, span) = self.live.swap_remove(index);
        assert_eq!(self.heap.span(block), Some(span), "blocks stay where they are");
        let (_, blocks) = self.pages.get_mut(&block.page()).unwrap();
        assert_eq!(blocks.remove(&span.offset), Some(span.end()));
        block
    }

    fn allocate(&mut self, colour: Colour, bytes: u64) -> Option<Granted> {
        let before = self.heap.report();
        match self.heap.allocate(colour, bytes) {
            Ok(granted) => {
                self.gone(granted.evicted.clone());
                if let Some(page) = granted.new_page {
                    let new = self.pages.insert(page.id, (page, BTreeMap::new()));
                    assert!(new.is_none(), "names are not used again");
                }
                self.enter(colour, bytes, granted.block);
                Some(granted)
            }
            Err(refusal) => {
                let after = self.heap.report();
                assert_eq!((before.in_use, before.reserved), (after.in_use, after.reserved));
                assert_eq!(refusal.wanted, Bytes(bytes));
                self.check_refusal(colour, bytes, refusal);
                None
            }
        }
    }

    /// There really is no room.
    fn check_refusal(&self, colour: Colour, bytes: u64, refusal: HeapRefusal) {
        let config = self.heap.config();
        if let HeapLimit::Tier(tier) = refusal.limit {
            let in_use: u64 = self
                .live
                .iter()
                .filter(|(_, _, span)| Tier::of(Bytes(span.wanted)) == tier)
                .map(|(_, _, span)| span.bytes)
                .sum();
            assert!(in_use + bytes.max(1) > config.tiers[tier.index()].max_in_use.get() - config.alignment);
            return;
        }
        let firm: u64 = self
            .pages
            .values()
            .filter(|(_, blocks)| !blocks.is_empty())
            .map(|(page, _)| page.bytes)
            .sum();
        let rounded = bytes
            .max(1)
            .checked_next_multiple_of(config.alignment)
            .unwrap_or(u64::MAX);
        assert!(
            firm.saturating_add(rounded) > config.capacity.get(),
            "a page could have been made"
        );
        for (page, blocks) in self
            .pages
            .values()
            .filter(|(page, _)| page.colour == colour && page.kind == PageKind::Shared)
            .filter(|(page, _)| {
                let tier = self.ahead.get(&page.id);
                tier.is_none_or(|&tier| tier == Tier::of(Bytes(bytes)))
            })
        {
            let mut low = 0;
            for (&offset, &end) in blocks {
                assert!(offset - low < rounded, "a hole would have done");
                low = end;
            }
            assert!(page.bytes - low < rounded, "a hole would have done");
        }
        assert!(refusal.largest_free.get() < bytes.max(1));
    }

    fn free(&mut self, index: usize) {
        let block = self.leave(index);
        let gone = self.heap.free(block);
        self.gone(gone);
        let report = self.heap.report();
        assert!(report.idle <= self.heap.config().keep);
    }

    fn abandon(&mut self, granted: &Granted) {
        let Some(page) = granted.new_page else { return };
        let index = self
            .live
            .iter()
            .position(|(_, block, _)| *block == granted.block)
            .unwrap();
        let block = self.leave(index);
        assert_eq!(self.heap.abandon_page(page.id), [block]);
        self.gone(vec![page.id]);
    }

    /// Moves what is in the sparsest page elsewhere, as far as there is room.
    fn compact(&mut self) {
        let Some(page) = self.heap.sparsest() else { return };
        let blocks = self.heap.blocks_in(page);
        assert!(!blocks.is_empty());
        let count = self.pages.len();
        for block in blocks {
            let index = self
                .live
                .iter()
                .position(|(_, live, _)| *live == block)
                .expect("blocks keep their names");
            let (colour, _, span) = self.live[index];
            let Some(moved) = self.heap.allocate_elsewhere(block) else {
                break;
            };
            assert_ne!(moved.page(), page);
            self.enter(colour, span.wanted, moved);
            let old = self.leave(index);
            let gone = self.heap.free(old);
            self.gone(gone);
        }
        assert!(self.pages.len() <= count);
    }

    /// The heap's books against the model's.
    fn audit(&self) {
        let report = self.heap.report();
        let reserved: u64 = self.pages.values().map(|(page, _)| page.bytes).sum();
        let idle = self
            .pages
            .values()
            .filter(|(_, blocks)| blocks.is_empty())
            .map(|(page, _)| page.bytes)
            .sum();
        assert!(reserved <= report.capacity.get());
        assert_eq!((report.reserved, report.idle), (Bytes(reserved), Bytes(idle)));
        assert_eq!(
            report.live.get(),
            self.live.iter().map(|(_, _, span)| span.wanted).sum::<u64>()
        );
        assert_eq!(
            report.in_use.get(),
            self.live.iter().map(|(_, _, span)| span.bytes).sum::<u64>()
        );
        assert_eq!((report.pages, report.strays), (self.pages.len() as u64, 0));
        assert_eq!(
            report.tiers.iter().map(|tier| tier.blocks).sum::<u64>(),
            self.live.len() as u64
        );
        assert!(report.largest_free <= report.free());
        for (&id, (_, blocks)) in &self.pages {
            let told: BTreeMap<u64, u64> = self
                .heap
                .blocks_in(id)
                .iter()
                .filter_map(|&block| self.heap.span(block))
                .map(|span| (span.offset, span.end()))
                .collect();
            assert_eq!(told, *blocks);
        }
        for room in 0..ROOMS {
            let pages = self
                .heap
                .pages
                .iter()
                .filter(|(_, page, kind)| usize::from(page.room) == room && *kind == PageKind::Shared);
            let units = |bytes: u64| (bytes / self.heap.config.alignment) as u32;
            let pages: Vec<_> = pages
                .map(|(slot, page, _)| (slot, units(page.bytes), page.mark))
                .collect();
            self.heap.shared[room].audit(&pages);
        }
    }
}

#[derive(Debug, Clone)]
enum Op {
    Allocate(Colour, u64),
    /// Allocated, and the driver refuses the page if there is a new one.
    Refused(Colour, u64),
    Free(usize),
    Trim(u64),
    Compact,
}

fn step(model: &mut Model, op: &Op) {
    match *op {
        Op::Allocate(colour, bytes) => drop(model.allocate(colour, bytes)),
        Op::Refused(colour, bytes) => {
            if let Some(granted) = model.allocate(colour, bytes) {
                model.abandon(&granted);
            }
        }
        Op::Free(index) if !model.live.is_empty() => model.free(index % model.live.len()),
        Op::Free(_) => {}
        Op::Trim(target) => {
            let gone = model.heap.trim(target);
            model.gone(gone);
            let report = model.heap.report();
            assert!(report.reserved.get() <= target || report.idle == Bytes::ZERO);
        }
        Op::Compact => model.compact(),
    }
}

fn config(capacity: u64, alignment_log2: u32, slabs: bool, keep: u64) -> HeapConfig {
    HeapConfig {
        slab_below: Bytes(if slabs { 2048 } else { 0 }),
        slab_page: Bytes(8192),
        first_page: Bytes(4096),
        page: Bytes(65_536),
        dedicated_from: Bytes(20_000),
        keep: Bytes(keep),
        ..HeapConfig::new(Bytes(capacity), 1 << alignment_log2)
    }
}

fn colour() -> impl Strategy<Value = Colour> {
    prop_oneof![4 => Just(Colour::ReadWrite), 1 => Just(Colour::ReadOnly), 1 => Just(Colour::Uniform)]
}

fn sizes() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..300,
        0_u64..5000,
        0_u64..40_000,
        0_u64..200_000,
        Just(u64::MAX)
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (colour(), sizes()).prop_map(|(colour, bytes)| Op::Allocate(colour, bytes)),
        1 => (colour(), sizes()).prop_map(|(colour, bytes)| Op::Refused(colour, bytes)),
        7 => any::<usize>().prop_map(Op::Free),
        1 => (0_u64..300_000).prop_map(Op::Trim),
        1 => Just(Op::Compact),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 192 }))]
    #[test]
    fn no_byte_is_lost_or_given_twice(
        capacity in 1_000_u64..400_000, alignment_log2 in 0_u32..10, slabs in any::<bool>(), keep in 0_u64..200_000,
        limit in prop_oneof![3 => Just(u64::MAX), 1 => 0_u64..100_000],
        ahead in proptest::array::uniform3(prop_oneof![Just(0_u64), 1_u64..300]),
        ops in proptest::collection::vec(op(), 1..if cfg!(miri) { 16 } else { 160 }),
    ) {
        let mut config = config(capacity, alignment_log2, slabs, keep);
        config.tiers[1].max_in_use = Bytes(limit);
        // Less than the smallest capacity, each rounded up to the alignment.
        for (tier, ahead) in config.tiers.iter_mut().zip(ahead) {
            let fits = ahead.next_multiple_of(config.alignment) * 3 <= capacity;
            tier.preallocate = Bytes(if fits { ahead } else { 0 });
        }
        let mut model = Model::new(config);
        for op in &ops {
            step(&mut model, op);
            model.audit();
        }
        while !model.live.is_empty() {
            model.free(0);
        }
        let gone = model.heap.trim(0);
        model.gone(gone);
        model.audit();
        prop_assert_eq!((model.heap.reserved(), model.pages.len()), (0, 0));
    }
}

fn random_op(rng: &mut Rng, fill: usize) -> Op {
    let size = (16.0 * 13_f64.exp2().powf(rng.uniform()) * 4_f64.powf(rng.uniform() - 0.5)) as u64;
    match rng.below(1000) {
        0..3 => Op::Compact,
        3..5 => Op::Trim(rng.below(4 << 20) as u64),
        5..10 => Op::Refused(Colour::ALL[rng.below(3)], size),
        roll if roll < fill => Op::Allocate(Colour::ALL[rng.below(4) % 3], size),
        _ => Op::Free(rng.below(usize::MAX >> 1)),
    }
}

/// Long runs, in which the heap fills up and empties again.
#[test]
fn a_million_operations_keep_the_books_in_order() {
    let operations = operations(250_000);
    for (run, slabs, keep) in [
        (0, true, 1 << 20),
        (1, false, 0),
        (2, true, 0),
        (3, false, 1 << 20),
    ] {
        let mut rng = Seed(run).stream("heap-model").rng();
        let mut model = Model::new(config(4 << 20, 8 - 2 * run as u32, slabs, keep));
        for count in 0..operations {
            let fill = if count / 2000 % 3 == 2 { 400 } else { 600 };
            step(&mut model, &random_op(&mut rng, fill));
            if count % 5000 == 0 {
                model.audit();
            }
        }
        model.audit();
        let report = model.heap.report();
        assert!(cfg!(miri) || report.tiers[1].refusals > 0, "it was full at times");
    }
}
