//! One peer's signs of life.

use super::HealthConfigError;
use std::collections::VecDeque;
use std::time::Duration;

/// How a [`Detector`] judges.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct DetectorConfig {
    /// Intervals kept, 2 to 1000.
    pub window: usize,
    /// The interval assumed until some are measured, 1 ms to an hour.
    pub expected: Duration,
    /// The deviation is taken as at least this, so that very even signs do not make one late sign a suspicion; 1 ms to
    /// an hour.
    pub least_deviation: Duration,
    /// Added to the mean: a pause that is fine now and then; 0 to an hour.
    pub acceptable_pause: Duration,
    /// Thousandths of φ from which on a peer is suspected, 1 to 100 000.
    pub threshold_milli: u32,
}

impl Default for DetectorConfig {
    /// Signs once a second, suspected after some 4 s of silence at φ = 8.
    fn default() -> Self {
        Self {
            window: 100,
            expected: Duration::from_secs(1),
            least_deviation: Duration::from_millis(200),
            acceptable_pause: Duration::from_secs(2),
            threshold_milli: 8_000,
        }
    }
}

impl DetectorConfig {
    /// Whether every field is in its range.
    ///
    /// # Errors
    /// [`HealthConfigError`] for the first that is not.
    pub fn validate(&self) -> Result<(), HealthConfigError> {
        const HOUR: Duration = Duration::from_secs(3600);
        const SPAN: &str = "1 ms to 1 h";
        let span = Duration::from_millis(1)..=HOUR;
        let fail = |field, value: String, allowed| {
            Err(HealthConfigError {
                field,
                value,
                allowed,
            })
        };
        if !(2..=1000).contains(&self.window) {
            return fail("window", self.window.to_string(), "2 to 1000");
        }
        if !span.contains(&self.expected) {
            return fail("expected", format!("{:?}", self.expected), SPAN);
        }
        if !span.contains(&self.least_deviation) {
            return fail("least_deviation", format!("{:?}", self.least_deviation), SPAN);
        }
        if self.acceptable_pause > HOUR {
            return fail(
                "acceptable_pause",
                format!("{:?}", self.acceptable_pause),
                "0 to 1 h",
            );
        }
        if !(1..=100_000).contains(&self.threshold_milli) {
            return fail("threshold_milli", self.threshold_milli.to_string(), "1 to 100000");
        }
        Ok(())
    }
}

/// Largest answer in thousandths: beyond it the tail is zero in floating point.
const MOST_MILLI: u32 = 300_000;

/// The signs of life of one peer.
#[derive(Debug, Clone)]
pub struct Detector {
    config: DetectorConfig,
    /// Milliseconds between signs, oldest first.
    window: VecDeque<f64>,
    last: Duration,
}

impl Detector {
    /// A detector that saw its peer alive at `now`.
    #[must_use]
    pub fn started(config: DetectorConfig, now: Duration) -> Self {
        let expected = config.expected.as_secs_f64() * 1e3;
        // Two values whose deviation is a quarter of their mean, as in Akka's detector: the first real ones soon
        // outweigh them.
        let spread = expected / 4.0;
        Self {
            config,
            window: VecDeque::from([expected - spread, expected + spread]),
            last: now,
        }
    }

    /// A sign of life came. Signs from before the last one are passed over.
    pub fn alive(&mut self, now: Duration) {
        let Some(interval) = now.checked_sub(self.last) else {
            return;
        };
        self.last = now;
        self.window.push_back(interval.as_secs_f64() * 1e3);
        while self.window.len() > self.config.window {
            self.window.pop_front();
        }
    }

    /// When the last sign came.
    #[must_use]
    pub const fn last(&self) -> Duration {
        self.last
    }

    /// The suspicion, 0 to 300.
    #[must_use]
    pub fn phi(&self, now: Duration) -> f64 {
        let silent = now.saturating_sub(self.last).as_secs_f64() * 1e3;
        let (mean, deviation) = self.moments();
        let deviation = deviation.max(self.config.least_deviation.as_secs_f64() * 1e3);
        let late = silent - mean - self.config.acceptable_pause.as_secs_f64() * 1e3;
        let y = late / deviation;
        let exponent = -y * y.mul_add(0.070_566 * y, 1.5976);
        // Of the two equal forms of e/(1+e) the one that does not cancel.
        let phi = if late > 0.0 {
            (exponent.exp().ln_1p() - exponent) / std::f64::consts::LN_10
        } else {
            (-exponent).exp().ln_1p() / std::f64::consts::LN_10
        };
        phi.clamp(0.0, f64::from(MOST_MILLI) / 1e3)
    }

    /// The suspicion in thousandths, 0 to 300 000.
    #[must_use]
    pub fn phi_milli(&self, now: Duration) -> u32 {
        (self.phi(now) * 1e3) as u32
    }

    /// Whether the suspicion has reached the threshold.
    #[must_use]
    pub fn is_suspect(&self, now: Duration) -> bool {
        self.phi_milli(now) >= self.config.threshold_milli
    }

    /// Mean and deviation of the window in milliseconds. The window is short: summed anew each time, nothing drifts.
    fn moments(&self) -> (f64, f64) {
        let count = self.window.len() as f64;
        let mean = self.window.iter().sum::<f64>() / count;
        let squares: f64 = self.window.iter().map(|x| (x - mean) * (x - mean)).sum();
        (mean, (squares / count).sqrt())
    }
}
