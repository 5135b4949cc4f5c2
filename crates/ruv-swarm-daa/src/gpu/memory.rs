//! Memory of an agent: a manager that counts and refuses, a pool of host buffers, a pressure monitor.
//!
//! The manager and the pool of an agent share one capacity. Blocks, levels, forecast, reclaim ladder and breaker are
//! those of `daa-gpu-core`; here they get the names and the settings of the original document.

mod pool;
mod store;

pub use pool::{AdvancedBufferPool, PooledBuffer};

use super::config::GpuMemoryConfig;
use crate::error::{DAAError, DAAResult};
use daa_base::{Permille, Rng, Seed};
use daa_gpu_core::breaker::{Breaker, BreakerConfig, Permit, State};
use daa_gpu_core::pressure::{Level, Thresholds};
use daa_gpu_core::{Bytes, ErrorClass};
use std::collections::BTreeMap;
use std::time::Duration;
use store::{Shared, Store};

/// Failures in a row that open the breaker.
const BREAKER_FAILURES: u32 = 5;
/// How long the breaker stays open.
const BREAKER_PAUSE: Duration = Duration::from_secs(30);

/// How scarce memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryPressure {
    /// Less than 0.6 of the capacity is in use.
    None,
    /// Less than 0.7.
    Low,
    /// Less than 0.8.
    Medium,
    /// Less than 0.9.
    High,
    /// 0.9 or more.
    Critical,
}

impl MemoryPressure {
    /// The level for `used` of `capacity` bytes at the usual thresholds; a capacity of 0 is critical.
    #[must_use]
    pub fn of(used: u64, capacity: u64) -> Self {
        Thresholds::default().level(Bytes(used), Bytes(capacity)).into()
    }
}

impl From<Level> for MemoryPressure {
    fn from(level: Level) -> Self {
        match level {
            Level::None => Self::None,
            Level::Low => Self::Low,
            Level::Medium => Self::Medium,
            Level::High => Self::High,
            Level::Critical => Self::Critical,
        }
    }
}

/// Remembers the highest pressure seen.
#[derive(Debug)]
pub struct MemoryPressureMonitor {
    current: MemoryPressure,
    highest: MemoryPressure,
    samples: u64,
}

impl Default for MemoryPressureMonitor {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryPressureMonitor {
    /// A monitor without samples.
    #[must_use]
    pub fn new() -> Self {
        Self {
            current: MemoryPressure::None,
            highest: MemoryPressure::None,
            samples: 0,
        }
    }

    /// Takes a sample.
    pub fn observe(&mut self, pressure: MemoryPressure) {
        self.current = pressure;
        self.highest = self.highest.max(pressure);
        self.samples += 1;
    }

    /// The latest sample, `None` before the first.
    #[must_use]
    pub fn current(&self) -> MemoryPressure {
        self.current
    }

    /// The highest sample.
    #[must_use]
    pub fn highest(&self) -> MemoryPressure {
        self.highest
    }

    /// The number of samples.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }
}

/// Counts what an agent holds and refuses what would go past its limit.
#[derive(Debug)]
pub struct EnhancedGpuMemoryManager {
    config: GpuMemoryConfig,
    store: Shared,
    held: BTreeMap<u64, u64>,
    next: u64,
    breaker: Breaker,
    /// The breaker wants one; without jitter it draws nothing that matters.
    rng: Rng,
}

impl EnhancedGpuMemoryManager {
    /// A manager with the default settings and a limit in MiB.
    ///
    /// # Errors
    /// [`DAAError::ConfigError`] for a limit that is not in 1 to 2^30.
    pub fn new(limit_mb: u64) -> DAAResult<Self> {
        let config = GpuMemoryConfig {
            buffer_pool_size_mb: limit_mb,
            ..GpuMemoryConfig::default()
        };
        config.validate()?;
        Ok(Self {
            store: Store::shared(Bytes::mib(limit_mb).get(), &config)?,
            held: BTreeMap::new(),
            next: 0,
            breaker: breaker()?,
            rng: Seed(0).stream("memory breaker").rng(),
            config,
        })
    }

    /// A pool of buffers that share this manager's capacity and follow its settings.
    #[must_use]
    pub fn buffer_pool(&self) -> AdvancedBufferPool {
        AdvancedBufferPool::sharing(&self.store)
    }

    /// Replaces the settings. The capacity never goes above the limit of [`new`](Self::new). The breaker and the
    /// forecast begin anew.
    ///
    /// # Errors
    /// [`DAAError::ConfigError`] for a setting out of range.
    pub fn configure(&mut self, config: GpuMemoryConfig) -> DAAResult<()> {
        config.validate()?;
        self.store.lock().configure(&config)?;
        self.breaker = breaker()?;
        self.config = config;
        Ok(())
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &GpuMemoryConfig {
        &self.config
    }

    /// What may be held, in bytes.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.store.lock().capacity()
    }

    /// What is held, in bytes; buffers of [`buffer_pool`](Self::buffer_pool) are part of it.
    #[must_use]
    pub fn in_use(&self) -> u64 {
        self.store.lock().in_use()
    }

    /// The most that was ever held, in bytes.
    #[must_use]
    pub fn high_water(&self) -> u64 {
        self.store.lock().high_water()
    }

