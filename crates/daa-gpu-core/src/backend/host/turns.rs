//! The images that wait for a CPU worker, and the workers that wait for an image.

use super::cell::Cell;
use crate::backend::{Tally, charge};
use crate::program::Scratch;
use crate::schedule::FairQueue;
use crate::sync::channel::{Receiver, Sender, bounded};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use daa_base::Clock;
use std::time::Duration;

/// What the workers of one context share.
#[derive(Debug)]
pub(super) struct Turns {
    state: Mutex<State>,
    /// Wakes one idle worker a message. There is room for every worker.
    ring: Sender<()>,
    bell: Receiver<()>,
    clock: Arc<dyn Clock>,
    tally: Arc<Tally>,
}

#[derive(Debug, Default)]
struct State {
    /// Every image that has jobs and no worker, once. Bounded by the number of loaded images.
    queue: FairQueue<Arc<Cell>>,
    /// Workers that wait for the bell and were not sent for.
    idle: usize,
    closed: bool,
}

/// Whether an image has jobs left when its turn ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Jobs,
    Nothing,
}

impl Turns {
    pub(super) fn new(workers: usize, clock: Arc<dyn Clock>, tally: Arc<Tally>) -> Self {
        let (ring, bell) = bounded(workers);
        Self {
            state: Mutex::default(),
            ring,
            bell,
            clock,
            tally,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time since the context's clock was made.
    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Queues an image that has jobs.
    pub(super) fn push(&self, cell: Arc<Cell>) {
        let (member, weight) = (cell.lease().member(), cell.lease().weight());
        let mut state = self.lock();
        state.queue.push(member, weight, cell);
        let is_idle = state.idle > 0;
        state.idle -= usize::from(is_idle);
        drop(state);
        if is_idle {
            // There is room.
            let _ = self.ring.try_send(());
        }
    }

    /// Ends every worker once nothing is queued.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        for _ in 0..idle {
            let _ = self.ring.try_send(());
        }
    }

    /// What a worker does until the context closes: turn after turn, each of whoever has had the least for its weight.
    pub(super) fn work(&self, scratch: &mut Scratch) {
        let mut state = self.lock();
        loop {
            if let Some((turn, cell)) = state.queue.begin() {
                drop(state);
                let began = self.now();
                let left = cell.serve(scratch, began);
                let cost = self.now().saturating_sub(began);
                charge(&self.tally, cell.lease(), cost);
                let (member, weight) = (cell.lease().member(), cell.lease().weight());
                // The last hold on an image must not be dropped under the lock.
                let mut served = Some(cell);
                state = self.lock();
                if left == Left::Jobs
                    && let Some(cell) = served.take()
                {
                    state.queue.push(member, weight, cell);
                }
                state.queue.end(turn, cost);
                if served.is_some() {
                    drop(state);
                    drop(served);
                    state = self.lock();
                }
            } else if state.closed {
                return;
            } else {
                state.idle += 1;
                drop(state);
                // It cannot disconnect: both ends are here.
                let _ = self.bell.recv();
                state = self.lock();
            }
        }
    }
}
