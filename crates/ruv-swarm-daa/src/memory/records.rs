//! The kinds of memory.

use crate::agent::{EpisodicMemory, MemoryItem};
use crate::records::{Knowledge, TaskResult};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;

/// The four memories of one agent.
#[derive(Debug)]
pub struct AgentMemorySystem {
    /// What it works with now.
    pub working_memory: WorkingMemory,
    /// What it keeps.
    pub long_term_memory: LongTermMemory,
    /// What it went through.
    pub episodic_memory: EpisodicMemoryStore,
    /// What it knows.
    pub semantic_memory: SemanticMemoryStore,
}

/// The memory for the task at hand.
#[derive(Debug, Clone)]
pub struct WorkingMemory {
    /// Bound on items.
    pub capacity: usize,
    /// Items held now.
    pub current_items: Vec<MemoryItem>,
    /// Attention per item.
    pub attention_weights: HashMap<String, f64>,
}

/// The memory that lasts.
#[derive(Debug)]
pub struct LongTermMemory {
    /// Memories by identifier.
    pub consolidated_memories: HashMap<String, ConsolidatedMemory>,
    /// Strength by identifier.
    pub memory_strength: HashMap<String, f64>,
    /// Last access by identifier.
    pub last_accessed: HashMap<String, DateTime<Utc>>,
}

/// What an agent went through.
#[derive(Debug)]
pub struct EpisodicMemoryStore {
    /// Episodes in order.
    pub episodes: Vec<EpisodicMemory>,
    /// Identifiers by time.
    pub temporal_index: HashMap<DateTime<Utc>, Vec<String>>,
    /// Identifiers by context.
    pub contextual_index: HashMap<String, Vec<String>>,
}

/// What an agent knows.
#[derive(Debug)]
pub struct SemanticMemoryStore {
    /// Concepts by name.
    pub concepts: HashMap<String, ConceptNode>,
    /// How they relate.
    pub relationships: Vec<ConceptRelationship>,
    /// Narrower concepts of each concept.
    pub concept_hierarchies: HashMap<String, Vec<String>>,
}

/// Memory that agents share.
#[derive(Debug)]
pub struct SharedMemorySpace {
    /// Knowledge by identifier.
    pub global_knowledge: HashMap<String, GlobalKnowledgeItem>,
    /// State by name.
    pub coordination_state: HashMap<String, Value>,
    /// Experiences made together.
    pub collective_experiences: Vec<CollectiveExperience>,
}

/// A memory that lasts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConsolidatedMemory {
    /// Identifier.
    pub id: String,
    /// The content as JSON.
    pub content: Value,
    /// Importance, 0 to 1.
    pub importance: f64,
    /// When it was consolidated.
    pub consolidation_time: DateTime<Utc>,
    /// How often it was read.
    pub access_count: u32,
    /// Identifiers of related memories.
    pub related_memories: Vec<String>,
}

/// One concept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConceptNode {
    /// Its name.
    pub concept: String,
    /// Facts about it.
    pub attributes: HashMap<String, Value>,
    /// How present it is, 0 to 1.
    pub activation_level: f64,
    /// Concepts it goes with.
    pub learned_associations: Vec<String>,
}

/// How two concepts relate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConceptRelationship {
    /// From this concept.
    pub from_concept: String,
    /// To this one.
    pub to_concept: String,
    /// Kind of relation.
    pub relationship_type: String,
    /// Strength, 0 to 1.
    pub strength: f64,
}

/// Knowledge that several agents hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GlobalKnowledgeItem {
    /// Identifier.
    pub id: String,
    /// The knowledge.
    pub knowledge: Knowledge,
    /// Who contributed.
    pub contributors: Vec<String>,
    /// Share of checks passed, 0 to 1.
    pub validation_score: f64,
    /// When it last changed.
    pub last_updated: DateTime<Utc>,
}

/// An experience made together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CollectiveExperience {
    /// Identifier.
    pub id: String,
    /// Who took part.
    pub participating_agents: Vec<String>,
    /// Facts they shared.
    pub shared_context: HashMap<String, Value>,
    /// What came of it.
    pub outcomes: Vec<TaskResult>,
    /// What was learned.
    pub lessons_learned: Vec<String>,
}

/// A rule for what to keep.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MemoryPolicy {
    /// Kind.
    pub policy_type: MemoryPolicyType,
    /// Settings by name.
    pub parameters: HashMap<String, f64>,
    /// Agents it holds for, `*` for all.
    pub applicable_agents: Vec<String>,
}

/// Kinds of rules.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum MemoryPolicyType {
    /// Drop what is old and unimportant.
    ForgetOldMemories,
    /// Keep what is important.
    ConsolidateImportantMemories,
    /// Pass on what is valuable.
    ShareValuableKnowledge,
    /// Drop relations nobody uses.
    PruneUnusedConnections,
}

impl Default for SharedMemorySpace {
    fn default() -> Self {
        Self::new()
    }
}

impl SharedMemorySpace {
    /// A space without content.
    #[must_use]
    pub fn new() -> Self {
        Self {
            global_knowledge: HashMap::new(),
            coordination_state: HashMap::new(),
            collective_experiences: Vec::new(),
        }
    }
}
