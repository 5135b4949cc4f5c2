//! What can go wrong with a run, and what to do about it.

use crate::config::ConfigError;
use crate::events::Work;
use crate::job::JobError;
use crate::node::NodeError;
use daa_base::{AgentId, Bytes, TrialId};
use daa_coord::discovery::DiscoveryError;
use daa_coord::streams::StreamError;
use daa_gpu_core::{DeviceError, ErrorClass, GpuError, MemoryError};
use daa_kernels::error::RunError as KernelRunError;
use daa_learn::data::DataError;
use daa_learn::model::{ModelError, PredictError, TensorFileError};
use daa_learn::nn::NetworkError;
use daa_learn::search::SearchError;
use daa_learn::train::{CheckpointError, TrainError};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A run folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The operating system refused.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The folder holds something already.
    #[error("`{}` exists and is not empty", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The folder is not a run folder.
    #[error("`{}` is not a run folder: it has no run.json", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// Another process has the folder open.
    #[error("`{}` is in use by another process", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A file is larger than any that a run writes.
    #[error("`{}` has {found} bytes, allowed are at most {limit}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A file does not hold what it should.
    #[error("`{}` is damaged: {reason}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// What kind of failure ended a run, for exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RunErrorClass {
    /// A flag or field is out of range.
    Usage,
    /// The data, the run folder or the limits do not allow the run.
    Input,
    /// There is no device as it was asked for.
    NoAdapter,
    /// The log or the device did not answer in time.
    Timeout,
    /// A device failed and nothing could take its place.
    Device,
    /// A fault of the program.
    Internal,
}

