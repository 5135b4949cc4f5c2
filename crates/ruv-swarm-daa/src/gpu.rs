//! The agent of the original document and its parts.
//!
//! The parts measure, count and enforce limits for real. What needs a vote or kernels of its own returns a
//! typed error that says "not built yet".

pub mod compute;
pub mod config;
pub mod decision;
pub mod learning;
#[cfg(feature = "coordination")]
pub mod ledger;
pub mod memory;
pub mod monitor;
pub mod protocol;
pub mod resources;

mod agent;
mod builder;

pub use agent::{EnhancedGPUDAAAgent, GpuAgentMetrics};
pub use builder::EnhancedGPUDAAAgentBuilder;
pub use compute::{BackendType, ComputeContext, DeviceBuffer, KernelOptimizer, PipelineCache};
pub use config::{CoordinationConfig, GpuMemoryConfig};
pub use decision::{
    AutonomousDecision, AutonomousDecisionEngine, AutonomousDecisionTree, AutonomousDecisionType,
    ContextAnalyzer, FeedbackLoop, OutcomePredictor,
};
pub use learning::{
    AutonomousNeuralArchitectureSearcher, CognitivePatternOptimizer, DAALearningIntegrator,
    MemoryPatternAnalyzer, PerformanceLearner,
};
#[cfg(feature = "coordination")]
pub use ledger::{LedgerStatus, ResourceLedger};
pub use memory::{
    AdvancedBufferPool, EnhancedGpuMemoryManager, MemoryPressure, MemoryPressureMonitor, PooledBuffer, Tier,
};
pub use monitor::{AutonomousGPUOptimizer, PerformanceMonitor, RunningMean};
pub use protocol::{
    ConflictResolver, CoordinationHistory, CoordinationMetrics, CoordinationState,
    DistributedConsensusAlgorithm, EnhancedCoordinationResult, InsightType, MultiAgentCoordinationProtocol,
    PeerDiscoveryManager, ResourceNegotiator, SharedInsight,
};
pub use resources::{
    AdaptiveAllocationStrategy, AutonomousResourceCoordinator, DynamicPriority, DynamicResourceAllocation,
    PerformancePredictions, PredictiveResourceAnalyzer, ResourceSharingProtocol,
};
