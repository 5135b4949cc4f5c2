//! Contracts: what two agents signed, or the mediator divided for them, moved between their leases.
//!
//! What is divided is exactly what the two hold on the device: at most one lease each. Who holds none and gets something
//! is granted its first waiting request for that device in the agreed size. Nobody else is touched: at no later
//! moment do the two together hold more memory or compute than they would have held without the contract, so no
//! contract prolongs what others wait for. That each is content with its part is what its signature says; the policy shares
//! in the charter must be what the ledger finds, so neither was misled about what it would have had.
//!
//! A session counts once. Its number is remembered until its charter expires, after which nobody accepts it any more.

use super::dispatch::operator_only;
use super::event::LedgerEvent;
use super::reason::{Rejection, WithdrawReason};
use super::signatures::Verdicts;
use super::state::State;
use crate::command::{Plea, RequestId};
use crate::conflict;
use crate::negotiate::{Bundle, Charter, Contract, Party, Side};
use crate::text::ShortText;
use daa_base::{AgentId, Bytes, LeaseId, Millis, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Longest time from a contract's record to its charter's expiry: sessions must be remembered until then.
const MAX_AHEAD: Millis = Millis(86_400_000);

/// Sessions that are remembered in all, and of one pair of agents.
const MAX_SESSIONS: usize = 4096;
const MAX_OF_PAIR: usize = 64;

/// Sessions that ended in a contract.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Contracts {
    /// By the smaller agent, the larger one and the session: when the charter expires.
    done: BTreeMap<(AgentId, AgentId, u64), Timestamp>,
}

impl Contracts {
    pub(super) fn is_sound(&self) -> bool {
        self.done.len() <= MAX_SESSIONS
    }
}

/// What a party has on the device.
#[derive(Debug, Clone, Copy, Default)]
struct Holding {
    lease: Option<LeaseId>,
    bytes: Bytes,
    share: u16,
    priority: u8,
    expires: Timestamp,
}

impl State {
    /// Forgets sessions whose charters have expired.
    pub(super) fn prune_contracts(&mut self) {
        let now = self.time;
        if self.contracts.done.values().any(|expires| *expires <= now) {
            self.contracts.done.retain(|_, expires| *expires > now);
        }
    }

    pub(super) fn hear_contract(
        &mut self,
        verdicts: &Verdicts<'_>,
        who: (AgentId, u64),
        contract: &Contract,
        events: &mut Vec<LedgerEvent>,
    ) -> Result<(), Rejection> {
        let checked = contract.verify(verdicts.scheme(), verdicts.chain(), self.time);
        checked.map_err(|error| Rejection::BadContract {
            reason: ShortText::fitted(&error.to_string()),
        })?;
        let parts = [contract.part(Side::First), contract.part(Side::Second)];
        let event = LedgerEvent::ContractCarriedOut {
            agent: who.0,
            seq: who.1,
            parties: contract.charter.parties.map(|party| party.agent),
            parts,
            mediated: None,
        };
        self.carry_out_terms(&contract.charter, parts, event, events)
    }

    /// The mediator divides for two agents that both asked it to.
    pub(super) fn mediate(
        &mut self,
        verdicts: &Verdicts<'_>,
        who: (AgentId, u64),
        plea: &Plea,
        events: &mut Vec<LedgerEvent>,
    ) -> Result<(), Rejection> {
        let charter = &plea.charter;
        let fault = |text: &str| Rejection::BadContract {
            reason: ShortText::fitted(text),
        };
        charter.check().map_err(|error| fault(&error.to_string()))?;
        if charter.chain != verdicts.chain() || self.time >= charter.expires {
            return Err(fault("it is for another chain or has expired"));
        }
        if !verdicts.vouch_for_plea(plea) {
            return Err(fault("a signature does not hold"));
        }
        let bases = charter.parties.map(|party| party.base);
        let mediation = conflict::mediate(charter.pie, bases, plea.weights);
        let parts = [Side::First, Side::Second].map(|side| charter.part(mediation.first, side));
        let event = LedgerEvent::ContractCarriedOut {
            agent: who.0,
            seq: who.1,
            parties: charter.parties.map(|party| party.agent),
            parts,
            mediated: Some(mediation.rule),
        };
        self.carry_out_terms(charter, parts, event, events)
    }