/// Why a run did not finish.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// A field of the configuration is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A field of a run folder's configuration is out of range.
    #[error("`{}`: {source}", path.display())]
    RunFile {
        /// The file.
        path: PathBuf,
        /// The field.
        source: ConfigError,
    },
    /// The data cannot be read or learned from.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The data are not the ones that the run began with.
    #[error("the data of `{run}` have changed: their digest was {was}, now it is {is}")]
    DataChanged {
        /// The run folder.
        run: String,
        /// Digest when the run began.
        was: String,
        /// Digest now.
        is: String,
    },
    /// The ledger of the nodes cannot be followed.
    #[error(transparent)]
    Follow(Box<NodeError>),
    /// The run folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// No device as it was asked for.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The largest plan does not fit the memory that may be leased.
    #[error(
        "{what} needs {peak} ({} bytes) of device memory, {limit} ({} bytes) may be leased",
        peak.get(),
        limit.get()
    )]
    MemoryLimit {
        /// Which plan.
        what: String,
        /// Its peak.
        peak: Bytes,
        /// What may be leased.
        limit: Bytes,
        /// Whether the limit was given or is the device's.
        given: bool,
    },
    /// The pool refused a tenant.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The ledger refused a request.
    #[error("the ledger refused {bytes} for {work}: {reason}")]
    Refused {
        /// What for.
        work: Work,
        /// How much was asked for.
        bytes: Bytes,
        /// Why.
        reason: String,
    },
    /// The log did not answer.
    #[error("the commit log gave no answer within {patience:?}")]
    LogTimeout {
        /// How long was waited.
        patience: Duration,
    },
    /// The log has ended.
    #[error("the commit log has ended")]
    LogClosed,
    /// A training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A checkpoint cannot be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A plan could not be loaded or run.
    #[error(transparent)]
    Run(#[from] KernelRunError),
    /// A network could not be compiled.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The search cannot be configured or decided.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The model cannot be written.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model cannot be applied.
    #[error(transparent)]
    Predict(#[from] PredictError),
    /// The final training did not lead to a usable network.
    #[error("the final training diverged: its loss is not finite")]
    Diverged,
    /// The ledger records a result that the run folder does not hold.
    #[error("the result of {trial} is recorded in the ledger but missing or changed in the run folder")]
    ResultGone {
        /// The trial.
        trial: TrialId,
    },
    /// An agent ended before its task did.
    #[error("{agent} ended before its task did")]
    AgentGone {
        /// The agent.
        agent: AgentId,
    },
    /// No node took orders.
    #[error("no node of the ledger took an order within {} s", waited.as_secs())]
    NoNodes {
        /// How long was waited.
        waited: Duration,
    },
    /// All nodes that could be reached had no room for the run.
    #[error("the nodes have had no room for {} s: {reason}", waited.as_secs())]
    NodesFull {
        /// How long was waited.
        waited: Duration,
        /// What one of them said last.
        reason: String,
    },
    /// Nodes failed an order again and again.
    #[error("{work} failed on {attempts} nodes, at last: {reason}")]
    Orders {
        /// The order.
        work: Work,
        /// How many nodes.
        attempts: u32,
        /// What the last one said.
        reason: String,
    },
    /// The network of nodes cannot be entered.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// What was fetched is no job.
    #[error(transparent)]
    Job(#[from] JobError),
    /// Content cannot be provided or fetched.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A fault of the program.
    #[error("internal fault in {what}: {reason}")]
    Internal {
        /// Where.
        what: &'static str,
        /// What happened.
        reason: String,
    },
}

impl AgentError {
    pub(crate) fn internal(what: &'static str, error: impl std::fmt::Display) -> Self {
        Self::Internal {
            what,
            reason: error.to_string(),
        }
    }

    /// What the device said, if this error is of work on it.
    pub(crate) const fn gpu_error(&self) -> Option<&GpuError> {
        match self {
            Self::Run(KernelRunError::Gpu(error))
            | Self::Train(TrainError::Run(KernelRunError::Gpu(error)))
            | Self::Predict(PredictError::Run(KernelRunError::Gpu(error))) => Some(error),
            _ => None,
        }
    }

    /// The device fault behind this error, if that is what it is.
    pub(crate) fn gpu(&self) -> Option<ErrorClass> {
        match self {
            Self::Memory(error) => Some(error.class()),
            _ => self.gpu_error().map(GpuError::class),
        }
    }

    /// Whether the work was shut out of the device because its lease had ended.
    pub(crate) const fn is_stale(&self) -> bool {
        match self {
            Self::Memory(error) => matches!(error, MemoryError::Fenced { .. }),
            _ => matches!(
                self.gpu_error(),
                Some(GpuError::StaleToken { .. } | GpuError::Memory(MemoryError::Fenced { .. }))
            ),
        }
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn class(&self) -> RunErrorClass {
        match self {
            Self::Config(_) => RunErrorClass::Usage,
            Self::Follow(error) => error.class(),
            Self::Data(_)
            | Self::RunFile { .. }
            | Self::DataChanged { .. }
            | Self::Folder(_)
            | Self::MemoryLimit { .. }
            | Self::Refused { .. }
            | Self::Checkpoint(_)
            | Self::Search(_)
            | Self::Diverged
            | Self::ResultGone { .. }
            | Self::Discovery(_)
            | Self::Orders { .. }
            | Self::Stream(_)
            | Self::Job(_)
            | Self::Model(_) => RunErrorClass::Input,
            Self::Device(error) => match error.class() {
                ErrorClass::Validation => RunErrorClass::NoAdapter,
                _ => RunErrorClass::Device,
            },
            Self::LogTimeout { .. } | Self::LogClosed | Self::NoNodes { .. } | Self::NodesFull { .. } => {
                RunErrorClass::Timeout
            }
            _ => match self.gpu() {
                Some(ErrorClass::Timeout) => RunErrorClass::Timeout,
                Some(ErrorClass::Internal) | None => RunErrorClass::Internal,
                Some(_) => RunErrorClass::Device,
            },
        }
    }

    /// One line on what to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Data(DataError::NonFinite { .. }) => {
                "remove the row; in a CSV file, a field that is not the target may be left empty".to_owned()
            }
            Self::Data(error) => error.hint(),
            Self::Follow(error) => return error.hint(),
            Self::MemoryLimit {
                peak, given: true, ..
            } => {
                format!("allow at least that much: --memory-limit {}", peak.get())
            }
            Self::Folder(error) => error.hint().to_owned(),
            Self::Checkpoint(CheckpointError::File(TensorFileError::Write { source, .. }))
            | Self::Model(ModelError::File(TensorFileError::Write { source, .. })) => {
                io_hint(source).to_owned()
            }
            Self::Model(error) => error.hint().to_owned(),
            other => other.fixed_hint().to_owned(),
        })
    }

    /// The hints that need nothing from the error itself.
    const fn fixed_hint(&self) -> &'static str {
        match self {
            Self::Config(_) => "`daa help run` lists all flags and their values",
            Self::RunFile { .. } => "correct the field, or start a new run",
            Self::DataChanged { .. } => "put the old data back, or start a new run",
            Self::MemoryLimit { .. } => "use --device cpu",
            Self::Memory(_) | Self::Refused { .. } => {
                "raise --memory-limit or leave it out, and go on with --resume"
            }
            Self::Device(_) => "`daa devices` lists what there is; --device cpu always works",
            Self::LogTimeout { .. } => "the machine may be overloaded; go on with --resume",
            Self::Checkpoint(CheckpointError::Schema { .. }) => {
                "use the version of daa that began the run, or start a new run"
            }
            Self::Checkpoint(CheckpointError::File(TensorFileError::Read { .. })) => {
                "check the permissions in the run folder, and go on with --resume"
            }
            Self::Checkpoint(_) | Self::ResultGone { .. } => {
                "go on with --resume: what is damaged is done again"
            }
            Self::Search(SearchError::NothingToChoose { .. }) | Self::Diverged => {
                "check the data for extreme values, or try another seed"
            }
            Self::Search(SearchError::Config { .. }) => "leave --epochs-budget out, or name another one",
            Self::Train(TrainError::OtherTraining { .. }) => {
                "the state folder belongs to another run: restore it, or start a new run"
            }
            Self::Train(TrainError::Data { .. }) => "check the data",
            Self::Run(_) | Self::Train(TrainError::Run(_)) | Self::Predict(PredictError::Run(_)) => {
                "`daa doctor` checks the devices; go on with --resume, perhaps with --device cpu"
            }
            Self::NoNodes { .. } => {
                "check --join, and that `daa node` runs there with the same genesis; go on with --resume"
            }
            Self::NodesFull { .. } => "others use the nodes: go on later with --resume",
            Self::Orders { .. } => "the nodes' own logs say more; go on with --resume",
            Self::Discovery(_) => "check the addresses given to --join",
            Self::Job(_) | Self::Stream(_) => "go on with --resume",
            Self::LogClosed | Self::AgentGone { .. } => "go on with --resume",
            _ => "this is a fault of daa: please report it; --resume may get further",
        }
    }
}

