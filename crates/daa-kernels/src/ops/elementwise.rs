//! Sums, products and multiples, element by element.
//!
//! | program | reads | writes | parameters |
//! |-|-|-|-|
//! | [`ADD`], [`SUB`], [`MUL`] | `a`, `b` | `c` | len |
//! | [`SCALE`] | `x` | `y` | len, factor |
//! | [`ACCUMULATE`] | `x` | `acc` (read and written) | len |
//!
//! All are `f32[len]`. Every one of them is a single rounded operation: CPU and GPU agree to the bit.

use crate::cpu::elementwise as host;
use crate::error::LaunchError;
use crate::kernels::program;
use crate::launch::{Launch, linear_groups};
use crate::ops::extent::size;

/// Invocations per workgroup of every op that has one invocation per element; `shaders/shared/linear_index.wgsl`.
const WORKGROUP: u32 = 256;

program! {
    /// `c = a + b`.
    pub static ADD = elementwise::add, host::add_host;
    /// `c = a - b`.
    pub static SUB = elementwise::sub, host::sub_host;
    /// `c = a · b`.
    pub static MUL = elementwise::mul, host::mul_host;
    /// `y = factor · x`.
    pub static SCALE = elementwise::scale, host::scale_host;
    /// `acc += x`.
    pub static ACCUMULATE = elementwise::accumulate, host::accumulate_host;
}

/// The parameter word and the workgroups of an op with one invocation per element.
pub(crate) fn per_element(
    op: &'static str,
    what: &'static str,
    len: usize,
) -> Result<(u32, [u32; 3]), LaunchError> {
    let len = size(op, what, len)?;
    Ok((len, linear_groups(op, u64::from(len), WORKGROUP)?))
}

/// Which function of two tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a · b`.
    Mul,
}

/// `c = a + b`, `a - b` or `a · b` on `len` elements.
///
/// # Errors
/// [`LaunchError::TooLarge`] unless `len` is 1 to 2³¹ - 1.
pub fn launch(kind: Binary, len: usize) -> Result<Launch, LaunchError> {
    let (op, program) = match kind {
        Binary::Add => ("add", &ADD),
        Binary::Sub => ("sub", &SUB),
        Binary::Mul => ("mul", &MUL),
    };
    let (len, groups) = per_element(op, "elements", len)?;
    Ok(Launch {
        program,
        params: vec![len],
        groups,
    })
}

/// `y = factor · x` on `len` elements.
///
/// # Errors
/// [`LaunchError::TooLarge`] unless `len` is 1 to 2³¹ - 1.
pub fn launch_scale(len: usize, factor: f32) -> Result<Launch, LaunchError> {
    let (len, groups) = per_element("scale", "elements", len)?;
    Ok(Launch {
        program: &SCALE,
        params: vec![len, factor.to_bits()],
        groups,
    })
}

/// `acc += x` on `len` elements.
///
/// # Errors
/// [`LaunchError::TooLarge`] unless `len` is 1 to 2³¹ - 1.
pub fn launch_accumulate(len: usize) -> Result<Launch, LaunchError> {
    let (len, groups) = per_element("accumulate", "elements", len)?;
    Ok(Launch {
        program: &ACCUMULATE,
        params: vec![len],
        groups,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_outside_the_range_are_refused_by_name() {
        for len in [0, 1 << 31] {
            let error = launch(Binary::Add, len).expect_err("out of range").to_string();
            assert!(error.contains("add: elements is"), "{error}");
        }
        let whole = launch(Binary::Add, i32::MAX as usize).expect("the largest");
        assert!(whole.groups.iter().all(|count| (1..=65_535).contains(count)));
        assert!(u64::from(whole.groups[0]) * u64::from(whole.groups[1]) * 256 <= u64::from(u32::MAX));
    }
}
