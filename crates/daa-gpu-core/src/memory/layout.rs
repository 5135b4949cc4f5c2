//! The pure lifetime packer: given when each piece of memory lives, where in one arena it lies.
//!
//! Offline storage allocation is NP-hard. [`pack`] runs greedy placements over several orders. Where none reaches the
//! lower bound, a complete search (after MiniMalloc, Moffitt 2023) looks for layouts that fit into lower and lower
//! capacities, and a local search around the best order spends what is left. Every step is counted, never timed, so
//! equal inputs give equal layouts on every machine.

mod descend;
mod exact;
mod place;
mod sections;

use place::Search;

/// When a piece of memory lives, in steps of a schedule, and how large it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lifetime {
    /// First step in which it is live.
    pub lower: u32,
    /// One past the last step. A lifetime with `upper <= lower` is live in no step and may lie anywhere.
    pub upper: u32,
    /// Size in bytes.
    pub size: u64,
}

/// Where everything lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packing {
    /// First byte of each lifetime, in the order given, multiples of the alignment.
    pub offsets: Vec<u64>,
    /// Bytes needed: the largest end of any lifetime, each size rounded up to the alignment.
    pub peak: u64,
    /// What no layout can beat: the most (rounded) bytes live in one step.
    pub lower_bound: u64,
}

/// Comparisons that [`pack`] spends at most, some tens of milliseconds.
pub const DEFAULT_EFFORT: u64 = 30_000_000;

/// Comparisons for a plan that is worth seconds: what a planner run by hand spends at most.
pub const DEEP_EFFORT: u64 = 1_000_000_000;

/// Packs `lifetimes` into one arena so that no two that are live in the same step overlap. Deterministic. Ends as soon
/// as the lower bound is reached, else after [`DEFAULT_EFFORT`].
///
/// Sizes are rounded up to `align` bytes (0 counts as 1). Sums beyond `u64::MAX` saturate.
#[must_use]
pub fn pack(lifetimes: &[Lifetime], align: u64) -> Packing {
    pack_with_effort(lifetimes, align, DEFAULT_EFFORT)
}

/// As [`pack`], spending at most about `effort` comparisons: more may give a lower peak. Each greedy layout tried costs
/// up to half the square of the number of lifetimes; one is always tried. The complete search runs where at most a
/// million pairs of lifetimes share a step; its first try costs eight times the square of their number.
#[must_use]
pub fn pack_with_effort(lifetimes: &[Lifetime], align: u64, effort: u64) -> Packing {
    let align = align.max(1);
    let items: Vec<Lifetime> = lifetimes
        .iter()
        .map(|life| Lifetime {
            size: round_up(life.size, align),
            ..*life
        })
        .collect();
    let lower_bound = lower_bound(&items);
    let (offsets, peak) = Search::new(&items, lower_bound).run(effort);
    Packing {
        offsets,
        peak,
        lower_bound,
    }
}

fn round_up(size: u64, align: u64) -> u64 {
    size.checked_next_multiple_of(align)
        .unwrap_or(u64::MAX / align * align)
}

/// The most bytes live in one step.
fn lower_bound(items: &[Lifetime]) -> u64 {
    // Ends sort before starts of the same step: upper is exclusive.
    let mut events: Vec<(u32, bool, u64)> = items
        .iter()
        .filter(|item| item.lower < item.upper)
        .flat_map(|item| [(item.lower, true, item.size), (item.upper, false, item.size)])
        .collect();
    events.sort_unstable();
    let (mut live, mut most) = (0_u128, 0_u128);
    for (_, starts, size) in events {
        if starts {
            live += u128::from(size);
            most = most.max(live);
        } else {
            live -= u128::from(size);
        }
    }
    u64::try_from(most).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
