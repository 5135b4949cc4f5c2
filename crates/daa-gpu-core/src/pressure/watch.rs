//! A context's watch over its memory: samples in, steps of the ladder out.

use super::{
    Ladder, LadderConfig, Level, MemorySample, MemorySource, Monitor, MonitorConfig, Outlook, PressureReport,
    Reclaimable, Rung, SourceKind, Step,
};
use crate::config::ConfigError;
use crate::context::Shared;
use crate::error::{ErrorClass, GpuError, MemoryError};
use daa_base::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Steps at most for one request that does not fit.
const MOST_STEPS: usize = 16;

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
        let mut state = self.lock();
        *state =
            State::new(state.ladder.config()).expect("the configuration was checked when it was first used");
        drop(state);
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    fn source(&self) -> Option<Arc<dyn MemorySource>> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn took(&self, rung: Rung) {
        self.taken[rung.index()].fetch_add(1, Ordering::Relaxed);
    }

    fn observe(&self, sample: MemorySample) -> PressureReport {
        let mut state = self.lock();
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
    /// Memory now: what the given source says, else the driver, else the pool.
    fn sample(&self) -> MemorySample {
        if let Some(source) = self.watch.source() {
            return source.sample();
        }
        self.backend.memory_source().map_or_else(
            |_| {
                let report = self.pool.report();
                MemorySample {
                    used: Bytes(report.in_use.get().saturating_add(report.cached.get())),
                    capacity: report.capacity,
                    source: SourceKind::Tracked,
                }
            },
            MemorySource::sample,
        )
    }

    /// Takes a sample and tells all that is known; nothing is reclaimed.
    pub(crate) fn pressure(&self) -> PressureReport {
        let sample = self.sample();
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
        let sample = self.sample();
        if self.watch.is_calm(sample) {
            return;
        }
        for _ in Rung::RECLAIMING {
            let mut reclaimable = self.reclaimable();
            if sample.source == SourceKind::Tracked {
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
    /// is refused only when no rung could give any more.
    pub(crate) fn with_room<T>(
        &self,
        wanted: Bytes,
        mut attempt: impl FnMut() -> Result<T, GpuError>,
    ) -> Result<T, GpuError> {
        let mut refused = match attempt() {
            Err(error) if room_helps(&error) => error,
            done => return done,
        };
        let mut dry = Vec::new();
        for _ in 0..MOST_STEPS {
            let step = self.watch.need(wanted, self.reclaimable(), &dry);
            let Some(step) = step.filter(|step| step.rung != Rung::Refuse) else {
                break;
            };
            self.watch.took(step.rung);
            let given = self.reclaim(step.rung, step.bytes);
            tracing::debug!(?step, ?given, "memory given back at need");
            if given.bytes == Bytes::ZERO && given.moved == Bytes::ZERO {
                dry.push(step.rung);
                continue;
            }
            match attempt() {
                Err(error) if room_helps(&error) => refused = error,
                done => return done,
            }
        }
        self.watch.took(Rung::Refuse);
        Err(refused)
    }
}

/// Whether others' memory would help: a budget is the tenant's own affair.
const fn room_helps(error: &GpuError) -> bool {
    !matches!(error, GpuError::Memory(MemoryError::Budget { .. }))
        && matches!(error.class(), ErrorClass::OutOfMemory)
}
