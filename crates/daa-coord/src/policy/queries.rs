//! Questions about a snapshot beside the plan itself.

use super::books::Books;
use super::quantity::Sum;
use super::{Amount, Rules, Snapshot, Waiting, Why, plan};
use crate::command::RequestId;
use daa_base::{Bytes, LeaseId, OwnerId};

/// Why a request could never be granted, whatever ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Inadmissible {
    /// No device that it may use is large enough.
    #[error("no device that it may use has {bytes} and {share} thousandths")]
    NoDevice {
        /// Its memory.
        bytes: Bytes,
        /// Its compute in thousandths.
        share: u16,
    },
    /// It is more than its owner may ever use.
    #[error("{wanted} is more than the quota of {owner} with all that it may borrow")]
    Quota {
        /// What is wanted.
        wanted: Amount,
        /// The owner.
        owner: OwnerId,
    },
}

/// Whether the request could be granted if nothing else were in use.
///
/// # Errors
/// [`Inadmissible`]: the ledger should refuse it at once.
pub fn admissible(snapshot: &Snapshot, request: &Waiting) -> Result<(), Inadmissible> {
    let wanted = Amount::of(request.bytes, request.share);
    let size = Sum::from(wanted);
    let books = Books::new(snapshot);
    if books.candidates(request, size).next().is_none() {
        return Err(Inadmissible::NoDevice {
            bytes: request.bytes,
            share: request.share.get(),
        });
    }
    let owner = request.owner;
    let known = snapshot.owners.contains_key(&owner);
    if !known || books.ever_admits(books.owner(owner), size).is_err() {
        return Err(Inadmissible::Quota { wanted, owner });
    }
    Ok(())
}

/// The waiting request that `lease` should not be prolonged for, if there is one.
///
/// A renewal is a request like the others: it asks for what the lease has, as the newest request of its owner, while the
/// lease's room is free. If it would not be granted again, the answer is who would be there instead.
#[must_use]
pub fn contender(snapshot: &Snapshot, lease: LeaseId) -> Option<RequestId> {
    let running = *snapshot.leases.get(&lease)?;
    let size = Amount::of(running.bytes, running.share);
    let rivals = |wanted: &Waiting| wanted.device.is_none_or(|only| only == running.device);
    if size == Amount::ZERO || !snapshot.requests.values().any(rivals) {
        return None;
    }
    let mut without = snapshot.clone();
    without.leases.remove(&lease);
    without.requests.insert(
        running.request,
        Waiting {
            owner: running.owner,
            device: Some(running.device),
            bytes: running.bytes,
            share: running.share,
            priority: running.priority,
            arrival: u64::MAX,
            overdue: false,
        },
    );
    let plan = plan(&without, &Rules::NO_PREEMPTION);
    let why = plan.waiting.get(&running.request)?;
    if let Why::KeptFree { request } = why {
        return Some(*request);
    }
    let there = plan.grants.iter().find(|grant| grant.device == running.device);
    there.or(plan.grants.first()).map(|grant| grant.request)
}

/// What `owner` holds once the plan for `snapshot` is carried out: what it can expect without any negotiation.
#[must_use]
pub fn policy_share(snapshot: &Snapshot, rules: &Rules, owner: OwnerId) -> Amount {
    let plan = plan(snapshot, rules);
    let kept = snapshot
        .leases
        .iter()
        .filter(|(id, lease)| {
            lease.owner == owner && !plan.preemptions.iter().any(|ended| ended.lease == **id)
        })
        .map(|(_, lease)| (lease.bytes, lease.share));
    let granted = plan
        .grants
        .iter()
        .filter_map(|grant| snapshot.requests.get(&grant.request))
        .filter(|wanted| wanted.owner == owner)
        .map(|wanted| (wanted.bytes, wanted.share));
    kept.chain(granted)
        .fold(Amount::ZERO, |sum, (bytes, share)| Amount {
            bytes: Bytes(sum.bytes.get().saturating_add(bytes.get())),
            share: sum.share.saturating_add(u32::from(share.get())),
        })
}
