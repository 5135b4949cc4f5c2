//! Device memory: the tiers and size classes, the sub-allocator, the pool that serves tenants, and the pure lifetime
//! packer.

#[cfg(test)]
mod effort;
pub mod heap;
pub mod layout;
pub mod pool;
pub mod replay;
#[cfg(test)]
mod samples;
pub mod tier;
pub mod trace;
