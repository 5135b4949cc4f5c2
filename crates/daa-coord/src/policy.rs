//! Allocation policy 2: quotas that are lent within cohorts, and weighted dominant-resource fairness over whole leases.
//!
//! [`plan`] is a pure function from a [`Snapshot`] to a [`Plan`]: integers only, no clock, and every input is keyed by its
//! id, so that no order of arrival inside a block can show in the outcome. `docs/NEGOTIATION.md` has the rules with
//! their proofs, the measured violations of what cannot hold, and the sources; here is what is computed.
//!
//! # Shares
//! An owner's *dominant share* is the larger of its part of all memory and its part of all compute, divided by its weight
//! (Ghodsi et al., NSDI 2011). Shares are compared exactly, by cross multiplication.
//!
//! # Quotas
//! An owner may use up to its nominal quota, and beyond it, up to its borrow limit, what the owners of its cohort lend: of
//! every nominal quota the part within the lend limit. What an owner does not lend stays its own. (Kueue's model.)
//!
//! # Grants
//! One whole request at a time. An owner offers its first request that fits: more important ones first, then earlier
//! ones, then by id. Of the owners, requests that stay within nominal quota go before those that borrow; then the
//! smallest dominant share *after* the grant goes first, of equals the smaller one before it, then the order of
//! requests. Importance never counts between owners: each could claim it. A request goes to the device with the most
//! memory free, the first of equals. Nothing that fits is left waiting, but for devices kept free for overdue requests.
//!
//! # Preemption
//! An owner's nominal quota *covers* its leases, more important ones first, then older ones, as far as they fit into it
//! whole. Covered leases are never preempted. Of the others of the same cohort, the least important go first, then the
//! newest:
//! - *reclaim*: for a request within nominal quota, from any owner that borrows;
//! - *final share*: for a borrowing request, while the owner it is for then borrows no larger share than the owner it is
//!   taken from still does;
//! - *initial share*: where that does not suffice, while the first then borrows less than the other did before, and the
//!   other does not fall below its nominal quota.
//!
//! A set of victims is inclusion-minimal: with any one of them left out the request would not fit. Where all candidates
//! together are at most [`EXACT_CANDIDATES`], it is also a smallest set, found by trying them all.
//!
//! # Overdue requests
//! A request that the ledger calls overdue (passed over too often) goes first, by arrival. If it cannot be granted yet but
//! could be on empty devices, what it waits for is kept: the devices it could use, or what its cohort lends. Requests
//! within nominal quota pass one that is not.

mod books;
mod grant;
mod preempt;
mod quantity;
mod queries;

#[cfg(test)]
mod fairness;
#[cfg(test)]
mod on_ledger;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

pub use quantity::Amount;
pub use queries::{Inadmissible, admissible, contender, policy_share};

use crate::command::RequestId;
use daa_base::{Bytes, DeviceId, LeaseId, OwnerId, Permille};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU16;

/// Up to so many candidates, a smallest set of victims is searched for exactly.
pub const EXACT_CANDIDATES: usize = 16;

/// Names a group of owners that lend to one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CohortId(pub u32);

impl fmt::Display for CohortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cohort-{}", self.0)
    }
}

/// What an owner is entitled to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// With whom it lends and borrows; `None`: with nobody.
    pub cohort: Option<CohortId>,
    /// What is its own.
    pub nominal: Amount,
    /// Most that it may use above nominal; `None`: as much as its cohort lends.
    pub borrow_limit: Option<Amount>,
    /// Most of nominal that others may use; `None`: all of it.
    pub lend_limit: Option<Amount>,
    /// Its claim relative to other owners', 1 to 65 535: twice the weight, twice the share.
    pub weight: NonZeroU16,
}

impl Quota {
    /// No quota at all: nothing may be used.
    pub const NONE: Self = Self {
        cohort: None,
        nominal: Amount::ZERO,
        borrow_limit: None,
        lend_limit: None,
        weight: NonZeroU16::MIN,
    };
    /// No limit but the devices themselves, weight 1. With this for everybody, the policy is plain fairness over leases.
    pub const OPEN: Self = Self {
        nominal: Amount::MAX,
        ..Self::NONE
    };
}

/// A device as the policy sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Memory for leases, bytes.
    pub capacity: Bytes,
    /// Compute for leases, usually the whole.
    pub share: Permille,
}

/// A lease in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// Whose quota it is on.
    pub owner: OwnerId,
    /// The request it answered.
    pub request: RequestId,
    /// Where it is.
    pub device: DeviceId,
    /// Its memory, bytes.
    pub bytes: Bytes,
    /// Its compute.
    pub share: Permille,
    /// Its importance, larger is more.
    pub priority: u8,
}

