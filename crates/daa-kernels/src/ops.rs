//! The ops: for each, its launch, its WGSL form and its CPU form.

pub mod batch_norm;
pub mod channel_sum;
pub mod conv2d;
pub(crate) mod extent;
pub mod linear;
pub mod matmul;
pub mod pool2d;
