//! Shared support of the integration tests.

pub mod runs;
pub mod software;
pub mod tables;
pub mod training;
