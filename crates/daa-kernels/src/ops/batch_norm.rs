//! Batch normalisation over dimension 1, for training and inference, and its gradient.

use crate::error::LaunchError;
use crate::kernels::{batch_norm as wgsl, program};
use crate::launch::{Launch, linear_groups};
use crate::ops::channel_sum::per_channel;

/// Sizes of a normalised tensor: `[n, c, spatial]`; `spatial` is 1 for `[n, c]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchNormDims {
    /// Images or rows.
    pub n: usize,
    /// Channels; each is normalised by itself.
    pub c: usize,
    /// Elements per channel of one image.
    pub spatial: usize,
}

program! {
    /// Normalises with the statistics of the batch and updates the running ones. Parameters: `n, c, spatial, eps, momentum`.
    pub static BATCH_NORM = batch_norm::batch_norm, crate::cpu::batch_norm::forward;

    /// The gradient of [`BATCH_NORM`]. Parameters: `n, c, spatial`.
    pub static BATCH_NORM_GRAD = batch_norm::batch_norm_grad, crate::cpu::batch_norm::grad;

    /// Normalises with given statistics. Parameters: `n, c, spatial, eps`.
    pub static BATCH_NORM_INFER = batch_norm::batch_norm_infer, crate::cpu::batch_norm::infer;
}

/// Launches `y = gamma · (x − mean) · inv_std + beta` with the batch's mean and its biased variance (divided by the
/// count), `inv_std = 1 / √(variance + eps)`, both taken in two passes. The running statistics move by `momentum`
/// towards the batch's: `running = (1 − momentum) · running + momentum · batch`, the variance unbiased (divided by the
/// count less one; by one when the count is one). Bindings: `x, gamma, beta | y, mean, inv_std, running_mean,
/// running_var`; all but `x` and `y` are `[c]`.
///
/// # Errors
/// [`LaunchError::TooLarge`] when a size is zero, `x` has too many elements to index, or a loop would be too long.
pub fn launch(dims: BatchNormDims, eps: f32, momentum: f32) -> Result<Launch, LaunchError> {
    let workgroup = wgsl::batch_norm::WORKGROUP_SIZE[0];
    let (sizes, groups) = per_channel("batch_norm", dims.n, dims.c, dims.spatial, workgroup, 3)?;
    let params = [&sizes[..], &[eps.to_bits(), momentum.to_bits()]].concat();
    Ok(Launch {
        program: &BATCH_NORM,
        params,
        groups,
    })
}

/// Launches `dbeta = Σ dy`, `dgamma = Σ dy · x̂` and `dx = gamma · inv_std · (dy − dbeta/count − x̂ · dgamma/count)`, with
/// `x̂ = (x − mean) · inv_std`. Bindings: `x, dy, gamma, mean, inv_std | dx, dgamma, dbeta`.
///
/// # Errors
/// As [`launch`].
pub fn launch_grad(dims: BatchNormDims) -> Result<Launch, LaunchError> {
    let workgroup = wgsl::batch_norm_grad::WORKGROUP_SIZE[0];
    let (sizes, groups) = per_channel("batch_norm_grad", dims.n, dims.c, dims.spatial, workgroup, 2)?;
    Ok(Launch {
        program: &BATCH_NORM_GRAD,
        params: sizes.to_vec(),
        groups,
    })
}

/// Launches `y = gamma · (x − running_mean) / √(running_var + eps) + beta`. Bindings: `x, gamma, beta, running_mean,
/// running_var | y`.
///
/// # Errors
/// As [`launch`].
pub fn launch_infer(dims: BatchNormDims, eps: f32) -> Result<Launch, LaunchError> {
    let op = "batch_norm_infer";
    let (sizes, _) = per_channel(op, dims.n, dims.c, dims.spatial, u32::MAX, 1)?;
    let params = [&sizes[..], &[eps.to_bits()]].concat();
    let elements = sizes.iter().map(|&size| u64::from(size)).product();
    Ok(Launch {
        program: &BATCH_NORM_INFER,
        params,
        groups: linear_groups(op, elements, wgsl::batch_norm_infer::WORKGROUP_SIZE[0])?,
    })
}