/// A request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Whose quota it would be on.
    pub owner: OwnerId,
    /// The only device it may go to; `None`: any.
    pub device: Option<DeviceId>,
    /// Its memory, bytes.
    pub bytes: Bytes,
    /// Its compute.
    pub share: Permille,
    /// Its importance among its owner's requests, larger goes first.
    pub priority: u8,
    /// When it came: any number that does not decrease. Give all requests of a block the same one, and their order in the
    /// block cannot matter: equals are taken by id.
    pub arrival: u64,
    /// Whether it was passed over as often as the ledger allows.
    pub overdue: bool,
}

/// Everything the policy looks at. What refers to a device that is not listed gets nothing; an owner that is not listed
/// has [`Quota::NONE`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// All devices.
    pub devices: BTreeMap<DeviceId, Device>,
    /// All owners.
    pub owners: BTreeMap<OwnerId, Quota>,
    /// All leases in use, numbered in the order of their grants.
    pub leases: BTreeMap<LeaseId, Running>,
    /// All requests that wait.
    pub requests: BTreeMap<RequestId, Waiting>,
}

/// Which preemptions are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Whether a request within nominal quota may end leases of borrowers.
    pub reclaim: bool,
    /// Whether borrowers may take from borrowers with larger shares.
    pub fair: FairPreemption,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            reclaim: true,
            fair: FairPreemption::FinalThenInitialShare,
        }
    }
}

impl Rules {
    /// Nothing is preempted.
    pub const NO_PREEMPTION: Self = Self {
        reclaim: false,
        fair: FairPreemption::Off,
    };
}

/// How far borrowers may take from one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FairPreemption {
    /// Not at all.
    Off,
    /// By the final share only.
    FinalShare,
    /// By the final share, and by the initial share where that does not suffice.
    FinalThenInitialShare,
}

/// Why a lease may be preempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PreemptRule {
    /// Lent quota is taken back.
    Reclaim,
    /// The taker then borrows no more than the other still does (Kueue's `LessThanOrEqualToFinalShare`).
    FinalShare,
    /// The taker then borrows less than the other did before (Kueue's `LessThanInitialShare`).
    InitialShare,
}

impl fmt::Display for PreemptRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reclaim => "its quota was lent and is taken back by its owner",
            Self::FinalShare => "another owner borrows no more with it than its holder does without it",
            Self::InitialShare => "another owner borrows less with it than its holder did with it",
        })
    }
}

/// What the ledger should do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Whom to grant, in this order.
    pub grants: Vec<Grant>,
    /// Leases to end, each before the grant that it is for.
    pub preemptions: Vec<Preemption>,
    /// Why each other request still waits.
    pub waiting: BTreeMap<RequestId, Why>,
}

/// One grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The request.
    pub request: RequestId,
    /// Where it goes.
    pub device: DeviceId,
    /// The leases that must have ended before.
    pub victims: Vec<LeaseId>,
}

/// One lease to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preemption {
    /// The lease.
    pub lease: LeaseId,
    /// Whose it is.
    pub owner: OwnerId,
    /// The request that is granted in its place.
    pub request: RequestId,
    /// By which rule.
    pub rule: PreemptRule,
}

/// Why a request waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Why {
    /// No device that it may use could ever hold it.
    NoDevice,
    /// Its owner's quota is used up, and it may not borrow so much.
    QuotaUsed,
    /// What its cohort lends is in use.
    CohortUsed,
    /// No device that it may use has enough free.
    NoRoom,
    /// What it needs is kept free for an overdue request.
    KeptFree {
        /// That request.
        request: RequestId,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDevice => f.write_str("no device could ever hold it"),
            Self::QuotaUsed => f.write_str("the quota of its owner is used up, with all that it may borrow"),
            Self::CohortUsed => f.write_str("all that its cohort lends is in use"),
            Self::NoRoom => f.write_str("no device has enough free"),
            Self::KeptFree { request } => write!(f, "what it needs is kept free for {request}"),
        }
    }
}

/// Decides what to grant and what to preempt. The same snapshot gives the same plan, on every machine.
///
/// Cost: every grant looks at one request of each owner; a request that does not fit is looked at once a pass, and others of
/// its size and owner not at all.
#[must_use]
pub fn plan(snapshot: &Snapshot, rules: &Rules) -> Plan {
    grant::Desk::new(snapshot, *rules).run()
}
