//! One launch of a kernel: the program, its parameter words and its workgroup counts.

use crate::error::LaunchError;
use daa_gpu_core::Program;

/// Most workgroups per dimension that WebGPU guarantees.
pub const MAX_GROUPS: u32 = 65_535;

/// Most loop trips per invocation, nested loops added up: software Vulkan silently ends loops beyond it.
pub const MAX_LOOP_TRIPS: u64 = 65_534;

/// What a plan records for one op.
#[derive(Debug, Clone)]
pub struct Launch {
    /// What runs.
    pub program: &'static Program,
    /// Its parameter words.
    pub params: Vec<u32>,
    /// Workgroups per dimension.
    pub groups: [u32; 3],
}

/// Workgroup counts for one invocation per element of `elements`, `workgroup` invocations a group, spread over x and
/// y. The kernel's index is `id.x + id.y * (num_workgroups.x * workgroup)`.
///
/// # Errors
/// [`LaunchError::TooLarge`] when two dimensions cannot hold that many groups.
pub fn linear_groups(op: &'static str, elements: u64, workgroup: u32) -> Result<[u32; 3], LaunchError> {
    let groups = elements.div_ceil(u64::from(workgroup)).max(1);
    let y = groups.div_ceil(u64::from(MAX_GROUPS));
    let x = groups.div_ceil(y);
    match (u32::try_from(x), u32::try_from(y)) {
        (Ok(x), Ok(y)) if y <= MAX_GROUPS => Ok([x, y, 1]),
        _ => Err(LaunchError::TooLarge {
            op,
            what: "elements",
            value: elements,
            limit: u64::from(MAX_GROUPS) * u64::from(MAX_GROUPS) * u64::from(workgroup),
        }),
    }
}

/// `value` as a parameter word.
///
/// # Errors
/// [`LaunchError::TooLarge`] above `u32::MAX`.
pub fn word(op: &'static str, what: &'static str, value: usize) -> Result<u32, LaunchError> {
    u32::try_from(value).map_err(|_| LaunchError::TooLarge {
        op,
        what,
        value: value as u64,
        limit: u64::from(u32::MAX),
    })
}

/// Refuses kernels whose loops would run longer than every adapter honours.
///
/// # Errors
/// [`LaunchError::TooLarge`] above [`MAX_LOOP_TRIPS`].
pub const fn check_trips(op: &'static str, what: &'static str, trips: u64) -> Result<(), LaunchError> {
    if trips > MAX_LOOP_TRIPS {
        return Err(LaunchError::TooLarge {
            op,
            what,
            value: trips,
            limit: MAX_LOOP_TRIPS,
        });
    }
    Ok(())
}
