//! The leases behind a coordinator's allocations.

use super::{AutonomousResourceCoordinator, DynamicPriority, DynamicResourceAllocation};
use crate::elsewhere::elsewhere;
use crate::error::{DAAError, DAAResult};
use crate::gpu::ledger::{Grant, Member, ResourceLedger, Wish};
use crate::records::Task;
use daa_base::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longest wait in the line of a shared ledger, unless the coordinator says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a coordinator leases, and what it holds.
#[derive(Debug, Default)]
pub(super) struct Leases {
    shared: Option<ResourceLedger>,
    member: Option<Arc<Member>>,
    patience: Duration,
    held: Held,
}

/// The leases of the allocations, by identifier.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    grants: Arc<Mutex<BTreeMap<String, Grant>>>,
}

impl Held {
    fn take(&self, allocation_id: &str) -> Option<Grant> {
        let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        grants.remove(allocation_id)
    }

    /// Gives the lease back without waiting for the log's answer.
    pub(super) fn leave(&self, allocation_id: &str) {
        drop(self.take(allocation_id));
    }
}

impl Leases {
    pub(super) fn held(&self) -> Held {
        self.held.clone()
    }

    /// Gives the lease back and waits for the log's answer.
    pub(super) async fn give_back(&self, allocation_id: &str) -> DAAResult<()> {
        match self.held.take(allocation_id) {
            None => Ok(()),
            Some(grant) => elsewhere("daa-release", move |_| grant.give_back()).await?,
        }
    }
}

impl AutonomousResourceCoordinator {
    /// A coordinator that leases from a shared ledger, up to so many MiB and all of its compute units.
    #[must_use]
    pub fn on_ledger(agent_id: String, memory_mb: u64, ledger: &ResourceLedger) -> Self {
        let (_, compute_units) = ledger.capacity();
        Self::with_capacity(agent_id, memory_mb, compute_units).sharing(ledger.clone())
    }

    pub(in crate::gpu) fn sharing(mut self, ledger: ResourceLedger) -> Self {
        self.compute_units = ledger.capacity().1;
        self.leases.shared = Some(ledger);
        self.leases.patience = PATIENCE;
        self
    }

    /// Sets how long a task waits in line while others hold what it needs; none refuses it at once. 30 seconds on a
    /// shared ledger, none on the coordinator's own.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.leases.patience = patience;
        self
    }

    /// Leases what `allocation` says. Only a caller that keeps waiting gets it.
    pub(super) async fn lease(
        &mut self,
        allocation: &DynamicResourceAllocation,
        task: &Task,
    ) -> DAAResult<()> {
        let wish = Wish {
            memory_mb: allocation.allocated_memory_mb,
            compute_units: allocation.compute_units,
            priority: match allocation.priority {
                DynamicPriority::Low => 0,
                DynamicPriority::Medium => 1,
                DynamicPriority::High => 2,
                DynamicPriority::Critical => 3,
            },
            deadline: task
                .deadline
                .map(|deadline| Timestamp(u64::try_from(deadline.timestamp_millis()).unwrap_or(0))),
            purpose: format!("task {}", task.id),
            patience: self.leases.patience,
        };
        let (member, shared) = (self.leases.member.clone(), self.leases.shared.clone());
        let (memory_mb, compute_units) = (self.memory_mb, self.compute_units);
        let (member, grant) = elsewhere("daa-lease", move |leave| {
            let member = match (member, shared) {
                (Some(member), _) => member,
                (None, Some(ledger)) => ledger.join()?,
                (None, None) => ResourceLedger::start(memory_mb, compute_units)?.join()?,
            };
            let grant = member.acquire(&wish, leave);
            Ok::<_, DAAError>((member, grant))
        })
        .await??;
        self.leases.member = Some(member);
        let mut grants = self
            .leases
            .held
            .grants
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        grants.insert(allocation.allocation_id.clone(), grant?);
        Ok(())
    }
}
