//! The types of `agent`, field by field and variant by variant.

use super::pin;
use ruv_swarm_daa::agent::{
    AdaptationEvent, AgentConfiguration, EpisodicMemory, KnowledgeItem, LearningModel, MemoryItem,
    NeuralNetworkWrapper, SemanticMemory, TrainingSession,
};
use ruv_swarm_daa::chrono::{DateTime, Utc};
use ruv_swarm_daa::{CognitivePattern, Experience, NeuralConfig};
use serde_json::Value;
use std::collections::HashMap;

#[test]
fn agent_types_are_the_older_ones() {
    pin(|v: AgentConfiguration| {
        let AgentConfiguration {
            learning_rate,
            adaptation_threshold,
            max_memory_size,
            neural_network_config,
            cognitive_flexibility,
            coordination_willingness,
        } = v;
        let _: (f64, f64, usize, Option<NeuralConfig>, f64, f64) = (
            learning_rate,
            adaptation_threshold,
            max_memory_size,
            neural_network_config,
            cognitive_flexibility,
            coordination_willingness,
        );
    });
    pin(|v: LearningModel| {
        let LearningModel {
            domain,
            proficiency,
            knowledge_base,
            learning_patterns,
            last_updated,
        } = v;
        let _: (String, f64, Vec<KnowledgeItem>, Vec<String>, DateTime<Utc>) = (
            domain,
            proficiency,
            knowledge_base,
            learning_patterns,
            last_updated,
        );
    });
    pin(|v: KnowledgeItem| {
        let KnowledgeItem {
            id,
            content,
            confidence,
            source,
            created_at,
        } = v;
        let _: (String, Value, f64, String, DateTime<Utc>) = (id, content, confidence, source, created_at);
    });
    pin(|v: AdaptationEvent| {
        let AdaptationEvent {
            timestamp,
            trigger,
            old_pattern,
            new_pattern,
            success_rate,
        } = v;
        let _: (DateTime<Utc>, String, CognitivePattern, CognitivePattern, f64) =
            (timestamp, trigger, old_pattern, new_pattern, success_rate);
    });
    pin(|v: NeuralNetworkWrapper| {
        let NeuralNetworkWrapper {
            id,
            config,
            created_at,
            last_trained,
            performance_metrics,
        } = v;
        let _: (
            String,
            NeuralConfig,
            DateTime<Utc>,
            Option<DateTime<Utc>>,
            HashMap<String, f64>,
        ) = (id, config, created_at, last_trained, performance_metrics);
    });
    pin(|v: TrainingSession| {
        let TrainingSession {
            network_id,
            started_at,
            completed_at,
            initial_loss,
            final_loss,
            epochs,
        } = v;
        let _: (String, DateTime<Utc>, Option<DateTime<Utc>>, f64, f64, u32) = (
            network_id,
            started_at,
            completed_at,
            initial_loss,
            final_loss,
            epochs,
        );
    });
    pin(|v: MemoryItem| {
        let MemoryItem {
            id,
            content,
            importance,
            last_accessed,
            access_count,
        } = v;
        let _: (String, Value, f64, DateTime<Utc>, u32) =
            (id, content, importance, last_accessed, access_count);
    });
    pin(|v: EpisodicMemory| {
        let EpisodicMemory {
            id,
            experience,
            emotional_valence,
            importance,
            created_at,
        } = v;
        let _: (String, Experience, f64, f64, DateTime<Utc>) =
            (id, experience, emotional_valence, importance, created_at);
    });
    pin(|v: SemanticMemory| {
        let SemanticMemory {
            concept,
            knowledge,
            associations,
            confidence,
        } = v;
        let _: (String, Vec<KnowledgeItem>, Vec<String>, f64) =
            (concept, knowledge, associations, confidence);
    });
}
