//! Time as a value that is passed in. Production code reads [`SystemClock`], tests turn [`ManualClock`] by hand.

use crate::units::{Millis, Timestamp};
use std::fmt::Debug;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time. Implementations are cheap to ask and safe to share.
pub trait Clock: Debug + Send + Sync {
    /// Time since the clock was made; never goes backwards. For spans and deadlines.
    fn monotonic(&self) -> Duration;

    /// The time of day. May jump; only for records that people read and for proposals of agreed time.
    fn wall(&self) -> Timestamp;
}

/// The operating system's clocks.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the system's clocks"
    )]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the system's clocks"
    )]
    fn wall(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A clock that stands still until it is advanced.
#[derive(Debug)]
pub struct ManualClock {
    start: Timestamp,
    elapsed: Mutex<Duration>,
}

impl ManualClock {
    /// A clock whose monotonic time is zero and whose time of day is `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self {
            start,
            elapsed: Mutex::new(Duration::ZERO),
        }
    }

    /// Moves both times forward by `span`.
    pub fn advance(&self, span: Duration) {
        let mut elapsed = self
            .elapsed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *elapsed = elapsed.saturating_add(span);
    }
}

impl Clock for ManualClock {
    fn monotonic(&self) -> Duration {
        *self
            .elapsed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn wall(&self) -> Timestamp {
        let millis = u64::try_from(self.monotonic().as_millis()).unwrap_or(u64::MAX);
        self.start.after(Millis(millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = ManualClock::new(Timestamp(1_000));
        assert_eq!(
            (clock.monotonic(), clock.wall()),
            (Duration::ZERO, Timestamp(1_000))
        );
        clock.advance(Duration::from_millis(1_500));
        assert_eq!(
            (clock.monotonic(), clock.wall()),
            (Duration::from_millis(1_500), Timestamp(2_500))
        );
    }

    #[test]
    fn the_system_clock_does_not_go_backwards() {
        let clock = SystemClock::new();
        let (first, second) = (clock.monotonic(), clock.monotonic());
        assert!(first <= second, "{first:?} then {second:?}");
        assert!(
            clock.wall() > Timestamp(1_600_000_000_000),
            "the time of day is after 2020"
        );
    }
}
