//! What threads share: locks, atomics, channels and threads. Those of std and crossbeam; and in the build that
//! `cargo xtask interleave` tests, those of shuttle, which decides who runs when.
//!
//! Modules that only a driver can run take theirs from std.

#[cfg(not(all(test, shuttle)))]
mod real {
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, TryLockError, atomic};
    pub(crate) use std::thread;

    pub(crate) mod channel {
        pub(crate) use crossbeam::channel::{
            Receiver, RecvTimeoutError, Sender, TryRecvError, bounded, select,
        };
        use std::time::Duration;

        /// Waits for a message, for the end of `alive`, or for the deadline. A message that is already there is
        /// delivered even then.
        pub(crate) fn recv_while<T>(
            from: &Receiver<T>,
            alive: &Receiver<()>,
            deadline: Duration,
        ) -> Result<T, RecvTimeoutError> {
            select! {
                recv(from) -> message => message.map_err(|_| RecvTimeoutError::Disconnected),
                recv(alive) -> _ => from.try_recv().map_err(|_| RecvTimeoutError::Disconnected),
                default(deadline) => Err(RecvTimeoutError::Timeout),
            }
        }
    }
}

#[cfg(not(all(test, shuttle)))]
pub(crate) use real::{Condvar, Mutex, MutexGuard, TryLockError, atomic, channel, thread};

#[cfg(all(test, shuttle))]
pub(crate) mod channel;
#[cfg(all(test, shuttle))]
pub(crate) mod explore;
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::{
    sync::{Condvar, Mutex, MutexGuard, TryLockError, atomic},
    thread,
};

pub(crate) use std::sync::{Arc, OnceLock, PoisonError, Weak};
