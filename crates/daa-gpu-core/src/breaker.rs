//! When to stop using a device, and when to try it again: a pure circuit breaker.
//!
//! A [`Breaker`] watches one device. It keeps one circuit per [`ErrorClass`]: failures in a row open the circuit of
//! their class, loss and wrong answers open theirs at once, and validation errors never count, because the device is
//! not to blame for them. While any circuit is open the device is not used. After a back-off that doubles from one
//! opening to the next, with a random part taken off so that many breakers do not return together (M. Brooker,
//! "Exponential Backoff And Jitter", AWS Architecture Blog 2015), one probe is let through; it closes all circuits, or
//! opens them for longer.
//!
//! Nothing here reads a clock or draws its own numbers: time and generator are passed in.

use crate::config::ConfigError;
use crate::error::{ErrorClass, GpuError};
use daa_base::{Permille, Rng};
use std::time::Duration;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerConfig {
    /// Refusals of memory by the driver in a row that open the circuit, 1 to 1000.
    pub out_of_memory: u32,
    /// Missed deadlines in a row that open the circuit, 1 to 1000.
    pub timeout: u32,
    /// Faults of driver or kernels in a row that open the circuit, 1 to 1000.
    pub internal: u32,
    /// The first back-off, 1 ms to 1 h.
    pub base: Duration,
    /// The longest back-off, `base` to 24 h. A circuit that stayed closed for that long starts over with `base`.
    pub cap: Duration,
    /// The most that is taken off a back-off at random.
    pub jitter: Permille,
    /// How long a probe may take before it counts as abandoned, 1 ms to 1 h.
    pub probe_deadline: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            out_of_memory: 3,
            timeout: 3,
            internal: 3,
            base: Duration::from_secs(1),
            cap: Duration::from_secs(300),
            jitter: Permille::new(500).unwrap_or(Permille::ZERO),
            probe_deadline: Duration::from_secs(10),
        }
    }
}

impl BreakerConfig {
    const SHORTEST: Duration = Duration::from_millis(1);
    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field out of range, its value and the allowed range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (field, value) in [
            ("breaker.out_of_memory", self.out_of_memory),
            ("breaker.timeout", self.timeout),
            ("breaker.internal", self.internal),
        ] {
            check(field, (1..=1000).contains(&value), &value, "1 to 1000")?;
        }
        let within = |value: &Duration, low, high| (low..=high).contains(value);
        let (base, cap, deadline) = (&self.base, &self.cap, &self.probe_deadline);
        check(
            "breaker.base",
            within(base, Self::SHORTEST, Self::HOUR),
            base,
            "1 ms to 1 h",
        )?;
        check(
            "breaker.cap",
            within(cap, *base, Self::DAY),
            cap,
            "`base` to 24 h",
        )?;
        check(
            "breaker.probe_deadline",
            within(deadline, Self::SHORTEST, Self::HOUR),
            deadline,
            "1 ms to 1 h",
        )
    }

    /// Failures in a row that open the circuit of `class`; `None` for what never counts.
    #[must_use]
    pub const fn threshold(&self, class: ErrorClass) -> Option<u32> {
        match class {
            ErrorClass::Validation => None,
            ErrorClass::DeviceLost | ErrorClass::Corruption => Some(1),
            ErrorClass::OutOfMemory => Some(self.out_of_memory),
            ErrorClass::Timeout => Some(self.timeout),
            ErrorClass::Internal => Some(self.internal),
        }
    }

    /// The back-off after `level` openings in close succession, and what is left of it at least.
    #[must_use]
    pub fn back_off(&self, level: u32) -> (Duration, Duration) {
        let doubled = self
            .base
            .saturating_mul(1_u32.checked_shl(level).unwrap_or(u32::MAX));
        let longest = doubled.min(self.cap);
        let kept = 1000 - u32::from(self.jitter.get());
        (longest, longest * kept / 1000)
    }

    fn draw(&self, level: u32, rng: &mut Rng) -> Duration {
        let (longest, shortest) = self.back_off(level);
        shortest + (longest - shortest).mul_f64(rng.uniform())
    }
}

