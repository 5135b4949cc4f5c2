//! MiniMalloc's lifetimes replayed online in one page, against first fit and best fit.

use super::*;
use crate::memory::layout::Lifetime;
use crate::memory::samples::minimalloc;

#[derive(Debug, Clone, Copy)]
enum Event {
    Allocate(usize),
    Free(usize),
}

/// At each step first what ends, then what begins, each in the order of the file.
fn events(lifetimes: &[Lifetime]) -> Vec<Event> {
    let mut events: Vec<(u32, bool, usize)> = Vec::new();
    for (index, life) in lifetimes.iter().enumerate() {
        events.extend([(life.lower, true, index), (life.upper, false, index)]);
    }
    events.sort_unstable();
    let event = |(_, begins, index)| {
        if begins {
            Event::Allocate(index)
        } else {
            Event::Free(index)
        }
    };
    events.into_iter().map(event).collect()
}

/// The highest end if each lifetime goes to the hole with the least `cost(offset, what is left of it)`, and to the end of
/// the used range only if no hole fits.
fn reference(lifetimes: &[Lifetime], cost: impl Fn(u64, u64) -> (u64, u64)) -> u64 {
    let mut blocks: Vec<(u64, u64, usize)> = Vec::new();
    let mut highest = 0;
    for event in events(lifetimes) {
        match event {
            Event::Free(index) => blocks.retain(|block| block.2 != index),
            Event::Allocate(index) => {
                let size = lifetimes[index].size;
                let ends = std::iter::once(0).chain(blocks.iter().map(|block| block.1));
                let holes = ends.zip(blocks.iter().map(|block| block.0));
                let fitting = holes.filter(|(low, high)| high - low >= size);
                let best = fitting.min_by_key(|(low, high)| cost(*low, high - low - size));
                let offset = best.map_or(blocks.last().map_or(0, |block| block.1), |(low, _)| low);
                let place = blocks.partition_point(|block| block.0 < offset);
                blocks.insert(place, (offset, offset + size, index));
                highest = highest.max(offset + size);
            }
        }
    }
    highest
}

fn online(lifetimes: &[Lifetime]) -> u64 {
    let mut heap = Heap::new(HeapConfig::one_page(Bytes::mib(16), 1)).unwrap();
    let mut blocks = vec![None; lifetimes.len()];
    for event in events(lifetimes) {
        match event {
            Event::Allocate(index) => {
                let granted = heap.allocate(Colour::ReadWrite, lifetimes[index].size).unwrap();
                blocks[index] = Some(granted.block);
            }
            Event::Free(index) => drop(heap.free(blocks[index].take().unwrap())),
        }
    }
    let report = heap.report();
    assert_eq!((report.live, report.creations), (Bytes::ZERO, 1));
    report.highest_end.get()
}

#[test]
fn one_page_ends_no_higher_than_first_fit_and_best_fit() {
    for (name, lifetimes) in minimalloc() {
        let first = reference(&lifetimes, |low, _| (low, 0));
        let best = reference(&lifetimes, |low, rest| (rest, low));
        let ours = online(&lifetimes);
        assert!(
            ours <= first.min(best),
            "{name}: {ours}, first fit {first}, best fit {best}"
        );
    }
}
