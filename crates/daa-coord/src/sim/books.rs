//! A second account of requests and leases, kept from the ledger's events alone.
//!
//! It shares no code with the ledger: who believes both must find them agreeing.

use crate::command::RequestId;
use crate::genesis::OPERATOR;
use crate::ledger::{Lease, LedgerEvent};
use daa_base::{AgentId, DeviceId, LeaseId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Copy)]
struct Device {
    capacity: u64,
    used: u64,
    share: u64,
    token: u64,
}

/// The account after some height.
#[derive(Debug, Default)]
pub(super) struct Books {
    devices: BTreeMap<DeviceId, Device>,
    live: BTreeMap<LeaseId, Lease>,
    ended_leases: BTreeSet<LeaseId>,
    ended_requests: BTreeMap<RequestId, bool>,
    queued: BTreeSet<RequestId>,
    answered: BTreeMap<AgentId, u64>,
    pub(super) granted: u64,
}

/// What the account says is wrong.
type Wrong = Result<(), String>;

fn require(holds: bool, what: impl FnOnce() -> String) -> Wrong {
    if holds { Ok(()) } else { Err(what()) }
}

impl Books {
    /// Enters the events of one block that happened at `time`; `audit` sees each before it is entered.
    pub(super) fn enter(
        &mut self,
        time: Timestamp,
        events: &[LedgerEvent],
        audit: &mut dyn FnMut(&Self, &LedgerEvent) -> Wrong,
    ) -> Wrong {
        for event in events {
            audit(self, event)?;
            self.enter_one(time, event)?;
        }
        for lease in self.live.values() {
            require(lease.expires > time, || {
                format!(
                    "{} ran out at {:?} and is honoured at {time:?}",
                    lease.id, lease.expires
                )
            })?;
        }
        for (id, device) in &self.devices {
            let Device {
                capacity,
                used,
                share,
                ..
            } = *device;
            require(used <= capacity && share <= 1000, || {
                format!("{id} has leases over {used} of {capacity} bytes and {share} of 1000")
            })?;
        }
        Ok(())
    }

    fn enter_one(&mut self, time: Timestamp, event: &LedgerEvent) -> Wrong {
        if let Some((agent, seq)) = event.answers() {
            self.answer(agent, seq, event)?;
        }
        if let Some(request) = event.ends_request() {
            let granted = matches!(event, LedgerEvent::LeaseGranted(_));
            self.queued.remove(&request);
            require(self.ended_requests.insert(request, granted).is_none(), || {
                format!("{request} ended twice")
            })?;
        }
        if let Some(lease) = event.ends_lease() {
            self.end(lease)?;
        }
        match event {
            LedgerEvent::DeviceRegistered { device, capacity, .. } => {
                let capacity = capacity.get();
                self.devices.entry(*device).or_insert(Device {
                    capacity,
                    used: 0,
                    share: 0,
                    token: 0,
                });
            }
            LedgerEvent::RequestQueued { request, .. } => {
                self.queued.insert(*request);
            }
            LedgerEvent::LeaseGranted(lease) => self.grant(time, lease)?,
            LedgerEvent::LeaseRenewed { lease, until, .. } => {
                let known = self.live.get_mut(lease);
                let known = known.ok_or_else(|| format!("{lease} was prolonged but is not live"))?;
                require(*until >= known.expires, || format!("{lease} became shorter"))?;
                known.expires = *until;
            }
            LedgerEvent::LeaseChanged { lease, before } => self.change(lease, before)?,
            _ => {}
        }
        Ok(())
    }

    /// Commands are answered in the order of their numbers; a request that waited has a second answer.
    fn answer(&mut self, agent: AgentId, seq: u64, event: &LedgerEvent) -> Wrong {
        let late = event.ends_request().is_some_and(|request| {
            (request.agent, request.seq) == (agent, seq) && self.queued.contains(&request)
        });
        let evicted = matches!(event, LedgerEvent::LeaseRevoked { .. }) && agent != OPERATOR;
        if late || evicted {
            return Ok(());
        }
        let next = self.answered.entry(agent).or_insert(0);
        require(seq == *next, || {
            format!("command {seq} of {agent} is answered, expected is {next}")
        })?;
        *next += 1;
        Ok(())
    }

    fn grant(&mut self, time: Timestamp, lease: &Lease) -> Wrong {
        self.granted += 1;
        let (id, token) = (lease.id, lease.token.get());
        let device = self.devices.get_mut(&lease.device);
        let device = device.ok_or_else(|| format!("{id} is of an unknown device"))?;
        require(token > device.token, || {
            format!("{id} has token {token} after {}", device.token)
        })?;
        require(lease.granted == time && lease.expires > time, || {
            format!(
                "{id} is granted at {:?} until {:?}, at {time:?}",
                lease.granted, lease.expires
            )
        })?;
        device.token = token;
        device.used += lease.bytes.get();
        device.share += u64::from(lease.share.get());
        let new = self.live.insert(id, lease.clone()).is_none() && !self.ended_leases.contains(&id);
        require(new, || format!("{id} was granted twice"))
    }

