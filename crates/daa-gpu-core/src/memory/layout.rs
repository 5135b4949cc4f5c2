//! The pure lifetime packer: given when each piece of memory lives, where in one arena it lies.
//!
//! Offline storage allocation is NP-hard. [`pack`] runs greedy placements over several orders. Where none reaches the
//! lower bound, a complete search (after MiniMalloc, Moffitt 2023) looks for layouts that fit into lower and lower
//! capacities, and a local search around the best order spends what is left. Every step is counted, never timed, so
//! equal inputs give equal layouts on every machine; only who watches a search ([`pack_watched`]) may end it early.

mod descend;
mod exact;
mod place;
mod placed;
mod sections;
mod skyline;
mod watch;

pub use watch::Progress;

use place::Search;
use std::ops::ControlFlow;

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
    /// Why the search ended.
    pub ended: Ended,
}

/// Why a search for a layout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// No layout is lower.
    Least,
    /// The effort was spent.
    Effort,
    /// Whoever watched ended it.
    Watcher,
}

/// What all sizes, each rounded up to the alignment, may sum up to: no end of a layout overflows.
pub const MAX_SUM: u64 = u64::MAX / 2;

/// The sizes sum up to more than [`MAX_SUM`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "lifetime {index}: `size` is {size}, allowed are 0 to {allowed}: all sizes, rounded up to multiples of {align}, may \
     sum up to {MAX_SUM}"
)]
pub struct SumError {
    /// Place of the first lifetime that goes beyond, from 0.
    pub index: usize,
    /// Its size.
    pub size: u64,
    /// The alignment.
    pub align: u64,
    /// What those before it leave.
    pub allowed: u64,
}

/// Comparisons that [`pack`] spends at most, some tens of milliseconds.
pub const DEFAULT_EFFORT: u64 = 30_000_000;

/// Comparisons for a plan that is worth seconds: what a planner run by hand spends at most.
pub const DEEP_EFFORT: u64 = 1_000_000_000;

/// Packs `lifetimes` into one arena so that no two that are live in the same step overlap. Deterministic. Ends as soon
/// as the lower bound is reached, else after [`DEFAULT_EFFORT`]. Sizes are rounded up to `align` bytes (0 counts as 1).
///
/// # Errors
/// [`SumError`] for sizes that sum up to more than [`MAX_SUM`].
pub fn pack(lifetimes: &[Lifetime], align: u64) -> Result<Packing, SumError> {
    pack_with_effort(lifetimes, align, DEFAULT_EFFORT)
}

/// As [`pack`], spending at most about `effort` comparisons: more may give a lower peak. Each greedy layout tried costs
/// up to half the square of the number of lifetimes; one is always tried. The complete search runs where at most a
/// million pairs of lifetimes share a step; its first try costs eight times the square of their number.
///
/// # Errors
/// As [`pack`].
pub fn pack_with_effort(lifetimes: &[Lifetime], align: u64, effort: u64) -> Result<Packing, SumError> {
    pack_watched(lifetimes, align, effort, |_| ControlFlow::Continue(()))
}

/// As [`pack_with_effort`], telling `watch` every few milliseconds how far it is. When that breaks, the best layout so
/// far is the answer; before the first is whole, the rest of it is put on top without filling gaps, which takes hardly
/// any time.
///
/// # Errors
/// As [`pack`].
pub fn pack_watched(
    lifetimes: &[Lifetime],
    align: u64,
    effort: u64,
    mut watch: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Packing, SumError> {
    let items = rounded(lifetimes, align.max(1))?;
    let lower_bound = lower_bound(&items);
    let watch = watch::Watch::new(effort, lower_bound, &mut watch);
    let (offsets, peak, ended) = Search::new(&items, lower_bound, &watch).run(effort);
    Ok(Packing {
        offsets,
        peak,
        lower_bound,
        ended,
    })
}

/// The same with sizes rounded up.
fn rounded(lifetimes: &[Lifetime], align: u64) -> Result<Vec<Lifetime>, SumError> {
    let mut left = MAX_SUM;
    let round = |(index, life): (usize, &Lifetime)| {
        let size = life
            .size
            .checked_next_multiple_of(align)
            .filter(|&size| size <= left);
        let size = size.ok_or(SumError {
            index,
            size: life.size,
            align,
            allowed: left / align * align,
        })?;
        left -= size;
        Ok(Lifetime { size, ..*life })
    };
    lifetimes.iter().enumerate().map(round).collect()
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
    let (mut live, mut most) = (0, 0);
    for (_, starts, size) in events {
        if starts {
            live += size;
            most = live.max(most);
        } else {
            live -= size;
        }
    }
    most
}

#[cfg(test)]
mod tests;
