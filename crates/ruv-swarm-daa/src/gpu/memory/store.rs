//! What a manager and its pool share: one capacity, the pool's blocks, and what watches both.

use super::super::config::{GpuMemoryConfig, thousandths};
use crate::error::{DAAError, DAAResult};
use daa_base::Permille;
use daa_gpu_core::pressure::{
    Ladder, LadderConfig, Level, MemorySample, Monitor, MonitorConfig, Outlook, Reclaimable, SourceKind,
    Thresholds,
};
use daa_gpu_core::{Block, Bytes, Colour, ConfigError, Heap, HeapConfig, PageId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How far use must fall below a level before it is left, in thousandths.
const HYSTERESIS: u16 = 20;

/// A store that several hold.
#[derive(Debug, Clone)]
pub(super) struct Shared(Arc<Mutex<Store>>);

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a buffer takes of the heap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lent {
    block: Block,
    pub(super) bytes: u64,
}

/// The books, and the memory of buffers that nobody holds.
#[derive(Debug)]
pub(super) struct Store {
    limit: u64,
    capacity: u64,
    predicts: bool,
    /// Buffers of their own, kept and reused.
    heap: Heap,
    /// What tickets stand for.
    counted: u64,
    /// What is in buffers that somebody holds.
    lent: u64,
    high_water: u64,
    /// Memory of buffers that nobody holds.
    idle: BTreeMap<PageId, Vec<u8>>,
    cached: u64,
    monitor: Monitor,
    ladder: Ladder,
}

impl Store {
    /// A store for `limit` bytes at most.
    ///
    /// # Errors
    /// For thresholds that no monitor takes; those of a valid configuration are taken.
    pub(super) fn shared(limit: u64, config: &GpuMemoryConfig) -> DAAResult<Shared> {
        // The heap knows capacities from 1 B to 1 PiB; the limit itself is kept below.
        let most = Bytes(limit.clamp(1, 1 << 50));
        let mut heap = HeapConfig::new(most, 1);
        (heap.slab_below, heap.dedicated_from, heap.keep) = (Bytes::ZERO, Bytes::ZERO, most);
        let (monitor, ladder) = watchers(config).map_err(refused)?;
        let store = Self {
            limit,
            capacity: capacity_of(limit, config),
            predicts: config.enable_predictive_allocation,
            heap: Heap::new(heap).map_err(refused)?,
            counted: 0,
            lent: 0,
            high_water: 0,
            idle: BTreeMap::new(),
            cached: 0,
            monitor,
            ladder,
        };
        Ok(Shared(Arc::new(Mutex::new(store))))
    }

    pub(super) fn configure(&mut self, config: &GpuMemoryConfig) -> DAAResult<()> {
        let watched = self.monitor.report().is_some();
        (self.monitor, self.ladder) = watchers(config).map_err(refused)?;
        self.capacity = capacity_of(self.limit, config);
        self.predicts = config.enable_predictive_allocation;
        self.make_room();
        if watched {
            self.watch();
        }
        Ok(())
    }

    pub(super) const fn capacity(&self) -> u64 {
        self.capacity
    }

    /// What tickets and buffers take.
    pub(super) const fn in_use(&self) -> u64 {
        self.counted + self.lent
    }

    pub(super) const fn lent(&self) -> u64 {
        self.lent
    }

    pub(super) const fn cached(&self) -> u64 {
        self.cached
    }

    pub(super) const fn high_water(&self) -> u64 {
        self.high_water
    }

    pub(super) const fn level(&self) -> Level {
        self.monitor.level()
    }

    pub(super) fn upper(&self) -> Option<Bytes> {
        self.monitor.upper()
    }

    /// Counts `bytes` for a ticket.
    pub(super) fn count(&mut self, bytes: u64) -> DAAResult<()> {
        self.check(bytes)?;
        self.counted += bytes;
        self.make_room();
        self.watch();
        Ok(())
    }

    /// Counts them no longer.
    pub(super) fn uncount(&mut self, bytes: u64) {
        self.counted -= bytes;
        self.watch();
    }

    /// A buffer of at least `bytes` bytes, and the memory of it if it is a kept one: those of at most an eighth more are
    /// taken before one of exactly that size is made.
    pub(super) fn lend(&mut self, bytes: u64) -> DAAResult<(Lent, Option<Vec<u8>>)> {
        let free = self.check(bytes)?;
        let mut lent = self.block(bytes)?;
        if lent.bytes > free {
            // The eighth would go beyond the capacity: no kept buffer is left to be taken the second time.
            let _ = self.heap.free(lent.block);
            self.trim(0);
            lent = self.block(bytes)?;
        }
        let kept = self.idle.remove(&lent.block.page());
        self.cached -= kept.as_ref().map_or(0, |memory| memory.len() as u64);
        self.lent += lent.bytes;
        self.make_room();
        self.watch();
        Ok((lent, kept))
    }

    /// A buffer comes back with its memory, or without if there is none to keep.
    pub(super) fn take_back(&mut self, lent: Lent, memory: Option<Vec<u8>>) {
        let Lent { block, bytes } = lent;
        self.lent -= bytes;
        let _ = self.heap.free(block);
        if let Some(memory) = memory {
            self.cached += memory.len() as u64;
            self.idle.insert(block.page(), memory);
        }
        self.make_room();
        self.watch();
    }

    /// Drops the buffers that came back longest ago, until buffers take at most `target` bytes or none is idle.
    pub(super) fn trim(&mut self, target: u64) {
        let pages = self.heap.trim(target);
        self.forget(&pages);
    }

    fn forget(&mut self, pages: &[PageId]) {
        for page in pages {
            if let Some(memory) = self.idle.remove(page) {
                self.cached -= memory.len() as u64;
            }
        }
    }

    fn block(&mut self, bytes: u64) -> DAAResult<Lent> {
        let granted = self
            .heap
            .allocate(Colour::ReadWrite, bytes)
            .map_err(|error| DAAError::memory(error.to_string()))?;
        self.forget(&granted.evicted);
        let block = granted.block;
        let bytes = self.heap.span(block).map_or(bytes, |span| span.bytes);
        Ok(Lent { block, bytes })
    }

    /// What is free, if that is at least `bytes`.
    fn check(&self, bytes: u64) -> DAAResult<u64> {
        let free = self.capacity.saturating_sub(self.in_use());
        if bytes <= free {
            return Ok(free);
        }
        Err(DAAError::memory(format!(
            "{bytes} bytes were asked for, {free} of {} are free",
            self.capacity
        )))
    }

    /// What is kept makes way for what is in use.
    fn make_room(&mut self) {
        self.trim(self.capacity.saturating_sub(self.counted));
    }

    /// Looks at the use after each change, and drops kept buffers where the ladder says so.
    fn watch(&mut self) {
        let (used, capacity) = (Bytes(self.in_use()), Bytes(self.capacity));
        self.high_water = self.high_water.max(used.get());
        self.monitor.observe(MemorySample {
            used,
            capacity,
            source: SourceKind::Tracked,
        });
        let upper = self.monitor.upper().filter(|_| self.predicts);
        // The ladder does not ask again for what helped too little while pressure lasts. Dropping a kept buffer costs
        // nothing but the next miss, so each change starts at the foot.
        let mut ladder = self.ladder.clone();
        loop {
            let kept = Bytes(self.cached);
            let outlook = Outlook {
                level: Level::None,
                used: used + kept,
                capacity,
                upper: upper.map(|upper| Bytes(upper.get().saturating_add(kept.get()))),
                wanted: Bytes::ZERO,
                reclaimable: Reclaimable {
                    trim: kept,
                    ..Reclaimable::default()
                },
            };
            let Some(step) = ladder.ahead(&outlook) else {
                return;
            };
            self.trim(self.heap.reserved().saturating_sub(step.bytes.get()));
        }
    }
}

fn capacity_of(limit: u64, config: &GpuMemoryConfig) -> u64 {
    limit.min(config.buffer_pool_size_mb.saturating_mul(1 << 20))
}

/// What watches use at the configured thresholds: `High` begins at the one for pressure, `Critical` and trimming at the
/// one for clean-ups, `Medium` and `Low` at seven and six eighths of the first.
fn watchers(config: &GpuMemoryConfig) -> Result<(Monitor, Ladder), ConfigError> {
    let share = |thousandths: u16| Permille::new(thousandths).unwrap_or(Permille::WHOLE);
    // Levels must rise from one thousandth to the next; a valid configuration leaves room for that.
    let high = thousandths(config.pressure_threshold);
    let low = (high / 8 * 6 + high % 8 * 6 / 8).clamp(1, high - 2);
    let medium = (high / 8 * 7 + high % 8 * 7 / 8).clamp(low + 1, high - 1);
    let thresholds = Thresholds {
        low: share(low),
        medium: share(medium),
        high: share(high),
        critical: share(thousandths(config.cleanup_threshold)),
        hysteresis: share(HYSTERESIS.min(low - 1)),
    };
    let monitor = Monitor::new(&MonitorConfig {
        thresholds,
        ..MonitorConfig::default()
    })?;
    let ladder = Ladder::new(LadderConfig {
        from: [Level::Critical; 3],
        thresholds,
        least: Permille::ZERO,
    })?;
    Ok((monitor, ladder))
}

fn refused(error: ConfigError) -> DAAError {
    DAAError::config(error.to_string())
}
