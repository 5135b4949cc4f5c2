//! What every launch checks of its sizes.

use crate::error::LaunchError;

/// Most elements of one tensor: kernels index with 4-byte words, and leave room for rounding up to a workgroup.
const MAX_ELEMENTS: u64 = i32::MAX as u64;

/// `value` as a parameter word, refusing zero.
pub(crate) fn size(op: &'static str, what: &'static str, value: usize) -> Result<u32, LaunchError> {
    elements(op, what, &[value])
}

/// The product of `dims` as a parameter word, refusing zero and what the kernels cannot index.
pub(crate) fn elements(op: &'static str, what: &'static str, dims: &[usize]) -> Result<u32, LaunchError> {
    let value = dims
        .iter()
        .fold(1_u64, |product, &dim| product.saturating_mul(dim as u64));
    match u32::try_from(value) {
        Ok(word) if (1..=MAX_ELEMENTS).contains(&value) => Ok(word),
        _ => Err(LaunchError::TooLarge {
            op,
            what,
            value,
            limit: MAX_ELEMENTS,
        }),
    }
}
