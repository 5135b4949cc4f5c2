//! The types of `types`, field by field and variant by variant.

use super::pin;
use ruv_swarm_daa::Priority;
use ruv_swarm_daa::chrono::{DateTime, Utc};
use ruv_swarm_daa::types::{
    AdaptationFeedback, AgentType, AutonomousCapability, DecisionContext, TaskRequest,
};
use serde_json::Value;
use std::collections::HashMap;

#[test]
fn types_types_are_the_older_ones() {
    pin(|v: AutonomousCapability| match v {
        AutonomousCapability::SelfMonitoring => (),
        AutonomousCapability::DecisionMaking => (),
        AutonomousCapability::ResourceOptimization => (),
        AutonomousCapability::SelfHealing => (),
        AutonomousCapability::Learning => (),
        AutonomousCapability::EmergentBehavior => (),
        AutonomousCapability::Prediction => (),
        AutonomousCapability::GoalPlanning => (),
        AutonomousCapability::Coordination => (),
        AutonomousCapability::MemoryManagement => (),
        AutonomousCapability::Custom(inner) => {
            let _: String = inner;
        }
    });
    pin(|v: DecisionContext| {
        let DecisionContext {
            available_actions,
            constraints,
            objectives,
            current_state,
            historical_data,
        } = v;
        let _: (
            Vec<String>,
            HashMap<String, f64>,
            Vec<String>,
            HashMap<String, Value>,
            Vec<Value>,
        ) = (
            available_actions,
            constraints,
            objectives,
            current_state,
            historical_data,
        );
    });
    pin(|v: AdaptationFeedback| {
        let AdaptationFeedback {
            performance_score,
            efficiency_score,
            learning_rate_adjustment,
            timestamp,
        } = v;
        let _: (f64, f64, f64, u64) = (
            performance_score,
            efficiency_score,
            learning_rate_adjustment,
            timestamp,
        );
    });
    pin(|v: AgentType| match v {
        AgentType::Researcher => (),
        AgentType::Coder => (),
        AgentType::Analyst => (),
        AgentType::Coordinator => (),
        AgentType::Specialist => (),
    });
    pin(|v: TaskRequest| {
        let TaskRequest {
            id,
            task_type,
            payload,
            priority,
            deadline,
            requirements,
        } = v;
        let _: (
            String,
            String,
            Value,
            Priority,
            Option<DateTime<Utc>>,
            Vec<String>,
        ) = (id, task_type, payload, priority, deadline, requirements);
    });
}
