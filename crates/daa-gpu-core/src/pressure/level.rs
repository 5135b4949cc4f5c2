//! Levels of pressure, and how they change without flickering.

use crate::config::ConfigError;
use daa_base::{Bytes, Permille};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How full memory is. Each level begins at its threshold and ends below the next one's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Below the lowest threshold.
    #[default]
    None,
    /// From [`Thresholds::low`] on.
    Low,
    /// From [`Thresholds::medium`] on.
    Medium,
    /// From [`Thresholds::high`] on.
    High,
    /// From [`Thresholds::critical`] on.
    Critical,
}

impl Level {
    /// All levels, the calmest first.
    pub const ALL: [Self; 5] = [Self::None, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Its place in [`Level::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}

/// Shares of the capacity at which levels begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thresholds {
    /// Where [`Level::Low`] begins, 1 to 999 thousandths; below [`Self::medium`].
    pub low: Permille,
    /// Where [`Level::Medium`] begins; between its neighbours.
    pub medium: Permille,
    /// Where [`Level::High`] begins; between its neighbours.
    pub high: Permille,
    /// Where [`Level::Critical`] begins, at most the whole.
    pub critical: Permille,
    /// How far use must fall below a level's threshold before the level is left, less than [`Self::low`]. Zero: no
    /// hysteresis.
    pub hysteresis: Permille,
}

/// A share that is known to be one.
const fn share(thousandths: u16) -> Permille {
    match Permille::new(thousandths) {
        Ok(share) => share,
        Err(_) => Permille::WHOLE,
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            low: share(600),
            medium: share(700),
            high: share(800),
            critical: share(900),
            hysteresis: share(20),
        }
    }
}

impl Thresholds {
    /// Checks that thresholds rise strictly and that the hysteresis leaves a level below the lowest one.
    ///
    /// # Errors
    /// Names the first field out of range, its value and the allowed range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let fields = [
            ("pressure.low", self.low),
            ("pressure.medium", self.medium),
            ("pressure.high", self.high),
            ("pressure.critical", self.critical),
        ];
        let mut below = Permille::ZERO;
        for (field, value) in fields {
            if value <= below {
                return Err(ConfigError {
                    field,
                    value: value.to_string(),
                    allowed: format!("above {below} to 100.0 %"),
                });
            }
            below = value;
        }
        if self.hysteresis >= self.low {
            return Err(ConfigError {
                field: "pressure.hysteresis",
                value: self.hysteresis.to_string(),
                allowed: format!("0.0 % to below {}", self.low),
            });
        }
        Ok(())
    }

    /// The level of `used` out of `capacity`, without hysteresis. Of no capacity everything is critical.
    #[must_use]
    pub fn level(&self, used: Bytes, capacity: Bytes) -> Level {
        self.level_from(used, capacity, Level::None)
    }

    /// The level after `before`: rises are taken at once, falls only once use is below the threshold of the level that
    /// is left by the hysteresis.
    #[must_use]
    pub fn level_from(&self, used: Bytes, capacity: Bytes, before: Level) -> Level {
        if capacity == Bytes::ZERO {
            return Level::Critical;
        }
        let reaches = |threshold: Permille, level: Level| {
            let slack = if level <= before { self.hysteresis.get() } else { 0 };
            let from = threshold.get().saturating_sub(slack);
            u128::from(used.get()) * 1000 >= u128::from(capacity.get()) * u128::from(from)
        };
        if reaches(self.critical, Level::Critical) {
            Level::Critical
        } else if reaches(self.high, Level::High) {
            Level::High
        } else if reaches(self.medium, Level::Medium) {
            Level::Medium
        } else if reaches(self.low, Level::Low) {
            Level::Low
        } else {
            Level::None
        }
    }

    /// The most bytes that may be in use for the level to be below `level`, when it was at or above it before.
    #[must_use]
    pub fn leave(&self, level: Level, capacity: Bytes) -> Bytes {
        let threshold = match level {
            Level::None => return Bytes::ZERO,
            Level::Low => self.low,
            Level::Medium => self.medium,
            Level::High => self.high,
            Level::Critical => self.critical,
        };
        let from = u128::from(threshold.get().saturating_sub(self.hysteresis.get()));
        // Below `from` thousandths: what rounds up to it is the first that is not.
        let first = (u128::from(capacity.get()) * from).div_ceil(1000);
        Bytes(u64::try_from(first.saturating_sub(1)).unwrap_or(u64::MAX))
    }
}

/// The level over time.
#[derive(Debug, Clone, Default)]
pub struct LevelTracker {
    thresholds: Thresholds,
    level: Level,
    rises: u64,
}

impl LevelTracker {
    /// Starts at [`Level::None`].
    ///
    /// # Errors
    /// As [`Thresholds::validate`].
    pub fn new(thresholds: Thresholds) -> Result<Self, ConfigError> {
        thresholds.validate()?;
        Ok(Self {
            thresholds,
            ..Self::default()
        })
    }

    /// The level after seeing `used` out of `capacity`.
    pub fn observe(&mut self, used: Bytes, capacity: Bytes) -> Level {
        let level = self.thresholds.level_from(used, capacity, self.level);
        if level > self.level {
            self.rises += 1;
        }
        self.level = level;
        level
    }

    /// The level at present.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// How often the level rose.
    #[must_use]
    pub const fn rises(&self) -> u64 {
        self.rises
    }

    /// What it goes by.
    #[must_use]
    pub const fn thresholds(&self) -> &Thresholds {
        &self.thresholds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn levels_begin_where_the_thresholds_say() {
        let thresholds = Thresholds::default();
        let levels = [
            (0, Level::None),
            (599, Level::None),
            (600, Level::Low),
            (699, Level::Low),
            (700, Level::Medium),
            (799, Level::Medium),
            (800, Level::High),
            (899, Level::High),
            (900, Level::Critical),
            (1000, Level::Critical),
            (2000, Level::Critical),
        ];
        for (used, level) in levels {
            assert_eq!(thresholds.level(Bytes(used), Bytes(1000)), level, "{used}");
        }
        assert_eq!(
            thresholds.level(Bytes(u64::MAX), Bytes(u64::MAX)),
            Level::Critical
        );
        assert_eq!(thresholds.level(Bytes::ZERO, Bytes::ZERO), Level::Critical);
    }

    #[test]
    fn a_level_is_left_below_its_threshold_only() {
        let mut tracker = LevelTracker::new(Thresholds::default()).expect("valid");
        let seen: Vec<Level> = [810, 795, 781, 780, 779, 810, 100]
            .map(|used| tracker.observe(Bytes(used), Bytes(1000)))
            .into();
        use Level::{High, Medium, None};
        assert_eq!(seen, [High, High, High, High, Medium, High, None]);
        assert_eq!(tracker.rises(), 2);
    }

    #[test]
    fn thresholds_out_of_order_are_named() {
        let broken = [
            (
                Thresholds {
                    low: Permille::ZERO,
                    ..Thresholds::default()
                },
                "pressure.low",
            ),
            (
                Thresholds {
                    high: share(700),
                    ..Thresholds::default()
                },
                "pressure.high",
            ),
            (
                Thresholds {
                    hysteresis: share(600),
                    ..Thresholds::default()
                },
                "pressure.hysteresis",
            ),
        ];
        for (thresholds, field) in broken {
            let error = LevelTracker::new(thresholds).expect_err("out of order");
            assert_eq!(error.field, field, "{error}");
        }
    }

    proptest! {
        #[test]
        fn more_use_is_never_less_pressure_and_small_swings_change_nothing(
            capacity in 1_000_u64..=u64::MAX,
            share in 0_u64..=1100,
            before in 0_usize..5,
        ) {
            let thresholds = Thresholds::default();
            let used = Bytes(u64::try_from(u128::from(capacity) * u128::from(share) / 1000).unwrap_or(u64::MAX));
            let before = Level::ALL[before];
            let level = thresholds.level_from(used, Bytes(capacity), before);
            prop_assert!(level >= thresholds.level(used, Bytes(capacity)));
            let more = Bytes(used.get().saturating_add(1));
            prop_assert!(thresholds.level_from(more, Bytes(capacity), before) >= level);
            // Once taken, a level stands until use falls by the hysteresis.
            prop_assert_eq!(thresholds.level_from(used, Bytes(capacity), level), level);
        }

        #[test]
        fn what_leaves_a_level_is_the_most_that_does(capacity in 1_000_u64..=u64::MAX, at in 1_usize..5) {
            let thresholds = Thresholds::default();
            let (level, capacity) = (Level::ALL[at], Bytes(capacity));
            let most = thresholds.leave(level, capacity);
            prop_assert!(thresholds.level_from(most, capacity, level) < level);
            prop_assert!(thresholds.level_from(Bytes(most.get() + 1), capacity, level) >= level);
        }
    }
}
