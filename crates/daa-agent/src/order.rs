//! A piece of work, ready to be carried out: what to train, from where, to where.

mod ended;

use crate::error::{AgentError, FolderError};
use crate::events::Work;
use crate::folder::{read_json, write_json};
use daa_base::{Bytes, Seed};
use daa_coord::Digest;
use daa_learn::nn::Network;
use daa_learn::search::{FinalSpec, TrialResult, TrialSpec};
use daa_learn::train::{Outcome, PreparedData, TrainConfig, TrainState};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest checkpoint that is read back to compare its digest, in bytes.
const MAX_CHECKPOINT: u64 = 4 << 30;

/// What is to be trained, as the search decided it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Spec {
    /// A trial.
    Trial(TrialSpec),
    /// The final training.
    Final(FinalSpec),
}

/// One training to be carried out, in as many legs as its leases allow.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) work: Work,
    pub(crate) spec: Spec,
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

    /// Where to go on: this work's own progress, or the end of the work before it, or the beginning. Progress that
    /// cannot be read is lost work, and no more than that.
    pub(crate) fn start(&self) -> Result<Option<TrainState>, AgentError> {
        let progress = self.progress_path();
        if progress.is_file() {
            match TrainState::load(&progress) {
                Ok(state) => return Ok(Some(state)),
                Err(error) => {
                    tracing::warn!(work = %self.work, %error, "progress is damaged and made again");
                }
            }
        }
        let from = self.from.as_deref().map(state_path);
        Ok(from.map(|path| TrainState::load(&path)).transpose()?)
    }

    /// The result that an earlier run left, if it is one of the same decision and whole. What is damaged is told, and
    /// counts as not there.
    pub(crate) fn finished(&self, decision: Digest) -> Result<Option<StoredResult>, AgentError> {
        let stored = match read_result(&self.dir) {
            Ok(stored) => stored,
            Err(AgentError::Folder(error @ FolderError::Json { .. })) => {
                tracing::warn!(work = %self.work, %error, "a stored result is damaged and made again");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let Some(stored) = stored else {
            return Ok(None);
        };
        if stored.decision != decision.to_string() || !self.is_whole(&stored)? {
            tracing::warn!(work = %self.work, "a stored result does not fit and is made again");
            return Ok(None);
        }
        Ok(Some(stored))
    }

    /// Whether the state is the one that `stored` names, and its result the one of that state.
    fn is_whole(&self, stored: &StoredResult) -> Result<bool, AgentError> {
        let path = state_path(&self.dir);
        if file_digest(&path)?.as_ref() != Some(&stored.state) {
            return Ok(false);
        }
        Ok(match self.work {
            Work::Trial(id) => {
                TrainState::load(&path).is_ok_and(|state| stored.result == Some(TrialResult::of(id, &state)))
            }
            _ => stored.result.is_none(),
        })
    }

    /// Writes the final state, then the result that names it, so that a result is never there without its state. A state
    /// that does not stand where the order ends is refused.
    pub(crate) fn store(
        &self,
        decision: Digest,
        state: &TrainState,
        result: Option<TrialResult>,
    ) -> Result<StoredResult, AgentError> {
        let outcome = if state.is_diverged() {
            Outcome::Diverged
        } else {
            Outcome::Finished
        };
        self.check_end(state, outcome)?;
        let path = state_path(&self.dir);
        state.save(&path)?;
        let stored = StoredResult {
            decision: decision.to_string(),
            result,
            state: file_digest(&path)?.ok_or_else(|| FolderError::Json {
                path,
                reason: "it vanished or grew while it was written".to_owned(),
            })?,
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

/// Digest of a file's bytes; none when the file is not there, or larger than any checkpoint.
fn file_digest(path: &Path) -> Result<Option<String>, FolderError> {
    let io = |source| FolderError::Io {
        path: path.to_owned(),
        doing: "read",
        source,
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let mut hasher = blake3::Hasher::new();
    // One byte more than allowed, to see that there is one.
    let mut bytes = std::io::Read::take(file, MAX_CHECKPOINT + 1);
    let size = std::io::copy(&mut bytes, &mut hasher).map_err(io)?;
    Ok((size <= MAX_CHECKPOINT).then(|| hasher.finalize().to_hex().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Schedule as Devices;
    use crate::device::SharedDevice;
    use daa_base::{FencingToken, TrialId};
    use daa_gpu_core::{DeviceChoice, TenantSpec, Weight};
    use daa_kernels::Runner;
    use daa_learn::data::{Dataset, InputShape, Target};
    use daa_learn::nn::{Architecture, OutputHead, Purpose, compile};
    use daa_learn::search::CandidateId;
    use daa_learn::train::{Control, Optimizer, RunHistory, Schedule, Trainer};
    use std::fs;

    /// A trial in `dir` on twelve rows of one number.
    pub(super) fn order(dir: &Path, from: Option<PathBuf>) -> Order {
        let features: Vec<f32> = (0_u8..12).map(f32::from).collect();
        let target = Target::Values(features.clone());
        let shape = InputShape::Flat { features: 1 };
        let dataset = Arc::new(Dataset::new(shape, features, target).expect("sound"));
        let data = PreparedData::new(dataset, (0..8).collect(), (8..12).collect()).expect("sound");
        let config = TrainConfig {
            epochs: 2,
            batch: 4,
            epoch_rows: None,
            optimizer: Optimizer::adam(1e-3),
            schedule: Schedule::Cosine {
                epochs: 2,
                warmup_epochs: 0,
                floor: 0.0,
            },
            patience: None,
            augment: None,
        };
        let architecture = Architecture::new(shape, Vec::new(), OutputHead::Regression {});
        let purpose = Purpose::Train(config.optimizer.kind());
        Order {
            work: Work::Trial(TrialId(0)),
            spec: Spec::Trial(TrialSpec {
                id: TrialId(0),
                candidate: CandidateId(0),
                rung: 0,
                from: None,
                epochs_from: 0,
                epochs_to: 2,
            }),
            architecture: architecture.to_string(),
            parameters: 2,
            network: Arc::new(compile(&architecture, config.batch, purpose).expect("compiles")),
            data: Arc::new(data),
            config,
            seed: Seed(1),
            from,
            dir: dir.to_owned(),
            target_unit: 1.0,
        }
    }

    /// The state before the first step.
    pub(super) fn state(order: &Order) -> TrainState {
        let (network, data) = (Arc::clone(&order.network), Arc::clone(&order.data));
        Trainer::new(network, data, order.config.clone(), order.seed, None)
            .expect("sound")
            .into_state()
    }

    /// The state after `steps` steps, or at the end.
    pub(super) fn trained(order: &Order, from: Option<TrainState>, steps: u32) -> TrainState {
        let device = SharedDevice::open(&Devices {
            device: DeviceChoice::Cpu,
            ..Devices::default()
        });
        let spec = TenantSpec {
            name: "test".to_owned(),
            budget: order.peak(),
            token: FencingToken(1),
            weight: Weight::default(),
        };
        let failover = Arc::clone(device.expect("a host").failover());
        let mut runner = Runner::new(failover, Arc::clone(order.network.plan()), spec);
        let (network, data) = (Arc::clone(&order.network), Arc::clone(&order.data));
        let trainer = Trainer::new(network, data, order.config.clone(), order.seed, from);
        let mut trainer = trainer.expect("sound");
        runner.prepare().expect("a place");
        let mut left = steps;
        let mut control = |_: &daa_learn::train::Progress<'_>| {
            left = left.saturating_sub(1);
            if left == 0 {
                Control::Yield
            } else {
                Control::Continue
            }
        };
        let ended = trainer.run_once(&mut runner, &mut RunHistory::default(), &mut control);
        ended.expect("trained");
        trainer.into_state()
    }

    /// `bytes` as crashes and bad disks leave them.
    fn damages(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut flipped = bytes.to_vec();
        if let Some(last) = flipped.last_mut() {
            *last ^= 0x10;
        }
        vec![
            Vec::new(),
            bytes[..bytes.len() / 2].to_vec(),
            vec![0; bytes.len()],
            flipped,
        ]
    }

    #[test]
    fn damaged_progress_is_made_again_from_where_the_work_began() {
        let (dir, parent) = (
            tempfile::tempdir().expect("a folder"),
            tempfile::tempdir().expect("a folder"),
        );
        let fresh = order(dir.path(), None);
        let state = state(&fresh);
        state.save(&fresh.progress_path()).expect("saved");
        assert!(fresh.start().expect("whole").is_some());
        let later = order(dir.path(), Some(parent.path().to_owned()));
        state.save(&state_path(parent.path())).expect("saved");
        let bytes = fs::read(fresh.progress_path()).expect("read");
        for damage in damages(&bytes) {
            fs::write(fresh.progress_path(), damage).expect("written");
            assert!(fresh.start().expect("begins anew").is_none());
            assert!(later.start().expect("the parent's end").is_some());
        }
        fs::write(state_path(parent.path()), &bytes[..9]).expect("written");
        assert!(
            matches!(later.start(), Err(AgentError::Checkpoint(_))),
            "without its parent it cannot begin"
        );
    }

    #[test]
    fn a_damaged_result_or_state_is_made_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let order = order(dir.path(), None);
        let (begun, decision) = (state(&order), Digest::of(b"a decision"));
        let early = order.store(decision, &begun, None).expect_err("not the end");
        assert!(early.to_string().contains("position"), "{early}");
        assert_eq!(order.finished(decision).expect("nothing there"), None);
        let state = trained(&order, None, u32::MAX);
        let result = TrialResult::of(TrialId(0), &state);
        let stored = order.store(decision, &state, Some(result)).expect("stored");
        assert_eq!(order.finished(decision).expect("read"), Some(stored.clone()));
        assert_eq!(order.finished(Digest::of(b"another")).expect("read"), None);
        for path in [result_path(dir.path()), state_path(dir.path())] {
            let bytes = fs::read(&path).expect("read");
            for damage in
                damages(&bytes[..bytes.len() - usize::from(path.extension() == Some("json".as_ref()))])
            {
                fs::write(&path, damage).expect("written");
                assert_eq!(order.finished(decision).expect("no reason to end a run"), None);
            }
            fs::write(&path, bytes).expect("restored");
        }
        let other = TrialResult {
            epochs: result.epochs + 1,
            ..result
        };
        for result in [None, Some(other)] {
            let changed = StoredResult {
                result,
                ..stored.clone()
            };
            write_json(&result_path(dir.path()), &changed).expect("written");
            assert_eq!(
                order.finished(decision).expect("read"),
                None,
                "not what the state says"
            );
        }
    }
}
