//! Whether the largest logit is the label's.
//!
//! | program | reads | writes | parameters |
//! |-|-|-|-|
//! | [`TOP1`] | `logits` `f32[m,n]`, `labels` `u32[m]`, `weights` `f32[m]` | `hits` `f32[m]` | m, n |
//!
//! The first of equal logits is the largest. NaN and -∞ never are; a row of nothing else has no hit.

use crate::cpu::top1 as host;
use crate::error::LaunchError;
use crate::kernels::program;
use crate::launch::Launch;
use crate::ops::softmax::per_row;

program! {
    /// `hits[i] = weights[i]` where the largest of `logits[i,·]` is at `labels[i]`, else 0.
    pub static TOP1 = top1::rows, host::rows_host;
}

/// The weighted hit of every row.
///
/// # Errors
/// [`LaunchError::TooLarge`] when a size is zero, there are 2³¹ elements or more, or a row is too long to loop over.
pub fn launch(m: usize, n: usize) -> Result<Launch, LaunchError> {
    let (m, n, groups) = per_row("top1", m, n, 1, 1)?;
    Ok(Launch {
        program: &TOP1,
        params: vec![m, n],
        groups,
    })
}
