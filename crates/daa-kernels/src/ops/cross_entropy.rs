//! Softmax followed by cross entropy against labels.
//!
//! | program | reads | writes | parameters |
//! |-|-|-|-|
//! | [`ROWS`] | `logits` `f32[m,n]`, `labels` `u32[m]`, `weights` `f32[m]` | `losses` `f32[m]` | m, n |
//! | [`BACKWARD`] | the same | `dlogits` `f32[m,n]` | m, n, scale |
//!
//! A row of weight 0, or whose label is not below `n`, yields exactly 0 whatever its logits are: padding and unlabelled
//! rows cannot spoil a sum. That labels are below `n` is for the host to check when it reads the data.

use crate::cpu::cross_entropy as host;
use crate::error::LaunchError;
use crate::kernels::program;
use crate::launch::Launch;
use crate::ops::softmax::per_row;

program! {
    /// `losses[i] = -weights[i] · ln softmax(logits)[i, labels[i]]`.
    pub static ROWS = cross_entropy::rows, host::rows_host;
    /// `dlogits[i,j] = scale · weights[i] · (softmax(logits)[i,j] - [j = labels[i]])`.
    pub static BACKWARD = cross_entropy::backward, host::backward_host;
}

/// The weighted loss of every row.
///
/// # Errors
/// [`LaunchError::TooLarge`] when a size is zero, there are 2³¹ elements or more, or a row is too long to loop over.
pub fn launch_rows(m: usize, n: usize) -> Result<Launch, LaunchError> {
    let (m, n, groups) = per_row("cross_entropy", m, n, 2, 2)?;
    Ok(Launch {
        program: &ROWS,
        params: vec![m, n],
        groups,
    })
}

/// The gradient of `scale · Σ losses` by the logits.
///
/// # Errors
/// [`LaunchError::TooLarge`] when a size is zero, there are 2³¹ elements or more, or a row is too long to loop over.
pub fn launch_grad(m: usize, n: usize, scale: f32) -> Result<Launch, LaunchError> {
    let (m, n, groups) = per_row("cross_entropy_grad", m, n, 3, 2)?;
    Ok(Launch {
        program: &BACKWARD,
        params: vec![m, n, scale.to_bits()],
        groups,
    })
}
