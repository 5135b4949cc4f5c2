//! Coordination as its users see it: how to configure it, what it measured, what happened.
//!
//! [`CoordinationWatch::start`] follows a replica: it measures, and keeps what happened in a file. Whoever applies blocks
//! otherwise tells a [`CoordinationBook`] of each.

mod book;
mod history;
mod metrics;

pub use book::{CoordinationBook, CoordinationWatch, WatchError};
#[cfg(any(test, fuzzing))]
pub use history::read_again;
pub use history::{CoordinationHistory, HistoryError, HistoryKind, HistoryQuery, HistoryRecord};
pub use metrics::{CoordinationMeter, CoordinationMetrics};

use crate::genesis::{LedgerConfig, Quorum};
use daa_base::Permille;
use std::fmt;
use std::time::Duration;

/// Longest [`CoordinationConfig::negotiation_timeout`].
pub const MAX_NEGOTIATION_TIMEOUT: Duration = Duration::from_secs(86_400);

/// Largest [`CoordinationConfig::max_retry_attempts`].
pub const MAX_RETRY_ATTEMPTS: u32 = 16;

/// The four settings of the original design. Exactly these fields, so that full literals keep compiling.
#[derive(Debug, Clone, PartialEq)]
pub struct CoordinationConfig {
    /// Part of all votes that a decision must exceed, 0 to below 1, in thousandths. Decisions always need more than two
    /// thirds: a smaller threshold is accepted, and [`CoordinationConfig::notice`] says that the stricter rule applies.
    pub consensus_threshold: f32,
    /// How long one negotiation may take, 1 ms to a day.
    pub negotiation_timeout: Duration,
    /// Negotiations tried before a conflict goes further, 1 to 16.
    pub max_retry_attempts: u32,
    /// Whether peers are looked for on the network. What is found never becomes a validator by itself.
    pub enable_peer_discovery: bool,
}

impl Default for CoordinationConfig {
    /// The original design's threshold, five seconds and three tries; peers are looked for.
    fn default() -> Self {
        Self {
            consensus_threshold: 0.66,
            negotiation_timeout: Duration::from_secs(5),
            max_retry_attempts: 3,
            enable_peer_discovery: true,
        }
    }
}

/// A setting that is out of range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CoordinationConfigError {
    /// The threshold.
    #[error("consensus_threshold is {value}, allowed are 0 to 0.999")]
    Threshold {
        /// Its value.
        value: f32,
    },
    /// The time of one negotiation.
    #[error("negotiation_timeout is {value:?}, allowed are 1 ms to {MAX_NEGOTIATION_TIMEOUT:?}")]
    Timeout {
        /// Its value.
        value: Duration,
    },
    /// The number of tries.
    #[error("max_retry_attempts is {value}, allowed are 1 to {MAX_RETRY_ATTEMPTS}")]
    Attempts {
        /// Its value.
        value: u32,
    },
}

/// Says that decisions need more than was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThresholdNotice {
    /// What was asked for.
    pub asked: Permille,
    /// What applies.
    pub applies: Quorum,
}

impl fmt::Display for ThresholdNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "consensus_threshold {} is below what agreement among liars needs; {} decides",
            self.asked, self.applies
        )
    }
}

impl CoordinationConfig {
    /// Whether every setting is in range.
    ///
    /// # Errors
    /// [`CoordinationConfigError`] for the first that is not.
    pub fn validate(&self) -> Result<(), CoordinationConfigError> {
        self.threshold()?;
        let value = self.negotiation_timeout;
        if value < Duration::from_millis(1) || value > MAX_NEGOTIATION_TIMEOUT {
            return Err(CoordinationConfigError::Timeout { value });
        }
        let value = self.max_retry_attempts;
        if !(1..=MAX_RETRY_ATTEMPTS).contains(&value) {
            return Err(CoordinationConfigError::Attempts { value });
        }
        Ok(())
    }

