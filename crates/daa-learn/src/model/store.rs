//! Models on disk.

use super::error::ModelError;
use super::tensors::{self, NamedTensor, TensorRef};
use crate::data::Preprocess;
use crate::files;
use crate::nn::{Architecture, ParameterSpec};
use daa_base::Seed;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The schema that is written and read.
pub const MODEL_SCHEMA: &str = "daa.model/1";

/// File name of the tensors.
pub const TENSORS_FILE: &str = "model.safetensors";

/// File name of the description.
pub const DESCRIPTION_FILE: &str = "model.json";

/// Largest description that is read, in bytes.
const MAX_DESCRIPTION_BYTES: u64 = 256 << 20;

/// How a model came to be. A function of seed, data and configuration: it holds no time and no path.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingSummary {
    /// The seed of the run.
    pub seed: Seed,
    /// Epochs of the training that made these weights.
    pub epochs: u32,
    /// Rows it was trained on.
    pub train_rows: u64,
    /// Loss on those rows in the last epoch, while the weights changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_loss: Option<f32>,
    /// Score of the chosen candidate on the validation rows of the search, in millionths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_score_micro: Option<i64>,
}

/// A trained network with everything needed to apply it to rows of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    architecture: Architecture,
    parameters: Vec<Vec<f32>>,
    preprocess: Preprocess,
    summary: TrainingSummary,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    schema: String,
    /// The architecture on one line, for people; not read.
    network: String,
    /// Trained numbers, for people; not read.
    parameters: usize,
    architecture: Architecture,
    preprocess: Preprocess,
    training: TrainingSummary,
    /// BLAKE3 of `model.safetensors`, in hexadecimal.
    tensors_blake3: String,
}

impl Model {
    /// Puts a model together. `parameters` are in the order of [`Architecture::parameters`], as
    /// [`crate::train::TrainState::result`] gives them.
    ///
    /// # Errors
    /// Parts that contradict each other, and parameters that are not finite.
    pub fn new(
        architecture: Architecture,
        parameters: Vec<Vec<f32>>,
        preprocess: Preprocess,
        summary: TrainingSummary,
    ) -> Result<Self, ModelError> {
        let refuse =
            |what, found: String, wanted: String| Err(ModelError::Inconsistent { what, found, wanted });
        let specs = architecture
            .parameters()
            .map_err(|error| ModelError::Inconsistent {
                what: "the architecture",
                found: error.to_string(),
                wanted: "a valid one".to_owned(),
            })?;
        if preprocess.shape() != architecture.input {
            let (found, wanted) = (preprocess.shape().to_string(), architecture.input.to_string());
            return refuse("the preprocessing's shape", found, wanted);
        }
        let (outputs, width) = (preprocess.target().outputs(), architecture.output.width());
        if outputs != width {
            return refuse("the number of outputs", outputs.to_string(), width.to_string());
        }
        if parameters.len() != specs.len() {
            return refuse(
                "the number of tensors",
                parameters.len().to_string(),
                specs.len().to_string(),
            );
        }
        for (data, spec) in parameters.iter().zip(&specs) {
            if data.len() != spec.elements() {
                let wanted = format!("{} in `{}`", spec.elements(), spec.name);
                return refuse("the number of elements", data.len().to_string(), wanted);
            }
            if let Some(value) = data.iter().find(|value| !value.is_finite()) {
                return refuse(
                    "a parameter",
                    format!("{value} in `{}`", spec.name),
                    "a finite number".to_owned(),
                );
            }
        }
        Ok(Self {
            architecture,
            parameters,
            preprocess,
            summary,
        })
    }

    /// The network.
    #[must_use]
    pub const fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Parameters and running statistics, in the order of [`Architecture::parameters`].
    #[must_use]
    pub fn parameters(&self) -> &[Vec<f32>] {
        &self.parameters
    }

    /// From a file's rows to the network's numbers and back; holds the class names.
    #[must_use]
    pub const fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// How it came to be.
    #[must_use]
    pub const fn summary(&self) -> &TrainingSummary {
        &self.summary
    }

