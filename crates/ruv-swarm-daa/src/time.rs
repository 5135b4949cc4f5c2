//! Time for the records, all of it from a [`Clock`].

use chrono::{DateTime, Utc};
use daa_base::{Clock, SystemClock};
use std::time::Duration;

/// The clock's time of day.
pub(crate) fn at(clock: &dyn Clock) -> DateTime<Utc> {
    let millis = i64::try_from(clock.wall().get()).unwrap_or(i64::MAX);
    DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// The system's time of day, for the older constructors, which take no clock.
pub(crate) fn now() -> DateTime<Utc> {
    at(&SystemClock::new())
}

/// The system's time of day in milliseconds since 1970 UTC.
pub(crate) fn wall_millis() -> u64 {
    SystemClock::new().wall().get()
}

/// The span since `start` of the same clock, in whole milliseconds, rounded up, at least 1.
pub(crate) fn millis_since(clock: &dyn Clock, start: Duration) -> u64 {
    let micros = clock.monotonic().saturating_sub(start).as_micros();
    u64::try_from(micros.div_ceil(1000)).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use daa_base::{ManualClock, Timestamp};

    #[test]
    fn spans_round_up_and_are_never_zero() {
        let clock = ManualClock::new(Timestamp(0));
        assert_eq!(millis_since(&clock, Duration::ZERO), 1);
        clock.advance(Duration::from_micros(2_001));
        assert_eq!(millis_since(&clock, Duration::ZERO), 3);
        assert_eq!(millis_since(&clock, Duration::from_millis(2)), 1);
        assert_eq!(at(&clock).timestamp_millis(), 2);
    }
}
