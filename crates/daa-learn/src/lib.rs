//! Data readers, networks as data, training with checkpoints, and architecture search.
#![forbid(unsafe_code)]

pub mod data;
