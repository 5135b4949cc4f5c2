//! Does everything fit into a given capacity? A complete depth-first search over canonical layouts.
//!
//! After M. D. Moffitt, "MiniMalloc: A Lightweight Memory Allocator for Hardware-Accelerated Machine Learning", ASPLOS
//! 2023. Blocks are placed in the order of their offsets, each as low as those placed below it allow, so each layout is
//! met once. A branch ends where a section's floor and what it still has to take exceed the capacity, or where a gap
//! stays open that an unplaced block fits into. Floors count that a block passed over, which must not be placed where it
//! could have been, comes to lie on one of its unplaced neighbours. Where the unplaced blocks fall apart along the time axis, the parts are
//! solved one by one.

use super::sections::{Block, Sections};
use super::watch::Watch;
use std::cmp::Reverse;

/// What blocks are compared by, larger first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// Size times width.
    Area,
    /// The most unplaced bytes in any section that the block is live in.
    Total,
    /// Steps.
    Width,
}

/// The order in which blocks of equal lowest offset are tried.
pub(super) type Order = [Key; 3];

/// What a search found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A layout: [`Fit::offset`] has it.
    Fits,
    /// There is none.
    TooSmall,
    /// The effort was spent first.
    Unknown,
}

/// What to put back when a placement is taken back.
#[derive(Debug, Clone, Copy)]
enum Change {
    Placed(usize),
    Lowest(usize, u64),
    Bound(usize, u64),
    Floor(usize, u64),
}

/// Blocks that no other unplaced block shares a step with, in the order of trying, and the sections they lie in.
#[derive(Debug, Clone)]
struct Part {
    blocks: Vec<usize>,
    from: usize,
    to: usize,
}

/// A block that may come next: its lowest offset, and its rank in its part.
type Choice = (u64, usize);

/// A place to go back to.
#[derive(Debug)]
struct Node {
    part: usize,
    choices: Vec<Choice>,
    /// Choices tried so far. The last one is in place while nodes above this one are searched.
    tried: usize,
    /// Lengths of the changes and parts before the choice in place.
    changes: usize,
    parts: usize,
    /// Nothing unplaced lives beside the choice in place, so no other choice can do better.
    hatless: bool,
    /// Parts that are still to be solved under the choice in place, the next one last.
    pending: Vec<usize>,
    /// The node whose choice made this node's part.
    owner: Option<usize>,
}

/// Where the search goes on: into a part, no lower than an offset, and at that offset no earlier than a rank.
#[derive(Debug, Clone, Copy)]
struct Step {
    part: usize,
    owner: Option<usize>,
    offset: u64,
    rank: usize,
}

impl Step {
    const fn into(part: usize, owner: Option<usize>) -> Self {
        Self {
            part,
            owner,
            offset: 0,
            rank: 0,
        }
    }
}

/// The state of one search.
#[derive(Debug)]
pub(super) struct Fit<'a, 'w> {
    sections: &'a Sections,
    order: Order,
    capacity: u64,
    work: u64,
    /// Of `work`, what was told.
    told: u64,
    watch: &'a Watch<'w>,
    placed: Vec<bool>,
    offsets: Vec<u64>,
    lowest: Vec<u64>,
    /// No layout under the choices in place has a block below this.
    bounds: Vec<u64>,
    floors: Vec<u64>,
    totals: Vec<u64>,
    /// Unplaced blocks live on both sides of the end of a section.
    bridges: Vec<usize>,
    changes: Vec<Change>,
    parts: Vec<Part>,
    nodes: Vec<Node>,
    /// Lists of choices that are in no node now; kept to save their allocations.
    spare: Vec<Vec<Choice>>,
}

