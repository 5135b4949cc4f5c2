//! One recorded event.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;

/// Something that happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TelemetryEvent {
    /// When it happened.
    pub timestamp: DateTime<Utc>,
    /// What happened.
    pub event_type: String,
    /// The agent it happened to.
    pub agent_id: Option<String>,
    /// Further facts by name.
    pub metadata: HashMap<String, Value>,
}
