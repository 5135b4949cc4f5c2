//! The traits that agents implement.

use crate::error::DAAResult;
use crate::records::{
    AgentMetrics, CognitivePattern, CoordinationResult, Domain, Experience, Feedback, Knowledge,
    LearningProgress, NeuralConfig, Task, TaskResult, TrainingData, TrainingResult,
};
use crate::types::TaskRequest;
use async_trait::async_trait;

/// An agent that works, learns and talks to peers.
#[async_trait]
pub trait DAAAgent: Send + Sync {
    /// The agent's identifier.
    fn id(&self) -> &str;

    /// How the agent looks for solutions now.
    fn cognitive_pattern(&self) -> &CognitivePattern;

    /// From now on every processed task becomes an experience.
    async fn start_autonomous_learning(&mut self) -> DAAResult<()>;

    /// From now on processed tasks leave no experience.
    async fn stop_autonomous_learning(&mut self) -> DAAResult<()>;

    /// Changes the pattern if the feedback asks for it.
    async fn adapt_strategy(&mut self, feedback: &Feedback) -> DAAResult<()>;

    /// The pattern that the adaptations so far speak for.
    async fn evolve_cognitive_pattern(&mut self) -> DAAResult<CognitivePattern>;

    /// Exchanges knowledge with the peers that can be reached.
    async fn coordinate_with_peers(&self, peers: &[String]) -> DAAResult<CoordinationResult>;

    /// Does the task and counts it in the metrics.
    async fn process_task_autonomously(&mut self, task: &Task) -> DAAResult<TaskResult>;

    /// Hands one piece of knowledge to a peer.
    async fn share_knowledge(&self, target_agent: &str, knowledge: &Knowledge) -> DAAResult<()>;

    /// Measured figures of this agent.
    async fn get_metrics(&self) -> DAAResult<AgentMetrics>;

    /// The agent's identifier, for callers that need an owned one.
    async fn get_id(&self) -> DAAResult<String> {
        Ok(self.id().to_owned())
    }

    /// Does a task for a coordinator; the agent's own metrics stay as they are.
    async fn execute_task(&self, task: TaskRequest) -> DAAResult<TaskResult>;

    /// Ends the agent's work with others.
    async fn shutdown(&self) -> DAAResult<()>;

    /// An error if the agent is not well.
    async fn health_check(&self) -> DAAResult<()>;

    /// The kind of agent, as text.
    async fn get_type(&self) -> DAAResult<String>;
}

/// An agent that learns from experience.
#[async_trait]
pub trait AutonomousLearning {
    /// Stores the experience and updates what is known in its domain.
    async fn learn_from_experience(&mut self, experience: &Experience) -> DAAResult<()>;

    /// Makes `domain` the present one.
    async fn adapt_to_domain(&mut self, domain: &Domain) -> DAAResult<()>;

    /// Copies what is well known in one domain to another.
    async fn transfer_knowledge(&mut self, source_domain: &str, target_domain: &str) -> DAAResult<()>;

    /// How far the agent has come in the present domain.
    async fn get_learning_progress(&self) -> DAAResult<LearningProgress>;
}

/// Something that keeps networks.
#[async_trait]
pub trait NeuralCoordination {
    /// Makes a network and returns its identifier.
    async fn create_neural_network(&mut self, config: &NeuralConfig) -> DAAResult<String>;

    /// Trains a network.
    async fn train_network(&mut self, network_id: &str, data: &TrainingData) -> DAAResult<TrainingResult>;

    /// Asks a network.
    async fn predict(&self, network_id: &str, input: &[f32]) -> DAAResult<Vec<f32>>;

    /// Looks for a better architecture for a network.
    async fn evolve_architecture(&mut self, network_id: &str) -> DAAResult<()>;
}
