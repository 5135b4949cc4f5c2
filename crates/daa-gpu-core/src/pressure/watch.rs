//! A context's watch over its memory: samples in, steps of the ladder out.

use super::{
    Ladder, LadderConfig, Level, MemorySample, MemorySource, Monitor, MonitorConfig, Outlook, PressureReport,
    Reclaimable, Rung, SourceKind, Step,
};
use crate::config::ConfigError;
use crate::context::Shared;
use crate::error::{ErrorClass, GpuError, MemoryError};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use daa_base::Bytes;

/// Rounds at most for one request that does not fit. Each asks for twice as much as the one before, so that all that
/// could be given back has been asked for long before.
const MOST_ROUNDS: u32 = 48;

/// Watches memory and remembers what was done about it. No lock of it is held while memory moves.
#[derive(Debug)]
pub(crate) struct Watch {
    state: Mutex<State>,
    source: Mutex<Option<Arc<dyn MemorySource>>>,
    taken: [AtomicU64; 4],
}

#[derive(Debug)]
struct State {
    monitor: Monitor,
    ladder: Ladder,
}

impl State {
    fn new(config: &LadderConfig) -> Result<Self, ConfigError> {
        let monitor = MonitorConfig {
            thresholds: config.thresholds,
            ..MonitorConfig::default()
        };
        Ok(Self {
            monitor: Monitor::new(&monitor)?,
            ladder: Ladder::new(*config)?,
        })
    }

    fn begin_anew(&mut self) {
        *self =
            Self::new(self.ladder.config()).expect("the configuration was checked when it was first used");
    }
}

impl Watch {
    pub(crate) fn new(config: &LadderConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            state: Mutex::new(State::new(config)?),
            source: Mutex::new(None),
            taken: [const { AtomicU64::new(0) }; 4],
        })
    }

    /// From now on `source` says how much memory is in use; what another said is forgotten.
    pub(crate) fn set_source(&self, source: Arc<dyn MemorySource>) {
        self.lock().begin_anew();
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    fn source(&self) -> Option<Arc<dyn MemorySource>> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn took(&self, rung: Rung) {
        self.taken[rung.index()].fetch_add(1, Ordering::Relaxed);
    }

    fn observe(&self, sample: MemorySample) -> PressureReport {
        let mut state = self.lock();
        // What one source told says nothing about what another will.
        if state
            .monitor
            .source()
            .is_some_and(|before| before != sample.source)
        {
            state.begin_anew();
        }
        state.monitor.observe(sample);
        state.monitor.report().expect("a sample was just taken in")
    }

    /// Takes in a sample; whether there is nothing to do about it.
    fn is_calm(&self, sample: MemorySample) -> bool {
        let report = self.observe(sample);
        let mut state = self.lock();
        let ladder = &mut state.ladder;
        let level = ladder.level(report.level, report.upper, sample.capacity);
        let calm = level < ladder.config().from[0];
        if calm {
            ladder.rest();
        }
        calm
    }

    /// The next step ahead of need.
    fn ahead(&self, sample: &MemorySample, reclaimable: Reclaimable) -> Option<Step> {
        let mut state = self.lock();
        let outlook = Outlook {
            level: state.monitor.level(),
            used: sample.used,
            capacity: sample.capacity,
            upper: state.monitor.upper(),
            wanted: Bytes::ZERO,
            reclaimable,
        };
        state.ladder.ahead(&outlook)
    }

    /// The next step for a request of `wanted` bytes that was refused, though the books may say that it fits.
    fn need(&self, wanted: Bytes, reclaimable: Reclaimable, dry: &[Rung]) -> Option<Step> {
        let state = self.lock();
        let outlook = Outlook {
            level: Level::Critical,
            used: Bytes::ZERO,
            capacity: Bytes::ZERO,
            upper: None,
            wanted,
            reclaimable,
        };
        state.ladder.need(&outlook, dry)
    }
}

impl Shared {
    /// Memory now, and whose books say so: what the given source says, else the driver, else the pool.
    fn sample(&self) -> (MemorySample, Books) {
        let given = self.watch.source().map(|source| source.sample());
        let told = match given {
            Some(Ok(sample)) => Ok(sample),
            Some(Err(reason)) => {
                tracing::debug!(%reason, "a source of memory figures does not tell");
                self.backend.memory_source().and_then(MemorySource::sample)
            }
            None => self.backend.memory_source().and_then(MemorySource::sample),
        };
        told.map_or_else(
            |_| {
                let report = self.pool.report();
                let sample = MemorySample {
                    used: Bytes(report.in_use.get().saturating_add(report.cached.get())),
                    capacity: report.capacity,
                    source: SourceKind::Tracked,
                };
                (sample, Books::Own)
            },
            |sample| (sample, Books::Others),
        )
    }

