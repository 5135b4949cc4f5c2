#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod acting;
pub mod adaptation;
pub mod agent;
pub mod contract;
pub mod coordination;
pub mod coordinator;
mod core;
pub mod directory;
mod elsewhere;
pub mod error;
pub mod gpu;
pub mod learning;
pub mod memory;
pub mod neural;
pub mod patterns;
pub mod records;
pub mod resources;
mod store;
pub mod telemetry;
mod time;
pub mod traits;
pub mod types;
pub mod work;

pub use agent::*;
pub use contract::{AutonomousLearning, DAAAgent, NeuralCoordination};
pub use coordination::*;
pub use coordinator::{CoordinationStats, DAACoordinator, initialize_daa};
pub use directory::PeerDirectory;
pub use error::{DAAError, DAAResult};
pub use gpu::{
    AdaptiveAllocationStrategy, AutonomousDecisionEngine, AutonomousGPUOptimizer,
    AutonomousResourceCoordinator, CoordinationConfig, CoordinationMetrics, DAALearningIntegrator,
    DynamicResourceAllocation, EnhancedCoordinationResult, EnhancedGPUDAAAgent, EnhancedGPUDAAAgentBuilder,
    GpuAgentMetrics, GpuMemoryConfig, MultiAgentCoordinationProtocol,
};
#[cfg(feature = "coordination")]
pub use gpu::{LedgerStatus, ResourceLedger};
pub use learning::{
    AdaptationResult, AdaptationStrategy, DomainLearningModel, GlobalKnowledgeBase,
    KnowledgeSharingOpportunity, LearningEngine, LearningPattern, LearningRecommendation, MetaLearningState,
    TransferOpportunity,
};
pub use memory::*;
pub use neural::*;
pub use patterns::*;
pub use records::{
    AgentMetrics, CognitivePattern, CoordinationResult, Domain, Experience, Feedback, Knowledge,
    LearningProgress, NeuralConfig, Priority, Task, TaskResult, TrainingData, TrainingResult,
};
pub use types::{
    AdaptationFeedback, AgentType, AutonomousCapability, DecisionContext, NeuralNetworkManager, TaskRequest,
};

/// For callers that import everything from here, as the older documents do.
pub use chrono;
/// For callers that import everything from here, as the older documents do.
pub use std::collections::HashMap;
/// For callers that import everything from here, as the older documents do.
pub use std::time::Duration;

/// The version of this crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