fn check(
    field: &'static str,
    is_allowed: bool,
    value: &dyn std::fmt::Debug,
    allowed: &str,
) -> Result<(), ConfigError> {
    if is_allowed {
        return Ok(());
    }
    Err(ConfigError {
        field,
        value: format!("{value:?}"),
        allowed: allowed.to_owned(),
    })
}

/// What a device is to blame for in `error`. Budgets and the pool's capacity are rules of ours, not faults of the
/// device, and so are refused work and stale tokens.
#[must_use]
pub const fn blame(error: &GpuError) -> Option<ErrorClass> {
    match error {
        GpuError::Memory(_) => None,
        _ => match error.class() {
            ErrorClass::Validation => None,
            class => Some(class),
        },
    }
}

/// Whether a device may be used. Times are those of the clock that the caller passes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It may.
    Closed,
    /// It may not.
    Open {
        /// The class whose circuit stays open longest.
        class: ErrorClass,
        /// When a probe may be tried.
        until: Duration,
    },
    /// One probe is under way; nothing else may use it.
    HalfOpen {
        /// When the probe began.
        since: Duration,
    },
}

/// The right to try one probe. An older permit than the last one that was given out means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit(u64);

/// The circuit of one class.
#[derive(Debug, Clone, Copy, Default)]
struct Circuit {
    /// Failures in a row.
    failures: u32,
    /// When a probe may be tried; `None` while closed.
    until: Option<Duration>,
    /// Openings in close succession before this one.
    level: u32,
    /// When it was last closed again.
    closed_at: Option<Duration>,
}

impl Circuit {
    fn open(&mut self, config: &BreakerConfig, now: Duration, rng: &mut Rng) {
        self.level = match (self.until, self.closed_at) {
            // A failed probe, or soon after a good one.
            (Some(_), _) => self.level.saturating_add(1),
            (None, Some(at)) if now.saturating_sub(at) < config.cap => self.level.saturating_add(1),
            (None, _) => 0,
        };
        self.failures = 0;
        self.until = Some(now.saturating_add(config.draw(self.level, rng)));
    }
}

/// The classes that have circuits.
const CLASSES: [ErrorClass; 5] = [
    ErrorClass::DeviceLost,
    ErrorClass::Corruption,
    ErrorClass::OutOfMemory,
    ErrorClass::Timeout,
    ErrorClass::Internal,
];

/// Watches one device.
#[derive(Debug, Clone)]
pub struct Breaker {
    config: BreakerConfig,
    circuits: [Circuit; CLASSES.len()],
    /// The probe under way, and when it began.
    probe: Option<(Permit, Duration)>,
    permits: u64,
    openings: u64,
}