    fn carry_out_terms(
        &mut self,
        charter: &Charter,
        parts: [Bundle; 2],
        event: LedgerEvent,
        events: &mut Vec<LedgerEvent>,
    ) -> Result<(), Rejection> {
        let session = self.check_session(charter)?;
        let holdings = [
            self.holding(charter, Side::First)?,
            self.holding(charter, Side::Second)?,
        ];
        check_pie(charter, holdings)?;
        check_profile(self.time, holdings, parts)?;
        let mut requests = [None; 2];
        for (side, request) in requests.iter_mut().enumerate() {
            let party = &charter.parties[side];
            if holdings[side].lease.is_none() && !is_nothing(parts[side]) {
                let waiting = self.first_waiting(charter, party);
                *request = Some(waiting.ok_or(Rejection::NothingToGrow { agent: party.agent })?);
            }
        }
        self.contracts.done.insert(session, charter.expires);
        events.push(event);
        // What shrinks first: there is room for the rest then.
        for side in 0..2 {
            if let Some(lease) = holdings[side].lease {
                self.vacate_for_contract(lease, parts[side], events);
            }
        }
        for side in 0..2 {
            match (holdings[side].lease, requests[side]) {
                (Some(lease), _) if !is_nothing(parts[side]) => self.resize(lease, parts[side], events),
                (None, Some(arrival)) => self.grant_agreed(arrival, charter, parts[side], events),
                _ => {}
            }
        }
        self.allocate(events);
        Ok(())
    }

    fn check_session(&self, charter: &Charter) -> Result<(AgentId, AgentId, u64), Rejection> {
        for party in &charter.parties {
            if self
                .active(party.agent)
                .is_none_or(|agent| agent.key != party.key)
                || self.health.gone.contains_key(&party.agent)
            {
                return Err(Rejection::ContractParty { agent: party.agent });
            }
        }
        if charter.expires > self.time.after(MAX_AHEAD) {
            return Err(Rejection::CharterTooLong {
                expires: charter.expires,
                max: self.time.after(MAX_AHEAD),
            });
        }
        let [a, b] = charter.parties.map(|party| party.agent);
        let key = (a.min(b), a.max(b), charter.session);
        if self.contracts.done.contains_key(&key) {
            return Err(Rejection::SessionOver {
                session: charter.session,
            });
        }
        let pair = self
            .contracts
            .done
            .keys()
            .filter(|(x, y, _)| (*x, *y) == (key.0, key.1));
        if self.contracts.done.len() >= MAX_SESSIONS || pair.count() >= MAX_OF_PAIR {
            return Err(Rejection::SessionLimit);
        }
        Ok(key)
    }

    fn holding(&self, charter: &Charter, side: Side) -> Result<Holding, Rejection> {
        let party = charter.party(side);
        let own = |granted: &&super::state::Granted| {
            (granted.lease.agent, granted.lease.device) == (party.agent, charter.device)
        };
        let mut leases = self.leases.values().filter(own);
        let holding = leases.next().map_or_else(Holding::default, |granted| Holding {
            lease: Some(granted.lease.id),
            bytes: granted.lease.bytes,
            share: granted.lease.share.get(),
            priority: granted.priority,
            expires: granted.lease.expires,
        });
        let truthful = (party.base.bytes, party.base.share.get()) == (holding.bytes, holding.share);
        if leases.next().is_some() || !truthful {
            return Err(Rejection::HoldingDiffers {
                agent: party.agent,
                bytes: holding.bytes,
            });
        }
        Ok(holding)
    }

    fn first_waiting(&self, charter: &Charter, party: &Party) -> Option<u64> {
        let fits = |waiting: &super::state::Waiting| {
            waiting.id.agent == party.agent
                && !waiting.on_hold
                && waiting
                    .wanted
                    .device
                    .is_none_or(|device| device == charter.device)
        };
        let mut queue = self.queue.iter();
        queue
            .find(|(_, waiting)| fits(waiting))
            .map(|(&arrival, _)| arrival)
    }

