//! Goes through the history of a ledger from its first block on: what was granted twice, or beyond what is there.

use super::record::Record;
use daa_base::{Bytes, DeviceId, FencingToken, LeaseId};
use daa_coord::{Lease, LedgerEvent, RequestId};
use std::collections::{BTreeMap, BTreeSet};

/// One history.
#[derive(Default)]
pub(crate) struct Audit {
    capacity: BTreeMap<DeviceId, Bytes>,
    live: BTreeMap<LeaseId, Lease>,
    tokens: BTreeMap<DeviceId, BTreeSet<FencingToken>>,
    requests: BTreeSet<RequestId>,
    granted: BTreeMap<LeaseId, (u64, Lease)>,
    /// At which height, and whether somebody asked for it.
    ended: BTreeMap<LeaseId, (u64, bool)>,
    /// The most that was leased of a device at one time, in thousandths of its capacity.
    pub(crate) fullest: u64,
}

impl Audit {
    /// What the block at `height` has brought about.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub(crate) fn block(&mut self, height: u64, events: &[LedgerEvent]) -> Result<(), String> {
        for event in events {
            match event {
                LedgerEvent::DeviceRegistered { device, capacity, .. } => {
                    self.capacity.insert(*device, *capacity);
                }
                LedgerEvent::LeaseGranted(lease) => self.grant(height, lease)?,
                _ => {}
            }
            if let Some(lease) = event.ends_lease() {
                let asked = !matches!(event, LedgerEvent::LeaseExpired { .. });
                let known = self.live.remove(&lease.id);
                if known.as_ref() != Some(lease) {
                    return Err(format!("height {height} ends {lease:?}, which is not live"));
                }
                self.ended.insert(lease.id, (height, asked));
            }
        }
        Ok(())
    }

    fn grant(&mut self, height: u64, lease: &Lease) -> Result<(), String> {
        let tokens = self.tokens.entry(lease.device).or_default();
        if tokens.last().is_some_and(|&last| last >= lease.token) || !tokens.insert(lease.token) {
            return Err(format!("height {height}: {lease:?} has a token that is not new"));
        }
        if !self.requests.insert(lease.request) {
            return Err(format!("height {height}: {} is granted twice", lease.request));
        }
        if self.granted.insert(lease.id, (height, lease.clone())).is_some() {
            return Err(format!("height {height}: {} is granted twice", lease.id));
        }
        self.live.insert(lease.id, lease.clone());
        let on_it = self.live.values().filter(|other| other.device == lease.device);
        let (bytes, share) = on_it.fold((0, 0), |(bytes, share), other| {
            (bytes + other.bytes.get(), share + u64::from(other.share.get()))
        });
        let capacity = self.capacity.get(&lease.device).map_or(0, |bytes| bytes.get());
        if bytes > capacity || share > 1000 {
            return Err(format!(
                "height {height}: {bytes} of {capacity} bytes and {share} of 1000 of {} are leased",
                lease.device
            ));
        }
        self.fullest = self.fullest.max(bytes * 1000 / capacity);
        Ok(())
    }

    /// Whether the history holds all that was acknowledged up to its last block, as it was acknowledged.
    ///
    /// # Errors
    /// What is lost or different.
    pub(crate) fn check(&self, record: &Record) -> Result<(), String> {
        for (id, known) in &record.leases {
            let Some((height, lease)) = self.granted.get(id) else {
                return Err(format!("lost: {:?} is in no block", known.lease));
            };
            let (first, last) = known.seen;
            if *lease != known.lease || *height > first {
                return Err(format!(
                    "{:?} was acknowledged at height {first}; the history has {lease:?} at height {height}",
                    known.lease
                ));
            }
            let sound = match (self.ended.get(id), known.over) {
                (None, over) => over.is_none() && self.live.contains_key(id),
                (Some(&(ended, asked)), over) => {
                    ended > last && over.is_none_or(|over| ended <= over) && (known.ending || !asked)
                }
            };
            if !sound {
                return Err(format!(
                    "lost: {lease:?} was live at height {last} and over at {:?}; the history ended it at {:?}",
                    known.over,
                    self.ended.get(id)
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::record::Known;
    use daa_base::{AgentId, Permille, Timestamp};

    pub(crate) fn lease(id: u64) -> Lease {
        Lease {
            id: LeaseId(id),
            device: DeviceId(0),
            agent: AgentId(1),
            request: RequestId {
                agent: AgentId(1),
                seq: id,
            },
            bytes: Bytes::gib(1),
            share: Permille::new(10).expect("in range"),
            granted: Timestamp(0),
            expires: Timestamp(1000),
            token: FencingToken(id),
        }
    }

    fn device(gib: u64) -> LedgerEvent {
        LedgerEvent::DeviceRegistered {
            agent: AgentId(0),
            seq: 0,
            device: DeviceId(0),
            capacity: Bytes::gib(gib),
        }
    }

    fn fault(gib: u64, events: &[LedgerEvent]) -> Option<String> {
        let mut audit = Audit::default();
        audit.block(1, &[device(gib)]).expect("a device");
        audit.block(2, events).err()
    }

    #[test]
    fn a_device_is_not_leased_beyond_its_capacity_at_any_moment() {
        let two = [lease(1), lease(2)].map(LedgerEvent::LeaseGranted);
        assert_eq!(fault(2, &two), None);
        assert!(fault(1, &two).is_some_and(|fault| fault.contains("are leased")));
        let [first, second] = two;
        let over = LedgerEvent::LeaseExpired { lease: lease(1) };
        assert_eq!(fault(1, &[first, over, second]), None, "one after the other");
    }

    #[test]
    fn no_token_and_no_request_is_granted_twice() {
        let mut token = lease(2);
        token.token = FencingToken(1);
        let mut request = lease(2);
        request.request.seq = 1;
        for forged in [token, request, lease(1)] {
            let events = [lease(1), forged.clone()].map(LedgerEvent::LeaseGranted);
            assert!(fault(9, &events).is_some(), "{forged:?}");
        }
    }

    #[test]
    fn a_history_without_an_acknowledged_lease_or_with_an_end_that_nobody_asked_for_is_found_out() {
        let mut record = Record::new(1);
        record.leases.insert(
            LeaseId(1),
            Known {
                lease: lease(1),
                seen: (2, 4),
                over: None,
                ending: false,
            },
        );
        let mut audit = Audit::default();
        audit.block(1, &[device(2)]).expect("a device");
        assert!(audit.check(&record).is_err(), "not granted");
        audit
            .block(2, &[LedgerEvent::LeaseGranted(lease(1))])
            .expect("a grant");
        assert_eq!(audit.check(&record), Ok(()));
        let released = LedgerEvent::LeaseReleased {
            lease: lease(1),
            seq: 7,
        };
        audit.block(5, &[released]).expect("it is live");
        assert!(audit.check(&record).is_err(), "nobody asked");
        record.end(LeaseId(1));
        assert_eq!(audit.check(&record), Ok(()));
    }
}
