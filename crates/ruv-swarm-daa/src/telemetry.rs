//! A log of events.

mod event;

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

pub use event::TelemetryEvent;

/// Most events a collector keeps; the oldest goes first.
const MAX_EVENTS: usize = 100_000;

/// Collects events. Clones share the same events; at most 100 000 are kept, the newest ones.
#[derive(Debug, Clone, Default)]
pub struct TelemetryCollector {
    events: Arc<RwLock<VecDeque<TelemetryEvent>>>,
}

impl TelemetryCollector {
    /// A collector without events.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `event`.
    pub fn record_event(&self, event: TelemetryEvent) {
        let mut events = self.events.write().unwrap_or_else(PoisonError::into_inner);
        if events.len() == MAX_EVENTS {
            events.pop_front();
        }
        events.push_back(event);
    }

    /// All events, oldest first.
    #[must_use]
    pub fn get_events(&self) -> Vec<TelemetryEvent> {
        let events = self.events.read().unwrap_or_else(PoisonError::into_inner);
        events.iter().cloned().collect()
    }

    /// Forgets all events.
    pub fn clear_events(&self) {
        self.events
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}