    /// A lease becomes another by contract: the same place, new amounts, a new token.
    fn change(&mut self, lease: &Lease, before: &Lease) -> Wrong {
        let id = lease.id;
        let known = self.live.insert(id, lease.clone());
        require(known.as_ref() == Some(before), || {
            format!("{id} was changed and had not been what it is said to have been")
        })?;
        let same =
            (lease.agent, lease.device, lease.request) == (before.agent, before.device, before.request);
        require(same, || format!("{id} became the lease of another"))?;
        let device = self.devices.get_mut(&lease.device);
        let device = device.ok_or_else(|| format!("{id} is of an unknown device"))?;
        require(lease.token.get() > device.token, || {
            format!("{id} keeps its token {}", lease.token.get())
        })?;
        device.token = lease.token.get();
        device.used = (device.used + lease.bytes.get()).saturating_sub(before.bytes.get());
        let share = device.share + u64::from(lease.share.get());
        device.share = share.saturating_sub(u64::from(before.share.get()));
        Ok(())
    }

    /// What `agent` holds on `device`, if that is one lease at most.
    pub(super) fn held(&self, agent: AgentId, device: DeviceId) -> Option<Option<&Lease>> {
        let mut own = self
            .live
            .values()
            .filter(|lease| (lease.agent, lease.device) == (agent, device));
        let first = own.next();
        own.next().is_none().then_some(first)
    }

    fn end(&mut self, lease: &Lease) -> Wrong {
        let id = lease.id;
        let known = self.live.remove(&id);
        require(self.ended_leases.insert(id), || format!("{id} ended twice"))?;
        let known = known.ok_or_else(|| format!("{id} ended and was not live"))?;
        require(
            (known.bytes, known.share, known.token) == (lease.bytes, lease.share, lease.token),
            || format!("{id} ended as another than it was"),
        )?;
        if let Some(device) = self.devices.get_mut(&lease.device) {
            device.used = device.used.saturating_sub(known.bytes.get());
            device.share = device.share.saturating_sub(u64::from(known.share.get()));
        }
        Ok(())
    }

    /// At the end of a run that was drained: nothing waits, nothing is leased, and so many requests ended once each.
    pub(super) fn settle(&self, requests: u64) -> Wrong {
        require(self.queued.is_empty() && self.live.is_empty(), || {
            format!(
                "{} requests wait, {} leases are live",
                self.queued.len(),
                self.live.len()
            )
        })?;
        let ended = self.ended_requests.len() as u64;
        require(ended == requests, || {
            format!("{requests} requests were made, {ended} ended")
        })?;
        let granted = self.ended_requests.values().filter(|&&granted| granted).count();
        require(granted == self.ended_leases.len(), || {
            format!(
                "{granted} requests were granted, {} leases ended",
                self.ended_leases.len()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daa_base::{Bytes, FencingToken, OwnerId, Permille};

    fn device() -> LedgerEvent {
        LedgerEvent::DeviceRegistered {
            agent: OPERATOR,
            seq: 0,
            device: DeviceId(0),
            capacity: Bytes(10),
        }
    }

    fn lease(number: u64, bytes: u64, token: u64) -> Lease {
        let agent = AgentId(1);
        Lease {
            id: LeaseId(number),
            device: DeviceId(0),
            agent,
            request: RequestId {
                agent,
                seq: number - 1,
            },
            bytes: Bytes(bytes),
            share: Permille::new(1).expect("small"),
            granted: Timestamp(5),
            expires: Timestamp(9),
            token: FencingToken(token),
        }
    }

    fn wrong(events: &[LedgerEvent]) -> Option<String> {
        let mut all = vec![device()];
        all.extend_from_slice(events);
        Books::default()
            .enter(Timestamp(5), &all, &mut |_, _| Ok(()))
            .err()
    }

    #[test]
    fn sound_events_are_entered_and_settle() {
        let mut books = Books::default();
        let registered = LedgerEvent::AgentRegistered {
            agent: OPERATOR,
            seq: 1,
            registered: AgentId(1),
            owner: OwnerId(1),
        };
        let first = [device(), registered, LedgerEvent::LeaseGranted(lease(1, 10, 1))];
        assert_eq!(books.enter(Timestamp(5), &first, &mut |_, _| Ok(())), Ok(()));
        assert!(books.settle(1).is_err(), "a lease is live");
        let end = LedgerEvent::LeaseExpired {
            lease: lease(1, 10, 1),
        };
        assert_eq!(books.enter(Timestamp(9), &[end], &mut |_, _| Ok(())), Ok(()));
        assert_eq!(books.settle(1), Ok(()));
        assert!(books.settle(2).is_err(), "a request is missing");
    }

    #[test]
    fn every_kind_of_error_is_found() {
        let granted = |number, bytes, token| LedgerEvent::LeaseGranted(lease(number, bytes, token));
        let ends = |number| LedgerEvent::LeaseExpired {
            lease: lease(number, 1, number),
        };
        let cases = [
            (vec![granted(1, 6, 1), granted(2, 6, 2)], "12 of 10 bytes"),
            (vec![granted(1, 1, 2), granted(2, 1, 2)], "has token 2 after 2"),
            (vec![granted(1, 1, 1), granted(1, 1, 2)], "expected is 1"),
            (vec![ends(1)], "was not live"),
            (vec![granted(1, 1, 1), ends(1), ends(1)], "ended twice"),
            (vec![granted(2, 1, 1)], "expected is 0"),
        ];
        for (events, expected) in cases {
            let found = wrong(&events).unwrap_or_default();
            assert!(found.contains(expected), "{found:?} for {expected:?}");
        }
        let mut books = Books::default();
        let events = [device(), granted(1, 1, 1)];
        books
            .enter(Timestamp(5), &events, &mut |_, _| Ok(()))
            .expect("sound");
        let late = books
            .enter(Timestamp(9), &[], &mut |_, _| Ok(()))
            .expect_err("the lease ran out");
        assert!(late.contains("honoured"), "{late}");
    }
}
