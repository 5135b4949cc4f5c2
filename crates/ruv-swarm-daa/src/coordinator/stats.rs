//! What a coordinator reports about itself.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Measured figures of a coordinator.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CoordinationStats {
    /// Agents registered now.
    pub total_agents: u32,
    /// Tasks running now, counted per agent.
    pub active_tasks: u32,
    /// Share of finished tasks that succeeded, 0 to 1, and 0 before the first.
    pub coordination_efficiency: f64,
    /// Deliveries of knowledge from one agent to another.
    pub knowledge_sharing_events: u32,
    /// When this was computed.
    pub last_updated: DateTime<Utc>,
}
