#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod agent;
mod book;
mod chain;
pub mod config;
mod crew;
mod device;
#[cfg(any(test, fuzzing))]
pub mod doors;
pub mod error;
pub mod events;
pub mod folder;
pub mod follower;
mod job;
pub mod knowledge;
mod leg;
mod library;
pub mod node;
mod order;
mod orders;
pub mod record;
mod recorder;
pub mod report;
pub mod run;
mod sharing;
mod stop;
pub mod summary;
mod work;

pub use config::{Delays, RunConfig, Schedule, Trust};
pub use crew::Join;
pub use error::{AgentError, FolderError, RunErrorClass};
pub use events::{Event, EventKind, Observer, Silent, Work};
pub use folder::RunFolder;
pub use follower::{Follower, FollowerConfig};
pub use node::{Node, NodeConfig, NodeError, NodeStatus};
pub use record::RunRecord;
pub use run::{Place, RunRequest, default_run_dir, run};
pub use stop::StopHandle;
pub use summary::Summary;

#[cfg(test)]
extern crate self as daa_agent;
#[cfg(test)]
mod hostile;
