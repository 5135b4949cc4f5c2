//! Greedy placement under an order, the search over orders, and how the ways to a layout follow each other.

use super::descend::Descent;
use super::placed::{Entry, Placed};
use super::sections::Sections;
use super::skyline::Skyline;
use super::watch::Watch;
use super::{Ended, Lifetime};

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
pub(super) struct Search<'a, 'w> {
    items: &'a [Lifetime],
    /// The largest lifetime that lives in no step.
    idle: u64,
    /// No arena can be smaller.
    lower_bound: u64,
    work: u64,
    /// Kept to save its allocation.
    placed: Placed,
    /// Where the search ended in a layout: its offsets, and what is not placed in it.
    begun: (Vec<u64>, Vec<usize>),
    watch: &'a Watch<'w>,
}

impl<'a, 'w> Search<'a, 'w> {
    pub(super) fn new(items: &'a [Lifetime], lower_bound: u64, watch: &'a Watch<'w>) -> Self {
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
            placed: Placed::default(),
            begun: (Vec::new(), Vec::new()),
            watch,
        }
    }

    /// The best offsets found, their peak, and why there are no better ones.
    pub(super) fn run(mut self, work_limit: u64) -> (Vec<u64>, u64, Ended) {
        let Some(mut best) = self.greedy(work_limit) else {
            let (offsets, peak) = self.stack();
            return (offsets, peak, self.ended(peak));
        };
        if self.goes_on(&best, work_limit) {
            best = self.descend(best, work_limit);
            best = self.repair(best, work_limit);
        }
        (best.offsets, best.peak, self.ended(best.peak))
    }

    fn goes_on(&self, best: &Candidate, work_limit: u64) -> bool {
        best.peak > self.lower_bound && self.work <= work_limit && !self.watch.is_over()
    }

    const fn ended(&self, peak: u64) -> Ended {
        if peak <= self.lower_bound {
            Ended::Least
        } else if self.watch.is_over() {
            Ended::Watcher
        } else {
            Ended::Effort
        }
    }

    /// The best over all orders; `None` if the search ended before the first layout was there.
    fn greedy(&mut self, work_limit: u64) -> Option<Candidate> {
        let mut best: Option<Candidate> = None;
        for order in self.orders() {
            for fit in [Fit::Best, Fit::First] {
                let Some((offsets, peak)) = self.place(&order, fit) else {
                    return best;
                };
                if best.as_ref().is_none_or(|found| peak < found.peak) {
                    best = Some(Candidate {
                        order: order.clone(),
                        fit,
                        offsets,
                        peak,
                    });
                }
                if !best.as_ref().is_some_and(|best| self.goes_on(best, work_limit)) {
                    return best;
                }
            }
        }
        best
    }

    /// Finishes the layout that was begun: each of the rest on what lies below it in its steps. Gaps stay.
    fn stack(&mut self) -> (Vec<u64>, u64) {
        let (mut offsets, rest) = std::mem::take(&mut self.begun);
        let steps = self.steps();
        let mut line = Skyline::new(&vec![0; steps.len()]);
        let mut peak = self.idle;
        for entry in self.placed.iter() {
            let Entry {
                lower, upper, end, ..
            } = *entry;
            let (from, to) = range(&steps, lower, upper);
            line.raise(from, to, end);
            peak = peak.max(end);
        }
        for at in rest {
            let item = self.items[at];
            let (from, to) = range(&steps, item.lower, item.upper);
            offsets[at] = line.most(from, to);
            let end = offsets[at] + item.size;
            line.raise(from, to, end);
            peak = peak.max(end);
        }
        (offsets, peak)
    }

    /// The steps in which something starts.
    fn steps(&self) -> Vec<u32> {
        let mut steps: Vec<u32> = self.items.iter().map(|item| item.lower).collect();
        steps.sort_unstable();
        steps.dedup();
        steps
    }

    /// What the exact search makes of the best layout with most of the effort that is left.
    fn descend(&mut self, best: Candidate, work_limit: u64) -> Candidate {
        let Some(sections) = Sections::new(self.items) else {
            return best;
        };
        let limit = work_limit.saturating_sub(self.work) / EXACT_SHARE.1 * EXACT_SHARE.0;
        let descent = Descent::new(
            &sections,
            self.items.len(),
            (self.lower_bound, best.peak),
            self.watch,
        );
        let descended = descent.run(limit);
        self.work = self.work.saturating_add(descended.work);
        self.lower_bound = descended.least;
        let Some(found) = descended.offsets else {
            return best;
        };
        // Placed by offset, each as low as it fits, nothing comes to lie higher than it was.
        let mut order: Vec<usize> = (0..self.items.len()).collect();
        order.sort_by_key(|&at| (found[at], at));
        match self.place(&order, Fit::First) {
            Some((offsets, peak)) => Candidate {
                order,
                fit: Fit::First,
                offsets,
                peak,
            },
            // The search ends. What was found is good as it is.
            None => Candidate {
                peak: self.top(&found),
                order,
                fit: Fit::First,
                offsets: found,
            },
        }
    }

    /// The highest end.
    fn top(&self, offsets: &[u64]) -> u64 {
        let ends = (0..offsets.len()).map(|at| self.end(at, offsets));
        ends.max().unwrap_or(0).max(self.idle)
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
        let steps = self.steps();
        // What comes into being at each step less what ends there; the sums are what lives.
        let mut live = vec![0_u64; steps.len() + 1];
        for item in self.items {
            let (from, to) = range(&steps, item.lower, item.upper);
            live[from] = live[from].wrapping_add(item.size);
            live[to] = live[to].wrapping_sub(item.size);
        }
        live.pop();
        let mut sum = 0_u64;
        for bytes in &mut live {
            sum = sum.wrapping_add(*bytes);
            *bytes = sum;
        }
        let live = Skyline::new(&live);
        let most = |item: &Lifetime| {
            let (from, to) = range(&steps, item.lower, item.upper);
            live.most(from, to)
        };
        self.items.iter().map(most).collect()
    }

    /// Local search from the best order: an item that reaches the peak, or one that lives beside it, moves to another
    /// place in the order. Layouts no worse than the current one are taken, worse ones now and then.
    fn repair(&mut self, mut best: Candidate, work_limit: u64) -> Candidate {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
        let mut current = best.clone();
        let mut stale = 0_u32;
        while self.goes_on(&best, work_limit) {
            let order = self.moved(&current, &mut dice);
            if order == current.order {
                self.work += order.len() as u64;
                self.watch.spent(order.len() as u64);
                continue;
            }
            let Some((offsets, peak)) = self.place(&order, current.fit) else {
                break;
            };
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
                let Some((offsets, peak)) = self.place(&best.order, fit) else {
                    break;
                };
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
        offsets[item] + self.items[item].size
    }

    /// Places the items in `order`, each in a gap between those placed before that live at the same time. `None` where
    /// the search ends.
    fn place(&mut self, order: &[usize], fit: Fit) -> Option<(Vec<u64>, u64)> {
        let mut offsets = vec![0_u64; self.items.len()];
        self.placed.clear();
        let mut peak = 0_u64;
        for (at, &index) in order.iter().enumerate() {
            let item = self.items[index];
            if item.lower >= item.upper || item.size == 0 {
                continue;
            }
            let work = self.placed.len() as u64 + 1;
            self.work += work;
            if self.watch.spent(work) {
                self.begun = (offsets, order[at..].to_vec());
                return None;
            }
            let start = gap(&self.placed, item, fit);
            let end = start + item.size;
            offsets[index] = start;
            peak = peak.max(end);
            let Lifetime { lower, upper, .. } = item;
            self.placed.insert(Entry {
                start,
                end,
                lower,
                upper,
            });
        }
        let peak = peak.max(self.idle);
        self.watch.found(peak);
        Some((offsets, peak))
    }
}

/// The places among `steps` that lie in a lifetime: the first, and one past the last.
fn range(steps: &[u32], lower: u32, upper: u32) -> (usize, usize) {
    let from = steps.partition_point(|&step| step < lower);
    let to = steps.partition_point(|&step| step < upper);
    (from, to.max(from))
}

/// The offset for `item` among `placed`.
fn gap(placed: &Placed, item: Lifetime, fit: Fit) -> u64 {
    let mut floor = 0_u64;
    let mut found: Option<(u64, u64)> = None;
    for other in placed.iter() {
        // Selected, not branched over: who lives when is anybody's guess.
        let together = (other.lower < item.upper) & (item.lower < other.upper);
        let (start, end) = if together {
            (other.start, other.end)
        } else {
            (0, 0)
        };
        // No size is 0, so that there is a gap.
        if start >= floor + item.size {
            let room = start - floor;
            if found.is_none_or(|(tightest, _)| room < tightest) {
                found = Some((room, floor));
                if fit == Fit::First || room == item.size {
                    break;
                }
            }
        }
        floor = floor.max(end);
    }
    found.map_or(floor, |(_, offset)| offset)
}
