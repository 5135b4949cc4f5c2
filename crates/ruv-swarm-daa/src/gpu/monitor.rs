//! Measured performance, and the optimizer's baseline.

use crate::error::{DAAError, DAAResult};
use crate::records::CognitivePattern;
use std::collections::BTreeMap;

/// A mean that is updated value by value.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RunningMean {
    mean: f64,
    count: u64,
}

impl RunningMean {
    /// Takes in a value; what is not finite is left out.
    pub fn add(&mut self, value: f64) {
        if value.is_finite() {
            self.count += 1;
            self.mean += (value - self.mean) / self.count as f64;
        }
    }

    /// The mean; 0 before the first value.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// The number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// Time and success of the tasks an agent did.
#[derive(Debug, Default)]
pub struct PerformanceMonitor {
    times_ms: RunningMean,
    successes: RunningMean,
}

impl PerformanceMonitor {
    /// A monitor without tasks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in one task.
    pub fn record(&mut self, time_ms: u64, success: bool) {
        self.times_ms.add(time_ms as f64);
        self.successes.add(f64::from(u8::from(success)));
    }

    /// Tasks seen.
    #[must_use]
    pub fn tasks(&self) -> u64 {
        self.times_ms.count()
    }

    /// Mean time in milliseconds; 0 before the first task.
    #[must_use]
    pub fn mean_time_ms(&self) -> f64 {
        self.times_ms.mean()
    }

    /// Share of successes, 0 to 1; 0 before the first task.
    #[must_use]
    pub fn success_rate(&self) -> f64 {
        self.successes.mean()
    }
}

/// Keeps a baseline of measured times per pattern while it runs. Trying out GPU settings is not built yet.
#[derive(Debug)]
pub struct AutonomousGPUOptimizer {
    enabled: bool,
    running: bool,
    baseline: BTreeMap<String, RunningMean>,
}

impl AutonomousGPUOptimizer {
    /// An optimizer; one that is not enabled never runs.
    #[must_use]
    pub fn new(enabled: bool) -> Self {
        Self {
            enabled,
            running: false,
            baseline: BTreeMap::new(),
        }
    }

    /// Whether it may run.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Begins to record, if it is enabled.
    pub fn start(&mut self) {
        self.running = self.enabled;
    }

    /// Stops recording.
    pub fn stop(&mut self) {
        self.running = false;
    }

    /// Takes in one task while it runs.
    pub fn observe(&mut self, pattern: &CognitivePattern, time_ms: u64) {
        if self.running {
            self.baseline
                .entry(format!("{pattern:?}"))
                .or_default()
                .add(time_ms as f64);
        }
    }

    /// Mean times in milliseconds by pattern.
    #[must_use]
    pub fn baseline(&self) -> &BTreeMap<String, RunningMean> {
        &self.baseline
    }

    /// Would try out other GPU settings.
    ///
    /// # Errors
    /// Always [`DAAError::ConfigError`]: switched off, or not built yet.
    pub async fn optimize(&mut self) -> DAAResult<()> {
        if self.enabled {
            Err(DAAError::not_built("optimizing GPU settings"))
        } else {
            Err(DAAError::config(
                "autonomous optimization is switched off for this agent",
            ))
        }
    }
}
