//! Bounded channels on the locks of shuttle, as far as crossbeam's are used here. No deadline ever passes: what would
//! wait for one waits for ever, which shuttle tells as a deadlock.

pub(crate) use crossbeam::channel::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};
use shuttle::sync::{Condvar, Mutex, MutexGuard};
use shuttle::thread;
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State<T> {
    messages: VecDeque<T>,
    senders: usize,
    receivers: usize,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<R>(&self, what: impl FnOnce(&mut State<T>) -> R) -> R {
        let result = what(&mut self.lock());
        self.changed.notify_all();
        result
    }
}

#[derive(Debug)]
pub(crate) struct Sender<T>(Arc<Shared<T>>);

#[derive(Debug)]
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

pub(crate) fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let state = State {
        messages: VecDeque::new(),
        senders: 1,
        receivers: 1,
    };
    let shared = Arc::new(Shared {
        state: Mutex::new(state),
        changed: Condvar::new(),
        capacity,
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T> Sender<T> {
    pub(crate) fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.0.change(|state| {
            if state.receivers == 0 {
                Err(TrySendError::Disconnected(message))
            } else if state.messages.len() == self.0.capacity {
                Err(TrySendError::Full(message))
            } else {
                state.messages.push_back(message);
                Ok(())
            }
        })
    }

    pub(crate) fn send(&self, message: T) -> Result<(), SendError<T>> {
        let full = |state: &mut State<T>| state.receivers > 0 && state.messages.len() == self.0.capacity;
        let waited = self.0.changed.wait_while(self.0.lock(), full);
        drop(waited);
        // One sender at a time: nobody else fills the room.
        self.try_send(message)
            .map_err(|error| SendError(error.into_inner()))
    }
}

impl<T> Receiver<T> {
    pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
        self.0.change(|state| match state.messages.pop_front() {
            Some(message) => Ok(message),
            None if state.senders == 0 => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        })
    }

    pub(crate) fn recv(&self) -> Result<T, RecvError> {
        let empty = |state: &mut State<T>| state.senders > 0 && state.messages.is_empty();
        let mut state = self
            .0
            .changed
            .wait_while(self.0.lock(), empty)
            .unwrap_or_else(PoisonError::into_inner);
        let message = state.messages.pop_front();
        drop(state);
        self.0.changed.notify_all();
        message.ok_or(RecvError)
    }

    pub(crate) fn recv_timeout(&self, _deadline: Duration) -> Result<T, RecvTimeoutError> {
        self.recv().map_err(|RecvError| RecvTimeoutError::Disconnected)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().messages.is_empty()
    }

    pub(crate) fn try_iter(&self) -> impl Iterator<Item = T> {
        std::iter::from_fn(|| self.try_recv().ok())
    }
}

/// Waits for a message or for the end of `alive`.
pub(crate) fn recv_while<T>(
    from: &Receiver<T>,
    alive: &Receiver<()>,
    _deadline: Duration,
) -> Result<T, RecvTimeoutError> {
    loop {
        match from.try_recv() {
            Ok(message) => return Ok(message),
            Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) => {}
        }
        if alive.try_recv() == Err(TryRecvError::Disconnected) {
            return from.try_recv().map_err(|_| RecvTimeoutError::Disconnected);
        }
        thread::yield_now();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.change(|state| state.senders += 1);
        Self(Arc::clone(&self.0))
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.0.change(|state| state.receivers += 1);
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.change(|state| state.senders -= 1);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let unread = self.0.change(|state| {
            state.receivers -= 1;
            if state.receivers == 0 {
                std::mem::take(&mut state.messages)
            } else {
                VecDeque::new()
            }
        });
        drop(unread);
    }
}