impl<'a, 'w> Fit<'a, 'w> {
    pub(super) fn new(sections: &'a Sections, order: Order, capacity: u64, watch: &'a Watch<'w>) -> Self {
        let blocks = sections.blocks.len();
        let mut totals = vec![0; sections.count];
        let mut bridges = vec![0; sections.count];
        for block in &sections.blocks {
            for section in block.from..block.to {
                totals[section] += block.size;
                bridges[section] += usize::from(section + 1 < block.to);
            }
        }
        Self {
            sections,
            order,
            capacity,
            work: 0,
            told: 0,
            watch,
            placed: vec![false; blocks],
            offsets: vec![0; blocks],
            lowest: vec![0; blocks],
            bounds: vec![0; blocks],
            floors: vec![0; sections.count],
            totals,
            bridges,
            changes: Vec::new(),
            parts: Vec::new(),
            nodes: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// The first byte of a block, after a search that ended with [`Outcome::Fits`].
    pub(super) fn offset(&self, block: usize) -> u64 {
        self.offsets[block]
    }

    /// Steps of the inner loops spent.
    pub(super) const fn work(&self) -> u64 {
        self.work
    }

    /// Searches until the answer is known or about `effort` is spent.
    pub(super) fn run(&mut self, effort: u64) -> Outcome {
        if self.totals.iter().any(|&total| total > self.capacity) {
            return Outcome::TooSmall;
        }
        let all: Vec<usize> = (0..self.sections.blocks.len()).collect();
        let count = self.sections.count;
        let cuts: Vec<usize> = (1..count).filter(|&at| self.bridges[at - 1] == 0).collect();
        let mut pending = self.split(&all, 0, count, &cuts);
        while let Some(part) = pending.pop() {
            match self.solve(part, effort) {
                Outcome::Fits => {}
                other => return other,
            }
        }
        Outcome::Fits
    }

    /// Solves one part: on success its blocks stay in place.
    fn solve(&mut self, part: usize, effort: u64) -> Outcome {
        self.nodes.clear();
        let mut next = Some(Step::into(part, None));
        loop {
            let is_over = self.watch.spent(self.work - self.told);
            self.told = self.work;
            if self.work > effort || is_over {
                return Outcome::Unknown;
            }
            if let Some(step) = next.take()
                && !self.enter(step)
            {
                next = self.finish(step.owner);
                if next.is_none() {
                    return Outcome::Fits;
                }
                continue;
            }
            next = self.advance();
            if next.is_none() {
                self.drop_nodes(self.nodes.len().saturating_sub(1));
                if self.nodes.is_empty() {
                    return Outcome::TooSmall;
                }
            }
        }
    }

    fn drop_nodes(&mut self, keep: usize) {
        while self.nodes.len() > keep {
            if let Some(node) = self.nodes.pop() {
                self.spare.push(node.choices);
            }
        }
    }

    /// Opens a node with its choices. False where nothing of the part is left to place.
    fn enter(&mut self, step: Step) -> bool {
        let part = &self.parts[step.part];
        self.work += 2 * part.blocks.len() as u64;
        let unplaced = || {
            part.blocks
                .iter()
                .enumerate()
                .filter(|&(_, &block)| !self.placed[block])
        };
        // Whatever starts at or above the lowest end leaves a gap that the block ending there fits into.
        let Some(limit) = unplaced()
            .map(|(_, &block)| self.lowest[block] + self.sections.blocks[block].size)
            .min()
        else {
            return false;
        };
        let highest = self.totals[part.from..part.to]
            .iter()
            .max()
            .map_or(0, |&total| self.capacity.saturating_sub(total));
        let mut choices = self.spare.pop().unwrap_or_default();
        choices.clear();
        choices.extend(
            unplaced()
                .map(|(rank, &block)| (self.lowest[block], rank))
                .filter(|&choice| {
                    choice.0 < limit && choice.0 <= highest && choice >= (step.offset, step.rank)
                }),
        );
        choices.sort_unstable();
        if !self.passed(step) {
            choices.clear();
        }
        self.nodes.push(Node {
            part: step.part,
            choices,
            tried: 0,
            changes: self.changes.len(),
            parts: self.parts.len(),
            hatless: false,
            pending: Vec::new(),
            owner: step.owner,
        });
        true
    }

    /// Blocks that were passed over can only come to lie on unplaced neighbours. False where that leaves no room.
    fn passed(&mut self, step: Step) -> bool {
        let sections = self.sections;
        for rank in 0..self.parts[step.part].blocks.len() {
            let block = self.parts[step.part].blocks[rank];
            if self.placed[block] || (self.lowest[block], rank) >= (step.offset, step.rank) {
                continue;
            }
            let neighbours = sections.neighbours(block);
            self.work += neighbours.len() as u64;
            let bound = neighbours
                .iter()
                .filter(|&&other| !self.placed[other])
                .map(|&other| {
                    self.lowest[other].max(self.bounds[other]).max(step.offset) + sections.blocks[other].size
                })
                .min();
            let Some(bound) = bound.filter(|bound| bound + sections.blocks[block].size <= self.capacity)
            else {
                return false;
            };
            if bound <= self.bounds[block] {
                continue;
            }
            self.changes.push(Change::Bound(block, self.bounds[block]));
            self.bounds[block] = bound;
            let Block { from, to, .. } = sections.blocks[block];
            if !self.lift(from, to) {
                return false;
            }
        }
        true
    }

    /// The next step after a part was solved: a sibling part, or one of an outer node.
    fn finish(&mut self, mut owner: Option<usize>) -> Option<Step> {
        while let Some(at) = owner {
            self.drop_nodes(at + 1);
            if let Some(part) = self.nodes[at].pending.pop() {
                return Some(Step::into(part, Some(at)));
            }
            owner = self.nodes[at].owner;
        }
        None
    }

    /// Puts the next choice of the top node in place that passes the checks. `None` where none is left.
    fn advance(&mut self) -> Option<Step> {
        let top = self.nodes.len().checked_sub(1)?;
        loop {
            let node = &self.nodes[top];
            let (part, owner, tried) = (node.part, node.owner, node.tried);
            let (changes, parts, hatless) = (node.changes, node.parts, node.hatless);
            self.undo(changes);
            self.parts.truncate(parts);
            if hatless {
                return None;
            }
            let &(offset, rank) = self.nodes[top].choices.get(tried)?;
            let block = self.parts[part].blocks[rank];
            self.nodes[top].tried += 1;
            self.nodes[top].pending.clear();
            let fits = self.place(block, offset);
            let Block { from, to, .. } = self.sections.blocks[block];
            self.nodes[top].hatless = self.totals[from..to].iter().all(|&total| total == 0);
            if !fits {
                continue;
            }
            let mut pending = self.cut(block, part);
            let Some(first) = pending.pop() else {
                return Some(Step {
                    part,
                    owner,
                    offset,
                    rank,
                });
            };
            self.nodes[top].pending = pending;
            return Some(Step::into(first, Some(top)));
        }
    }

    /// Places a block. False where some section cannot take what is left of it any more.
    fn place(&mut self, block: usize, offset: u64) -> bool {
        let sections = self.sections;
        let Block { from, to, size, .. } = sections.blocks[block];
        self.placed[block] = true;
        self.offsets[block] = offset;
        self.changes.push(Change::Placed(block));
        let end = offset + size;
        for section in from..to {
            self.totals[section] -= size;
            self.bridges[section] -= usize::from(section + 1 < to);
            self.set_floor(section, end);
        }
        self.work += (to - from) as u64;
        self.raise(block, end)
    }

    /// Raises the unplaced neighbours of a block to its end, and the floors of the sections they lie in.
    fn raise(&mut self, block: usize, end: u64) -> bool {
        let sections = self.sections;
        let (mut from, mut to) = (usize::MAX, 0);
        let neighbours = sections.neighbours(block);
        self.work += neighbours.len() as u64;
        for &other in neighbours {
            if self.placed[other] || self.lowest[other] >= end {
                continue;
            }
            self.changes.push(Change::Lowest(other, self.lowest[other]));
            self.lowest[other] = end;
            from = from.min(sections.blocks[other].from);
            to = to.max(sections.blocks[other].to);
        }
        self.lift(from, to)
    }

    /// Raises the floors of sections to what is lowest in them. False where one cannot take what is left of it.
    fn lift(&mut self, from: usize, to: usize) -> bool {
        for section in from..to {
            if self.totals[section] == 0 {
                continue;
            }
            let floor = self.floor(section);
            if floor > self.floors[section] {
                self.set_floor(section, floor);
                if floor + self.totals[section] > self.capacity {
                    return false;
                }
            }
        }
        true
    }

    /// The lowest offset that an unplaced block of a section may have, but no less than its floor now.
    fn floor(&mut self, section: usize) -> u64 {
        let now = self.floors[section];
        let mut floor = u64::MAX;
        for &other in self.sections.members(section) {
            self.work += 1;
            if !self.placed[other] {
                floor = floor.min(self.lowest[other].max(self.bounds[other]));
                if floor <= now {
                    return now;
                }
            }
        }
        floor
    }

    fn set_floor(&mut self, section: usize, floor: u64) {
        self.changes.push(Change::Floor(section, self.floors[section]));
        self.floors[section] = floor;
    }

    /// Takes back what was done since there were `keep` changes.
    fn undo(&mut self, keep: usize) {
        while self.changes.len() > keep {
            match self.changes.pop() {
                Some(Change::Placed(block)) => {
                    let Block { from, to, size, .. } = self.sections.blocks[block];
                    for section in from..to {
                        self.totals[section] += size;
                        self.bridges[section] += usize::from(section + 1 < to);
                    }
                    self.placed[block] = false;
                }
                Some(Change::Lowest(block, lowest)) => self.lowest[block] = lowest,
                Some(Change::Bound(block, bound)) => self.bounds[block] = bound,
                Some(Change::Floor(section, floor)) => self.floors[section] = floor,
                None => return,
            }
        }
    }

    /// The parts that a placement leaves of a part, the first one last; none where it does not fall apart.
    fn cut(&mut self, block: usize, part: usize) -> Vec<usize> {
        let Block { from, to, .. } = self.sections.blocks[block];
        let cuts: Vec<usize> = (from + 1..to).filter(|&at| self.bridges[at - 1] == 0).collect();
        if cuts.is_empty() {
            return Vec::new();
        }
        let Part { blocks, from, to } = self.parts[part].clone();
        self.split(&blocks, from, to, &cuts)
    }

    /// Parts of the unplaced `blocks` between the sections `from`, `cuts` and `to`, the first one last.
    fn split(&mut self, blocks: &[usize], from: usize, to: usize, cuts: &[usize]) -> Vec<usize> {
        let mut made = Vec::new();
        let mut end = to;
        for start in cuts.iter().rev().copied().chain([from]) {
            let inside = |block: &Block| start <= block.from && block.from < end;
            let mut found: Vec<usize> = blocks
                .iter()
                .copied()
                .filter(|&at| !self.placed[at] && inside(&self.sections.blocks[at]))
                .collect();
            self.work += blocks.len() as u64;
            if !found.is_empty() {
                found.sort_by_cached_key(|&at| (Reverse(self.rank(at)), at));
                made.push(self.parts.len());
                self.parts.push(Part {
                    blocks: found,
                    from: start,
                    to: end,
                });
            }
            end = start;
        }
        made
    }

    fn rank(&self, at: usize) -> [u128; 3] {
        let block = self.sections.blocks[at];
        self.order.map(|key| match key {
            Key::Area => u128::from(block.size) * u128::from(block.width),
            Key::Width => block.width.into(),
            Key::Total => {
                let most = self.totals[block.from..block.to].iter().max();
                u128::from(most.copied().unwrap_or(0))
            }
        })
    }
}
