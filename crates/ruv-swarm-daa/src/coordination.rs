//! What agents that work together remember.

mod records;

use crate::error::DAAResult;
use serde_json::Value;
use std::collections::HashMap;

pub use records::{AgentLocation, CoordinationEvent, CoordinationEventType};

/// Most events a memory keeps; the oldest goes first.
const MAX_EVENTS: usize = 100_000;

/// Shared state, places and events of agents that work together.
#[derive(Debug)]
pub struct CoordinationMemory {
    /// State by name.
    pub shared_state: HashMap<String, Value>,
    /// Places by agent.
    pub agent_locations: HashMap<String, AgentLocation>,
    /// Events, oldest first, at most 100 000.
    pub coordination_history: Vec<CoordinationEvent>,
}

impl Default for CoordinationMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl CoordinationMemory {
    /// A memory without content.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared_state: HashMap::new(),
            agent_locations: HashMap::new(),
            coordination_history: Vec::new(),
        }
    }

    /// Adds `event`; above 100 000 the oldest is dropped.
    ///
    /// # Errors
    /// None today; the older signature returns a result.
    pub async fn store_event(&mut self, event: CoordinationEvent) -> DAAResult<()> {
        self.coordination_history.push(event);
        let excess = self.coordination_history.len().saturating_sub(MAX_EVENTS);
        self.coordination_history.drain(..excess);
        Ok(())
    }

    /// The last `limit` events, oldest first.
    ///
    /// # Errors
    /// None today; the older signature returns a result.
    pub async fn get_recent_events(&self, limit: usize) -> DAAResult<Vec<CoordinationEvent>> {
        let skipped = self.coordination_history.len().saturating_sub(limit);
        Ok(self.coordination_history.iter().skip(skipped).cloned().collect())
    }

    /// The number of events kept.
    ///
    /// # Errors
    /// None today; the older signature returns a result.
    pub async fn get_event_count(&self) -> DAAResult<usize> {
        Ok(self.coordination_history.len())
    }
}
