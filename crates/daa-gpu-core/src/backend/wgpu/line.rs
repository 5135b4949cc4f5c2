//! What one loaded image has on its way to the device.

use super::{Buffer, Pooled};
use crate::backend::{Tally, count};
use crate::error::GpuError;
use crate::tenant::Lease;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One image's submissions, from its own to the device's point of view.
#[derive(Debug)]
pub(super) struct Line {
    lease: Arc<Lease>,
    depth: usize,
    state: Mutex<State>,
    /// Told whenever a submission has ended.
    progress: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Submissions that wait for their turn or are with the device.
    under_way: usize,
    /// Why nothing is taken any more: work was refused or failed, so the arena is not what its holder believes.
    poison: Option<GpuError>,
    /// Memory of an image that was dropped before its work had ended: until then nobody else may have it.
    kept: Vec<Arc<Pooled<Buffer>>>,
}

impl Line {
    pub(super) fn new(lease: &Arc<Lease>, depth: usize) -> Self {
        Self {
            lease: Arc::clone(lease),
            depth,
            state: Mutex::default(),
            progress: Condvar::new(),
        }
    }

    pub(super) const fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses work on an image of which earlier work is missing.
    pub(super) fn check(&self) -> Result<(), GpuError> {
        self.lock().poison.clone().map_or(Ok(()), Err)
    }

    /// Waits until another submission may be under way.
    pub(super) fn wait_for_room(&self, deadline: Duration, tally: &Tally) -> Result<(), GpuError> {
        let mut state = self.lock();
        if state.under_way >= self.depth {
            count(&tally.host_waits, 1);
            let (waited, timeout) = self
                .progress
                .wait_timeout_while(state, deadline, |state| state.under_way >= self.depth)
                .unwrap_or_else(PoisonError::into_inner);
            state = waited;
            if timeout.timed_out() {
                let what = "room in the queue of an image";
                return Err(GpuError::Timeout { what, deadline });
            }
        }
        state.poison.clone().map_or(Ok(()), Err)
    }

    /// A submission was queued.
    pub(super) fn enter(&self) {
        self.lock().under_way += 1;
    }

    /// A submission has ended, or never began.
    pub(super) fn leave(&self) {
        let mut state = self.lock();
        state.under_way -= 1;
        // What was kept goes back outside of the lock.
        let kept = if state.under_way == 0 {
            std::mem::take(&mut state.kept)
        } else {
            Vec::new()
        };
        drop(state);
        drop(kept);
        self.progress.notify_all();
    }

    /// Nothing is taken from now on, for this reason; the first one stays.
    pub(super) fn poison(&self, error: &GpuError) {
        self.lock().poison.get_or_insert_with(|| error.clone());
    }

    /// Whether nothing is under way, or all of it ends within `patience`.
    pub(super) fn is_at_rest(&self, patience: Duration) -> bool {
        let (state, timeout) = self
            .progress
            .wait_timeout_while(self.lock(), patience, |state| state.under_way > 0)
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
        !timeout.timed_out()
    }

    /// Waits for everything under way. What has not ended by the deadline keeps `memory` until it has.
    pub(super) fn retire(&self, deadline: Duration, memory: impl Iterator<Item = Arc<Pooled<Buffer>>>) {
        let (mut state, timeout) = self
            .progress
            .wait_timeout_while(self.lock(), deadline, |state| state.under_way > 0)
            .unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            state.kept.extend(memory);
        }
    }
}
