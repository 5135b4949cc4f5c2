//! The host forms of the kernels: plain loops with a fixed order of summation, so that the same input gives the same
//! bytes on the same kind of processor.

pub mod activation;
pub mod adam;
pub mod batch_norm;
pub mod channel_sum;
pub mod conv2d;
pub mod cross_entropy;
mod direct;
pub mod dropout;
pub mod elementwise;
pub(crate) mod lanes;
pub mod math;
pub mod matmul;
pub mod mse;
pub mod pool2d;
pub mod reduce;
#[cfg(test)]
pub(crate) mod reference;
pub mod sgd;
pub mod simd;
pub mod softmax;
pub mod top1;
