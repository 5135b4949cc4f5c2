//! Devices, pooled device memory and fault classes for compute on wgpu and on the host CPU.
