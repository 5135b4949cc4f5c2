//! A piece of work, ready to be carried out: what to train, from where, to where.

use crate::error::AgentError;
use crate::events::Work;
use crate::folder::{read_json, write_json};
use daa_base::{Bytes, Seed};
use daa_coord::Digest;
use daa_learn::nn::Network;
use daa_learn::search::TrialResult;
use daa_learn::train::{PreparedData, TrainConfig, TrainState};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest checkpoint that is read back to compare its digest, in bytes.
const MAX_CHECKPOINT: u64 = 4 << 30;

/// One training to be carried out, in as many legs as its leases allow.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) work: Work,
    /// The network in short.
    pub(crate) architecture: String,
    /// Trained parameters.
    pub(crate) parameters: u64,
    pub(crate) network: Arc<Network>,
    pub(crate) data: Arc<PreparedData>,
    pub(crate) config: TrainConfig,
    pub(crate) seed: Seed,
    /// The finished work that this one goes on from.
    pub(crate) from: Option<PathBuf>,
    /// Where the state of this work is kept.
    pub(crate) dir: PathBuf,
    /// Turns an error of the normalized target into one in the target's own units; 1 for classification.
    pub(crate) target_unit: f64,
}

/// How a piece of work ended, as its folder keeps it. A function of seed, data and configuration alone: it says
/// neither who did it nor when, so that whoever does it again writes the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredResult {
    /// Digest of what was ordered.
    pub(crate) decision: String,
    /// The outcome, for the search; absent for the final training.
    pub(crate) result: Option<TrialResult>,
    /// Digest of the final state.
    pub(crate) state: String,
}

impl StoredResult {
    /// What the ledger records of it.
    pub(crate) fn digest(&self) -> Digest {
        let text = format!("{}\n{:?}\n{}", self.decision, self.result, self.state);
        Digest::of(text.as_bytes())
    }
}

impl Order {
    /// What the leases must cover.
    pub(crate) fn peak(&self) -> Bytes {
        self.network.peak_bytes()
    }

    /// Where the state of unfinished work is kept.
    pub(crate) fn progress_path(&self) -> PathBuf {
        self.dir.join("progress.safetensors")
    }

    /// Where to go on: this work's own progress, or the end of the work before it, or the beginning.
    pub(crate) fn start(&self) -> Result<Option<TrainState>, AgentError> {
        let progress = self.progress_path();
        let path = if progress.is_file() {
            Some(progress)
        } else {
            self.from.as_deref().map(state_path)
        };
        path.map(|path| TrainState::load(&path).map_err(AgentError::from))
            .transpose()
    }

    /// The result that an earlier run left, if it is one of the same decision and its state is whole.
    pub(crate) fn finished(&self, decision: Digest) -> Result<Option<StoredResult>, AgentError> {
        let Some(stored) = read_result(&self.dir)? else {
            return Ok(None);
        };
        if stored.decision != decision.to_string() || stored.state != file_digest(&state_path(&self.dir))? {
            tracing::warn!(work = %self.work, "a stored result does not fit and is done again");
            return Ok(None);
        }
        Ok(Some(stored))
    }

    /// Writes the final state, then the result that names it, so that a result is never there without its state.
    pub(crate) fn store(
        &self,
        decision: Digest,
        state: &TrainState,
        result: Option<TrialResult>,
    ) -> Result<StoredResult, AgentError> {
        let path = state_path(&self.dir);
        state.save(&path)?;
        let stored = StoredResult {
            decision: decision.to_string(),
            result,
            state: file_digest(&path)?,
        };
        write_json(&result_path(&self.dir), &stored)?;
        // Not needed any more; a crash before this line only leaves a file that nobody reads.
        match std::fs::remove_file(self.progress_path()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::debug!(%error, "cannot remove a checkpoint that is no longer needed");
            }
            _ => {}
        }
        Ok(stored)
    }
}

/// Where finished work keeps its state.
pub(crate) fn state_path(dir: &Path) -> PathBuf {
    dir.join("state.safetensors")
}

fn result_path(dir: &Path) -> PathBuf {
    dir.join("result.json")
}

/// The result in `dir`, if there is one.
pub(crate) fn read_result(dir: &Path) -> Result<Option<StoredResult>, AgentError> {
    Ok(read_json(&result_path(dir))?)
}

/// Digest of a file's bytes; of nothing when the file is not there.
fn file_digest(path: &Path) -> Result<String, AgentError> {
    use crate::error::FolderError;
    let io = |source| FolderError::Io {
        path: path.to_owned(),
        doing: "read",
        source,
    };
    let mut hasher = blake3::Hasher::new();
    match std::fs::File::open(path) {
        Ok(file) => {
            let size = file.metadata().map_err(io)?.len();
            if size > MAX_CHECKPOINT {
                let reason = format!("it has {size} bytes, allowed are 0 to {MAX_CHECKPOINT}");
                return Err(FolderError::Json {
                    path: path.to_owned(),
                    reason,
                }
                .into());
            }
            std::io::copy(&mut std::io::Read::take(file, MAX_CHECKPOINT), &mut hasher).map_err(io)?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(io(error).into()),
    }
    Ok(hasher.finalize().to_hex().to_string())
}
