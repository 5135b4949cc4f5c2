//! The types of `memory`, field by field and variant by variant.

use super::pin;
use ruv_swarm_daa::chrono::{DateTime, Utc};
use ruv_swarm_daa::memory::{
    AgentMemorySystem, CollectiveExperience, ConceptNode, ConceptRelationship, ConsolidatedMemory,
    EpisodicMemoryStore, GlobalKnowledgeItem, LongTermMemory, MemoryManager, MemoryPolicy, MemoryPolicyType,
    SemanticMemoryStore, SharedMemorySpace, WorkingMemory,
};
use ruv_swarm_daa::{EpisodicMemory, Knowledge, MemoryItem, TaskResult};
use serde_json::Value;
use std::collections::HashMap;

#[test]
fn memory_types_are_the_older_ones() {
    pin(|v: MemoryManager| {
        let MemoryManager {
            agent_memories,
            shared_memory,
            memory_policies,
        } = v;
        let _: (
            HashMap<String, AgentMemorySystem>,
            SharedMemorySpace,
            Vec<MemoryPolicy>,
        ) = (agent_memories, shared_memory, memory_policies);
    });
    pin(|v: AgentMemorySystem| {
        let AgentMemorySystem {
            working_memory,
            long_term_memory,
            episodic_memory,
            semantic_memory,
        } = v;
        let _: (
            WorkingMemory,
            LongTermMemory,
            EpisodicMemoryStore,
            SemanticMemoryStore,
        ) = (working_memory, long_term_memory, episodic_memory, semantic_memory);
    });
    pin(|v: WorkingMemory| {
        let WorkingMemory {
            capacity,
            current_items,
            attention_weights,
        } = v;
        let _: (usize, Vec<MemoryItem>, HashMap<String, f64>) = (capacity, current_items, attention_weights);
    });
    pin(|v: LongTermMemory| {
        let LongTermMemory {
            consolidated_memories,
            memory_strength,
            last_accessed,
        } = v;
        let _: (
            HashMap<String, ConsolidatedMemory>,
            HashMap<String, f64>,
            HashMap<String, DateTime<Utc>>,
        ) = (consolidated_memories, memory_strength, last_accessed);
    });
    pin(|v: EpisodicMemoryStore| {
        let EpisodicMemoryStore {
            episodes,
            temporal_index,
            contextual_index,
        } = v;
        let _: (
            Vec<EpisodicMemory>,
            HashMap<DateTime<Utc>, Vec<String>>,
            HashMap<String, Vec<String>>,
        ) = (episodes, temporal_index, contextual_index);
    });
    pin(|v: SemanticMemoryStore| {
        let SemanticMemoryStore {
            concepts,
            relationships,
            concept_hierarchies,
        } = v;
        let _: (
            HashMap<String, ConceptNode>,
            Vec<ConceptRelationship>,
            HashMap<String, Vec<String>>,
        ) = (concepts, relationships, concept_hierarchies);
    });
    pin(|v: SharedMemorySpace| {
        let SharedMemorySpace {
            global_knowledge,
            coordination_state,
            collective_experiences,
        } = v;
        let _: (
            HashMap<String, GlobalKnowledgeItem>,
            HashMap<String, Value>,
            Vec<CollectiveExperience>,
        ) = (global_knowledge, coordination_state, collective_experiences);
    });
    pin(|v: ConsolidatedMemory| {
        let ConsolidatedMemory {
            id,
            content,
            importance,
            consolidation_time,
            access_count,
            related_memories,
        } = v;
        let _: (String, Value, f64, DateTime<Utc>, u32, Vec<String>) = (
            id,
            content,
            importance,
            consolidation_time,
            access_count,
            related_memories,
        );
    });
    pin(|v: ConceptNode| {
        let ConceptNode {
            concept,
            attributes,
            activation_level,
            learned_associations,
        } = v;
        let _: (String, HashMap<String, Value>, f64, Vec<String>) =
            (concept, attributes, activation_level, learned_associations);
    });
    pin(|v: ConceptRelationship| {
        let ConceptRelationship {
            from_concept,
            to_concept,
            relationship_type,
            strength,
        } = v;
        let _: (String, String, String, f64) = (from_concept, to_concept, relationship_type, strength);
    });
    pin(|v: GlobalKnowledgeItem| {
        let GlobalKnowledgeItem {
            id,
            knowledge,
            contributors,
            validation_score,
            last_updated,
        } = v;
        let _: (String, Knowledge, Vec<String>, f64, DateTime<Utc>) =
            (id, knowledge, contributors, validation_score, last_updated);
    });
    pin(|v: CollectiveExperience| {
        let CollectiveExperience {
            id,
            participating_agents,
            shared_context,
            outcomes,
            lessons_learned,
        } = v;
        let _: (
            String,
            Vec<String>,
            HashMap<String, Value>,
            Vec<TaskResult>,
            Vec<String>,
        ) = (
            id,
            participating_agents,
            shared_context,
            outcomes,
            lessons_learned,
        );
    });
    pin(|v: MemoryPolicy| {
        let MemoryPolicy {
            policy_type,
            parameters,
            applicable_agents,
        } = v;
        let _: (MemoryPolicyType, HashMap<String, f64>, Vec<String>) =
            (policy_type, parameters, applicable_agents);
    });
    pin(|v: MemoryPolicyType| match v {
        MemoryPolicyType::ForgetOldMemories => (),
        MemoryPolicyType::ConsolidateImportantMemories => (),
        MemoryPolicyType::ShareValuableKnowledge => (),
        MemoryPolicyType::PruneUnusedConnections => (),
    });
}
