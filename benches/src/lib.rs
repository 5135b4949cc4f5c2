#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod device;
pub mod mix;
pub mod networks;
pub mod op;
pub mod steps;

use criterion::Criterion;
use std::time::Duration;

/// What every benchmark program starts from: a quarter of criterion's usual time, so that all of them together take
/// minutes. Arguments (`--sample-size`, `--measurement-time`, a filter, `--test`) go before.
#[must_use]
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args()
}
