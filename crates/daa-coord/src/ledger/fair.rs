//! Allocation policy 2: the ledger's side of [`crate::policy`].
//!
//! Requests of one block are decided together when the block ends, so their order inside it does not count. An owner
//! without a quota may use nothing, unless no quota is set at all: then every owner has [`Quota::OPEN`].

use super::event::LedgerEvent;
use super::reason::{RefuseReason, WaitReason, WithdrawReason};
use super::state::{Granted, State, Waiting};
use crate::command::{RequestId, ResourceRequest};
use crate::policy::{self, Quota, Snapshot};
use daa_base::{AgentId, DeviceId, LeaseId, OwnerId, Permille};
use std::collections::{BTreeMap, BTreeSet};

/// Arrival numbers of block h begin at h · 2²⁴: more than a block can file, with all that it frees from being held.
const ARRIVALS_PER_BLOCK: u32 = 24;

/// The first arrival number of a block.
pub(super) const fn first_arrival(height: u64) -> u64 {
    height << ARRIVALS_PER_BLOCK
}

/// What waits for the end of the block in work. Empty between blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Desk {
    /// Whether anything happened that may let the policy grant more.
    pub(super) unsettled: bool,
    /// Arrivals of this block that nobody has heard about yet.
    pub(super) fresh: BTreeSet<u64>,
}

impl State {
    fn owner_of(&self, agent: AgentId) -> OwnerId {
        self.agents.get(&agent).map_or(OwnerId(0), |state| state.owner)
    }

    /// Devices and quotas alone.
    fn policy_frame(&self) -> Snapshot {
        let device = |(&id, state): (&DeviceId, &super::state::DeviceState)| {
            let device = policy::Device {
                capacity: state.capacity,
                share: Permille::WHOLE,
            };
            (id, device)
        };
        let owners: BTreeMap<OwnerId, Quota> = if self.rules.quotas.is_empty() {
            let all = self.agents.values().map(|agent| (agent.owner, Quota::OPEN));
            all.collect()
        } else {
            self.rules.quotas.clone()
        };
        Snapshot {
            devices: self.devices.iter().map(device).collect(),
            owners,
            ..Snapshot::default()
        }
    }

    /// Everything the policy looks at.
    pub(super) fn policy_snapshot(&self) -> Snapshot {
        let running = |(&id, granted): (&LeaseId, &Granted)| {
            let lease = &granted.lease;
            let running = policy::Running {
                owner: self.owner_of(lease.agent),
                request: lease.request,
                device: lease.device,
                bytes: lease.bytes,
                share: lease.share,
                priority: granted.priority,
            };
            (id, running)
        };
        let queue = self.queue.iter().filter(|(_, waiting)| !waiting.on_hold);
        Snapshot {
            leases: self.leases.iter().map(running).collect(),
            requests: queue
                .map(|(&arrival, waiting)| (waiting.id, self.policy_request(arrival, waiting)))
                .collect(),
            ..self.policy_frame()
        }
    }

    fn policy_request(&self, arrival: u64, waiting: &Waiting) -> policy::Waiting {
        policy::Waiting {
            owner: self.owner_of(waiting.id.agent),
            device: waiting.wanted.device,
            bytes: waiting.wanted.bytes,
            share: waiting.wanted.share,
            priority: waiting.wanted.priority,
            arrival: arrival >> ARRIVALS_PER_BLOCK,
            overdue: waiting.overtaken >= self.config().max_overtakes,
        }
    }

    /// Whether the quotas could ever allow the request.
    pub(super) fn check_quota(&self, agent: AgentId, wanted: &ResourceRequest) -> Result<(), RefuseReason> {
        if !self.rules.is_fair() {
            return Ok(());
        }
        let request = policy::Waiting {
            owner: self.owner_of(agent),
            device: wanted.device,
            bytes: wanted.bytes,
            share: wanted.share,
            priority: wanted.priority,
            arrival: 0,
            overdue: false,
        };
        policy::admissible(&self.policy_frame(), &request).map_err(|_| RefuseReason::Quota {
            owner: request.owner,
            bytes: request.bytes,
            share: request.share,
        })
    }

    /// Carries the policy out at the end of a block in which something changed.
    pub(super) fn settle(&mut self, events: &mut Vec<LedgerEvent>) {
        let desk = std::mem::take(&mut self.desk);
        if !self.rules.is_fair() || !desk.unsettled {
            return;
        }
        let plan = policy::plan(&self.policy_snapshot(), &self.rules.policy.rules);
        for preemption in &plan.preemptions {
            let Some(ended) = self.leases.get(&preemption.lease).cloned() else {
                continue;
            };
            if let Some(lease) = self.end_lease(preemption.lease) {
                let (request, rule) = (preemption.request, preemption.rule);
                let reason = WithdrawReason::Preempted { request, rule };
                events.push(LedgerEvent::LeaseWithdrawn { lease, reason });
                self.compensate(&ended, events);
            }
        }
        for grant in &plan.grants {
            self.grant_planned(grant.request, grant.device, events);
        }
        for arrival in desk.fresh {
            let Some(waiting) = self.queue.get(&arrival) else {
                continue;
            };
            let why = plan.waiting.get(&waiting.id);
            let why = why.map_or(WaitReason::OnHold, |&why| WaitReason::Policy { why });
            events.push(LedgerEvent::RequestQueued {
                request: waiting.id,
                ahead: self.rivals_before(arrival, waiting),
                why,
            });
        }
    }

    fn grant_planned(&mut self, request: RequestId, device: DeviceId, events: &mut Vec<LedgerEvent>) {
        let Some(arrival) = self.arrival_of(request) else {
            return;
        };
        let Some(waiting) = self.queue.get(&arrival).cloned() else {
            return;
        };
        let room = self.devices.get(&device);
        if !room.is_some_and(|room| room.fits(waiting.wanted.bytes, waiting.wanted.share)) {
            return;
        }
        self.queue.remove(&arrival);
        if let Some(lease) = self.start_lease((arrival, &waiting), device) {
            events.push(LedgerEvent::LeaseGranted(lease));
        }
        self.count_passed_over(arrival, device);
    }

    /// A grant passes over what came in an earlier block and could have used the same device.
    fn count_passed_over(&mut self, arrival: u64, device: DeviceId) {
        let limit = self.config().max_overtakes;
        let block = arrival >> ARRIVALS_PER_BLOCK;
        let passed: Vec<u64> = self
            .queue
            .iter()
            .take_while(|(other, _)| *other >> ARRIVALS_PER_BLOCK < block)
            .filter(|(_, other)| other.overtaken < limit && self.is_candidate(&other.wanted, device))
            .map(|(&other, _)| other)
            .collect();
        for other in passed {
            if let Some(other) = self.queue.get_mut(&other) {
                other.overtaken += 1;
            }
        }
    }

    /// Earlier requests that could use the same device.
    fn rivals_before(&self, arrival: u64, waiting: &Waiting) -> u32 {
        let earlier = self.queue.iter().take_while(|(other, _)| **other < arrival);
        let rivals = earlier.filter(|(_, other)| {
            self.candidates(&waiting.wanted)
                .any(|device| self.is_candidate(&other.wanted, device))
        });
        u32::try_from(rivals.count()).unwrap_or(u32::MAX)
    }
}
