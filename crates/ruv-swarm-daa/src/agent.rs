//! The standard agent and what it is made of.

mod builder;
mod engine;
mod memory;
mod neural;
mod records;
mod standard;

pub use builder::DAAAgentBuilder;
pub use engine::AgentLearningEngine;
pub use memory::AgentMemory;
pub use neural::AgentNeuralCoordinator;
pub use records::{
    AdaptationEvent, AgentConfiguration, EpisodicMemory, KnowledgeItem, LearningModel, MemoryItem,
    NeuralNetworkWrapper, SemanticMemory, TrainingSession,
};
pub use standard::StandardDAAAgent;