    /// Ends a lease that is given away whole, and gives the device back what another one held.
    fn vacate_for_contract(&mut self, id: LeaseId, part: Bundle, events: &mut Vec<LedgerEvent>) {
        if is_nothing(part) {
            if let Some(lease) = self.end_lease(id) {
                let reason = WithdrawReason::GivenAway;
                events.push(LedgerEvent::LeaseWithdrawn { lease, reason });
            }
        } else if let Some(lease) = self.leases.get(&id).map(|granted| granted.lease.clone())
            && let Some(device) = self.devices.get_mut(&lease.device)
        {
            device.vacate(&lease);
        }
    }

    fn resize(&mut self, id: LeaseId, part: Bundle, events: &mut Vec<LedgerEvent>) {
        let expires = self.time.after(part.time);
        let Some(granted) = self.leases.get_mut(&id) else {
            return;
        };
        let before = granted.lease.clone();
        let Some(device) = self.devices.get_mut(&before.device) else {
            return;
        };
        granted.lease.bytes = part.bytes;
        granted.lease.share = part.share;
        granted.lease.expires = expires;
        granted.lease.token = device.occupy(part.bytes, part.share);
        granted.priority = part.priority;
        events.push(LedgerEvent::LeaseChanged {
            lease: granted.lease.clone(),
            before,
        });
    }

    fn grant_agreed(&mut self, arrival: u64, charter: &Charter, part: Bundle, events: &mut Vec<LedgerEvent>) {
        let Some(mut waiting) = self.queue.remove(&arrival) else {
            return;
        };
        waiting.wanted.bytes = part.bytes;
        waiting.wanted.share = part.share;
        waiting.wanted.hold = part.time;
        waiting.wanted.priority = part.priority;
        self.desk.fresh.remove(&arrival);
        if let Some(lease) = self.start_lease((arrival, &waiting), charter.device) {
            events.push(LedgerEvent::LeaseGranted(lease));
        }
    }

    /// An agent puts a step of a conflict about its own waiting request on record; the operator may for any.
    pub(super) fn record_conflict(
        &self,
        (agent, seq): (AgentId, u64),
        request: RequestId,
        record: conflict::Record,
    ) -> Result<LedgerEvent, Rejection> {
        if request.agent != agent {
            operator_only(agent)?;
        }
        if self.arrival_of(request).is_none() {
            return Err(Rejection::NoSuchRequest { request });
        }
        Ok(LedgerEvent::ConflictRecorded {
            agent,
            seq,
            request,
            record,
        })
    }
}

fn is_nothing(part: Bundle) -> bool {
    part.bytes == Bytes::ZERO || part.share.get() == 0 || part.time.get() == 0
}

/// What is divided is what the two hold, no more and no less; priority may be less.
fn check_pie(charter: &Charter, [first, second]: [Holding; 2]) -> Result<(), Rejection> {
    let pie = charter.pie;
    let bytes = u128::from(first.bytes.get()) + u128::from(second.bytes.get());
    let share = first.share + second.share;
    let priority = u16::from(first.priority) + u16::from(second.priority);
    let exact = u128::from(pie.bytes.get()) == bytes && pie.share.get() == share;
    if exact && bytes > 0 && u16::from(pie.priority) <= priority {
        Ok(())
    } else {
        Err(Rejection::PieDiffers { bytes: pie.bytes })
    }
}

/// At no moment from now on do both together hold more than they would have held.
fn check_profile(now: Timestamp, holdings: [Holding; 2], parts: [Bundle; 2]) -> Result<(), Rejection> {
    // What is held only falls, and without the contract only at these moments.
    let moments = holdings.iter().map(|held| held.expires).filter(|&at| at > now);
    for at in std::iter::once(now).chain(moments) {
        let (mut bytes, mut share) = (0_u128, 0_u32);
        let (mut most_bytes, mut most_share) = (0_u128, 0_u32);
        for held in holdings.iter().filter(|held| held.expires > at) {
            most_bytes += u128::from(held.bytes.get());
            most_share += u32::from(held.share);
        }
        for part in parts
            .iter()
            .filter(|part| !is_nothing(**part) && now.after(part.time) > at)
        {
            bytes += u128::from(part.bytes.get());
            share += u32::from(part.share.get());
        }
        if bytes > most_bytes || share > most_share {
            return Err(Rejection::ContractTooLong { at });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
