#![doc = include_str!("../README.md")]
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
