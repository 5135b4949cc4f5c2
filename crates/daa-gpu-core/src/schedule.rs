//! How tenants share the time of a device: [`FairQueue`] decides whose turn it is, [`DeviceLoad`] tells what came of it.
//!
//! The CPU backend's workers and the queue of a GPU both ask a [`FairQueue`] what to do next, and tell it afterwards how
//! long that took. Nothing in it knows a clock, a thread or a device.

mod fair;
mod load;
mod weight;

pub use fair::{FairQueue, MemberKey, Turn};
pub use load::{DeviceLoad, TenantLoad};
pub use weight::{Weight, WeightError};
