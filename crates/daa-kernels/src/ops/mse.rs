//! Mean squared error.
//!
//! | program | reads | writes | parameters |
//! |-|-|-|-|
//! | [`ROWS`] | `prediction` `f32[m,n]`, `expected` `f32[m,n]`, `weights` `f32[m]` | `losses` `f32[m]` | m, n |
//! | [`BACKWARD`] | the same | `dprediction` `f32[m,n]` | m·n, n, 2·scale/n |
//!
//! A row of weight 0 yields exactly 0, whatever it holds.

use crate::cpu::mse as host;
use crate::error::LaunchError;
use crate::kernels::program;
use crate::launch::Launch;
use crate::ops::elementwise::per_element;
use crate::ops::extent::size;
use crate::ops::softmax::per_row;

program! {
    /// `losses[i] = weights[i]/n · Σⱼ (prediction[i,j] - expected[i,j])²`.
    pub static ROWS = mse::rows, host::rows_host;
    /// `dprediction[i,j] = scale · weights[i] · 2/n · (prediction[i,j] - expected[i,j])`.
    pub static BACKWARD = mse::backward, host::backward_host;
}

/// The weighted loss of every row.
///
/// # Errors
/// [`LaunchError::TooLarge`] when a size is zero, there are 2³¹ elements or more, or a row is too long to loop over.
pub fn launch_rows(m: usize, n: usize) -> Result<Launch, LaunchError> {
    let (m, n, groups) = per_row("mse", m, n, 1, 1)?;
    Ok(Launch {
        program: &ROWS,
        params: vec![m, n],
        groups,
    })
}

/// The gradient of `scale · Σ losses` by the prediction.
///
/// # Errors
/// [`LaunchError::TooLarge`] when a size is zero or there are 2³¹ elements or more.
#[expect(clippy::cast_precision_loss, reason = "the nearest float of a size is meant")]
pub fn launch_grad(m: usize, n: usize, scale: f32) -> Result<Launch, LaunchError> {
    let op = "mse_grad";
    size(op, "rows", m)?;
    let cols = size(op, "columns", n)?;
    let (len, groups) = per_element(op, "elements", m.saturating_mul(n))?;
    let factor = 2.0 * scale / cols as f32;
    Ok(Launch {
        program: &BACKWARD,
        params: vec![len, cols, factor.to_bits()],
        groups,
    })
}
