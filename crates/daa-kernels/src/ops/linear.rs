//! A dense layer: matrix product, bias and activation in one kernel.

use crate::activation::Activation;
use crate::error::LaunchError;
use crate::kernels::program;
use crate::launch::Launch;
use crate::ops::matmul::{TILE, geometry};

program! {
    /// `y = activation(x · w + bias)`. Parameters: `m, k, n, activation kind, steepness`.
    pub static LINEAR = matmul::linear, crate::cpu::matmul::linear;
}

/// Launches `y[m,n] = activation(x[m,k] · w[k,n] + bias[n])`. Bindings: `x, w, bias | y`. Without an activation the sum
/// is stored as it is.
///
/// # Errors
/// [`LaunchError::TooLarge`] when a size is zero, a matrix has too many elements to index, or a loop would be too long.
pub fn launch(m: usize, k: usize, n: usize, activation: Option<Activation>) -> Result<Launch, LaunchError> {
    let [m, k, n, groups] = geometry("linear", m, k, n)?;
    let [kind, steepness] = Activation::words(activation);
    let params = vec![m, k, n, kind, steepness];
    Ok(Launch {
        program: &LINEAR,
        params,
        groups: [n.div_ceil(TILE), groups, 1],
    })
}
