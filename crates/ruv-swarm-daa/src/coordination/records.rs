//! Events and places between agents.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where an agent stands in the coordination space.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentLocation {
    /// The agent.
    pub agent_id: String,
    /// Coordinates, without a unit.
    pub position: [f64; 3],
    /// What it can do.
    pub capabilities: Vec<String>,
    /// What it works on.
    pub current_task: Option<String>,
    /// Share of its time that is free, 0 to 1.
    pub availability: f64,
}

/// Something that happened between agents.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CoordinationEvent {
    /// When it happened.
    pub timestamp: DateTime<Utc>,
    /// What happened.
    pub event_type: CoordinationEventType,
    /// Who took part.
    pub participants: Vec<String>,
    /// The outcome as JSON, in which `success` (bool) or `score` (0 to 1) say how well it went.
    pub outcome: Value,
}

/// Kinds of events between agents.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum CoordinationEventType {
    /// A task was handed over.
    TaskAssignment,
    /// Knowledge was passed on.
    KnowledgeSharing,
    /// A conflict was settled.
    ConflictResolution,
    /// A resource was given or returned.
    ResourceAllocation,
    /// A performance was judged.
    PerformanceEvaluation,
}
