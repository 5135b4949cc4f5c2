//! Training states on disk: a safetensors file whose header carries the position, the history and a digest.

use super::error::CheckpointError;
use super::state::{Cursor, Identity, StateTensor, TrainState};
use crate::files;
use crate::model::tensors::{self, TensorFile, TensorRef};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The schema that is written and read.
pub const CHECKPOINT_SCHEMA: &str = "daa.checkpoint/1";

/// Prefix of the best weights' tensor names.
const BEST: &str = "best.";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    schema: String,
    /// BLAKE3 over the body and all tensors, in hexadecimal.
    digest: String,
    /// The JSON form of [`Body`], as text, so that the digest covers exactly the bytes that are read.
    body: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    identity: Identity,
    cursor: Cursor,
    /// Tensors in the state's order; the file keeps its own.
    order: Vec<String>,
    parameter_count: usize,
}

impl TrainState {
    /// Writes the state to `path`: first under a temporary name beside it, then renamed, so that `path` always holds
    /// a whole checkpoint.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        let bytes = self.to_bytes().map_err(|reason| CheckpointError::Header {
            path: path.to_owned(),
            reason,
        })?;
        Ok(files::write_whole(path, &bytes).map_err(|source| tensors::write_error(path, source))?)
    }

    /// Reads a state back, bit by bit the one that was saved.
    ///
    /// # Errors
    /// A missing, truncated or changed file. Whether the state fits a training is for [`super::Trainer::new`] to
    /// say.
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = tensors::read_bounded(path, tensors::MAX_FILE_BYTES)?;
        Self::from_bytes(path, &bytes)
    }

    pub(crate) fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, CheckpointError> {
        Self::from_file(path, tensors::decode(path, bytes)?)
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, String> {
        self.with_body(self.body()?)
    }

    /// The part that is not tensors, as text.
    pub(crate) fn body(&self) -> Result<String, String> {
        let body = Body {
            identity: self.identity.clone(),
            cursor: self.cursor.clone(),
            order: self.tensors.iter().map(|tensor| tensor.name.clone()).collect(),
            parameter_count: self.parameter_count,
        };
        serde_json::to_string(&body).map_err(|error| error.to_string())
    }

    /// The bytes of a state that says `body` about its tensors.
    pub(crate) fn with_body(&self, body: String) -> Result<Vec<u8>, String> {
        let best = self.best_parameters.iter().flatten().zip(&self.tensors);
        let best_names: Vec<String> = best
            .clone()
            .map(|(_, tensor)| format!("{BEST}{}", tensor.name))
            .collect();
        let mut all: Vec<TensorRef<'_>> = self
            .tensors
            .iter()
            .map(|tensor| TensorRef {
                name: &tensor.name,
                shape: &tensor.shape,
                data: &tensor.data,
            })
            .collect();
        all.extend(best.zip(&best_names).map(|((data, tensor), name)| TensorRef {
            name,
            shape: &tensor.shape,
            data,
        }));
        let digest = digest(&body, &all);
        let header = Header {
            schema: CHECKPOINT_SCHEMA.to_owned(),
            digest,
            body,
        };
        let header = serde_json::to_string(&header).map_err(|error| error.to_string())?;
        tensors::encode(&all, &header)
    }

    fn from_file(path: &Path, file: TensorFile) -> Result<Self, CheckpointError> {
        let broken = |reason: String| CheckpointError::Header {
            path: path.to_owned(),
            reason,
        };
        let header: Header = serde_json::from_str(&file.header).map_err(|error| broken(error.to_string()))?;
        if header.schema != CHECKPOINT_SCHEMA {
            let (path, found) = (path.to_owned(), header.schema);
            return Err(CheckpointError::Schema {
                path,
                found,
                wanted: CHECKPOINT_SCHEMA,
            });
        }
        let mut named = file.tensors;
        let found = digest(
            &header.body,
            &named.iter().map(TensorRef::from).collect::<Vec<_>>(),
        );
        // No fuzzer finds a digest.
        if !cfg!(fuzzing) && found != header.digest {
            return Err(CheckpointError::Digest {
                path: path.to_owned(),
            });
        }
        let body: Body = serde_json::from_str(&header.body).map_err(|error| broken(error.to_string()))?;
        check(&body).map_err(broken)?;
        let mut take = |name: &str| {
            let at = named.iter().position(|tensor| tensor.name == name)?;
            let tensor = named.swap_remove(at);
            Some(StateTensor {
                name: tensor.name,
                shape: tensor.shape,
                data: tensor.data,
            })
        };
        let mut state_tensors = Vec::with_capacity(body.order.len());
        for name in &body.order {
            state_tensors.push(take(name).ok_or_else(|| broken(format!("tensor `{name}` is missing")))?);
        }
        let best_parameters = match body.cursor.best {
            None => None,
            Some(_) => Some(
                (body.order.iter().take(body.parameter_count))
                    .map(|name| {
                        let name = format!("{BEST}{name}");
                        take(&name)
                            .map(|tensor| tensor.data)
                            .ok_or_else(|| broken(format!("tensor `{name}` is missing")))
                    })
                    .collect::<Result<_, _>>()?,
            ),
        };
        if let Some(tensor) = named.first() {
            return Err(broken(format!("tensor `{}` belongs to nothing", tensor.name)));
        }
        let parameter_count = body.parameter_count;
        Ok(Self {
            identity: body.identity,
            cursor: body.cursor,
            tensors: state_tensors,
            parameter_count,
            best_parameters,
        })
    }
}

/// Whether `body` is one that can have been written: the parameters are among the tensors, the best epoch is done.
fn check(body: &Body) -> Result<(), String> {
    let (count, tensors) = (body.parameter_count, body.order.len());
    if count > tensors {
        return Err(format!("parameter_count is {count}, allowed are 0 to {tensors}"));
    }
    let epochs = body.cursor.history.len();
    if let Some((epoch, _)) = body.cursor.best
        && epoch as usize >= epochs
    {
        return Err(format!("the best epoch is {epoch}, with {epochs} epochs done"));
    }
    Ok(())
}

/// BLAKE3 over the body and every tensor in the order of their names.
fn digest(body: &str, tensors: &[TensorRef<'_>]) -> String {
    let mut sorted: Vec<&TensorRef<'_>> = tensors.iter().collect();
    sorted.sort_by_key(|tensor| tensor.name);
    let mut hasher = blake3::Hasher::new_derive_key("daa-learn 2026 checkpoint");
    let mut field = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    field(body.as_bytes());
    for tensor in sorted {
        field(tensor.name.as_bytes());
        field(&tensors::little_endian(tensor.data));
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests;
