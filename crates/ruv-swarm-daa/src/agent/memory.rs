//! What an agent remembers of its exchanges with others.

use super::MemoryItem;
use crate::error::{DAAError, DAAResult};
use crate::records::Knowledge;
use crate::store::{BoundedLog, TooLarge};
use chrono::{DateTime, Utc};
use serde_json::json;

/// Knowledge received from others, and a log of what was shared with whom.
#[derive(Debug)]
pub struct AgentMemory {
    received: BoundedLog<Knowledge>,
    shared: BoundedLog<MemoryItem>,
}

impl Default for AgentMemory {
    fn default() -> Self {
        Self::new()
    }
}

fn refused(refused: TooLarge) -> DAAError {
    DAAError::memory(format!(
        "a record has {} bytes, the agent may keep {}",
        refused.size, refused.limit
    ))
}

impl AgentMemory {
    /// An empty memory with the default configuration's bounds.
    #[must_use]
    pub fn new() -> Self {
        Self::bounded(10_000, usize::MAX)
    }

    pub(crate) fn bounded(max_records: usize, max_bytes: usize) -> Self {
        Self {
            received: BoundedLog::new(max_records, max_bytes),
            shared: BoundedLog::new(max_records, max_bytes),
        }
    }

    /// Notes that `knowledge` went to `target_agent`; above the bound the oldest note is dropped.
    ///
    /// # Errors
    /// [`DAAError::MemoryError`] for knowledge that is larger than the whole memory.
    pub async fn store_knowledge_sharing_event(
        &mut self,
        target_agent: &str,
        knowledge: &Knowledge,
    ) -> DAAResult<()> {
        self.note_sharing(target_agent, knowledge, crate::time::now())
    }

    /// What was shared, oldest first.
    pub fn sharing_events(&self) -> impl Iterator<Item = &MemoryItem> {
        self.shared.iter()
    }

    /// What was received, oldest first; of two with the same source and identifier only the later one.
    pub fn received(&self) -> impl Iterator<Item = &Knowledge> {
        self.received.iter()
    }

    pub(crate) fn note_sharing(
        &mut self,
        target: &str,
        knowledge: &Knowledge,
        now: DateTime<Utc>,
    ) -> DAAResult<()> {
        let item = MemoryItem {
            id: uuid::Uuid::new_v4().to_string(),
            content: json!({ "shared_with": target, "knowledge": knowledge.id, "domain": knowledge.domain }),
            importance: knowledge.confidence,
            last_accessed: now,
            access_count: 0,
        };
        self.shared.push(item).map_err(refused)
    }

    pub(crate) fn receive(&mut self, knowledge: &Knowledge) -> DAAResult<()> {
        self.received
            .retain(|old| (&old.source_agent, &old.id) != (&knowledge.source_agent, &knowledge.id));
        self.received.push(knowledge.clone()).map_err(refused)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.received.bytes() + self.shared.bytes()
    }
}
