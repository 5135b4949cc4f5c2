//! What an autonomous agent can be made of: deciding, healing, saving resources, emergence, reasoning.
//!
//! The acting methods are plain functions; with the feature `async` they are async functions.

mod records;

use crate::acting::acting_trait;
use crate::error::DAAResult;
use crate::types::{AdaptationFeedback, AutonomousCapability, DecisionContext};

pub use records::{
    HealingResult, HealthDiagnostic, HealthIssue, IssueType, RecoveryStrategy, ResourceAllocation,
    ResourcePrediction, ResourceUsage, Severity,
};

acting_trait! {
    /// An agent that decides and adapts on its own.
    pub trait DistributedAutonomousAgent {
        /// What it decides from.
        type Context: Send + Sync;
        /// What it decides.
        type Decision: Send + Sync;
        /// What it adapts to.
        type Adaptation: Send + Sync;

        /// What it can do on its own.
        fn autonomous_capabilities(&self) -> &[AutonomousCapability];

        /// How far it acts on its own, 0 to 1; fully unless overridden.
        fn autonomy_level(&self) -> f64 {
            1.0
        }

        /// Whether the autonomy level is above one half.
        fn is_autonomous(&self) -> bool {
            self.autonomy_level() > 0.5
        }

        /// Step size of its adaptation; 0.1 unless overridden.
        fn learning_rate(&self) -> f64 {
            0.1
        }

        /// Tells it how well it does; ignored unless overridden.
        fn update_learning_rate(&mut self, performance: f64) {
            let _ = performance;
        }
    }
    acting {
        /// Decides.
        fn autonomous_decision(&mut self, context: &Self::Context) -> Self::Decision;
        /// Adapts.
        fn self_adapt(&mut self, feedback: &Self::Adaptation) -> ();
    }
}

/// An agent that notices and repairs its own faults.
#[cfg(not(feature = "async"))]
pub trait SelfHealingAgent: Send + Sync {
    /// What can go wrong.
    type Error: Send + Sync;

    /// Looks for faults.
    ///
    /// # Errors
    /// Whatever the implementation cannot do.
    fn diagnose_health(&self) -> DAAResult<HealthDiagnostic>;

    /// Repairs what was found.
    ///
    /// # Errors
    /// Whatever the implementation cannot do.
    fn self_heal(&mut self, diagnostic: &HealthDiagnostic) -> DAAResult<HealingResult>;

    /// The ways it can recover.
    fn recovery_strategies(&self) -> &[RecoveryStrategy];

    /// Whether it can recover from `error`.
    fn can_recover_from(&self, error: &Self::Error) -> bool;
}

/// An agent that notices and repairs its own faults.
#[cfg(feature = "async")]
#[async_trait::async_trait]
pub trait SelfHealingAgent: Send + Sync {
    /// What can go wrong.
    type Error: Send + Sync;

    /// Looks for faults.
    async fn diagnose_health(&self) -> DAAResult<HealthDiagnostic>;

    /// Repairs what was found.
    async fn self_heal(&mut self, diagnostic: &HealthDiagnostic) -> DAAResult<HealingResult>;

    /// Looks for faults once and repairs them if that is needed.
    async fn monitor_health(&mut self) -> DAAResult<()> {
        let found = self.diagnose_health().await?;
        if found.needs_healing() {
            self.self_heal(&found).await?;
        }
        Ok(())
    }

    /// The ways it can recover.
    fn recovery_strategies(&self) -> &[RecoveryStrategy];

    /// Whether it can recover from `error`.
    fn can_recover_from(&self, error: &Self::Error) -> bool;
}

acting_trait! {
    /// An agent that watches and improves its use of resources.
    pub trait ResourceOptimizer {
        /// What is in use now.
        fn monitor_resources(&self) -> ResourceUsage;

        /// What will be needed.
        ///
        /// # Errors
        /// Whatever the implementation cannot predict.
        fn predict_resource_needs(&self, horizon: u32) -> DAAResult<ResourcePrediction>;

        /// Whether more than 0.8 of the memory or 0.9 of the CPU is in use.
        fn needs_optimization(&self) -> bool {
            let now = self.monitor_resources();
            now.memory_usage > 0.8 || now.cpu_usage > 0.9
        }
    }
    acting {
        /// Finds a better allocation.
        fn optimize_resources(&mut self) -> ResourceAllocation;
    }
}

acting_trait! {
    /// An agent whose meeting with others makes behaviour that none of them was given.
    pub trait EmergentBehavior {
        /// A state that emerged.
        type EmergentState: Send + Sync;

        /// Whether the present state can lead to emergence.
        fn can_trigger_emergence(&self) -> bool;

        /// How likely emergence is, 0 to 1.
        fn emergence_probability(&self) -> f64;
    }
    acting {
        /// Makes a state emerge.
        fn generate_emergent_behavior(&mut self) -> Self::EmergentState;
        /// Reacts to a state that emerged elsewhere.
        fn respond_to_emergence(&mut self, state: &Self::EmergentState) -> ();
    }
}

acting_trait! {
    /// An agent that reasons with two memories.
    pub trait CognitiveArchitecture {
        /// The memory for the problem at hand.
        type WorkingMemory: Send + Sync;
        /// The memory that lasts.
        type LongTermMemory: Send + Sync;
        /// What reasoning yields.
        type ReasoningProcess: Send + Sync;

        /// The memory for the problem at hand.
        fn working_memory(&mut self) -> &mut Self::WorkingMemory;

        /// The memory that lasts.
        fn long_term_memory(&self) -> &Self::LongTermMemory;

        /// How busy it is, 0 to 1.
        fn cognitive_load(&self) -> f64;

        /// Whether the load is below 0.8.
        fn has_cognitive_capacity(&self) -> bool {
            self.cognitive_load() < 0.8
        }
    }
    acting {
        /// Reasons about a problem.
        fn reason(&mut self, problem: &DecisionContext) -> Self::ReasoningProcess;
        /// Updates the memories.
        fn update_memories(&mut self, experience: &AdaptationFeedback) -> ();
    }
}
