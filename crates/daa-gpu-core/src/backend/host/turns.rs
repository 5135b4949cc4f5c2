//! The images that wait for a CPU worker, and the workers that wait for an image.

use super::cell::{Cell, SLICE};
use crate::backend::{Tally, charge};
use crate::program::Scratch;
use crate::schedule::{FairQueue, Turn};
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
    /// Images whose turn it is, and what helpers have to name. Bounded by the number of workers.
    served: Vec<Served>,
    /// Workers that wait for the bell and were not sent for.
    idle: usize,
    closed: bool,
}

/// An image whose turn it is.
#[derive(Debug)]
struct Served {
    cell: Arc<Cell>,
    shift: u64,
    helpers: usize,
    /// Helpers were sent away: the turn is about to end.
    is_over: bool,
}

impl Served {
    /// Workers that could help now.
    fn wants(&self) -> usize {
        let useful = if self.is_over {
            0
        } else {
            self.cell.crew().useful()
        };
        useful.saturating_sub(self.helpers)
    }
}

/// What a worker does next.
#[derive(Debug)]
enum Next {
    /// Runs an image's jobs.
    Serve(Turn, Arc<Cell>, u64),
    /// Helps the worker that does.
    Help(Turn, Arc<Cell>, u64),
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
            if let Some(next) = state.next() {
                let wanted = state.wake();
                drop(state);
                for _ in 0..wanted {
                    // There is room.
                    let _ = self.ring.try_send(());
                }
                state = match next {
                    Next::Serve(turn, cell, shift) => self.serve(turn, cell, shift, scratch),
                    Next::Help(turn, cell, shift) => self.help(turn, cell, shift, scratch),
                };
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

    fn serve(&self, turn: Turn, cell: Arc<Cell>, shift: u64, scratch: &mut Scratch) -> MutexGuard<'_, State> {
        let began = self.now();
        scratch.set_crew(Some(Arc::clone(cell.crew())));
        let left = cell.serve(scratch, began);
        scratch.set_crew(None);
        cell.crew().close();
        let cost = self.now().saturating_sub(began);
        charge(&self.tally, cell.lease(), cost);
        let mut state = self.lock();
        let at = state.find(&cell, shift);
        // The last hold on an image must not be dropped under the lock.
        let served = at.map(|at| state.served.swap_remove(at));
        let mut over = Some(cell);
        if left == Left::Jobs
            && let Some(cell) = over.take()
        {
            let (member, weight) = (cell.lease().member(), cell.lease().weight());
            state.queue.push(member, weight, cell);
        }
        state.queue.end(turn, cost);
        drop(state);
        drop((served, over));
        self.lock()
    }

    fn help(&self, turn: Turn, cell: Arc<Cell>, shift: u64, scratch: &mut Scratch) -> MutexGuard<'_, State> {
        let began = self.now();
        let is_over = || self.now().saturating_sub(began) >= SLICE;
        let goes_on = cell.crew().help(shift, scratch, SLICE, is_over);
        let cost = self.now().saturating_sub(began);
        charge(&self.tally, cell.lease(), cost);
        let mut state = self.lock();
        if let Some(at) = state.find(&cell, shift) {
            state.served[at].helpers -= 1;
            state.served[at].is_over |= !goes_on;
        }
        state.queue.end(turn, cost);
        drop(state);
        drop(cell);
        self.lock()
    }
}

impl State {
    fn find(&self, cell: &Arc<Cell>, shift: u64) -> Option<usize> {
        let is_it = |served: &Served| Arc::ptr_eq(&served.cell, cell) && served.shift == shift;
        self.served.iter().position(is_it)
    }

    /// The next turn. A worker helps whoever would still have the least for its weight with it: an image has one worker,
    /// which may be less than its tenant's part.
    fn next(&mut self) -> Option<Next> {
        let members = self.served.iter().filter(|served| served.wants() > 0);
        let members = members.map(|served| served.cell.lease().member());
        if let Some(turn) = self.queue.begin_beside(members) {
            let mut served = self.served.iter_mut().filter(|served| served.wants() > 0);
            let whose = served.find(|served| served.cell.lease().member() == turn.member())?;
            whose.helpers += 1;
            return Some(Next::Help(turn, Arc::clone(&whose.cell), whose.shift));
        }
        let (turn, cell) = self.queue.begin()?;
        let shift = cell.crew().open();
        self.served.push(Served {
            cell: Arc::clone(&cell),
            shift,
            helpers: 0,
            is_over: false,
        });
        Some(Next::Serve(turn, cell, shift))
    }

    /// Counts off the idle workers to send for, because somebody waits or could use their help.
    fn wake(&mut self) -> usize {
        let helpers = self.served.iter().map(Served::wants).sum::<usize>();
        let wanted = (helpers + self.queue.waiting()).min(self.idle);
        self.idle -= wanted;
        wanted
    }
}
