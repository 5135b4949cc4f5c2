//! The open tenants of one device epoch, for reports.

use super::Lease;
use crate::schedule::TenantLoad;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::collections::BTreeMap;

/// One entry per open tenant; the pool bounds how many there are.
#[derive(Debug, Default)]
pub(crate) struct Roll {
    open: Mutex<BTreeMap<u64, Arc<Lease>>>,
}

impl Roll {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Lease>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, lease: &Arc<Lease>) {
        self.lock().insert(lease.place, Arc::clone(lease));
    }

    pub(super) fn leave(&self, lease: &Lease) {
        self.lock().remove(&lease.place);
    }

    /// What each tenant had so far.
    pub(crate) fn loads(&self) -> Vec<TenantLoad> {
        self.lock()
            .values()
            .map(|lease| TenantLoad {
                id: lease.place,
                name: lease.name.clone(),
                token: lease.token,
                weight: lease.weight(),
                busy: lease.busy(),
            })
            .collect()
    }
}
