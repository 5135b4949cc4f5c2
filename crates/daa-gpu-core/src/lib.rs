//! Devices, pooled device memory and fault classes for compute on wgpu and on the host CPU.
#![forbid(unsafe_code)]

pub mod image;
pub mod program;

pub use image::{Command, CommandList, Dispatch, Image, SLICE_ALIGN, Slice};
pub use program::{Access, BindingSpec, HostCall, HostFn, Program, Scratch};
