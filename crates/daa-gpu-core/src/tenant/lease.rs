//! What a tenant, its loaded images and its queued work have in common.

use super::Work;
use crate::backend::Buffer;
use crate::error::GpuError;
use crate::memory::pool::Account;
use crate::schedule::{MemberKey, Weight};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use daa_base::FencingToken;
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Lease {
    pub(super) name: String,
    pub(super) token: FencingToken,
    weight: Weight,
    account: Arc<Account<Buffer>>,
    /// Its place among the tenants that fences reach, which no other tenant ever has.
    pub(super) place: u64,
    /// Only reads are left.
    pub(super) revoked: AtomicBool,
    /// Nothing is left.
    pub(super) dropped: AtomicBool,
    /// Nanoseconds of device time.
    busy: AtomicU64,
}

/// What a piece of work does to its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: it only reads.
    None,
    /// It uploads or runs.
    Changes,
}

impl Effect {
    pub(crate) const fn of(runs: bool, uploads: bool) -> Self {
        if runs || uploads {
            Self::Changes
        } else {
            Self::None
        }
    }
}

impl Lease {
    pub(super) const fn new(
        name: String,
        token: FencingToken,
        weight: Weight,
        account: Arc<Account<Buffer>>,
        place: u64,
    ) -> Self {
        Self {
            name,
            token,
            weight,
            account,
            place,
            revoked: AtomicBool::new(false),
            dropped: AtomicBool::new(false),
            busy: AtomicU64::new(0),
        }
    }

    /// Who it is to the scheduler.
    pub(crate) const fn member(&self) -> MemberKey {
        MemberKey(self.place)
    }

    /// Its books in the pool.
    pub(crate) const fn account(&self) -> &Arc<Account<Buffer>> {
        &self.account
    }

    pub(crate) const fn weight(&self) -> Weight {
        self.weight
    }

    /// Whether the tenant may load, upload and run.
    pub(super) fn check(&self) -> Result<(), GpuError> {
        self.allows(Effect::Changes)
    }

    /// Whether the tenant may do what `work` asks for.
    pub(super) fn check_work(&self, work: &Work<'_>) -> Result<(), GpuError> {
        self.allows(Effect::of(work.list.is_some(), !work.uploads.is_empty()))
    }

    /// Whether work of this effect may be done now. Asked when it is submitted, and again when its turn has come.
    pub(crate) fn allows(&self, effect: Effect) -> Result<(), GpuError> {
        let ended = match effect {
            Effect::None => &self.dropped,
            Effect::Changes => &self.revoked,
        };
        if ended.load(Ordering::Acquire) {
            return Err(self.stale());
        }
        Ok(())
    }

    pub(super) fn stale(&self) -> GpuError {
        GpuError::StaleToken {
            tenant: self.name.clone(),
            token: self.token,
        }
    }

    /// Counts device time that it was served.
    pub(crate) fn charge(&self, cost: Duration) {
        let nanos = u64::try_from(cost.as_nanos()).unwrap_or(u64::MAX);
        self.busy.fetch_add(nanos, Ordering::Release);
    }

    /// Device time that it was served.
    pub(crate) fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy.load(Ordering::Acquire))
    }
}
