//! Softmax over the rows of a matrix.
//!
//! | program | reads | writes | parameters |
//! |-|-|-|-|
//! | [`SOFTMAX`] | `x` `f32[m,n]` | `y` `f32[m,n]` | m, n |
//!
//! The row's maximum is subtracted first; the exponential of a difference below -87 is 0.

use crate::cpu::softmax as host;
use crate::error::LaunchError;
use crate::kernels::program;
use crate::launch::{Launch, check_trips, linear_groups};
use crate::ops::extent::{elements, size};

/// Invocations that share a row; `shaders/shared/row.wgsl`.
const ROW_LANES: u64 = 64;
/// Loop trips of one reduction over the lanes.
const TREE_TRIPS: u64 = 6;

program! {
    /// `y[i,j] = exp(x[i,j]) / Σₖ exp(x[i,k])`.
    pub static SOFTMAX = softmax::rows, host::rows_host;
}

/// The words `m`, `n` and the workgroups of an op with one workgroup per row, whose shader goes over the row `passes`
/// times and reduces over its lanes `trees` times.
pub(crate) fn per_row(
    op: &'static str,
    m: usize,
    n: usize,
    passes: u64,
    trees: u64,
) -> Result<(u32, u32, [u32; 3]), LaunchError> {
    let (rows, cols) = (size(op, "rows", m)?, size(op, "columns", n)?);
    elements(op, "elements", &[m, n])?;
    let trips = u64::from(cols).div_ceil(ROW_LANES) * passes + trees * TREE_TRIPS;
    check_trips(op, "loop length for this many columns", trips)?;
    Ok((rows, cols, linear_groups(op, u64::from(rows), 1)?))
}

/// Softmax of every row of an `[m,n]` matrix.
///
/// # Errors
/// [`LaunchError::TooLarge`] when a size is zero, there are 2³¹ elements or more, or a row is too long to loop over.
pub fn launch(m: usize, n: usize) -> Result<Launch, LaunchError> {
    let (m, n, groups) = per_row("softmax", m, n, 3, 2)?;
    Ok(Launch {
        program: &SOFTMAX,
        params: vec![m, n],
        groups,
    })
}
