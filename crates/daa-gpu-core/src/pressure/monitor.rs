//! What watches memory: level, forecast and counts, from one sample to the next.

use super::forecast::{Forecaster, Model};
use super::level::{Level, LevelTracker, Thresholds};
use super::source::{MemorySample, SourceKind};
use crate::config::ConfigError;
use daa_base::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How memory is watched.
#[derive(Debug, Clone, PartialEq)]
pub struct MonitorConfig {
    /// Where levels begin.
    pub thresholds: Thresholds,
    /// The forecast. The default knows no recorded runs and goes by what it has seen itself.
    pub model: Arc<Model>,
}

impl Default for MonitorConfig {
    fn default() -> Self {
        Self {
            thresholds: Thresholds::default(),
            model: Arc::new(Model::unfitted()),
        }
    }
}

/// Memory pressure at one moment, and counts since the monitor was made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PressureReport {
    /// The level.
    pub level: Level,
    /// Bytes in use.
    pub used: Bytes,
    /// Bytes that may be in use.
    pub capacity: Bytes,
    /// Who says so.
    pub source: SourceKind,
    /// What use stays below over the forecast's horizon, with its coverage; `None` before the first sample.
    pub upper: Option<Bytes>,
    /// Samples the forecast looks ahead.
    pub horizon: usize,
    /// The coverage that the forecast is set to.
    pub coverage: f64,
    /// Samples taken.
    pub samples: u64,
    /// How often the level rose.
    pub rises: u64,
    /// Bounds that were kept, of those whose horizon has passed.
    pub bounds_kept: u64,
    /// Bounds whose horizon has passed.
    pub bounds_due: u64,
    /// How often what was kept for reuse was given back, ahead of need or at need. This and the following are counted
    /// by a context; a monitor leaves them at zero.
    pub trims: u64,
    /// How often cold images were to move to the host.
    pub spills: u64,
    /// How often images were to move between pages.
    pub compactions: u64,
    /// How often a request was refused because no rung could give any more.
    pub refusals: u64,
}

/// Watches memory. Pure: samples come in from outside.
#[derive(Debug)]
pub struct Monitor {
    levels: LevelTracker,
    forecaster: Forecaster,
    last: Option<(MemorySample, Bytes)>,
    samples: u64,
}

impl Monitor {
    /// # Errors
    /// As [`Thresholds::validate`].
    pub fn new(config: &MonitorConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            levels: LevelTracker::new(config.thresholds)?,
            forecaster: Forecaster::new(Arc::clone(&config.model)),
            last: None,
            samples: 0,
        })
    }

    /// Takes in one sample.
    pub fn observe(&mut self, sample: MemorySample) -> Level {
        self.samples += 1;
        let level = self.levels.observe(sample.used, sample.capacity);
        let upper = self.forecaster.observe(sample.used.get() as f64);
        // A float beyond the range becomes the largest amount, as it should.
        self.last = Some((sample, Bytes(upper.ceil() as u64)));
        level
    }

    /// The level at present.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.levels.level()
    }

    /// Who told of memory last.
    #[must_use]
    pub fn source(&self) -> Option<SourceKind> {
        self.last.map(|(sample, _)| sample.source)
    }

    /// What use stays below over the horizon.
    #[must_use]
    pub fn upper(&self) -> Option<Bytes> {
        self.last.map(|(_, upper)| upper)
    }

    /// All of it, or `None` before the first sample.
    #[must_use]
    pub fn report(&self) -> Option<PressureReport> {
        let (sample, upper) = self.last?;
        let (kept, due) = self.forecaster.kept();
        Some(PressureReport {
            level: self.levels.level(),
            used: sample.used,
            capacity: sample.capacity,
            source: sample.source,
            upper: Some(upper),
            horizon: self.forecaster.model().config().horizon,
            coverage: self.forecaster.model().config().coverage,
            samples: self.samples,
            rises: self.levels.rises(),
            bounds_kept: kept,
            bounds_due: due,
            trims: 0,
            spills: 0,
            compactions: 0,
            refusals: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pressure::{MemorySource as _, Simulated};

    #[test]
    fn a_rising_source_is_seen_coming() {
        let capacity = Bytes(100_000);
        let source = Simulated::new(capacity, (0..90).map(|step| Bytes(step * 1000)));
        let mut monitor = Monitor::new(&MonitorConfig::default()).expect("valid");
        assert_eq!(monitor.report(), None);
        let mut foreseen = None;
        for step in 0..90_u64 {
            let sample = source.sample().expect("it always tells");
            monitor.observe(sample);
            let upper = monitor.upper().expect("observed");
            if foreseen.is_none() && upper >= Bytes(90_000) {
                foreseen = Some((step, monitor.level()));
            }
        }
        let (step, level) = foreseen.expect("foreseen");
        assert!(step < 88 && level < Level::Critical, "{step}, {level}");
        let report = monitor.report().expect("observed");
        assert_eq!((report.level, report.samples, report.rises), (Level::High, 90, 3));
        assert!(report.bounds_kept <= report.bounds_due && report.bounds_due > 70);
    }
}
