//! Greedy placement under an order, the search over orders, and how the ways to a layout follow each other.

use super::Lifetime;
use super::descend::Descent;
use super::sections::Sections;

/// The part of the effort that the exact search may spend, numerator and denominator; the local search has the rest.
const EXACT_SHARE: (u64, u64) = (3, 4);

/// Layouts tried without progress before the search goes back to the best.
const STALE_LIMIT: u32 = 400;

/// A fixed sequence of numbers that look random: equal inputs give equal layouts.
struct Dice(u64);

impl Dice {
    /// A number below `limit`; 0 when that is 0.
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit.max(1)
    }
}

/// How a gap is picked among those that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// The tightest; the lowest of equals.
    Best,
    /// The lowest.
    First,
}

/// One layout and the order that gave it.
#[derive(Debug, Clone)]
struct Candidate {
    order: Vec<usize>,
    fit: Fit,
    offsets: Vec<u64>,
    peak: u64,
}

/// The state of one search.
pub(super) struct Search<'a> {
    items: &'a [Lifetime],
    /// The largest lifetime that lives in no step.
    idle: u64,
    /// No arena can be smaller.
    lower_bound: u64,
    work: u64,
    /// Indices of placed items by offset; kept to save its allocation.
    placed: Vec<usize>,
}

impl<'a> Search<'a> {
    pub(super) fn new(items: &'a [Lifetime], lower_bound: u64) -> Self {
        // What lives in no step still must lie inside the arena.
        let idle = items
            .iter()
            .filter(|item| item.lower >= item.upper)
            .map(|item| item.size)
            .max();
        let idle = idle.unwrap_or(0);
        Self {
            items,
            idle,
            lower_bound: lower_bound.max(idle),
            work: 0,
            placed: Vec::new(),
        }
    }

    /// The best offsets found and their peak.
    pub(super) fn run(mut self, work_limit: u64) -> (Vec<u64>, u64) {
        let mut best: Option<Candidate> = None;
        for order in self.orders() {
            for fit in [Fit::Best, Fit::First] {
                let (offsets, peak) = self.place(&order, fit);
                if best.as_ref().is_none_or(|found| peak < found.peak) {
                    best = Some(Candidate {
                        order: order.clone(),
                        fit,
                        offsets,
                        peak,
                    });
                }
                if peak <= self.lower_bound || self.work > work_limit {
                    return best.map_or_else(|| (Vec::new(), 0), |found| (found.offsets, found.peak));
                }
            }
        }
        let Some(best) = best else {
            return (Vec::new(), 0);
        };
        let best = self.descend(best, work_limit);
        let best = self.repair(best, work_limit);
        (best.offsets, best.peak)
    }

    /// What the exact search makes of the best layout with most of the effort that is left.
    fn descend(&mut self, best: Candidate, work_limit: u64) -> Candidate {
        let Some(sections) = Sections::new(self.items) else {
            return best;
        };
        let limit = work_limit.saturating_sub(self.work) / EXACT_SHARE.1 * EXACT_SHARE.0;
        let descent = Descent::new(&sections, self.items.len(), self.lower_bound, best.peak);
        let descended = descent.run(limit);
        self.work = self.work.saturating_add(descended.work);
        self.lower_bound = descended.least;
        let Some(found) = descended.offsets else {
            return best;
        };
        // Placed by offset, each as low as it fits, nothing comes to lie higher than it was.
        let mut order: Vec<usize> = (0..self.items.len()).collect();
        order.sort_by_key(|&at| (found[at], at));
        let (offsets, peak) = self.place(&order, Fit::First);
        Candidate {
            order,
            fit: Fit::First,
            offsets,
            peak,
        }
    }

    /// The orders worth trying, each total: ties go by index.
    fn orders(&self) -> Vec<Vec<usize>> {
        let span = |i: usize| u64::from(self.items[i].upper.saturating_sub(self.items[i].lower));
        let size = |i: usize| self.items[i].size;
        let lower = |i: usize| u64::from(self.items[i].lower);
        let area = |i: usize| u128::from(size(i)) * u128::from(span(i));
        let pressure = self.pressure();
        let mut orders: Vec<Vec<usize>> = Vec::new();
        let mut add = |key: &dyn Fn(usize) -> (u128, u128)| {
            let mut order: Vec<usize> = (0..self.items.len()).collect();
            order.sort_by_key(|&i| {
                let (first, second) = key(i);
                (std::cmp::Reverse(first), std::cmp::Reverse(second), i)
            });
            orders.push(order);
        };
        add(&|i| (size(i).into(), span(i).into()));
        add(&|i| (area(i), size(i).into()));
        add(&|i| (span(i).into(), size(i).into()));
        add(&|i| (u128::from(u64::MAX - lower(i)), size(i).into()));
        add(&|i| (u128::from(self.items[i].upper), size(i).into()));
        add(&|i| (pressure[i].into(), size(i).into()));
        add(&|i| (pressure[i].into(), area(i)));
        orders
    }