    /// Takes a sample and tells all that is known; nothing is reclaimed.
    pub(crate) fn pressure(&self) -> PressureReport {
        let (sample, _) = self.sample();
        let mut report = self.watch.observe(sample);
        let taken = |rung: Rung| self.watch.taken[rung.index()].load(Ordering::Relaxed);
        report.trims = taken(Rung::Trim);
        report.spills = taken(Rung::Spill);
        report.compactions = taken(Rung::Compact);
        report.refusals = taken(Rung::Refuse);
        report
    }

    /// Takes a sample and gives memory back ahead of need. Called when memory was made, never where some was reused.
    ///
    /// The pool's own books end where leases do: what was granted may be used to the last byte, and moving it about
    /// would help nobody. So by those only what is kept for reuse is given back ahead of need; a driver's budget, which
    /// other processes eat into, sends images away too.
    pub(crate) fn foresee(&self) {
        for _ in Rung::RECLAIMING {
            // Anew after each rung: what one gave back, the next need not.
            let (sample, books) = self.sample();
            if self.watch.is_calm(sample) {
                return;
            }
            let mut reclaimable = self.reclaimable();
            if books == Books::Own {
                reclaimable.spill = Bytes::ZERO;
                reclaimable.compact = Bytes::ZERO;
            }
            let Some(step) = self.watch.ahead(&sample, reclaimable) else {
                return;
            };
            self.watch.took(step.rung);
            let given = self.reclaim(step.rung, step.bytes);
            tracing::debug!(?step, ?given, "memory given back ahead of need");
        }
    }

    /// Tries `attempt`, which asks for `wanted` bytes, and tries it again after each rung that gave something back. It
    /// is refused only when no rung could give any more. Rungs are taken in rounds, from the cheapest: room in pages is
    /// made by spilling a little and compacting rather than by spilling all.
    #[inline]
    pub(crate) fn with_room<T>(
        &self,
        wanted: Bytes,
        mut attempt: impl FnMut() -> Result<T, GpuError>,
    ) -> Result<T, GpuError> {
        match attempt() {
            Err(error) if room_helps(&error) => self.make_room(wanted, error, attempt),
            done => done,
        }
    }

    #[cold]
    fn make_room<T>(
        &self,
        wanted: Bytes,
        mut refused: GpuError,
        mut attempt: impl FnMut() -> Result<T, GpuError>,
    ) -> Result<T, GpuError> {
        for round in 0..MOST_ROUNDS {
            let asked = Bytes(wanted.get().saturating_mul(1 << round));
            let (mut done, mut helped) = (Vec::new(), false);
            while let Some(step) = self.next_rung(asked, &refused, &done) {
                done.push(step.rung);
                self.watch.took(step.rung);
                let given = self.reclaim(step.rung, step.bytes);
                tracing::debug!(?step, ?given, "memory given back at need");
                // What moves between pages makes no room until a page falls free.
                let is_spilled = step.rung == Rung::Spill && given.moved > Bytes::ZERO;
                if given.bytes == Bytes::ZERO && !is_spilled {
                    continue;
                }
                helped = true;
                match attempt() {
                    Err(error) if room_helps(&error) => refused = error,
                    done => return done,
                }
            }
            if !helped {
                break;
            }
        }
        self.watch.took(Rung::Refuse);
        Err(refused)
    }
}

impl Shared {
    /// The next rung for a request that was refused, but for those that are `done`; `None` if none could help.
    fn next_rung(&self, asked: Bytes, refused: &GpuError, done: &[Rung]) -> Option<Step> {
        let mut reclaimable = self.reclaimable();
        if !pages_help(refused) {
            reclaimable.compact = Bytes::ZERO;
        }
        let step = self.watch.need(asked, reclaimable, done)?;
        (step.rung != Rung::Refuse).then_some(step)
    }
}

/// Whose figures a sample has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Books {
    /// The pool's.
    Own,
    /// The driver's, or those of whoever was given as a source.
    Others,
}

/// Whether others' memory would help: a budget is the tenant's own affair.
pub(crate) const fn room_helps(error: &GpuError) -> bool {
    !matches!(error, GpuError::Memory(MemoryError::Budget { .. }))
        && matches!(error.class(), ErrorClass::OutOfMemory)
}

/// Whether it would help to give pages back. What loans may sum up to does not change with the pages that they lie in.
pub(crate) const fn pages_help(error: &GpuError) -> bool {
    let is_counted = matches!(
        error,
        GpuError::Memory(MemoryError::Capacity { .. } | MemoryError::Tier { .. })
    );
    room_helps(error) && !is_counted
}
