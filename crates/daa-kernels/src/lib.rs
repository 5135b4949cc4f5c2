#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

pub mod activation;
pub mod cpu;
pub mod error;
pub mod graph;
pub mod kernels;
pub mod launch;
pub mod ops;
#[cfg(test)]
mod parity;
pub mod plan;
pub mod probe;
pub mod registry;
pub mod run;
pub mod session;

pub use graph::{DType, Graph, PhaseId, TensorId};
pub use launch::Launch;
pub use plan::{Plan, PlanOptions};
pub use run::Runner;
pub use session::{Data, Session};
