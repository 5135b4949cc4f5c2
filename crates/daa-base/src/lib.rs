//! Ids, units, time, seeded random streams and the one codec of the DAA crates.
//!
//! Nothing here does I/O except [`SystemClock`], which reads the operating system's clocks: every other crate takes
//! its time from a [`Clock`] and its randomness from a [`Seed`], so that a run is a function of its inputs.
#![forbid(unsafe_code)]

pub mod clock;
pub mod codec;
pub mod ids;
pub mod random;
pub mod units;

pub use clock::{Clock, ManualClock, SystemClock};
pub use codec::CodecError;
pub use ids::{AgentId, DeviceEpoch, DeviceId, FencingToken, LeaseId, OwnerId, TaskId, TrialId};
pub use random::{Rng, Seed, Stream};
pub use units::{Bytes, Millis, ParseBytesError, Permille, PermilleError, Timestamp};