impl FolderError {
    /// One line on what to do about it.
    const fn fixed_hint(&self) -> &'static str {
        match self {
            Self::NotEmpty { .. } => "name another folder with --out, or go on with --resume",
            Self::NotARun { .. } => "name a folder that `daa run` has made",
            Self::InUse { .. } => "wait for the other process, or stop it",
            _ => "restore the file, or start a new run",
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::Io { source, .. } => io_hint(source),
            other => other.fixed_hint(),
        }
    }
}

/// What to do when the operating system refuses something in a run folder.
fn io_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space, then go on with --resume"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "a file is in the way: name a folder",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "name a folder that can be written to"
        }
        _ => "check permissions and free space",
    }
}

impl From<NodeError> for AgentError {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Agent(error) => error,
            error => Self::Follow(Box::new(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_like_one_wherever_it_is_met() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let path = || PathBuf::from("run/state");
        let file = || TensorFileError::Write {
            path: path(),
            source: full(),
        };
        let folder = FolderError::Io {
            path: path(),
            doing: "write",
            source: full(),
        };
        for error in [
            AgentError::from(folder),
            CheckpointError::from(file()).into(),
            ModelError::from(file()).into(),
        ] {
            let hint = error.hint().expect("a hint");
            assert!(
                hint.contains("space") && hint.contains("--resume"),
                "{error}: {hint}"
            );
        }
    }

    #[test]
    fn a_field_of_a_run_file_is_named_with_the_file() {
        let mut config = crate::RunConfig::default();
        config.schedule.agents = 0;
        let source = config.validate().expect_err("no agents");
        let error = AgentError::RunFile {
            path: "out/run.json".into(),
            source,
        };
        assert_eq!(
            error.to_string(),
            "`out/run.json`: agents is 0, allowed are 1 to 64"
        );
        assert_eq!(error.class(), RunErrorClass::Input);
    }

    #[test]
    fn every_family_of_errors_has_a_hint() {
        let config = ConfigError {
            field: "agents",
            value: "0".to_owned(),
            allowed: "1 to 64".to_owned(),
        };
        let refused = AgentError::Refused {
            work: Work::Final,
            bytes: Bytes(1),
            reason: "it is too much".to_owned(),
        };
        let digest = CheckpointError::Digest { path: PathBuf::new() };
        for (error, word) in [
            (AgentError::from(config), "daa help run"),
            (refused, "--memory-limit"),
            (digest.into(), "--resume"),
            (SearchError::NothingToChoose { trials: 1 }.into(), "seed"),
            (AgentError::LogClosed, "--resume"),
            (AgentError::internal("a test", "a reason"), "report"),
        ] {
            let hint = error.hint().expect("a hint");
            assert!(hint.contains(word), "{error}: {hint}");
        }
    }
}