    /// For each item, the most bytes live in any step that it is live in: what is tight should be placed first.
    fn pressure(&self) -> Vec<u64> {
        let mut steps: Vec<u32> = self.items.iter().map(|item| item.lower).collect();
        steps.sort_unstable();
        steps.dedup();
        let mut live = vec![0_u64; steps.len()];
        let range = |item: &Lifetime| {
            let from = steps.partition_point(|&step| step < item.lower);
            let to = steps.partition_point(|&step| step < item.upper);
            from..to.max(from)
        };
        for item in self.items {
            for bytes in &mut live[range(item)] {
                *bytes = bytes.saturating_add(item.size);
            }
        }
        self.items
            .iter()
            .map(|item| live[range(item)].iter().copied().max().unwrap_or(0))
            .collect()
    }

    /// Local search from the best order: an item that reaches the peak, or one that lives beside it, moves to another
    /// place in the order. Layouts no worse than the current one are taken, worse ones now and then.
    fn repair(&mut self, mut best: Candidate, work_limit: u64) -> Candidate {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
        let mut current = best.clone();
        let mut stale = 0_u32;
        while best.peak > self.lower_bound && self.work <= work_limit {
            let order = self.moved(&current, &mut dice);
            if order == current.order {
                self.work += order.len() as u64;
                continue;
            }
            let (offsets, peak) = self.place(&order, current.fit);
            stale += 1;
            if peak < best.peak {
                stale = 0;
                best = Candidate {
                    order: order.clone(),
                    fit: current.fit,
                    offsets: offsets.clone(),
                    peak,
                };
            }
            if peak <= current.peak {
                current = Candidate {
                    order,
                    fit: current.fit,
                    offsets,
                    peak,
                };
            } else if stale > STALE_LIMIT {
                // Nothing better for long: on from the best, with the other rule for gaps.
                stale = 0;
                let fit = if current.fit == Fit::Best {
                    Fit::First
                } else {
                    Fit::Best
                };
                let (offsets, peak) = self.place(&best.order, fit);
                current = Candidate {
                    order: best.order.clone(),
                    fit,
                    offsets,
                    peak,
                };
            }
        }
        best
    }

    /// `from`'s order with one item moved: mostly one at the peak towards the front, else one that shares a step with
    /// it to anywhere.
    fn moved(&self, from: &Candidate, dice: &mut Dice) -> Vec<usize> {
        let mut order = from.order.clone();
        let tops: Vec<usize> = (0..order.len())
            .filter(|&at| self.end(order[at], &from.offsets) >= from.peak)
            .collect();
        let Some(&top) = tops.get(dice.below(tops.len())) else {
            return order;
        };
        if dice.below(2) == 0 {
            let item = order.remove(top);
            order.insert(dice.below(top + 1), item);
            return order;
        }
        let peak = self.items[order[top]];
        let beside: Vec<usize> = (0..order.len())
            .filter(|&at| {
                let item = self.items[order[at]];
                item.lower < peak.upper && peak.lower < item.upper
            })
            .collect();
        if let Some(&at) = beside.get(dice.below(beside.len())) {
            let item = order.remove(at);
            order.insert(dice.below(order.len() + 1), item);
        }
        order
    }

    fn end(&self, item: usize, offsets: &[u64]) -> u64 {
        offsets[item].saturating_add(self.items[item].size)
    }

    /// Places the items in `order`, each in a gap between those placed before that live at the same time.
    fn place(&mut self, order: &[usize], fit: Fit) -> (Vec<u64>, u64) {
        let mut offsets = vec![0_u64; self.items.len()];
        let mut placed = std::mem::take(&mut self.placed);
        placed.clear();
        let mut peak = 0_u64;
        for &index in order {
            let item = self.items[index];
            if item.lower >= item.upper || item.size == 0 {
                continue;
            }
            self.work += placed.len() as u64 + 1;
            let offset = gap(self.items, &offsets, &placed, item, fit);
            offsets[index] = offset;
            peak = peak.max(offset.saturating_add(item.size));
            let at = placed.partition_point(|&other| offsets[other] <= offset);
            placed.insert(at, index);
        }
        self.placed = placed;
        (offsets, peak.max(self.idle))
    }
}

/// The offset for `item` among `placed` (sorted by offset).
fn gap(items: &[Lifetime], offsets: &[u64], placed: &[usize], item: Lifetime, fit: Fit) -> u64 {
    let mut floor = 0_u64;
    let mut found: Option<(u64, u64)> = None;
    for &other in placed {
        let neighbour = items[other];
        if neighbour.lower >= item.upper || item.lower >= neighbour.upper {
            continue;
        }
        let start = offsets[other];
        if start > floor {
            let room = start - floor;
            if room >= item.size && found.is_none_or(|(tightest, _)| room < tightest) {
                found = Some((room, floor));
                if fit == Fit::First || room == item.size {
                    break;
                }
            }
        }
        floor = floor.max(start.saturating_add(neighbour.size));
    }
    found.map_or(floor, |(_, offset)| offset)
}
