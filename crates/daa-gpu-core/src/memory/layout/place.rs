//! Greedy placement under an order, and the search over orders.

use super::Lifetime;

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
    lower_bound: u64,
    work: u64,
    /// Indices of placed items by offset; kept to save its allocation.
    placed: Vec<usize>,
}

impl<'a> Search<'a> {
    pub(super) const fn new(items: &'a [Lifetime], lower_bound: u64) -> Self {
        Self {
            items,
            lower_bound,
            work: 0,
            placed: Vec::new(),
        }
    }

    /// The best offsets found and their peak.
    pub(super) fn run(mut self, work_limit: u64, repair_limit: u32) -> (Vec<u64>, u64) {
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
        let best = self.repair(best, work_limit, repair_limit);
        (best.offsets, best.peak)
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

    /// Moves what reaches the peak, and what lies right under it, ahead in the order; keeps what improves. Placing is
    /// repeated from the best order with growing shifts until nothing helps or the limits are reached.
    fn repair(&mut self, mut best: Candidate, work_limit: u64, repair_limit: u32) -> Candidate {
        let mut current = best.clone();
        for round in 0..repair_limit {
            if best.peak <= self.lower_bound || self.work > work_limit {
                break;
            }
            let order = self.bumped(&current, round);
            let (offsets, peak) = self.place(&order, current.fit);
            current = Candidate {
                order,
                fit: current.fit,
                offsets,
                peak,
            };
            if peak < best.peak {
                best = current.clone();
            } else if round % 97 == 96 {
                // Wandered for long: back to the best, with the other rule for gaps.
                let fit = if current.fit == Fit::Best {
                    Fit::First
                } else {
                    Fit::Best
                };
                current = Candidate { fit, ..best.clone() };
            }
        }
        best
    }

    /// `from`'s order with the items that end at its peak moved towards the front, the further the later the round.
    fn bumped(&self, from: &Candidate, round: u32) -> Vec<usize> {
        let mut order = from.order.clone();
        let shift = 1 + order.len() * (1 + round as usize % 13) / 13;
        let tops: Vec<usize> = (0..order.len())
            .filter(|&at| self.end(order[at], &from.offsets) >= from.peak)
            .collect();
        for at in tops {
            let item = order.remove(at);
            order.insert(at.saturating_sub(shift), item);
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
        // What lives in no step still must lie inside the arena.
        let idle = self
            .items
            .iter()
            .filter(|item| item.lower >= item.upper)
            .map(|item| item.size)
            .max();
        (offsets, peak.max(idle.unwrap_or(0)))
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
