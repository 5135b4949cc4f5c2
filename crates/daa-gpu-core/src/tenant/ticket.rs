//! The receipt for one submission.

use crate::error::GpuError;
use crate::health::Health;
use crate::sync::Arc;
use crate::sync::channel::Receiver;
use std::time::Duration;

/// A submission under way. Dropping it does not stop the work.
#[derive(Debug)]
#[must_use = "a submission is known to have succeeded only when its ticket was waited for"]
pub struct Ticket {
    replies: Receiver<Result<Vec<u8>, GpuError>>,
    pieces: usize,
    deadline: Duration,
    health: Arc<Health>,
}

impl Ticket {
    /// A ticket that is done when `pieces` replies came.
    pub(crate) const fn new(
        replies: Receiver<Result<Vec<u8>, GpuError>>,
        pieces: usize,
        deadline: Duration,
        health: Arc<Health>,
    ) -> Self {
        Self {
            replies,
            pieces,
            deadline,
            health,
        }
    }

    /// Waits until the work is done and returns the bytes of its reads, one after the other; empty without reads.
    ///
    /// # Errors
    /// What went wrong on the device; [`GpuError::Timeout`] after the context's step deadline (per piece of a read
    /// that went in pieces); [`GpuError::DeviceLost`] when the epoch has ended, even if the bytes had arrived.
    pub fn wait(self) -> Result<Vec<u8>, GpuError> {
        let deadline = self.deadline;
        self.wait_within(deadline)
    }

    /// As [`Self::wait`], with another deadline per piece.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn wait_within(self, deadline: Duration) -> Result<Vec<u8>, GpuError> {
        let mut bytes = Vec::new();
        for _ in 0..self.pieces {
            let piece = self.health.recv(&self.replies, "a submission", deadline)??;
            if bytes.is_empty() {
                bytes = piece;
            } else {
                bytes.extend_from_slice(&piece);
            }
        }
        self.health.check()?;
        Ok(bytes)
    }
}
