//! Memory pressure: how full a device's memory is, where that figure comes from, how full it will be soon, and what
//! to do about it before it is full.
//!
//! Everything here decides and nothing acts: sources are asked by the context, and what the ladder says is done by the
//! pool. So each part can be tested without a device.

pub mod forecast;
pub mod ladder;
mod level;
mod monitor;
mod source;
mod watch;

pub use ladder::{Ladder, LadderConfig, Outlook, Reclaimable, Rung, Step};
pub use level::{Level, LevelTracker, Thresholds};
pub use monitor::{Monitor, MonitorConfig, PressureReport};
pub use source::{MemorySample, MemorySource, Simulated, SourceKind, Tracked, Unavailable};
pub(crate) use watch::{Watch, pages_help, room_helps};
