//! The ops: for each, its launch, its WGSL form and its CPU form.

pub mod activation;
pub mod adam;
pub mod batch_norm;
pub mod channel_sum;
pub mod conv2d;
pub mod cross_entropy;
pub mod dropout;
pub mod elementwise;
pub(crate) mod extent;
pub mod linear;
pub mod matmul;
pub mod mse;
pub mod pool2d;
pub mod reduce;
pub mod sgd;
pub mod softmax;
pub mod top1;