    /// Takes `bytes` at time `now` of any clock that does not go back, and returns a ticket for
    /// [`free`](Self::free).
    ///
    /// # Errors
    /// [`DAAError::MemoryError`] past the capacity, and, if the breaker is enabled, for 30 s after five such failures in
    /// a row. The first try after that decides whether the pause ends or begins again.
    pub fn allocate(&mut self, bytes: u64, now: Duration) -> DAAResult<u64> {
        let permit = self.ask_breaker(now)?;
        let counted = self.store.lock().count(bytes);
        self.tell_breaker(permit, counted.is_ok(), now);
        counted?;
        let ticket = self.next;
        self.held.insert(ticket, bytes);
        self.next += 1;
        Ok(ticket)
    }

    fn ask_breaker(&mut self, now: Duration) -> DAAResult<Option<Permit>> {
        if !self.config.enable_circuit_breaker {
            return Ok(None);
        }
        let permit = self.breaker.try_probe(now);
        match self.breaker.state() {
            State::Open { until, .. } => Err(DAAError::memory(format!(
                "allocation is paused for {} ms after repeated failures",
                until.saturating_sub(now).as_millis()
            ))),
            _ => Ok(permit),
        }
    }

    fn tell_breaker(&mut self, permit: Option<Permit>, succeeded: bool, now: Duration) {
        const CLASS: ErrorClass = ErrorClass::OutOfMemory;
        if !self.config.enable_circuit_breaker {
            return;
        }
        match (permit, succeeded) {
            (Some(permit), true) => drop(self.breaker.passed(permit, now)),
            (Some(permit), false) => drop(self.breaker.refuted(permit, CLASS, now, &mut self.rng)),
            (None, true) => self.breaker.succeeded(),
            (None, false) => drop(self.breaker.failed(CLASS, now, &mut self.rng)),
        }
    }

    /// Gives back what `ticket` stands for.
    ///
    /// # Errors
    /// [`DAAError::MemoryError`] for a ticket that is unknown or was given back before.
    pub fn free(&mut self, ticket: u64) -> DAAResult<()> {
        let bytes = self
            .held
            .remove(&ticket)
            .ok_or_else(|| DAAError::memory(format!("the allocation {ticket} is not held")))?;
        self.store.lock().uncount(bytes);
        Ok(())
    }

    /// How scarce memory is; `None` where monitoring is off. `High` begins at the pressure threshold, `Critical` at the
    /// clean-up threshold, `Medium` and `Low` at seven and six eighths of the former; a level is left once use is 2 % of
    /// the capacity below it.
    #[must_use]
    pub fn pressure(&self) -> Option<MemoryPressure> {
        self.config
            .enable_pressure_monitoring
            .then(|| self.store.lock().level().into())
    }

    /// Whether more than the pressure threshold is in use; never where monitoring is off.
    #[must_use]
    pub fn is_under_pressure(&self) -> bool {
        self.config.enable_pressure_monitoring
            && self.used_share() > f64::from(self.config.pressure_threshold)
    }

    /// Whether more than the clean-up threshold is in use. The pool's released buffers, which count as use here, are
    /// dropped by themselves at that threshold.
    #[must_use]
    pub fn needs_cleanup(&self) -> bool {
        self.used_share() > f64::from(self.config.cleanup_threshold)
    }

    /// What use will stay below over the next ten allocations and releases, in bytes, with 95 % of such bounds kept in the
    /// long run; `None` before the first allocation and where forecasts are off. Where they are on, released buffers
    /// make way as soon as this bound reaches the clean-up threshold.
    #[must_use]
    pub fn forecast(&self) -> Option<f64> {
        let upper = self.store.lock().upper().map(|upper| upper.get() as f64);
        upper.filter(|_| self.config.enable_predictive_allocation)
    }

    fn used_share(&self) -> f64 {
        let store = self.store.lock();
        store.in_use() as f64 / store.capacity() as f64
    }
}

/// As the original document has it: five failures, 30 seconds, one success.
fn breaker() -> DAAResult<Breaker> {
    let mut config = BreakerConfig::default();
    config.out_of_memory = BREAKER_FAILURES;
    (config.base, config.cap) = (BREAKER_PAUSE, BREAKER_PAUSE);
    config.jitter = Permille::ZERO;
    Breaker::new(config).map_err(|error| DAAError::config(error.to_string()))
}

/// The five tiers of buffer sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Below 1 KiB.
    Micro,
    /// Below 1 MiB.
    Small,
    /// Below 10 MiB.
    Medium,
    /// Below 100 MiB.
    Large,
    /// From 100 MiB.
    XLarge,
}

impl Tier {
    /// The tier of a buffer of so many bytes.
    #[must_use]
    pub fn of(bytes: usize) -> Self {
        match daa_gpu_core::Tier::of(Bytes(bytes as u64)) {
            daa_gpu_core::Tier::Micro => Self::Micro,
            daa_gpu_core::Tier::Small => Self::Small,
            daa_gpu_core::Tier::Medium => Self::Medium,
            daa_gpu_core::Tier::Large => Self::Large,
            daa_gpu_core::Tier::XLarge => Self::XLarge,
        }
    }
}
