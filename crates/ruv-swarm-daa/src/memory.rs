//! The memories of agents.

mod records;

use std::collections::HashMap;

pub use records::{
    AgentMemorySystem, CollectiveExperience, ConceptNode, ConceptRelationship, ConsolidatedMemory,
    EpisodicMemoryStore, GlobalKnowledgeItem, LongTermMemory, MemoryPolicy, MemoryPolicyType,
    SemanticMemoryStore, SharedMemorySpace, WorkingMemory,
};

/// The memories of all agents and the rules for them.
#[derive(Debug)]
pub struct MemoryManager {
    /// Memories by agent.
    pub agent_memories: HashMap<String, AgentMemorySystem>,
    /// What all agents share.
    pub shared_memory: SharedMemorySpace,
    /// Rules for what to keep.
    pub memory_policies: Vec<MemoryPolicy>,
}

impl Default for MemoryManager {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryManager {
    /// No memories, and one rule for all agents: forget what is older than 30 days and less important than 0.1.
    #[must_use]
    pub fn new() -> Self {
        let forget = MemoryPolicy {
            policy_type: MemoryPolicyType::ForgetOldMemories,
            parameters: HashMap::from([
                ("max_age_days".to_owned(), 30.0),
                ("min_importance".to_owned(), 0.1),
            ]),
            applicable_agents: vec!["*".to_owned()],
        };
        Self {
            agent_memories: HashMap::new(),
            shared_memory: SharedMemorySpace::new(),
            memory_policies: vec![forget],
        }
    }
}
