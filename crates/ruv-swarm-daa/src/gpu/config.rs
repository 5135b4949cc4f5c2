//! Settings of the GPU agent.

use crate::error::{DAAError, DAAResult};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Settings of the memory manager, and of the buffer pool that shares its capacity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpuMemoryConfig {
    /// Whether the pressure level is reported.
    pub enable_pressure_monitoring: bool,
    /// Whether an upper bound for the use to come is forecast, and released buffers make way as soon as that bound, not
    /// only the use itself, reaches the clean-up threshold.
    pub enable_predictive_allocation: bool,
    /// Whether five refusals in a row stop allocation for 30 seconds.
    pub enable_circuit_breaker: bool,
    /// Capacity in MiB of all that is held or kept for reuse, at most the limit of the manager.
    pub buffer_pool_size_mb: u64,
    /// Share of the capacity at which the level is High, 0.003 to 0.999, rounded to thousandths; the levels below begin
    /// at seven and six eighths of it. Above it memory is under pressure.
    pub pressure_threshold: f32,
    /// Share of the capacity at which the level is Critical, rounded to thousandths, of which it is at least one more
    /// than the pressure threshold, and at most 1. What is kept for reuse is dropped so far that it and what is held stay
    /// below.
    pub cleanup_threshold: f32,
}

/// Everything on, 1024 MiB, pressure above 0.8, clean-up above 0.9.
impl Default for GpuMemoryConfig {
    fn default() -> Self {
        Self {
            enable_pressure_monitoring: true,
            enable_predictive_allocation: true,
            enable_circuit_breaker: true,
            buffer_pool_size_mb: 1024,
            pressure_threshold: 0.8,
            cleanup_threshold: 0.9,
        }
    }
}

impl GpuMemoryConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`DAAError::ConfigError`] that names the field, its value and the allowed range.
    pub fn validate(&self) -> DAAResult<()> {
        if self.buffer_pool_size_mb == 0 || self.buffer_pool_size_mb > 1 << 30 {
            return Err(DAAError::config(format!(
                "`buffer_pool_size_mb` is {}, allowed are 1 to 2^30",
                self.buffer_pool_size_mb
            )));
        }
        let pressure = check_threshold("pressure_threshold", self.pressure_threshold, 3..=999)?;
        check_threshold("cleanup_threshold", self.cleanup_threshold, pressure + 1..=1000)?;
        Ok(())
    }
}

/// A share in thousandths. What is not a number has none.
pub(super) fn thousandths(share: f32) -> u16 {
    (f64::from(share) * 1000.0).round() as u16
}

fn check_threshold(name: &str, value: f32, allowed: RangeInclusive<u16>) -> DAAResult<u16> {
    let share = thousandths(value);
    if allowed.contains(&share) {
        return Ok(share);
    }
    let [least, most] = [allowed.start(), allowed.end()].map(|&end| f64::from(end) / 1000.0);
    Err(DAAError::config(format!(
        "`{name}` is {value}, allowed is {least} to {most}"
    )))
}

/// Settings of the coordination protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CoordinationConfig {
    /// Share of the votes that is needed on top of the Byzantine quorum, above 0 and at most 1.
    pub consensus_threshold: f32,
    /// Bound on one negotiation.
    pub negotiation_timeout: Duration,
    /// Bound on repetitions of a failed negotiation.
    pub max_retry_attempts: u32,
    /// Whether peers that were not listed may be looked for.
    pub enable_peer_discovery: bool,
}

/// Two thirds, 30 s, 3 repetitions, discovery on.
impl Default for CoordinationConfig {
    fn default() -> Self {
        Self {
            consensus_threshold: 2.0 / 3.0,
            negotiation_timeout: Duration::from_secs(30),
            max_retry_attempts: 3,
            enable_peer_discovery: true,
        }
    }
}

impl CoordinationConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`DAAError::ConfigError`] that names the field, its value and the allowed range.
    pub fn validate(&self) -> DAAResult<()> {
        if self.negotiation_timeout.is_zero() {
            return Err(DAAError::config("`negotiation_timeout` is 0, it must be longer"));
        }
        check_share("consensus_threshold", self.consensus_threshold)
    }
}

fn check_share(name: &str, value: f32) -> DAAResult<()> {
    if value > 0.0 && value <= 1.0 {
        Ok(())
    } else {
        Err(DAAError::config(format!(
            "`{name}` is {value}, allowed is above 0 and at most 1"
        )))
    }
}
