//! How tenants share the time of a device.

mod weight;

pub use weight::{Weight, WeightError};