    /// The bytes of `model.safetensors` and `model.json`. Equal models give equal bytes.
    ///
    /// # Errors
    /// [`ModelError::Inconsistent`] when a part has no stored form, which [`Model::new`] excludes.
    pub fn to_bytes(&self) -> Result<(Vec<u8>, String), ModelError> {
        let unwritable = |what, found: String| ModelError::Inconsistent {
            what,
            found,
            wanted: "storable parts".to_owned(),
        };
        let specs = self.specs();
        let refs: Vec<TensorRef<'_>> = specs
            .iter()
            .zip(&self.parameters)
            .map(|(spec, data)| TensorRef {
                name: &spec.name,
                shape: &spec.shape,
                data,
            })
            .collect();
        let tensors = tensors::encode(&refs, MODEL_SCHEMA).map_err(|error| unwritable("a tensor", error))?;
        let trained = specs.iter().filter(|spec| spec.kind.is_trained());
        let description = Description {
            schema: MODEL_SCHEMA.to_owned(),
            network: self.architecture.to_string(),
            parameters: trained.map(ParameterSpec::elements).sum(),
            architecture: self.architecture.clone(),
            preprocess: self.preprocess.clone(),
            training: self.summary.clone(),
            tensors_blake3: blake3::hash(&tensors).to_hex().to_string(),
        };
        let mut json = serde_json::to_string_pretty(&description)
            .map_err(|error| unwritable("the description", error.to_string()))?;
        json.push('\n');
        Ok((tensors, json))
    }

    /// Writes `model.safetensors` and `model.json` into `folder`: both under temporary names first, then renamed, the
    /// description last. A reader that meets files of two models is told so by the digest.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn save(&self, folder: &Path) -> Result<(), ModelError> {
        let (tensors, json) = self.to_bytes()?;
        let paths = [folder.join(TENSORS_FILE), folder.join(DESCRIPTION_FILE)];
        let failed = |path| move |source| tensors::write_error(path, source);
        let staged = [
            files::stage(&paths[0], &tensors).map_err(failed(&paths[0]))?,
            files::stage(&paths[1], json.as_bytes()).map_err(failed(&paths[1]))?,
        ];
        for (file, path) in staged.into_iter().zip(&paths) {
            files::put(file, path).map_err(failed(path))?;
        }
        Ok(())
    }

    /// Reads a model back, bit by bit the one that was saved.
    ///
    /// # Errors
    /// Missing, truncated or changed files, and files that do not belong together; [`ModelError::hint`] says what to
    /// do.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join(DESCRIPTION_FILE);
        let text = tensors::read_bounded(&path, MAX_DESCRIPTION_BYTES)?;
        let broken = |reason: String| ModelError::Description {
            path: path.clone(),
            reason,
        };
        let json: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
        let schema = json
            .get("schema")
            .and_then(serde_json::Value::as_str)
            .unwrap_or("absent");
        if schema != MODEL_SCHEMA {
            return Err(ModelError::Schema {
                path,
                found: schema.to_owned(),
                wanted: MODEL_SCHEMA,
            });
        }
        let description: Description =
            serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
        let specs = (description.architecture.parameters()).map_err(|source| ModelError::Architecture {
            path: path.clone(),
            source,
        })?;
        let tensors_path = folder.join(TENSORS_FILE);
        let bytes = tensors::read_bounded(&tensors_path, tensors::MAX_FILE_BYTES)?;
        let file = tensors::decode(&tensors_path, &bytes)?;
        let parameters = arrange(&tensors_path, file.tensors, &specs)?;
        if blake3::hash(&bytes).to_hex().as_str() != description.tensors_blake3 {
            return Err(ModelError::Digest { path: tensors_path });
        }
        Self::new(
            description.architecture,
            parameters,
            description.preprocess,
            description.training,
        )
    }

    fn specs(&self) -> Vec<ParameterSpec> {
        self.architecture
            .parameters()
            .expect("Model::new checked the architecture")
    }
}

/// The tensors in the network's order.
fn arrange(
    path: &Path,
    mut tensors: Vec<NamedTensor>,
    specs: &[ParameterSpec],
) -> Result<Vec<Vec<f32>>, ModelError> {
    let mismatch = |tensor: &str, found: String, wanted: String| {
        let tensor = tensor.to_owned();
        Err(ModelError::Mismatch {
            path: path.to_owned(),
            tensor,
            found,
            wanted,
        })
    };
    let mut arranged = Vec::with_capacity(specs.len());
    for spec in specs {
        let wanted = format!("{:?}", spec.shape);
        let Some(at) = tensors.iter().position(|tensor| tensor.name == spec.name) else {
            return mismatch(&spec.name, "missing".to_owned(), wanted);
        };
        let tensor = tensors.swap_remove(at);
        if tensor.shape != spec.shape {
            return mismatch(&spec.name, format!("{:?}", tensor.shape), wanted);
        }
        arranged.push(tensor.data);
    }
    match tensors.first() {
        Some(tensor) => mismatch(&tensor.name, "present".to_owned(), "no such tensor".to_owned()),
        None => Ok(arranged),
    }
}

#[cfg(test)]
mod tests;
