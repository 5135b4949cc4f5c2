//! The data of a run: read, split, normalized.

use crate::agent::blocking;
use crate::config::RunConfig;
use crate::error::AgentError;
use crate::job::Material;
use crate::summary::DataSummary;
use daa_learn::data::{DataSource, Dataset, LoadOptions, Preprocess, SplitShares, Target, split};
use daa_learn::train::PreparedData;
use std::path::PathBuf;
use std::sync::Arc;

/// Everything that is made of the data before the search begins.
#[derive(Debug)]
pub(super) struct Inputs {
    pub(super) material: Material,
    /// Rows for the one final test.
    pub(super) test: Vec<u32>,
    pub(super) preprocess: Preprocess,
    pub(super) summary: DataSummary,
    pub(super) warnings: Vec<String>,
    /// Digest of every number that is trained or tested on.
    pub(super) digest: String,
    /// Where the data lay, if they came from a path.
    pub(super) path: Option<PathBuf>,
}

impl Inputs {
    /// Reads the data of `config`. `earlier` is the folder and digest of a run that is resumed: its data must not
    /// have changed.
    pub(super) async fn read(
        config: &RunConfig,
        earlier: Option<(String, String)>,
    ) -> Result<Self, AgentError> {
        let config = config.clone();
        let inputs = blocking("reading the data", move || read(&config)).await?;
        match earlier {
            Some((run, was)) if was != inputs.digest => Err(AgentError::DataChanged {
                run,
                was,
                is: inputs.digest,
            }),
            _ => Ok(inputs),
        }
    }
}

fn read(config: &RunConfig) -> Result<Inputs, AgentError> {
    let Ok(source) = config.data.parse::<DataSource>();
    let mut options = LoadOptions::default();
    options.target.clone_from(&config.target);
    options.task = config.task;
    let table = source.load(&options)?;
    let parts = split(&table, &SplitShares::default(), &config.seed.stream("split"))?;
    let preprocess = Preprocess::fit(&table, &parts.train)?;
    let dataset = Arc::new(preprocess.dataset(&table)?);
    let warnings = table.warnings().iter().map(ToString::to_string).collect();
    let classes = match dataset.target() {
        Target::Classes { classes, .. } => *classes,
        Target::Values(_) => 0,
    };
    let summary = DataSummary {
        source: config.data.clone(),
        rows: dataset.rows(),
        features: dataset.columns(),
        classes,
        train: parts.train.len(),
        validation: parts.validation.len(),
        test: parts.test.len(),
    };
    let digest = digest(&dataset, &parts.test);
    let search = PreparedData::new(Arc::clone(&dataset), parts.train, parts.validation)?;
    let path = match source {
        DataSource::Path(path) => Some(std::path::absolute(&path).unwrap_or(path)),
        _ => None,
    };
    Ok(Inputs {
        material: Material {
            merged: Arc::new(search.merged()),
            search: Arc::new(search),
            target_unit: preprocess.target().difference(1.0).unwrap_or(1.0),
        },
        test: parts.test,
        preprocess,
        summary,
        warnings,
        digest,
        path,
    })
}

fn digest(dataset: &Dataset, test: &[u32]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(dataset.columns() as u64).to_le_bytes());
    for value in dataset.features() {
        hasher.update(&value.to_le_bytes());
    }
    match dataset.target() {
        Target::Classes { labels, .. } => {
            for label in labels {
                hasher.update(&label.to_le_bytes());
            }
        }
        Target::Values(values) => {
            for value in values {
                hasher.update(&value.to_le_bytes());
            }
        }
    }
    for row in test {
        hasher.update(&row.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