impl Breaker {
    /// A closed breaker.
    ///
    /// # Errors
    /// When a field of the configuration is out of range.
    pub fn new(config: BreakerConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            config,
            circuits: [Circuit::default(); CLASSES.len()],
            probe: None,
            permits: 0,
            openings: 0,
        })
    }

    /// What it was made with.
    #[must_use]
    pub const fn config(&self) -> &BreakerConfig {
        &self.config
    }

    /// How often the device was given up.
    #[must_use]
    pub const fn openings(&self) -> u64 {
        self.openings
    }

    /// Whether the device may be used.
    #[must_use]
    pub fn state(&self) -> State {
        if let Some((_, since)) = self.probe {
            return State::HalfOpen { since };
        }
        let open = CLASSES
            .into_iter()
            .zip(&self.circuits)
            .filter_map(|(class, circuit)| Some((circuit.until?, class)));
        // The first of equals, in the order of the list: the gravest.
        match open.reduce(|longest, next| if next.0 > longest.0 { next } else { longest }) {
            Some((until, class)) => State::Open { class, until },
            None => State::Closed,
        }
    }

    /// Tells of work that ended well. Failures before it no longer count towards those in a row.
    pub fn succeeded(&mut self) {
        for circuit in &mut self.circuits {
            circuit.failures = 0;
        }
    }

    /// Tells of a failure. True when it opened the breaker, which was closed or tried a probe.
    ///
    /// Failures of work that began before the breaker opened change nothing, save that loss or wrong answers end a
    /// probe that is under way.
    pub fn failed(&mut self, class: ErrorClass, now: Duration, rng: &mut Rng) -> bool {
        let (Some(threshold), Some(at)) = (self.config.threshold(class), index(class)) else {
            return false;
        };
        match self.state() {
            State::Open { .. } => return false,
            State::HalfOpen { .. } if threshold > 1 => return false,
            State::HalfOpen { .. } => {
                self.probe = None;
                self.open(at, now, rng);
                return true;
            }
            State::Closed => {}
        }
        let circuit = &mut self.circuits[at];
        circuit.failures = circuit.failures.saturating_add(1);
        if circuit.failures < threshold {
            return false;
        }
        self.open(at, now, rng);
        true
    }

    /// Opens every circuit that is half open, and the one at `at`.
    fn open(&mut self, at: usize, now: Duration, rng: &mut Rng) {
        self.openings += 1;
        for (index, circuit) in self.circuits.iter_mut().enumerate() {
            if index == at || circuit.until.is_some() {
                circuit.open(&self.config, now, rng);
            }
        }
    }

    /// The right to probe the device now, if it is time for that. One at a time: a second one is given only when the
    /// first has taken longer than [`BreakerConfig::probe_deadline`].
    pub fn try_probe(&mut self, now: Duration) -> Option<Permit> {
        match self.state() {
            State::Closed => return None,
            State::Open { until, .. } if now < until => return None,
            State::HalfOpen { since } if now < since.saturating_add(self.config.probe_deadline) => {
                return None;
            }
            State::Open { .. } | State::HalfOpen { .. } => {}
        }
        self.permits += 1;
        let permit = Permit(self.permits);
        self.probe = Some((permit, now));
        Some(permit)
    }

    /// The probe gave the right answer: the device may be used again. False when the permit is an old one.
    pub fn passed(&mut self, permit: Permit, now: Duration) -> bool {
        if !self.holds(permit) {
            return false;
        }
        self.probe = None;
        for circuit in &mut self.circuits {
            if circuit.until.take().is_some() {
                circuit.closed_at = Some(now);
            }
            circuit.failures = 0;
        }
        true
    }

    /// The probe failed: the device is left alone for longer. A probe that could not be tried
    /// ([`ErrorClass::Validation`]) says nothing about the device: it is tried again after as long as before. False
    /// when the permit is an old one.
    pub fn refuted(&mut self, permit: Permit, class: ErrorClass, now: Duration, rng: &mut Rng) -> bool {
        if !self.holds(permit) {
            return false;
        }
        self.probe = None;
        let Some(at) = index(class) else {
            let config = &self.config;
            for circuit in self.circuits.iter_mut().filter(|circuit| circuit.until.is_some()) {
                circuit.until = Some(now.saturating_add(config.draw(circuit.level, rng)));
            }
            return true;
        };
        self.open(at, now, rng);
        true
    }

    fn holds(&self, permit: Permit) -> bool {
        self.probe.is_some_and(|(held, _)| held == permit)
    }

    /// When [`Self::try_probe`] may next be asked with success; `None` while closed.
    #[must_use]
    pub fn next_probe(&self) -> Option<Duration> {
        match self.state() {
            State::Closed => None,
            State::Open { until, .. } => Some(until),
            State::HalfOpen { since } => Some(since.saturating_add(self.config.probe_deadline)),
        }
    }
}

fn index(class: ErrorClass) -> Option<usize> {
    CLASSES.iter().position(|&of| of == class)
}

#[cfg(test)]
mod tests;
