//! What a replay counts, whatever serves it.

use super::{Counts, Fragmentation, ReplayReport, Stage, TierReplay};
use crate::memory::tier::{Tier, reserved_bytes};
use crate::memory::trace::{Action, Event, Trace};
use daa_base::Bytes;

/// A sum that rises and falls.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    now: u64,
    peak: u64,
}

impl Level {
    /// Whether it was never as high.
    fn set(&mut self, now: u64) -> bool {
        self.now = now;
        let higher = now > self.peak;
        self.peak = self.peak.max(now);
        higher
    }
}

#[derive(Debug)]
pub(super) struct Books {
    /// By number of the allocation; 0 for those that were refused or freed.
    sizes: Vec<u64>,
    events: u64,
    live: Level,
    charged: Level,
    reserved: Level,
    /// Events up to the first moment of the highest live bytes.
    peak_event: u64,
    /// By tier.
    refusals: [u64; 5],
}

impl Books {
    pub(super) fn new(trace: &Trace) -> Self {
        Self {
            sizes: vec![0; trace.allocations() as usize],
            events: 0,
            live: Level::default(),
            charged: Level::default(),
            reserved: Level::default(),
            peak_event: 0,
            refusals: [0; 5],
        }
    }

    /// What an event came to.
    pub(super) fn saw(&mut self, event: &Event, served: bool, stage: &impl Stage) {
        self.events += 1;
        let charge = |bytes: u64| reserved_bytes(Bytes(bytes)).get();
        match event.action {
            Action::Allocate { id, bytes, .. } if served => {
                self.sizes[id as usize] = bytes;
                self.charged.set(self.charged.now + charge(bytes));
                if self.live.set(self.live.now + bytes) {
                    self.peak_event = self.events;
                }
            }
            Action::Allocate { bytes, .. } => self.refusals[stage.tier(bytes).index()] += 1,
            Action::Free { id } => {
                let bytes = std::mem::take(&mut self.sizes[id as usize]);
                if bytes > 0 {
                    self.live.set(self.live.now - bytes);
                    self.charged.set(self.charged.now - charge(bytes));
                }
            }
        }
        self.reserved.set(stage.reserved());
    }

    pub(super) fn peak_event(&self) -> usize {
        usize::try_from(self.peak_event).unwrap_or(usize::MAX)
    }

    /// All but the fragmentation, which is of another moment.
    pub(super) fn report(&self, trace: &Trace, counts: &Counts) -> ReplayReport {
        let tier = |tier: Tier| {
            let (hits, misses) = (counts.hits[tier.index()], counts.misses[tier.index()]);
            TierReplay {
                tier,
                hits,
                misses,
                refusals: self.refusals[tier.index()],
                hit_rate: rate(hits, misses),
            }
        };
        ReplayReport {
            operations: self.events,
            allocations: u64::from(trace.allocations()),
            lost: trace.lost(),
            refusals: self.refusals.iter().sum(),
            peak_live_bytes: Bytes(self.live.peak),
            peak_charged_bytes: Bytes(self.charged.peak),
            peak_reserved_bytes: Bytes(counts.peak_reserved.unwrap_or(self.reserved.peak)),
            fragmentation: Fragmentation::default(),
            hit_rate: rate(counts.hits.iter().sum(), counts.misses.iter().sum()),
            tiers: Tier::ALL.map(tier).to_vec(),
            pages_created: counts.created,
            pages_freed: counts.freed,
            moved_blocks: counts.moved_blocks,
            moved_bytes: Bytes(counts.moved_bytes),
        }
    }
}

fn rate(hits: u64, misses: u64) -> Option<f64> {
    let granted = hits + misses;
    (granted > 0).then(|| hits as f64 / granted as f64)
}
