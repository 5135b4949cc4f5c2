//! Runs a trace against a pool configuration, without a device and without the program that made the trace.
//!
//! [`Space::Pool`] is the pool itself ([`crate::memory::pool`]), with its accounts, magazines and pages, over buffers
//! that are numbers; [`Space::Heap`] and [`Space::OnePage`] are its sub-allocator alone. Equal traces and configurations
//! give equal reports. [`time`] measures what the operations take on this machine.

mod books;
mod heap;
mod pool;

use crate::config::{ConfigError, MemoryConfig};
use crate::memory::heap::HeapConfig;
use crate::memory::tier::Tier;
use crate::memory::trace::{Event, Trace};
use books::Books;
use daa_base::{Bytes, Clock};
use heap::HeapStage;
use pool::PoolStage;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Operations that [`time`] measures at most in one pass, from the start of the trace.
const MAX_TIMED: usize = 1 << 22;

/// Operations that [`time`] measures at least, by repeating a short trace.
const MIN_TIMED: u64 = 1 << 20;

/// What a device asks of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DevicePages {
    /// What offsets of bindings are multiples of: a power of two, 1 to 64 KiB.
    pub alignment: u64,
    /// Its largest buffer.
    pub max_buffer: Bytes,
    /// Its memory, where known: what pages and buffers together never exceed.
    pub memory: Option<Bytes>,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSpace {
    /// What all tenants together may reserve.
    pub capacity: Bytes,
    /// What else a pool is made with. Its `capacity` and its `recorder` have no say here.
    pub memory: MemoryConfig,
    /// `None`: each block is a buffer of its own, as on the CPU.
    pub pages: Option<DevicePages>,
}

/// Where blocks may lie.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Space {
    /// In what the pool of a device makes. Every tenant may have all of the capacity.
    Pool(PoolSpace),
    /// In pages by usage and size as asked for; large blocks and staging in buffers of their own, the latter in a second
    /// heap of the same capacity.
    Heap(HeapConfig),
    /// All in one page, whatever they are for: to compare with static plans and with other allocators.
    OnePage(HeapConfig),
}

