//! The idx format of the MNIST family: two zero bytes, the element type, the number of dimensions, the dimensions
//! as big-endian 32-bit numbers, then the elements, big-endian, last dimension fastest.

use super::DataError;
use super::array::{Array, ByteOrder, ElementKind, decode};
use super::read::wrong_magic;

/// Decodes a whole idx file.
pub(super) fn decode_idx(file: &str, bytes: &[u8]) -> Result<Array, DataError> {
    let [0, 0, kind, count, rest @ ..] = bytes else {
        return Err(wrong_magic(file, "an idx file", bytes));
    };
    let kind = match kind {
        0x08 => ElementKind::U8,
        0x09 => ElementKind::I8,
        0x0b => ElementKind::I16,
        0x0c => ElementKind::I32,
        0x0d => ElementKind::F32,
        0x0e => ElementKind::F64,
        _ => return Err(wrong_magic(file, "an idx file", bytes)),
    };
    let count = usize::from(*count);
    if !(1..=4).contains(&count) {
        return Err(DataError::Unsupported {
            file: file.to_owned(),
            what: format!("an idx file of {count} dimensions"),
            allowed: "read are 1 to 4",
        });
    }
    let header = 4 + 4 * count;
    let Some(body) = bytes.get(header..) else {
        return Err(DataError::Truncated {
            file: file.to_owned(),
            expected: format!("at least {header}"),
            found: bytes.len() as u64,
        });
    };
    let dims = rest
        .as_chunks::<4>()
        .0
        .iter()
        .take(count)
        .map(|&dim| u32::from_be_bytes(dim) as usize)
        .collect();
    decode(file, header, body, dims, kind, ByteOrder::Big)
}
