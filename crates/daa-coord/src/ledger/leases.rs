//! Requests and leases: entry into the queue, renewal, return, expiry.

use super::dispatch::operator_only;
use super::state::{State, Waiting};
use crate::command::{OperatorVerdict, RequestId, ResourceRequest};
use crate::consensus::planted::{Bug, is_planted};
use crate::ledger::event::{Lease, LedgerEvent};
use crate::ledger::reason::{RefuseReason, Rejection, RenewRefusal, WaitReason};
use crate::text::ShortText;
use daa_base::{AgentId, Bytes, FencingToken, LeaseId, Millis, Timestamp};

impl State {
    /// Takes a request in: it is refused at once, granted at once, or waits.
    pub(super) fn request(&mut self, id: RequestId, wanted: ResourceRequest, events: &mut Vec<LedgerEvent>) {
        if let Err(reason) = self.check_request(id.agent, &wanted) {
            events.push(LedgerEvent::RequestRefused { request: id, reason });
            return;
        }
        let arrival = self.arrival_for(id.agent, wanted.bytes, wanted.share);
        let waiting = Waiting {
            id,
            wanted,
            overtaken: 0,
            on_hold: false,
        };
        self.queue.insert(arrival, waiting);
        self.count_open(id.agent, true);
        self.allocate(events);
        if self.rules.is_fair() {
            // Answered when the block ends.
            self.desk.fresh.insert(arrival);
            return;
        }
        if let Some((ahead, why)) = self.waiting_for(arrival) {
            events.push(LedgerEvent::RequestQueued {
                request: id,
                ahead,
                why,
            });
        }
    }

    fn check_request(&self, agent: AgentId, wanted: &ResourceRequest) -> Result<(), RefuseReason> {
        let config = self.config();
        if self.health.gone.contains_key(&agent) {
            return Err(RefuseReason::AgentGone);
        }
        if wanted.bytes == Bytes::ZERO {
            return Err(RefuseReason::ZeroBytes);
        }
        if wanted.share.get() == 0 {
            return Err(RefuseReason::ZeroShare);
        }
        if !hold_allowed(wanted.hold, config.max_hold) {
            return Err(RefuseReason::HoldOutOfRange {
                hold: wanted.hold,
                max: config.max_hold,
            });
        }
        let capacity = self.largest_capacity(wanted)?;
        if wanted.bytes > capacity {
            return Err(RefuseReason::TooLarge {
                bytes: wanted.bytes,
                capacity,
            });
        }
        self.check_quota(agent, wanted)?;
        if let Some(deadline) = wanted.deadline.filter(|&deadline| deadline < self.time) {
            return Err(RefuseReason::DeadlinePassed { deadline });
        }
        if self.queue.len() + self.leases.len() >= config.max_open as usize {
            return Err(RefuseReason::LedgerFull {
                limit: config.max_open,
            });
        }
        let open = self.agents.get(&agent).map_or(0, |agent| agent.open);
        if open >= config.max_open_per_agent {
            return Err(RefuseReason::AgentFull {
                limit: config.max_open_per_agent,
            });
        }
        Ok(())
    }

    pub(super) fn largest_capacity(&self, wanted: &ResourceRequest) -> Result<Bytes, RefuseReason> {
        match wanted.device {
            Some(device) => self
                .devices
                .get(&device)
                .map(|state| state.capacity)
                .ok_or(RefuseReason::UnknownDevice { device }),
            None => self
                .devices
                .values()
                .map(|state| state.capacity)
                .max()
                .ok_or(RefuseReason::NoDevice),
        }
    }

    pub(super) fn cancel(
        &mut self,
        agent: AgentId,
        seq: u64,
        request: RequestId,
        events: &mut Vec<LedgerEvent>,
    ) -> Result<(), Rejection> {
        let arrival = Some(request)
            .filter(|request| request.agent == agent)
            .and_then(|request| self.arrival_of(request))
            .ok_or(Rejection::NoSuchRequest { request })?;
        self.drop_waiting(arrival);
        if self.desk.fresh.remove(&arrival) {
            let (ahead, why) = (0, WaitReason::Undecided);
            events.push(LedgerEvent::RequestQueued { request, ahead, why });
        }
        events.push(LedgerEvent::RequestCancelled { request, seq });
        // Devices may have been kept free for the request that left.
        self.allocate(events);
        Ok(())
    }

    fn own_lease(&self, agent: AgentId, id: LeaseId, token: FencingToken) -> Result<&Lease, Rejection> {
        let lease = self.leases.get(&id).ok_or(Rejection::NoSuchLease { lease: id })?;
        let lease = &lease.lease;
        if lease.agent != agent {
            return Err(Rejection::NotHolder { lease: id });
        }
        if lease.token != token {
            return Err(Rejection::WrongToken { token: lease.token });
        }
        Ok(lease)
    }

