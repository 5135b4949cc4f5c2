//! Asking a run to stop.

use std::sync::Arc;
use tokio::sync::watch;

/// Asks a run to stop at the next step boundary: tasks save their state, leases are given back, and the run can be
/// resumed later. Clones ask the same run.
#[derive(Debug, Clone)]
pub struct StopHandle {
    reason: Arc<watch::Sender<Option<String>>>,
}

impl StopHandle {
    /// A handle that nobody has pulled.
    #[must_use]
    pub fn new() -> Self {
        Self {
            reason: Arc::new(watch::Sender::new(None)),
        }
    }

    /// Asks the run to stop. The first reason counts.
    pub fn stop(&self, reason: &str) {
        self.reason.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert_with(|| reason.to_owned());
            is_first
        });
    }

    /// Whether the run was asked to stop.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.reason.borrow().is_some()
    }

    /// Waits until the run is asked to stop.
    ///
    /// # Cancel safety
    /// Nothing is lost when the wait is dropped.
    pub async fn stopped(&self) -> String {
        let mut reason = self.reason.subscribe();
        // The lock on the value must not be held across another wait.
        let found = reason
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|reason| reason.clone());
        match found {
            Some(reason) => reason,
            // Unreachable: `self` keeps the sender alive. Never stopping is the safe answer.
            None => std::future::pending().await,
        }
    }
}

impl Default for StopHandle {
    fn default() -> Self {
        Self::new()
    }
}
