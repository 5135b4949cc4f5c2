//! Compute kernels for training on GPU and CPU: WGSL validated at build time, CPU references, graphs and plans.
#![forbid(unsafe_code)]

pub mod error;
pub mod launch;
pub mod ops;

pub use launch::Launch;
