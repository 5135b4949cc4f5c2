//! A dense layer: matrix product, bias and activation in one kernel.

use crate::activation::Activation;
use crate::cpu;
use crate::error::LaunchError;
use crate::kernels::matmul as wgsl;
use crate::launch::Launch;
use crate::ops::extent::{read, write};
use crate::ops::matmul::{TILE, geometry};
use daa_gpu_core::Program;

/// `y = activation(x · w + bias)`. Parameters: `m, k, n, activated (0 or 1), activation kind, steepness (f32)`.
pub static LINEAR: Program = Program {
    name: "linear",
    wgsl: wgsl::WGSL,
    entry: wgsl::linear::ENTRY,
    workgroup_size: wgsl::linear::WORKGROUP_SIZE,
    bindings: &[read("a"), read("b"), read("bias"), write("y")],
    params_words: wgsl::linear::PARAMS_WORDS,
    host: cpu::matmul::linear,
};

/// Launches `y[m,n] = activation(x[m,k] · w[k,n] + bias[n])`. Bindings: `x, w, bias | y`. Without an activation the sum
/// is stored as it is.
///
/// # Errors
/// [`LaunchError::TooLarge`] when a size is zero, a matrix has too many elements to index, or a loop would be too long.
pub fn launch(m: usize, k: usize, n: usize, activation: Option<Activation>) -> Result<Launch, LaunchError> {
    let [m, k, n, groups] = geometry("linear", m, k, n)?;
    let [activated, kind, steepness] = activation_words(activation);
    let params = vec![m, k, n, activated, kind, steepness];
    Ok(Launch { program: &LINEAR, params, groups: [n.div_ceil(TILE), groups, 1] })
}

/// An epilogue as parameter words: whether there is one, its kind, its steepness.
pub(crate) fn activation_words(activation: Option<Activation>) -> [u32; 3] {
    activation.map_or([0, 0, 0], |a| [1, a.kind.code(), a.steepness.to_bits()])
}
