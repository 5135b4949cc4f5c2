//! Allocation policy 1, the rotating queue: who gets a device when not everybody can.

use super::state::{State, Waiting};
use crate::command::{RequestId, ResourceRequest};
use crate::ledger::event::{Lease, LedgerEvent};
use crate::ledger::reason::WaitReason;
use crate::policy;
use daa_base::{Bytes, DeviceId, Permille};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// A grant that the policy allows now.
struct Grant {
    arrival: u64,
    device: DeviceId,
    /// Requests that would be served before it if they fitted.
    ahead: BTreeSet<u64>,
}

impl State {
    /// Whether `device` could ever serve `wanted`.
    pub(super) fn is_candidate(&self, wanted: &ResourceRequest, device: DeviceId) -> bool {
        wanted.device.is_none_or(|only| only == device)
            && self
                .devices
                .get(&device)
                .is_some_and(|state| wanted.bytes <= state.capacity)
    }

    pub(super) fn candidates<'a>(
        &'a self,
        wanted: &'a ResourceRequest,
    ) -> impl Iterator<Item = DeviceId> + 'a {
        self.devices
            .keys()
            .copied()
            .filter(|&device| self.is_candidate(wanted, device))
    }

    /// Waiting requests in the order in which they are served: those overtaken often enough by arrival, then the
    /// others by priority and arrival.
    pub(super) fn service_order(&self) -> Vec<u64> {
        let limit = self.config().max_overtakes;
        let mut order: Vec<_> = self
            .queue
            .iter()
            .filter(|(_, waiting)| !waiting.on_hold)
            .map(|(&arrival, waiting)| {
                let patient = waiting.overtaken < limit;
                let rank = if patient {
                    u8::MAX - waiting.wanted.priority
                } else {
                    0
                };
                (patient, rank, arrival)
            })
            .collect();
        order.sort_unstable();
        order.into_iter().map(|(_, _, arrival)| arrival).collect()
    }

    /// The device with the most memory free among those that are open and have room; the first of equals.
    fn placement(&self, wanted: &ResourceRequest, shut: &BTreeSet<DeviceId>) -> Option<DeviceId> {
        self.candidates(wanted)
            .filter(|device| !shut.contains(device))
            .filter_map(|id| self.devices.get(&id).map(|device| (id, device)))
            .filter(|(_, device)| device.fits(wanted.bytes, wanted.share))
            .max_by_key(|&(id, device)| (device.free(), Reverse(id)))
            .map(|(id, _)| id)
    }

    fn next_grant(&self) -> Option<Grant> {
        let limit = self.config().max_overtakes;
        let (mut shut, mut ahead) = (BTreeSet::new(), BTreeSet::new());
        for arrival in self.service_order() {
            let Some(waiting) = self.queue.get(&arrival) else {
                continue;
            };
            if let Some(device) = self.placement(&waiting.wanted, &shut) {
                return Some(Grant {
                    arrival,
                    device,
                    ahead,
                });
            }
            if waiting.overtaken >= limit {
                shut.extend(self.candidates(&waiting.wanted));
            }
            ahead.insert(arrival);
        }
        None
    }

    /// Grants whatever the policy allows until nothing more fits; under policy 2, when the block ends.
    pub(super) fn allocate(&mut self, events: &mut Vec<LedgerEvent>) {
        if self.rules.is_fair() {
            self.desk.unsettled = true;
            return;
        }
        while let Some(grant) = self.next_grant() {
            let Some(waiting) = self.queue.remove(&grant.arrival) else {
                return;
            };
            self.count_overtaking(&grant);
            // The request leaves the queue and becomes a lease: the agent's open count stays.
            if let Some(lease) = self.start_lease((grant.arrival, &waiting), grant.device) {
                events.push(LedgerEvent::LeaseGranted(lease));
            }
        }
    }

    /// A grant overtakes whoever was ahead of it, by order or by arrival, and could have used the same device.
    fn count_overtaking(&mut self, grant: &Grant) {
        let overtaken: Vec<u64> = self
            .queue
            .iter()
            .filter(|&(arrival, other)| {
                (*arrival < grant.arrival || grant.ahead.contains(arrival))
                    && !other.on_hold
                    && self.is_candidate(&other.wanted, grant.device)
            })
            .map(|(&arrival, _)| arrival)
            .collect();
        for arrival in overtaken {
            if let Some(other) = self.queue.get_mut(&arrival) {
                other.overtaken += 1;
            }
        }
    }

    /// How many waiting requests that could use the same device are served before `arrival`, and what it waits for.
    pub(super) fn waiting_for(&self, arrival: u64) -> Option<(u32, WaitReason)> {
        let waiting = self.queue.get(&arrival)?;
        let limit = self.config().max_overtakes;
        let (mut ahead, mut reserved) = (0_u32, None);
        for other in self.service_order() {
            if other == arrival {
                break;
            }
            let Some(other) = self.queue.get(&other) else {
                continue;
            };
            if self
                .candidates(&waiting.wanted)
                .any(|device| self.is_candidate(&other.wanted, device))
            {
                ahead += 1;
                if other.overtaken >= limit && reserved.is_none() {
                    reserved = Some(other.id);
                }
            }
        }
        Some((ahead, self.wait_reason(&waiting.wanted, reserved)))
    }

    fn wait_reason(&self, wanted: &ResourceRequest, reserved: Option<RequestId>) -> WaitReason {
        let (mut free, mut share) = (Bytes::ZERO, None);
        for device in self.candidates(wanted).filter_map(|id| self.devices.get(&id)) {
            free = free.max(device.free());
            if wanted.bytes <= device.free() {
                share = share.max(Some(device.free_share()));
            }
        }
        match (share, reserved) {
            (Some(share), Some(behind)) if share >= wanted.share => WaitReason::Reserved { behind },
            (Some(free), _) => WaitReason::Compute {
                wanted: wanted.share,
                free: free.min(Permille::WHOLE),
            },
            (None, _) => WaitReason::Memory {
                wanted: wanted.bytes,
                free,
            },
        }
    }

    /// The waiting request for whose sake `lease` must end, if there is one.
    ///
    /// A lease stands in the way when a waiting request would fit if the lease alone ended, or when the lease is
    /// among the longest-held ones that together must end for the first waiting request to fit. The second rule
    /// keeps several small leases that renew in turn from starving a large request.
    pub(super) fn contender(&self, lease: &Lease) -> Option<RequestId> {
        if self.rules.is_fair() {
            return policy::contender(&self.policy_snapshot(), lease.id);
        }
        let order = self.service_order();
        let mut waiting = order
            .iter()
            .filter_map(|arrival| self.queue.get(arrival))
            .filter(|waiting| self.is_candidate(&waiting.wanted, lease.device))
            .peekable();
        let first = *waiting.peek()?;
        waiting
            .find(|waiting| self.fits_after(waiting, lease.device, |other| other.id == lease.id))
            .or_else(|| self.stands_in_the_way(first, lease).then_some(first))
            .map(|waiting| waiting.id)
    }

    fn fits_after(&self, waiting: &Waiting, device: DeviceId, ended: impl Fn(&Lease) -> bool) -> bool {
        let Some(state) = self.devices.get(&device) else {
            return false;
        };
        let mut state = state.clone();
        self.live_leases()
            .filter(|lease| lease.device == device && ended(lease))
            .for_each(|lease| state.vacate(lease));
        state.fits(waiting.wanted.bytes, waiting.wanted.share)
    }

    /// Lease numbers grow with grant time: the longest-held leases are those with the lowest numbers.
    fn stands_in_the_way(&self, first: &Waiting, lease: &Lease) -> bool {
        !self.fits_after(first, lease.device, |other| other.id < lease.id)
    }
}
