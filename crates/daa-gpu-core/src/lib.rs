#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]
// Whether a queue of loaded images may cross threads is decided through the pool down to the types of naga.
#![recursion_limit = "256"]

pub mod adapter;
mod backend;
pub mod breaker;
pub mod config;
pub mod context;
pub mod error;
pub mod failover;
mod health;
pub mod image;
#[cfg(any(test, feature = "testing"))]
pub mod injection;
pub mod memory;
pub mod pipelines;
pub mod pressure;
pub mod probe;
pub mod profile;
pub mod program;
mod raw;
mod reclaim;
pub mod schedule;
mod sync;
pub mod tenant;

pub use adapter::{
    AdapterReport, BackendKind, DeviceChoice, DeviceClass, DeviceInfo, DeviceLimits, MemorySource, Selection,
    survey,
};
pub use breaker::{Breaker, BreakerConfig};
pub use config::{ConfigError, ContextConfig, MemoryConfig, Profiling};
pub use context::{ComputeContext, Counters};
pub use daa_base::{Bytes, DeviceEpoch, FencingToken};
pub use error::{DeviceError, ErrorClass, GpuError, MemoryError, WorkError};
pub use failover::{Acquired, Failover, FailoverCounts, Role, Switch, Why};
pub use image::{Clear, Command, CommandList, Dispatch, Image, ImageError, SLICE_ALIGN, Slice};
pub use memory::heap::{Block, Colour, Granted, Heap, HeapConfig, HeapRefusal, HeapReport, PageId};
pub use memory::layout::{Lifetime, Packing, pack};
pub use memory::pool::{PoolReport, TierReport};
pub use memory::tier::{Tier, reserved_bytes};
pub use pipelines::{PipelineFileReport, PipelineReport};
pub use probe::{Expected, Probe};
pub use profile::{ProfileReport, Spread, TimeReport, TimeSource};
pub use program::{Access, BindingSpec, HostCall, HostFn, Program, Scratch};
pub use reclaim::Reclaimed;
pub use schedule::{DeviceLoad, FairQueue, TenantLoad, Weight, WeightError};
#[cfg(feature = "gpu")]
pub use tenant::RawSlice;
pub use tenant::{Allocation, Loaded, Tenant, TenantSpec, TenantUsage, Ticket, Work};
/// The version of wgpu that [`ComputeContext::wgpu`] and [`Allocation::raw`] speak.
#[cfg(feature = "gpu")]
pub use wgpu;
