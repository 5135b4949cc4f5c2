//! What can go wrong.

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum DAAError {
    /// No such agent, or one that has not been heard of for an hour.
    #[error("Agent not found: {id}")]
    AgentNotFound {
        /// The id that was asked for.
        id: String,
    },
    /// Learning failed.
    #[error("Learning error: {message}")]
    LearningError {
        /// What failed and which values are allowed.
        message: String,
    },
    /// Working with others failed.
    #[error("Coordination error: {message}")]
    CoordinationError {
        /// What failed and which values are allowed.
        message: String,
    },
    /// A network could not be made, trained or asked.
    #[error("Neural network error: {message}")]
    NeuralError {
        /// What failed and which values are allowed.
        message: String,
    },
    /// Memory ran out, or an allocation is unknown.
    #[error("Memory error: {message}")]
    MemoryError {
        /// What failed and which values are allowed.
        message: String,
    },
    /// Kept for source compatibility; nothing here returns it.
    #[error("WASM error: {message}")]
    WasmError {
        /// What failed.
        message: String,
    },
    /// A setting is out of range, or asks for something that is not built yet.
    #[error("Configuration error: {message}")]
    ConfigError {
        /// What failed and which values are allowed.
        message: String,
    },
    /// A task was given to nobody.
    #[error("No agents available")]
    NoAgentsAvailable,
}

/// The result of a call.
pub type DAAResult<T> = Result<T, DAAError>;

impl DAAError {
    pub(crate) fn not_built(what: &str) -> Self {
        Self::ConfigError {
            message: format!("{what} is not built yet"),
        }
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::ConfigError {
            message: message.into(),
        }
    }

    pub(crate) fn memory(message: impl Into<String>) -> Self {
        Self::MemoryError {
            message: message.into(),
        }
    }

    pub(crate) fn neural(message: impl Into<String>) -> Self {
        Self::NeuralError {
            message: message.into(),
        }
    }

    pub(crate) fn learning(message: impl Into<String>) -> Self {
        Self::LearningError {
            message: message.into(),
        }
    }

    pub(crate) fn coordination(message: impl Into<String>) -> Self {
        Self::CoordinationError {
            message: message.into(),
        }
    }
}
