//! Runs a trace against a pool configuration, without a device and without the program that made the trace.
//!
//! The heap is the pool's own ([`crate::memory::heap`]); only the pages are missing. Equal traces and configurations
//! give equal reports. [`time`] measures what the heap's operations take on this machine.

mod player;

use crate::config::{ConfigError, MemoryConfig};
use crate::memory::heap::HeapConfig;
use crate::memory::tier::Tier;
use crate::memory::trace::{Event, Trace};
use daa_base::{Bytes, Clock};
use player::Player;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Operations that [`time`] measures at most in one pass, from the start of the trace.
const MAX_TIMED: usize = 1 << 22;

/// Operations that [`time`] measures at least, by repeating a short trace.
const MIN_TIMED: u64 = 1 << 20;

/// Where blocks may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Space {
    /// As in the pool: pages by usage and size, large blocks and staging in buffers of their own.
    Pages,
    /// All in one page, whatever they are for: to compare with static plans and with other allocators.
    OnePage,
}

/// What is done where no page has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnRefusal {
    /// The allocation is refused.
    Refuse,
    /// Blocks are moved together first, and it is refused if that does not help.
    Compact,
}

/// What a trace is run against.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayConfig {
    /// The heap. With [`Space::Pages`], staging lies in a second one of the same capacity that has whole buffers only.
    pub heap: HeapConfig,
    /// Where blocks may lie.
    pub space: Space,
    /// What is done where no page has room.
    pub on_refusal: OnRefusal,
}

impl ReplayConfig {
    /// Capacity where none is known, as for a device that does not tell.
    pub const DEFAULT_CAPACITY: Bytes = MemoryConfig::UNKNOWN_CAPACITY;

    /// The largest page for an alignment: 2³¹ times that.
    #[must_use]
    pub const fn largest_page(alignment: u64) -> Bytes {
        Bytes(alignment.saturating_mul(1 << 31))
    }

    /// The pool's default for a device of `capacity` that wants offsets in multiples of `alignment`.
    #[must_use]
    pub fn pool(capacity: Bytes, alignment: u64) -> Self {
        let mut heap = HeapConfig::new(capacity, alignment);
        heap.keep = capacity.min(MemoryConfig::default().max_cached);
        Self {
            heap,
            space: Space::Pages,
            on_refusal: OnRefusal::Refuse,
        }
    }

    /// One page of `bytes`.
    #[must_use]
    pub fn one_page(bytes: Bytes, alignment: u64) -> Self {
        Self {
            heap: HeapConfig::one_page(bytes, alignment),
            space: Space::OnePage,
            on_refusal: OnRefusal::Refuse,
        }
    }
}

/// What a trace did to a pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReplayReport {
    /// Allocations and frees of the trace.
    pub operations: u64,
    /// Allocations of the trace, refused ones too.
    pub allocations: u64,
    /// Allocations that the recorder had no room for: if not 0, the trace is cut.
    pub lost: u64,
    /// Allocations that were refused. Their bytes count nowhere else.
    pub refusals: u64,
    /// The most bytes that were asked for and not yet freed.
    pub peak_live_bytes: Bytes,
    /// The same with each size rounded up to its class ([`crate::reserved_bytes`]): what the pool charges tenants, and
    /// so its high-water mark.
    pub peak_charged_bytes: Bytes,
    /// The most that pages and buffers took; in one page the highest end of a block.
    pub peak_reserved_bytes: Bytes,
    /// What was lost to rounding and holes when the live bytes were highest.
    pub fragmentation: Fragmentation,
    /// Part of the granted allocations that needed no new page or buffer, 0 to 1; `None` if none was granted.
    pub hit_rate: Option<f64>,
    /// One entry per tier, smallest first. A block counts in the tier of the size it was asked for.
    pub tiers: Vec<TierReplay>,
    /// Pages and buffers made.
    pub pages_created: u64,
    /// Pages and buffers given up.
    pub pages_freed: u64,
    /// Blocks that compaction moved.
    pub moved_blocks: u64,
    /// Their bytes.
    pub moved_bytes: Bytes,
}

/// Memory that serves nobody, at the first moment at which the live bytes were highest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Fragmentation {
    /// Part of the bytes in blocks that nobody asked for, 0 to 1.
    pub internal: f64,
    /// Part of the free bytes in pages that the largest free block does not have, 0 to 1. In one page it counts up to
    /// the highest end of a block so far.
    pub external: f64,
}

/// One tier of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TierReplay {
    /// Which.
    pub tier: Tier,
    /// Allocations served from pages and buffers that were there.
    pub hits: u64,
    /// Allocations that a page or a buffer had to be made for.
    pub misses: u64,
    /// Allocations that were refused.
    pub refusals: u64,
    /// Hits among the granted, 0 to 1; `None` if none was granted.
    pub hit_rate: Option<f64>,
}

/// How long the heap's operations take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How many were measured.
    pub operations: u64,
    /// What they took together.
    pub elapsed: Duration,
}

impl Timing {
    /// Nanoseconds for one operation; `None` if there was none.
    #[must_use]
    pub fn ns_per_operation(&self) -> Option<f64> {
        (self.operations > 0).then(|| self.elapsed.as_secs_f64() * 1e9 / self.operations as f64)
    }
}

/// Runs the whole trace.
///
/// # Errors
/// [`ConfigError`] for a field of the heap that is out of range.
pub fn replay(trace: &Trace, config: &ReplayConfig) -> Result<ReplayReport, ConfigError> {
    let mut player = Player::new(trace, config)?;
    for event in trace.events() {
        player.play(&event);
    }
    let mut report = player.report(trace);
    let until = usize::try_from(player.peak_event()).unwrap_or(usize::MAX);
    drop(player);
    let mut again = Player::new(trace, config)?;
    for event in trace.events().take(until) {
        again.play(&event);
    }
    report.fragmentation = again.fragmentation();
    Ok(report)
}

/// Measures the heap's operations, nothing else: the first 2²² of the trace, a shorter trace again and again from an
/// empty heap. Nothing is remembered but where blocks are.
///
/// # Errors
/// As [`replay`].
pub fn time(trace: &Trace, config: &ReplayConfig, clock: &dyn Clock) -> Result<Timing, ConfigError> {
    let events: Vec<Event> = trace.events().take(MAX_TIMED).collect();
    let mut timing = Timing {
        operations: 0,
        elapsed: Duration::ZERO,
    };
    while !events.is_empty() && timing.operations < MIN_TIMED {
        let mut player = Player::new(trace, config)?;
        let start = clock.monotonic();
        for event in &events {
            player.serve(event);
        }
        timing.elapsed += clock.monotonic().saturating_sub(start);
        timing.operations += events.len() as u64;
    }
    Ok(timing)
}

#[cfg(test)]
mod tests;