/// What is done where no page of a heap has room.
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
    /// Where blocks may lie.
    pub space: Space,
    /// What is done where no page of a heap has room. A pool moves nothing while it allocates.
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

    const fn new(space: Space) -> Self {
        Self {
            space,
            on_refusal: OnRefusal::Refuse,
        }
    }

    /// The pool that a context makes by default for a device of `capacity`; `alignment` is what its bindings want, and
    /// `None` for the CPU, which has no pages.
    #[must_use]
    pub fn pool(capacity: Bytes, alignment: Option<u64>) -> Self {
        Self::new(Space::Pool(PoolSpace {
            capacity,
            memory: MemoryConfig::default(),
            pages: alignment.map(|alignment| DevicePages {
                alignment,
                max_buffer: Bytes(u64::MAX),
                memory: None,
            }),
        }))
    }

    /// A heap without a pool around it.
    #[must_use]
    pub const fn heap(heap: HeapConfig) -> Self {
        Self::new(Space::Heap(heap))
    }

    /// One page of `bytes`.
    #[must_use]
    pub fn one_page(bytes: Bytes, alignment: u64) -> Self {
        Self::new(Space::OnePage(HeapConfig::one_page(bytes, alignment)))
    }

    /// What may be in use at once.
    #[must_use]
    pub const fn capacity(&self) -> Bytes {
        match &self.space {
            Space::Pool(pool) => pool.capacity,
            Space::Heap(heap) | Space::OnePage(heap) => heap.capacity,
        }
    }

    /// What offsets are multiples of; `None` where every block is a buffer of its own.
    #[must_use]
    pub fn alignment(&self) -> Option<u64> {
        match &self.space {
            Space::Pool(pool) => pool.pages.map(|pages| pages.alignment),
            Space::Heap(heap) | Space::OnePage(heap) => Some(heap.alignment),
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
    /// One entry per tier, smallest first. In a pool a block counts in the tier of its size class, else of the size
    /// that was asked for.
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
    /// Part of the free bytes in pages that the largest free block does not have, 0 to 1; what magazines keep is not
    /// free. In one page it counts up to the highest end of a block so far.
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

/// How long the operations take.
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

/// What serves events.
trait Stage: Sized {
    /// Serves an event. False for an allocation that is refused.
    fn serve(&mut self, event: &Event) -> bool;

    /// What pages and buffers take.
    fn reserved(&self) -> u64;

    /// The tier that a size counts in.
    fn tier(&self, bytes: u64) -> Tier;

    /// At this moment, with so many bytes asked for.
    fn fragmentation(&self, live: u64) -> Fragmentation;

    /// What the stage itself counted.
    fn counts(&self) -> Counts;
}

/// What a stage counted.
#[derive(Debug, Default)]
struct Counts {
    /// The most that pages and buffers took, if it is not the most that [`Stage::reserved`] was.
    peak_reserved: Option<u64>,
    /// By tier.
    hits: [u64; 5],
    misses: [u64; 5],
    created: u64,
    freed: u64,
    moved_blocks: u64,
    moved_bytes: u64,
}

/// The part of `whole` that is not `there`; 0 of nothing.
fn missing_part(there: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        whole => 1.0 - there as f64 / whole as f64,
    }
}

/// Runs the whole trace.
///
/// # Errors
/// [`ConfigError`] for a field that is out of range.
pub fn replay(trace: &Trace, config: &ReplayConfig) -> Result<ReplayReport, ConfigError> {
    match &config.space {
        Space::Pool(pool) => run(trace, || PoolStage::new(trace, pool)),
        Space::Heap(heap) => run(trace, || HeapStage::new(trace, heap, false, config.on_refusal)),
        Space::OnePage(heap) => run(trace, || HeapStage::new(trace, heap, true, config.on_refusal)),
    }
}

fn run<S: Stage>(
    trace: &Trace,
    make: impl Fn() -> Result<S, ConfigError>,
) -> Result<ReplayReport, ConfigError> {
    let (mut stage, mut books) = (make()?, Books::new(trace));
    for event in trace.events() {
        let served = stage.serve(&event);
        books.saw(&event, served, &stage);
    }
    let mut report = books.report(trace, &stage.counts());
    drop(stage);
    let mut stage = make()?;
    for event in trace.events().take(books.peak_event()) {
        stage.serve(&event);
    }
    report.fragmentation = stage.fragmentation(report.peak_live_bytes.get());
    Ok(report)
}

/// Measures the operations, nothing else: the first 2²² of the trace, a shorter trace again and again from the start.
///
/// # Errors
/// As [`replay`].
pub fn time(trace: &Trace, config: &ReplayConfig, clock: &dyn Clock) -> Result<Timing, ConfigError> {
    match &config.space {
        Space::Pool(pool) => measure(trace, clock, || PoolStage::new(trace, pool)),
        Space::Heap(heap) => measure(trace, clock, || {
            HeapStage::new(trace, heap, false, config.on_refusal)
        }),
        Space::OnePage(heap) => measure(trace, clock, || {
            HeapStage::new(trace, heap, true, config.on_refusal)
        }),
    }
}

fn measure<S: Stage>(
    trace: &Trace,
    clock: &dyn Clock,
    make: impl Fn() -> Result<S, ConfigError>,
) -> Result<Timing, ConfigError> {
    let events: Vec<Event> = trace.events().take(MAX_TIMED).collect();
    let mut timing = Timing {
        operations: 0,
        elapsed: Duration::ZERO,
    };
    while !events.is_empty() && timing.operations < MIN_TIMED {
        let mut stage = make()?;
        let start = clock.monotonic();
        for event in &events {
            stage.serve(event);
        }
        timing.elapsed += clock.monotonic().saturating_sub(start);
        timing.operations += events.len() as u64;
    }
    Ok(timing)
}

#[cfg(test)]
mod tests;
