//! Who and what takes part: agents and devices come and go.

use super::event::LedgerEvent;
use super::reason::{RefuseReason, Rejection, WithdrawReason};
use super::state::{AgentState, DeviceState, State};
use crate::genesis::OPERATOR;
use crate::keys::PublicKey;
use daa_base::{AgentId, Bytes, DeviceId, OwnerId};

impl State {
    /// Registering the same device with the same capacity again changes nothing and is answered alike; its sponsor may
    /// give it another capacity that is not below what is leased.
    pub(super) fn register_device(
        &mut self,
        (agent, seq): (AgentId, u64),
        device: DeviceId,
        capacity: Bytes,
        events: &mut Vec<LedgerEvent>,
    ) -> Result<(), Rejection> {
        let sponsor = self.sponsor_for(agent, device.get())?;
        if capacity == Bytes::ZERO {
            return Err(Rejection::ZeroCapacity);
        }
        let limit = self.config().max_devices;
        let before = self
            .devices
            .get(&device)
            .map(|known| (known.capacity, known.used, known.sponsor));
        match before {
            Some((known, ..)) if known == capacity => {}
            Some((known, used, by)) => {
                if sponsor.is_none() || by != sponsor {
                    let capacity = known;
                    return Err(Rejection::DeviceExists { device, capacity });
                }
                if capacity < used {
                    return Err(Rejection::BelowLeases { device, used });
                }
                if let Some(known) = self.devices.get_mut(&device) {
                    known.capacity = capacity;
                }
            }
            None => {
                if let Some(sponsor) = sponsor {
                    self.check_sponsored_devices(sponsor)?;
                }
                if self.devices.len() >= limit as usize {
                    return Err(Rejection::DeviceLimit { limit });
                }
                self.devices.insert(device, DeviceState::new(capacity, sponsor));
            }
        }
        events.push(LedgerEvent::DeviceRegistered {
            agent,
            seq,
            device,
            capacity,
        });
        if before.is_some_and(|(known, ..)| capacity < known) {
            self.refuse_too_large(events);
        }
        self.allocate(events);
        Ok(())
    }

    /// Requests that no device can hold any more end.
    fn refuse_too_large(&mut self, events: &mut Vec<LedgerEvent>) {
        let too_large = self.queue.iter().filter_map(|(&arrival, waiting)| {
            let bytes = waiting.wanted.bytes;
            let capacity = self.largest_capacity(&waiting.wanted).ok()?;
            (bytes > capacity).then_some((arrival, RefuseReason::TooLarge { bytes, capacity }))
        });
        let refused: Vec<(u64, RefuseReason)> = too_large.collect();
        for (arrival, reason) in refused {
            if let Some(waiting) = self.drop_waiting(arrival) {
                let request = waiting.id;
                events.push(LedgerEvent::RequestRefused { request, reason });
            }
        }
        self.refuse_inadmissible(events);
    }

    /// Registering the same agent with the same key and owner again changes nothing and is answered alike.
    pub(super) fn register_agent(
        &mut self,
        (agent, seq): (AgentId, u64),
        new: AgentId,
        owner: OwnerId,
        key: PublicKey,
    ) -> Result<LedgerEvent, Rejection> {
        let sponsor = self.sponsor_for(agent, new.get())?;
        key.check().map_err(|_| Rejection::InvalidKey)?;
        let known = self.agents.get(&new);
        let next_seq = known.map(|known| known.next_seq);
        match known.filter(|known| known.active) {
            Some(known) if (known.owner, known.key) != (owner, key) => {
                return Err(Rejection::AgentExists { agent: new });
            }
            Some(_) => {}
            None => {
                if let Some(sponsor) = sponsor {
                    self.check_sponsored_agent(sponsor, new, (owner, key))?;
                }
                let limit = self.config().max_agents;
                if next_seq.is_none() && self.agents.len() >= limit as usize {
                    return Err(Rejection::AgentLimit { limit });
                }
                let state = AgentState {
                    next_seq: next_seq.unwrap_or(0),
                    sponsor,
                    ..AgentState::new(owner, key)
                };
                self.agents.insert(new, state);
            }
        }
        Ok(LedgerEvent::AgentRegistered {
            agent,
            seq,
            registered: new,
            owner,
        })
    }

    /// The agent's leases return to the pool, its requests and claims end, and none of its commands counts any more. So
    /// it is with all agents that it registered. Devices stay.
    pub(super) fn unregister_agent(
        &mut self,
        (agent, seq): (AgentId, u64),
        gone: AgentId,
        events: &mut Vec<LedgerEvent>,
    ) -> Result<(), Rejection> {
        if gone == OPERATOR {
            return Err(Rejection::OperatorStays);
        }
        self.may_unregister(agent, gone)?;
        if self.active(gone).is_none() {
            return Err(Rejection::NoSuchAgent { agent: gone });
        }
        events.push(LedgerEvent::AgentUnregistered {
            agent,
            seq,
            unregistered: gone,
        });
        self.drop_agent(gone, events);
        let theirs = self.agents.iter();
        let theirs = theirs.filter(|(_, state)| state.active && state.sponsor == Some(gone));
        for follower in theirs.map(|(&id, _)| id).collect::<Vec<_>>() {
            events.push(LedgerEvent::FollowerUnregistered {
                unregistered: follower,
                sponsor: gone,
            });
            self.drop_agent(follower, events);
        }
        Ok(())
    }

    fn drop_agent(&mut self, gone: AgentId, events: &mut Vec<LedgerEvent>) {
        if let Some(state) = self.agents.get_mut(&gone) {
            state.active = false;
            state.held.clear();
        }
        self.health.forget(gone);
        self.forget_credits(gone);
        let why = (&WithdrawReason::HolderUnregistered, &RefuseReason::Unregistered);
        self.strip(gone, why, events);
    }
}
