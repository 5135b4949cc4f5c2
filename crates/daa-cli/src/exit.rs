//! How the program ends: exit codes, and the failures behind them.

use daa_agent::{AgentError, NodeError, RunErrorClass};
use daa_gpu_core::{DeviceError, ErrorClass};
use daa_kernels::error::RunError;
use daa_learn::data::DataError;
use daa_learn::model::{ModelError, PredictError};
use std::io;
use std::process::ExitCode;

/// The exit codes, as `docs/CLI.md` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// 0: done. Also when the reader of the standard output went away.
    Done,
    /// 1: something failed that should not.
    Unexpected,
    /// 2: the command line is wrong.
    Usage,
    /// 3: the data, a model, a folder or a limit do not allow it.
    Input,
    /// 4: no device fits the choice.
    NoAdapter,
    /// 5: something took longer than its deadline.
    Timeout,
    /// 130: stopped by SIGINT (Ctrl-C).
    Interrupted,
    /// 143: stopped by SIGTERM.
    Terminated,
}

impl Exit {
    /// The code that the operating system sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unexpected => 1,
            Self::Usage => 2,
            Self::Input => 3,
            Self::NoAdapter => 4,
            Self::Timeout => 5,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// To be told as one line, with a hint.
    Told {
        /// The code.
        exit: Exit,
        /// What went wrong, with its causes.
        error: anyhow::Error,
        /// What a person can do.
        hint: Option<String>,
    },
    /// Whoever read the standard output has seen enough: nothing is wrong.
    ReaderGone,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self::Told {
            exit,
            error: error.into(),
            hint: None,
        }
    }

    pub(crate) fn text(exit: Exit, text: impl Into<String>) -> Self {
        Self::new(exit, anyhow::Error::msg(text.into()))
    }

    pub(crate) fn with_hint(self, text: impl Into<String>) -> Self {
        match self {
            Self::Told { exit, error, .. } => Self::Told {
                exit,
                error,
                hint: Some(text.into()),
            },
            Self::ReaderGone => Self::ReaderGone,
        }
    }

    /// Writing to the standard output failed.
    pub(crate) fn stdout(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ReaderGone;
        }
        Self::new(
            Exit::Unexpected,
            anyhow::Error::new(error).context("cannot write to the standard output"),
        )
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        // The same hints as for a run.
        Self::from(AgentError::from(error))
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        let hint = error.hint();
        Self::new(Exit::Input, error).with_hint(hint)
    }
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        match &error {
            DeviceError::NoAdapter { .. } => Self::new(Exit::NoAdapter, error).with_hint(
                "`daa devices` lists what is there; `--device auto` takes the CPU where no GPU is",
            ),
            DeviceError::Config(_) => {
                Self::new(Exit::Usage, error).with_hint("`daa help` lists the flags and their ranges")
            }
            _ => Self::new(Exit::Unexpected, error)
                .with_hint("`daa doctor` checks the devices; `--device cpu` needs no driver"),
        }
    }
}

impl From<PredictError> for Failure {
    fn from(error: PredictError) -> Self {
        let class = match &error {
            PredictError::Memory(error) => error.class(),
            PredictError::Run(RunError::Gpu(error)) => error.class(),
            _ => ErrorClass::Internal,
        };
        match class {
            ErrorClass::OutOfMemory => {
                Self::new(Exit::Input, error).with_hint("raise --memory-limit, or leave it out")
            }
            ErrorClass::Timeout => {
                Self::new(Exit::Timeout, error).with_hint("`--device cpu` needs no driver")
            }
            _ => Self::new(Exit::Unexpected, error).with_hint("`daa doctor` checks the devices"),
        }
    }
}

impl From<RunErrorClass> for Exit {
    fn from(class: RunErrorClass) -> Self {
        match class {
            RunErrorClass::Usage => Self::Usage,
            RunErrorClass::Input => Self::Input,
            RunErrorClass::NoAdapter => Self::NoAdapter,
            RunErrorClass::Timeout => Self::Timeout,
            _ => Self::Unexpected,
        }
    }
}

impl Failure {
    /// An error with the hint that it gives, if it gives one.
    fn hinted(exit: Exit, hint: Option<String>, error: impl Into<anyhow::Error>) -> Self {
        let failure = Self::new(exit, error);
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

impl From<AgentError> for Failure {
    fn from(error: AgentError) -> Self {
        Self::hinted(error.class().into(), error.hint(), error)
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        Self::hinted(error.class().into(), error.hint(), error)
    }
}
