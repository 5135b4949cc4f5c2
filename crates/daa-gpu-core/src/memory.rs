//! Device memory: the tiers and size classes, the pool that serves tenants, and the pure lifetime packer.

pub mod layout;
pub mod pool;
pub mod tier;
