//! Whether the device behind a context is still there, and waits that end when it is not.

use crate::error::GpuError;
use crate::sync::channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded, recv_while};
use crate::sync::{Mutex, OnceLock, PoisonError};
use daa_base::DeviceEpoch;
use std::time::Duration;

/// Shared by everything that runs on one device epoch.
#[derive(Debug)]
pub(crate) struct Health {
    epoch: DeviceEpoch,
    reason: OnceLock<String>,
    /// Dropped on loss, which wakes every wait at once.
    alive: Mutex<Option<Sender<()>>>,
    lost: Receiver<()>,
}

impl Health {
    pub(crate) fn new(epoch: DeviceEpoch) -> Self {
        let (alive, lost) = bounded(0);
        Self {
            epoch,
            reason: OnceLock::new(),
            alive: Mutex::new(Some(alive)),
            lost,
        }
    }

    pub(crate) const fn epoch(&self) -> DeviceEpoch {
        self.epoch
    }

    /// Ends the epoch. The first reason stays.
    pub(crate) fn lose(&self, reason: String) {
        if self.reason.set(reason).is_ok() {
            tracing::warn!(epoch = %self.epoch, reason = self.reason.get(), "device lost");
        }
        self.alive.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.reason.get().is_some()
    }

    /// Refuses work on an epoch that ended.
    pub(crate) fn check(&self) -> Result<(), GpuError> {
        self.reason.get().map_or(Ok(()), |reason| {
            Err(GpuError::DeviceLost {
                epoch: self.epoch,
                reason: reason.clone(),
            })
        })
    }

    /// Waits for a message until the deadline or the end of the epoch. A message that is already there is delivered
    /// even then: callers who hand out results check the epoch themselves.
    pub(crate) fn recv<T>(
        &self,
        from: &Receiver<T>,
        what: &'static str,
        deadline: Duration,
    ) -> Result<T, GpuError> {
        match from.try_recv() {
            Ok(message) => return Ok(message),
            Err(TryRecvError::Disconnected) => return Err(self.disconnected(what)),
            Err(TryRecvError::Empty) => self.check()?,
        }
        recv_while(from, &self.lost, deadline).map_err(|error| match error {
            RecvTimeoutError::Timeout => GpuError::Timeout { what, deadline },
            RecvTimeoutError::Disconnected => self.disconnected(what),
        })
    }

    fn disconnected(&self, what: &'static str) -> GpuError {
        match self.check() {
            Err(lost) => lost,
            Ok(()) => GpuError::Internal {
                message: format!("{what} was dropped before it ended"),
            },
        }
    }
}
