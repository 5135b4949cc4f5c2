//! The time axis cut where anything starts or ends: between two cuts the same lifetimes are live.

use super::Lifetime;

/// Pairs of lifetimes that share a step, and memberships of lifetimes in sections, that are kept at most: what the
/// exact search needs in memory. Beyond it only the greedy search runs.
const RELATION_LIMIT: usize = 1_000_000;

/// One lifetime that is live in some step and takes some bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// Its index among the lifetimes given.
    pub(super) index: usize,
    /// First section it is live in.
    pub(super) from: usize,
    /// One past the last section.
    pub(super) to: usize,
    /// Steps it is live in.
    pub(super) width: u64,
    /// Bytes.
    pub(super) size: u64,
}

/// Lists of numbers, one behind the other.
#[derive(Debug)]
struct Lists {
    starts: Vec<usize>,
    values: Vec<usize>,
}

impl Lists {
    fn get(&self, at: usize) -> &[usize] {
        &self.values[self.starts[at]..self.starts[at + 1]]
    }

    /// Groups pairs by their first number, which is below `count`.
    fn group(count: usize, pairs: impl Iterator<Item = (usize, usize)> + Clone) -> Self {
        let mut starts = vec![0; count + 1];
        for (key, _) in pairs.clone() {
            starts[key + 1] += 1;
        }
        for at in 0..count {
            starts[at + 1] += starts[at];
        }
        let mut next = starts.clone();
        let mut values = vec![0; starts[count]];
        for (key, value) in pairs {
            values[next[key]] = value;
            next[key] += 1;
        }
        Self { starts, values }
    }
}

/// The blocks, and what of them meets where.
#[derive(Debug)]
pub(super) struct Sections {
    pub(super) blocks: Vec<Block>,
    /// Number of sections.
    pub(super) count: usize,
    /// What divides every size, so that only its multiples need to be tried as capacities.
    pub(super) unit: u64,
    members: Lists,
    neighbours: Lists,
}

impl Sections {
    /// `None` where nothing is live, sums overflow, or there is too much of it.
    pub(super) fn new(items: &[Lifetime]) -> Option<Self> {
        let live = |item: &Lifetime| item.lower < item.upper && item.size > 0;
        let mut steps: Vec<u32> = items
            .iter()
            .filter(|item| live(item))
            .flat_map(|item| [item.lower, item.upper])
            .collect();
        steps.sort_unstable();
        steps.dedup();
        let count = steps.len().checked_sub(1)?;
        let section = |step: u32| steps.partition_point(|&other| other < step);
        let blocks: Vec<Block> = items
            .iter()
            .enumerate()
            .filter(|(_, item)| live(item))
            .map(|(index, item)| Block {
                index,
                from: section(item.lower),
                to: section(item.upper),
                width: u64::from(item.upper - item.lower),
                size: item.size,
            })
            .collect();
        // No offset can overflow where twice the sum of all sizes does not.
        let sum = blocks
            .iter()
            .try_fold(0_u64, |sum, block| sum.checked_add(block.size))?;
        sum.checked_mul(2)?;
        let unit = blocks.iter().fold(0, |unit, block| divisor(unit, block.size));
        let (members, neighbours) = relations(&blocks, count)?;
        Some(Self {
            blocks,
            count,
            unit,
            members,
            neighbours,
        })
    }

    /// The blocks live in a section.
    pub(super) fn members(&self, section: usize) -> &[usize] {
        self.members.get(section)
    }

    /// Sections that blocks are live in, summed up: what one pass over them costs.
    pub(super) const fn memberships(&self) -> usize {
        self.members.values.len()
    }

    /// The blocks that share a step with `block`.
    pub(super) fn neighbours(&self, block: usize) -> &[usize] {
        self.neighbours.get(block)
    }
}

fn relations(blocks: &[Block], count: usize) -> Option<(Lists, Lists)> {
    let memberships: usize = blocks.iter().map(|block| block.to - block.from).sum();
    if memberships > RELATION_LIMIT {
        return None;
    }
    let living = blocks
        .iter()
        .enumerate()
        .flat_map(|(at, block)| (block.from..block.to).map(move |section| (section, at)));
    let members = Lists::group(count, living);
    // Two blocks share a step when one is live where the other starts: each pair is found once, by the later start.
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    for (at, block) in blocks.iter().enumerate() {
        for &other in members.get(block.from) {
            let earlier = (blocks[other].from, other) < (block.from, at);
            if earlier {
                pairs.push((at, other));
                pairs.push((other, at));
            }
        }
        if pairs.len() > RELATION_LIMIT {
            return None;
        }
    }
    pairs.sort_unstable();
    let neighbours = Lists::group(blocks.len(), pairs.iter().copied());
    Some((members, neighbours))
}

/// The greatest common divisor.
const fn divisor(mut one: u64, mut other: u64) -> u64 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}
