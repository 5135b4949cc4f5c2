//! Memory of an agent: a manager that counts and refuses, a pool of host buffers, a pressure monitor.

use super::config::GpuMemoryConfig;
use super::monitor::RunningMean;
use crate::error::{DAAError, DAAResult};
use std::collections::BTreeMap;
use std::time::Duration;

const MIB: u64 = 1 << 20;
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
    /// The level for `used` of `capacity` bytes; a capacity of 0 is critical.
    #[must_use]
    pub fn of(used: u64, capacity: u64) -> Self {
        let tenths = u128::from(used) * 10;
        let level = |limit: u128| tenths < limit * u128::from(capacity);
        match () {
            () if level(6) => Self::None,
            () if level(7) => Self::Low,
            () if level(8) => Self::Medium,
            () if level(9) => Self::High,
            () => Self::Critical,
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
    limit: u64,
    held: BTreeMap<u64, u64>,
    next: u64,
    in_use: u64,
    high_water: u64,
    sizes: RunningMean,
    failures: u32,
    closed_until: Option<Duration>,
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
            config,
            limit: limit_mb * MIB,
            held: BTreeMap::new(),
            next: 0,
            in_use: 0,
            high_water: 0,
            sizes: RunningMean::default(),
            failures: 0,
            closed_until: None,
        })
    }

    /// Replaces the settings. The capacity never goes above the limit of [`new`](Self::new).
    ///
    /// # Errors
    /// [`DAAError::ConfigError`] for a setting out of range.
    pub fn configure(&mut self, config: GpuMemoryConfig) -> DAAResult<()> {
        config.validate()?;
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
        self.limit.min(self.config.buffer_pool_size_mb * MIB)
    }

    /// What is held, in bytes.
    #[must_use]
    pub fn in_use(&self) -> u64 {
        self.in_use
    }

    /// The most that was ever held, in bytes.
    #[must_use]
    pub fn high_water(&self) -> u64 {
        self.high_water
    }

    /// Takes `bytes` at time `now` of any clock that does not go back, and returns a ticket for
    /// [`free`](Self::free).
    ///
    /// # Errors
    /// [`DAAError::MemoryError`] past the capacity, and for 30 s after five such failures in a row if the breaker is
    /// enabled.
    pub fn allocate(&mut self, bytes: u64, now: Duration) -> DAAResult<u64> {
        if let Some(until) = self
            .closed_until
            .filter(|&until| self.config.enable_circuit_breaker && now < until)
        {
            let left = (until - now).as_millis();
            return Err(DAAError::memory(format!(
                "allocation is paused for {left} ms after repeated failures"
            )));
        }
        let fits = self
            .in_use
            .checked_add(bytes)
            .filter(|&sum| sum <= self.capacity());
        let Some(sum) = fits else {
            self.failures = self.failures.saturating_add(1);
            if self.failures >= BREAKER_FAILURES {
                self.closed_until = Some(now.saturating_add(BREAKER_PAUSE));
            }
            return Err(DAAError::memory(format!(
                "{bytes} bytes were asked for, {} of {} are free",
                self.capacity().saturating_sub(self.in_use),
                self.capacity()
            )));
        };
        (self.failures, self.closed_until) = (0, None);
        self.in_use = sum;
        self.high_water = self.high_water.max(sum);
        self.sizes.add(bytes as f64);
        let ticket = self.next;
        self.next += 1;
        self.held.insert(ticket, bytes);
        Ok(ticket)
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
        self.in_use -= bytes;
        Ok(())
    }

    /// How scarce memory is; `None` where monitoring is off.
    #[must_use]
    pub fn pressure(&self) -> Option<MemoryPressure> {
        self.config
            .enable_pressure_monitoring
            .then(|| MemoryPressure::of(self.in_use, self.capacity()))
    }

    /// Whether more than the pressure threshold is in use; never where monitoring is off.
    #[must_use]
    pub fn is_under_pressure(&self) -> bool {
        self.config.enable_pressure_monitoring
            && self.used_share() > f64::from(self.config.pressure_threshold)
    }

    /// Whether more than the clean-up threshold is in use.
    #[must_use]
    pub fn needs_cleanup(&self) -> bool {
        self.used_share() > f64::from(self.config.cleanup_threshold)
    }

    /// The mean size asked for so far, as a forecast of the next, in bytes; `None` before the first allocation and
    /// where forecasts are off.
    #[must_use]
    pub fn forecast(&self) -> Option<f64> {
        (self.config.enable_predictive_allocation && self.sizes.count() > 0).then(|| self.sizes.mean())
    }

    fn used_share(&self) -> f64 {
        self.in_use as f64 / self.capacity() as f64
    }
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
        match bytes {
            0..0x400 => Self::Micro,
            0x400..0x10_0000 => Self::Small,
            0x10_0000..0xA0_0000 => Self::Medium,
            0xA0_0000..0x640_0000 => Self::Large,
            _ => Self::XLarge,
        }
    }
}