    pub(super) fn renew(
        &mut self,
        (agent, seq): (AgentId, u64),
        id: LeaseId,
        token: FencingToken,
        hold: Millis,
    ) -> Result<LedgerEvent, Rejection> {
        let lease = self.own_lease(agent, id, token)?;
        let max = self.config().max_hold;
        if !hold_allowed(hold, max) {
            return Err(Rejection::HoldOutOfRange { hold, max });
        }
        if let Some(request) = self.contender(lease) {
            return Ok(LedgerEvent::RenewRefused {
                lease: id,
                agent,
                seq,
                reason: RenewRefusal::Contended { request },
                until: lease.expires,
            });
        }
        let until = lease.expires.max(self.time.after(hold));
        if let Some(granted) = self.leases.get_mut(&id) {
            granted.lease.expires = until;
        }
        Ok(LedgerEvent::LeaseRenewed {
            lease: id,
            agent,
            seq,
            until,
        })
    }

    pub(super) fn release(
        &mut self,
        (agent, seq): (AgentId, u64),
        id: LeaseId,
        token: FencingToken,
        events: &mut Vec<LedgerEvent>,
    ) -> Result<(), Rejection> {
        self.own_lease(agent, id, token)?;
        if let Some(lease) = self.end_lease(id) {
            events.push(LedgerEvent::LeaseReleased { lease, seq });
        }
        self.allocate(events);
        Ok(())
    }

    pub(super) fn revoke(
        &mut self,
        seq: u64,
        id: LeaseId,
        reason: ShortText,
        events: &mut Vec<LedgerEvent>,
    ) -> Result<(), Rejection> {
        let lease = self.end_lease(id).ok_or(Rejection::NoSuchLease { lease: id })?;
        events.push(LedgerEvent::LeaseRevoked { lease, seq, reason });
        self.allocate(events);
        Ok(())
    }

    /// What the operator decides about a waiting request.
    pub(super) fn decide_request(
        &mut self,
        (agent, seq): (AgentId, u64),
        request: RequestId,
        (verdict, reason): (OperatorVerdict, ShortText),
        events: &mut Vec<LedgerEvent>,
    ) -> Result<(), Rejection> {
        operator_only(agent)?;
        let arrival = self.arrival_of(request);
        let arrival = arrival.ok_or(Rejection::NoSuchRequest { request })?;
        events.push(LedgerEvent::RequestDecided {
            agent,
            seq,
            request,
            verdict,
            reason: reason.clone(),
        });
        if verdict == OperatorVerdict::Refuse {
            self.drop_waiting(arrival);
            let reason = RefuseReason::ByOperator { reason };
            events.push(LedgerEvent::RequestRefused { request, reason });
        } else if let Some(waiting) = self.queue.get_mut(&arrival) {
            waiting.on_hold = verdict == OperatorVerdict::Hold;
        }
        self.allocate(events);
        Ok(())
    }

    /// The earliest agreed time at which a block would end something by itself.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let leases = self.live_leases().map(|lease| lease.expires);
        // A request may still be granted at its deadline itself.
        let requests = self.queue.values().filter_map(|waiting| {
            let deadline = waiting.wanted.deadline?;
            deadline.get().checked_add(1).map(Timestamp)
        });
        let claims = self.trials.claims.values().map(|claim| claim.until);
        leases.chain(requests).chain(claims).min()
    }

    /// Ends what the agreed time has ended: leases first, then requests past their deadline; then grants what fits.
    pub(super) fn expire(&mut self, events: &mut Vec<LedgerEvent>) {
        let now = self.time;
        let over: Vec<LeaseId> = self
            .live_leases()
            .filter(|lease| !lease.is_live(now) && !is_planted(Bug::ExpiredLease))
            .map(|lease| lease.id)
            .collect();
        let late: Vec<u64> = self
            .queue
            .iter()
            .filter(|(_, waiting)| waiting.wanted.deadline.is_some_and(|deadline| deadline < now))
            .map(|(&arrival, _)| arrival)
            .collect();
        if over.is_empty() && late.is_empty() {
            return;
        }
        for id in over {
            if let Some(lease) = self.end_lease(id) {
                events.push(LedgerEvent::LeaseExpired { lease });
            }
        }
        for arrival in late {
            let Some(waiting) = self.drop_waiting(arrival) else {
                continue;
            };
            if let Some(deadline) = waiting.wanted.deadline {
                events.push(LedgerEvent::RequestRefused {
                    request: waiting.id,
                    reason: RefuseReason::DeadlinePassed { deadline },
                });
            }
        }
        self.allocate(events);
    }
}

fn hold_allowed(hold: Millis, max: Millis) -> bool {
    (1..=max.get()).contains(&hold.get())
}
