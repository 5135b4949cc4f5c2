//! Sums over everything but the channel dimension: the gradient of a bias.

use crate::error::LaunchError;
use crate::kernels::{channel_sum as wgsl, program};
use crate::launch::{Launch, check_trips, linear_groups};
use crate::ops::extent::{elements, size};

/// Trips of a workgroup's tree reduction, generously.
const TREE_TRIPS: u64 = 16;

program! {
    /// `sums[c] = Σ dy[·, c, ·]`. Parameters: `n, c, spatial`.
    pub static CHANNEL_SUM = channel_sum::channel_sum, crate::cpu::channel_sum::channel_sum;
}

/// Launches `sums[c] = Σ over n and spatial of dy[n, c, spatial]`; `spatial` is 1 for `[n, c]`. Bindings: `dy | sums`.
///
/// # Errors
/// [`LaunchError::TooLarge`] when a size is zero, `dy` has too many elements to index, or a loop would be too long.
pub fn launch(n: usize, c: usize, spatial: usize) -> Result<Launch, LaunchError> {
    let op = "channel_sum";
    let (params, groups) = per_channel(op, n, c, spatial, wgsl::channel_sum::WORKGROUP_SIZE[0], 1)?;
    Ok(Launch {
        program: &CHANNEL_SUM,
        params: params.to_vec(),
        groups,
    })
}

/// The sizes as words, and the groups of a kernel with one workgroup per channel that makes `passes` over it.
pub(crate) fn per_channel(
    op: &'static str,
    n: usize,
    c: usize,
    spatial: usize,
    workgroup: u32,
    passes: u64,
) -> Result<([u32; 3], [u32; 3]), LaunchError> {
    elements(op, "the element count", &[n, c, spatial])?;
    let params = [
        size(op, "n", n)?,
        size(op, "c", c)?,
        size(op, "spatial size", spatial)?,
    ];
    let per_channel = u64::from(elements(op, "elements per channel", &[n, spatial])?);
    let trips = (per_channel.div_ceil(u64::from(workgroup)) + TREE_TRIPS) * passes;
    check_trips(op, "loop trips over n and the spatial size", trips)?;
    Ok((params, linear_groups(op, u64::from(params[1]), 1)?))
}