    /// The threshold in whole thousandths, rounded to the nearest: the only form in which it reaches the ledger.
    ///
    /// # Errors
    /// [`CoordinationConfigError::Threshold`].
    pub fn threshold(&self) -> Result<Permille, CoordinationConfigError> {
        let value = self.consensus_threshold;
        let thousandths = (value * 1000.0).round();
        // Also false for what is no number.
        if !(0.0..=999.0).contains(&thousandths) || value < 0.0 {
            return Err(CoordinationConfigError::Threshold { value });
        }
        let found = (0..1000_u16).find(|&whole| f32::from(whole) >= thousandths);
        found
            .and_then(|whole| Permille::new(whole).ok())
            .ok_or(CoordinationConfigError::Threshold { value })
    }

    /// The rule that decides: the stricter of the threshold and more than two thirds.
    ///
    /// # Errors
    /// [`CoordinationConfigError::Threshold`].
    pub fn quorum(&self) -> Result<Quorum, CoordinationConfigError> {
        Ok(Quorum::stricter(self.threshold()?))
    }

    /// What to tell the user when the threshold is not what decides.
    ///
    /// # Errors
    /// [`CoordinationConfigError::Threshold`].
    pub fn notice(&self) -> Result<Option<ThresholdNotice>, CoordinationConfigError> {
        let (asked, applies) = (self.threshold()?, self.quorum()?);
        Ok((applies == Quorum::TWO_THIRDS).then_some(ThresholdNotice { asked, applies }))
    }

    /// The rules of a ledger with this threshold in its genesis.
    ///
    /// # Errors
    /// [`CoordinationConfigError`].
    pub fn ledger_config(&self, base: LedgerConfig) -> Result<LedgerConfig, CoordinationConfigError> {
        self.validate()?;
        Ok(LedgerConfig {
            consensus_threshold: self.threshold()?,
            ..base
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(consensus_threshold: f32) -> CoordinationConfig {
        CoordinationConfig {
            consensus_threshold,
            ..CoordinationConfig::default()
        }
    }

    #[test]
    fn the_original_threshold_is_taken_with_a_notice() {
        let config = CoordinationConfig::default();
        assert_eq!(config.validate(), Ok(()));
        assert_eq!(config.quorum(), Ok(Quorum::TWO_THIRDS));
        let notice = config.notice().expect("in range").expect("0.66 is too little");
        assert_eq!(
            notice.to_string(),
            "consensus_threshold 66.0 % is below what agreement among liars needs; more than 2/3 of the weight decides"
        );
        let rules = config.ledger_config(LedgerConfig::default()).expect("in range");
        assert_eq!(rules.consensus_threshold.get(), 660);
    }

    #[test]
    fn a_stricter_threshold_decides_itself() {
        let config = with(0.75);
        assert_eq!(config.notice(), Ok(None));
        let quorum = config.quorum().expect("in range");
        assert!(quorum.is_reached(4, 5) && !quorum.is_reached(3, 4));
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        for bad in [-0.1, 1.0, 0.9996, f32::NAN, f32::INFINITY, -f32::INFINITY] {
            assert!(
                matches!(
                    with(bad).validate(),
                    Err(CoordinationConfigError::Threshold { .. })
                ),
                "{bad}"
            );
        }
        for good in [0.0, 0.5, 0.999, 0.9994] {
            assert_eq!(with(good).validate(), Ok(()), "{good}");
        }
        let config = CoordinationConfig {
            max_retry_attempts: 17,
            ..CoordinationConfig::default()
        };
        let error = config.validate().expect_err("too many");
        assert_eq!(error.to_string(), "max_retry_attempts is 17, allowed are 1 to 16");
        let config = CoordinationConfig {
            negotiation_timeout: Duration::ZERO,
            ..CoordinationConfig::default()
        };
        assert!(matches!(
            config.validate(),
            Err(CoordinationConfigError::Timeout { .. })
        ));
    }
}
