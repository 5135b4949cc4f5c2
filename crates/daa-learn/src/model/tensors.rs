//! Tensors in safetensors files: fixed bytes, checked content, whole files or none.

use super::error::TensorFileError;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

/// Largest file that is read.
pub(crate) const MAX_FILE_BYTES: u64 = 8 << 30;

/// Most tensors of a file: the state of the deepest network has fewer.
pub(crate) const MAX_TENSORS: usize = 4096;

/// Longest description in front of the tensors, in bytes; safetensors itself reads up to 100 MB of it.
pub(crate) const MAX_HEADER_BYTES: u64 = 32 << 20;

/// The one metadata key, so that the order of keys cannot change the bytes.
const HEADER_KEY: &str = "daa";

/// A tensor to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TensorRef<'a> {
    pub(crate) name: &'a str,
    pub(crate) shape: &'a [usize],
    pub(crate) data: &'a [f32],
}

/// A tensor that was read: `data` has as many elements as `shape` says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NamedTensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f32>,
}

impl<'a> From<&'a NamedTensor> for TensorRef<'a> {
    fn from(tensor: &'a NamedTensor) -> Self {
        Self {
            name: &tensor.name,
            shape: &tensor.shape,
            data: &tensor.data,
        }
    }
}

/// What a file holds.
#[derive(Debug)]
pub(crate) struct TensorFile {
    pub(crate) header: String,
    /// In the order of their names.
    pub(crate) tensors: Vec<NamedTensor>,
}

/// The elements as bytes, least significant first.
pub(crate) fn little_endian(data: &[f32]) -> Vec<u8> {
    data.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The bytes of a file: the same tensors and header always give the same bytes.
pub(crate) fn encode(tensors: &[TensorRef<'_>], header: &str) -> Result<Vec<u8>, String> {
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|tensor| little_endian(tensor.data)).collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|(tensor, bytes)| {
            Ok((
                tensor.name,
                TensorView::new(Dtype::F32, tensor.shape.to_vec(), bytes)?,
            ))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|error| error.to_string())?;
    let metadata = HashMap::from([(HEADER_KEY.to_owned(), header.to_owned())]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
}

/// Reads what [`encode`] wrote. `path` is for messages.
pub(crate) fn decode(path: &Path, bytes: &[u8]) -> Result<TensorFile, TensorFileError> {
    let broken = |reason: String| TensorFileError::Broken {
        path: path.to_owned(),
        reason,
    };
    let announced = bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    if announced > MAX_HEADER_BYTES {
        return Err(broken(format!(
            "its header has {announced} bytes, allowed are 0 to {MAX_HEADER_BYTES}"
        )));
    }
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| broken(error.to_string()))?;
    let header = metadata
        .metadata()
        .as_ref()
        .and_then(|map| map.get(HEADER_KEY))
        .cloned()
        .unwrap_or_default();
    let file = SafeTensors::deserialize(bytes).map_err(|error| broken(error.to_string()))?;
    if file.len() > MAX_TENSORS {
        return Err(broken(format!(
            "it holds {} tensors, allowed are 0 to {MAX_TENSORS}",
            file.len()
        )));
    }
    let mut tensors = Vec::with_capacity(file.len());
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            let found = format!("{:?}", view.dtype());
            return Err(TensorFileError::DType {
                path: path.to_owned(),
                tensor: name,
                found,
            });
        }
        let (words, rest) = view.data().as_chunks::<4>();
        if !rest.is_empty() {
            return Err(broken(format!(
                "tensor `{name}` does not hold whole numbers of 4 bytes"
            )));
        }
        let data = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
        tensors.push(NamedTensor {
            name,
            shape: view.shape().to_vec(),
            data,
        });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(TensorFile { header, tensors })
}

/// The whole file, if it is not absurdly large.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, TensorFileError> {
    let failed = |source| TensorFileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?.len();
    // The length of what is no plain file says nothing, so the reading itself is bounded too.
    let mut bytes = Vec::new();
    if found <= limit {
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(failed)?;
    }
    if found > limit || bytes.len() as u64 > limit {
        let found = found.max(bytes.len() as u64);
        return Err(TensorFileError::TooLarge {
            path: path.to_owned(),
            found,
            limit,
        });
    }
    Ok(bytes)
}

/// Why `path` could not be written.
pub(crate) fn write_error(path: &Path, source: std::io::Error) -> TensorFileError {
    TensorFileError::Write {
        path: path.to_owned(),
        source,
    }
}
