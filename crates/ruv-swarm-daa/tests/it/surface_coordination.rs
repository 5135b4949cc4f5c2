//! The types of `coordination`, field by field and variant by variant.

use super::pin;
use ruv_swarm_daa::chrono::{DateTime, Utc};
use ruv_swarm_daa::coordination::{
    AgentLocation, CoordinationEvent, CoordinationEventType, CoordinationMemory,
};
use serde_json::Value;
use std::collections::HashMap;

#[test]
fn coordination_types_are_the_older_ones() {
    pin(|v: CoordinationMemory| {
        let CoordinationMemory {
            shared_state,
            agent_locations,
            coordination_history,
        } = v;
        let _: (
            HashMap<String, Value>,
            HashMap<String, AgentLocation>,
            Vec<CoordinationEvent>,
        ) = (shared_state, agent_locations, coordination_history);
    });
    pin(|v: AgentLocation| {
        let AgentLocation {
            agent_id,
            position,
            capabilities,
            current_task,
            availability,
        } = v;
        let _: (String, [f64; 3], Vec<String>, Option<String>, f64) =
            (agent_id, position, capabilities, current_task, availability);
    });
    pin(|v: CoordinationEvent| {
        let CoordinationEvent {
            timestamp,
            event_type,
            participants,
            outcome,
        } = v;
        let _: (DateTime<Utc>, CoordinationEventType, Vec<String>, Value) =
            (timestamp, event_type, participants, outcome);
    });
    pin(|v: CoordinationEventType| match v {
        CoordinationEventType::TaskAssignment => (),
        CoordinationEventType::KnowledgeSharing => (),
        CoordinationEventType::ConflictResolution => (),
        CoordinationEventType::ResourceAllocation => (),
        CoordinationEventType::PerformanceEvaluation => (),
    });
}
