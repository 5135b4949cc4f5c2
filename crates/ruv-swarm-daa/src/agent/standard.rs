//! The standard agent.

use super::{AdaptationEvent, AgentConfiguration, DAAAgentBuilder};
use crate::contract::{AutonomousLearning, DAAAgent};
use crate::core::Core;
use crate::error::DAAResult;
use crate::records::{
    AgentMetrics, CognitivePattern, CoordinationResult, Domain, Experience, Feedback, Knowledge,
    LearningProgress, Task, TaskResult,
};
use crate::types::TaskRequest;
use async_trait::async_trait;
use std::sync::Arc;

/// An agent that does tasks, learns from them and exchanges knowledge with peers of the same process.
#[derive(Debug)]
pub struct StandardDAAAgent {
    core: Arc<Core>,
}

impl StandardDAAAgent {
    /// A builder with the defaults.
    #[must_use]
    pub fn builder() -> DAAAgentBuilder {
        DAAAgentBuilder::new()
    }

    /// An agent of that pattern with the default configuration and a random identifier.
    ///
    /// # Errors
    /// None with the default configuration.
    pub async fn new(cognitive_pattern: CognitivePattern) -> DAAResult<Self> {
        Self::builder()
            .with_cognitive_pattern(cognitive_pattern)
            .build()
            .await
    }

    pub(super) fn over(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// The configuration.
    #[must_use]
    pub fn configuration(&self) -> &AgentConfiguration {
        self.core.config()
    }

    /// The changes of pattern so far, oldest first.
    #[must_use]
    pub fn adaptations(&self) -> Vec<AdaptationEvent> {
        self.core.state().engine.adaptations().to_vec()
    }

    /// What peers told this agent, oldest first.
    #[must_use]
    pub fn received_knowledge(&self) -> Vec<Knowledge> {
        self.core.state().memory.received().cloned().collect()
    }

    /// The configurations of the agent's networks.
    #[must_use]
    pub fn network_configs(&self) -> Vec<crate::records::NeuralConfig> {
        self.core
            .state()
            .neural
            .networks()
            .map(|network| network.config.clone())
            .collect()
    }
}

#[async_trait]
impl DAAAgent for StandardDAAAgent {
    fn id(&self) -> &str {
        self.core.id()
    }

    fn cognitive_pattern(&self) -> &CognitivePattern {
        self.core.pattern()
    }

    async fn start_autonomous_learning(&mut self) -> DAAResult<()> {
        self.core.start_learning()
    }

    async fn stop_autonomous_learning(&mut self) -> DAAResult<()> {
        self.core.stop_learning();
        Ok(())
    }

    async fn adapt_strategy(&mut self, feedback: &Feedback) -> DAAResult<()> {
        self.core.adapt(feedback);
        Ok(())
    }

    async fn evolve_cognitive_pattern(&mut self) -> DAAResult<CognitivePattern> {
        Ok(self.core.evolved())
    }

    async fn coordinate_with_peers(&self, peers: &[String]) -> DAAResult<CoordinationResult> {
        self.core.coordinate(peers)
    }

    async fn process_task_autonomously(&mut self, task: &Task) -> DAAResult<TaskResult> {
        self.core.process(task)
    }

    async fn share_knowledge(&self, target_agent: &str, knowledge: &Knowledge) -> DAAResult<()> {
        self.core.share(target_agent, knowledge)
    }

    async fn get_metrics(&self) -> DAAResult<AgentMetrics> {
        Ok(self.core.metrics())
    }

    async fn execute_task(&self, task: TaskRequest) -> DAAResult<TaskResult> {
        self.core.execute(task)
    }

    async fn shutdown(&self) -> DAAResult<()> {
        self.core.shutdown();
        Ok(())
    }

    async fn health_check(&self) -> DAAResult<()> {
        self.core.check_health()
    }

    async fn get_type(&self) -> DAAResult<String> {
        Ok(format!("{:?}", self.core.pattern()))
    }
}

#[async_trait]
impl AutonomousLearning for StandardDAAAgent {
    async fn learn_from_experience(&mut self, experience: &Experience) -> DAAResult<()> {
        self.core.learn(experience)
    }

    async fn adapt_to_domain(&mut self, domain: &Domain) -> DAAResult<()> {
        self.core.enter_domain(domain)
    }

    async fn transfer_knowledge(&mut self, source_domain: &str, target_domain: &str) -> DAAResult<()> {
        self.core.transfer(source_domain, target_domain)
    }

    async fn get_learning_progress(&self) -> DAAResult<LearningProgress> {
        Ok(self.core.progress())
    }
}
