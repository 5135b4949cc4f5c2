//! Requests, decisions, feedback and kinds of agents.

mod records;

use crate::error::{DAAError, DAAResult};

pub use crate::learning::LearningEngine;
pub use crate::records::Priority;
pub use records::{AdaptationFeedback, AgentType, AutonomousCapability, DecisionContext, TaskRequest};

/// Prepares networks for coordination.
#[derive(Debug, Default)]
pub struct NeuralNetworkManager {
    attempts: u32,
}

impl NeuralNetworkManager {
    /// A manager that has prepared nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Would train the networks that coordinate agents.
    ///
    /// # Errors
    /// Always [`DAAError::NeuralError`]: such networks are not built yet.
    pub async fn initialize_coordination_patterns(&mut self) -> DAAResult<()> {
        self.attempts = self.attempts.saturating_add(1);
        Err(DAAError::neural(format!(
            "networks that coordinate agents are not built yet (attempt {})",
            self.attempts
        )))
    }
}