/// A buffer in host memory that belongs to a pool.
#[derive(Debug)]
pub struct PooledBuffer {
    /// The bytes, at least as many as were asked for. What they hold at first is 0 or left from an earlier use.
    pub data: Vec<u8>,
    counted: u64,
}

/// Keeps released buffers for reuse, by tier. The buffers lie in host memory.
#[derive(Debug)]
pub struct AdvancedBufferPool {
    capacity: u64,
    in_use: u64,
    cached: u64,
    free: BTreeMap<Tier, Vec<Vec<u8>>>,
    hits: u64,
    misses: u64,
}

impl AdvancedBufferPool {
    /// A pool for so many MiB in use and cached together.
    #[must_use]
    pub fn new(capacity_mb: u64) -> Self {
        Self {
            capacity: capacity_mb.saturating_mul(MIB),
            in_use: 0,
            cached: 0,
            free: BTreeMap::new(),
            hits: 0,
            misses: 0,
        }
    }

    /// A buffer of at least `bytes`: a released one of at most twice the size, else a new one.
    ///
    /// # Errors
    /// [`DAAError::MemoryError`] past the capacity.
    pub fn allocate(&mut self, bytes: usize) -> DAAResult<PooledBuffer> {
        let list = self.free.entry(Tier::of(bytes)).or_default();
        let fits = |buffer: &Vec<u8>| buffer.len() >= bytes && buffer.len() <= bytes.saturating_mul(2);
        if let Some(index) = list.iter().position(fits) {
            let data = list.swap_remove(index);
            let counted = data.len() as u64;
            (self.cached, self.in_use, self.hits) =
                (self.cached - counted, self.in_use + counted, self.hits + 1);
            return Ok(PooledBuffer { data, counted });
        }
        let counted = bytes as u64;
        if self.in_use.saturating_add(self.cached).saturating_add(counted) > self.capacity {
            self.trim();
        }
        if self.in_use.saturating_add(counted) > self.capacity {
            return Err(DAAError::memory(format!(
                "{bytes} bytes were asked for, {} of {} are free",
                self.capacity.saturating_sub(self.in_use),
                self.capacity
            )));
        }
        self.in_use += counted;
        self.misses += 1;
        Ok(PooledBuffer {
            data: vec![0; bytes],
            counted,
        })
    }

    /// Takes a buffer back and keeps it for reuse.
    pub fn release(&mut self, buffer: PooledBuffer) {
        self.in_use = self.in_use.saturating_sub(buffer.counted);
        let mut data = buffer.data;
        data.resize(usize::try_from(buffer.counted).unwrap_or(usize::MAX), 0);
        self.cached += buffer.counted;
        self.free.entry(Tier::of(data.len())).or_default().push(data);
    }

    /// Drops all released buffers.
    pub fn trim(&mut self) {
        self.free.clear();
        self.cached = 0;
    }

    /// Bytes in use.
    #[must_use]
    pub fn in_use(&self) -> u64 {
        self.in_use
    }

    /// Bytes kept for reuse.
    #[must_use]
    pub fn cached(&self) -> u64 {
        self.cached
    }

    /// Allocations served from released buffers, and those that were not.
    #[must_use]
    pub fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits, self.misses)
    }

    /// How scarce the pool's memory is.
    #[must_use]
    pub fn pressure(&self) -> MemoryPressure {
        MemoryPressure::of(self.in_use, self.capacity)
    }
}
