//! What an agent is configured with and what it remembers.

use crate::records::{CognitivePattern, Experience, NeuralConfig};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;

/// Settings of an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentConfiguration {
    /// Step size for learning from tasks.
    pub learning_rate: f64,
    /// Feedback below this score makes the agent change its pattern.
    pub adaptation_threshold: f64,
    /// Bound on remembered experiences and on received knowledge, each in items.
    pub max_memory_size: usize,
    /// Network to create, if any.
    pub neural_network_config: Option<NeuralConfig>,
    /// Willingness to change pattern, 0 to 1.
    pub cognitive_flexibility: f64,
    /// Willingness to work with others, 0 to 1.
    pub coordination_willingness: f64,
}

/// What an agent has learned about one domain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LearningModel {
    /// The domain.
    pub domain: String,
    /// Proficiency, 0 to 1.
    pub proficiency: f64,
    /// What it knows.
    pub knowledge_base: Vec<KnowledgeItem>,
    /// Names of patterns it has seen.
    pub learning_patterns: Vec<String>,
    /// When it last changed.
    pub last_updated: DateTime<Utc>,
}

/// One piece of what an agent knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KnowledgeItem {
    /// Identifier.
    pub id: String,
    /// The content as JSON.
    pub content: Value,
    /// Confidence, 0 to 1.
    pub confidence: f64,
    /// Where it comes from.
    pub source: String,
    /// When it was written down.
    pub created_at: DateTime<Utc>,
}

/// A change of cognitive pattern.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AdaptationEvent {
    /// When it happened.
    pub timestamp: DateTime<Utc>,
    /// What caused it.
    pub trigger: String,
    /// The pattern before.
    pub old_pattern: CognitivePattern,
    /// The pattern after.
    pub new_pattern: CognitivePattern,
    /// The score that caused it.
    pub success_rate: f64,
}

/// A network as an agent knows it.
#[derive(Debug)]
pub struct NeuralNetworkWrapper {
    /// Identifier.
    pub id: String,
    /// Its description.
    pub config: NeuralConfig,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last trained.
    pub last_trained: Option<DateTime<Utc>>,
    /// Measured values by name.
    pub performance_metrics: HashMap<String, f64>,
}

/// One training of one network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrainingSession {
    /// The network.
    pub network_id: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// Loss before.
    pub initial_loss: f64,
    /// Loss after.
    pub final_loss: f64,
    /// Epochs run.
    pub epochs: u32,
}

/// One remembered thing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MemoryItem {
    /// Identifier.
    pub id: String,
    /// The content as JSON.
    pub content: Value,
    /// Importance, 0 to 1.
    pub importance: f64,
    /// When it was last read.
    pub last_accessed: DateTime<Utc>,
    /// How often it was read.
    pub access_count: u32,
}

/// A remembered experience.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EpisodicMemory {
    /// Identifier.
    pub id: String,
    /// The experience.
    pub experience: Experience,
    /// How good or bad it was, -1 to 1.
    pub emotional_valence: f64,
    /// Importance, 0 to 1.
    pub importance: f64,
    /// When it was stored.
    pub created_at: DateTime<Utc>,
}

/// What is known about one concept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SemanticMemory {
    /// The concept.
    pub concept: String,
    /// What is known.
    pub knowledge: Vec<KnowledgeItem>,
    /// Concepts it goes with.
    pub associations: Vec<String>,
    /// Confidence, 0 to 1.
    pub confidence: f64,
}

impl Default for AgentConfiguration {
    fn default() -> Self {
        Self {
            learning_rate: 0.001,
            adaptation_threshold: 0.1,
            max_memory_size: 10_000,
            neural_network_config: None,
            cognitive_flexibility: 0.8,
            coordination_willingness: 0.9,
        }
    }
}
