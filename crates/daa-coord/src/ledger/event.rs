//! What the ledger answers: one event per fact, each with a one-line reason for people in its `Display`.
//!
//! Every command that an agent really signed is answered by one event whose [`LedgerEvent::answers`] names it; entries
//! that nobody signed, or that were applied before, give [`LedgerEvent::Dropped`], which answers nobody. Every request
//! is ended by exactly one event whose [`LedgerEvent::ends_request`] names it; for a request that was answered with
//! [`LedgerEvent::RequestQueued`], that end is a second, later answer.

mod display;

use crate::command::{OperatorVerdict, RequestId};
use crate::conflict::{MediationRule, Record};
use crate::consensus::evidence::Offence;
use crate::keys::{Digest, PublicKey};
use crate::ledger::change::MembershipChange;
use crate::ledger::reason::{
    DropReason, EvidenceFault, RefuseReason, Rejection, ReleaseReason, RenewRefusal, WaitReason,
    WithdrawReason,
};
use crate::ledger::rules::{Credit, PolicyChoice};
use crate::negotiate::Bundle;
use crate::policy::Quota;
use crate::text::ShortText;
use daa_base::{
    AgentId, Bytes, DeviceId, FencingToken, LeaseId, Millis, OwnerId, Permille, Timestamp, TrialId,
};
use serde::{Deserialize, Serialize};

/// The right to use part of a device until a moment of agreed time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its number, in grant order.
    pub id: LeaseId,
    /// The device.
    pub device: DeviceId,
    /// The holder.
    pub agent: AgentId,
    /// The request it answers.
    pub request: RequestId,
    /// Device memory in bytes.
    pub bytes: Bytes,
    /// Compute share.
    pub share: Permille,
    /// When it was granted.
    pub granted: Timestamp,
    /// From this moment on it is void.
    pub expires: Timestamp,
    /// Larger than the token of every earlier lease of the device.
    pub token: FencingToken,
}

impl Lease {
    /// Whether the lease allows work at `now`; needs no agreement, only the lease.
    #[must_use]
    pub const fn is_live(&self, now: Timestamp) -> bool {
        now.get() < self.expires.get()
    }

    /// Time left at `now`.
    #[must_use]
    pub const fn left(&self, now: Timestamp) -> Millis {
        self.expires.since(now)
    }
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialRecord {
    /// The agent that ran it.
    pub agent: AgentId,
    /// The decision it ran.
    pub digest: Digest,
    /// Score in millionths, larger is better.
    pub score_micro: i64,
    /// Epochs trained.
    pub epochs: u32,
    /// Digest of the model.
    pub checkpoint: Digest,
    /// Agreed time of the record.
    pub at: Timestamp,
}

/// One fact of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LedgerEvent {
    /// An entry had no effect and answers nobody: it used no sequence number.
    Dropped {
        /// The agent it names.
        agent: AgentId,
        /// The number it names.
        seq: u64,
        /// Why.
        reason: DropReason,
    },
    /// A command arrived before its predecessors and is kept until they come.
    Held {
        /// Its agent.
        agent: AgentId,
        /// Its number.
        seq: u64,
        /// The number that is missing.
        missing: u64,
    },
    /// A command used its number but breaks a rule.
    Rejected {
        /// Its agent.
        agent: AgentId,
        /// Its number.
        seq: u64,
        /// Why.
        reason: Rejection,
    },
    /// A device can be leased, up to this capacity.
    DeviceRegistered {
        /// Who registered it.
        agent: AgentId,
        /// The command's number.
        seq: u64,
        /// The device.
        device: DeviceId,
        /// Its memory.
        capacity: Bytes,
    },
    /// An agent takes part.
    AgentRegistered {
        /// Who registered it: the operator, or its sponsor.
        agent: AgentId,
        /// The command's number.
        seq: u64,
        /// The new agent.
        registered: AgentId,
        /// Its owner.
        owner: OwnerId,
    },
    /// A request waits.
    RequestQueued {
        /// The request.
        request: RequestId,
        /// Waiting requests that go first and could use the same device.
        ahead: u32,
        /// What it waits for.
        why: WaitReason,
    },
    /// A request ended without a lease.
    RequestRefused {
        /// The request.
        request: RequestId,
        /// Why.
        reason: RefuseReason,
    },
    /// A request was withdrawn.
    RequestCancelled {
        /// The request.
        request: RequestId,
        /// Number of the `Cancel` command.
        seq: u64,
    },
    /// A request was granted.
    LeaseGranted(Lease),
    /// A lease lasts longer.
    LeaseRenewed {
        /// The lease.
        lease: LeaseId,
        /// Its holder.
        agent: AgentId,
        /// Number of the `Renew` command.
        seq: u64,
        /// It now lasts until here.
        until: Timestamp,
    },
    /// A lease is not prolonged: its holder must yield at its next step boundary.
    RenewRefused {
        /// The lease.
        lease: LeaseId,
        /// Its holder.
        agent: AgentId,
        /// Number of the `Renew` command.
        seq: u64,
        /// Why.
        reason: RenewRefusal,
        /// It still lasts until here.
        until: Timestamp,
    },
    /// A lease ran out.
    LeaseExpired {
        /// The lease as it was.
        lease: Lease,
    },
    /// A lease was given back.
    LeaseReleased {
        /// The lease as it was.
        lease: Lease,
        /// Number of the `Release` command.
        seq: u64,
    },
    /// The operator ended a lease.
    LeaseRevoked {
        /// The lease as it was.
        lease: Lease,
        /// Number of the operator's `Revoke` command.
        seq: u64,
        /// Why.
        reason: ShortText,
    },
    /// The ledger itself ended a lease.
    LeaseWithdrawn {
        /// The lease as it was.
        lease: Lease,
        /// Why.
        reason: WithdrawReason,
    },
    /// An agent takes part no more.
    AgentUnregistered {
        /// The operator, or its sponsor.
        agent: AgentId,
        /// The command's number.
        seq: u64,
        /// Who.
        unregistered: AgentId,
    },
    /// What two agents agreed on, or the mediator divided for them, is in force.
    ContractCarriedOut {
        /// Who brought it.
        agent: AgentId,
        /// The command's number.
        seq: u64,
        /// The two.
        parties: [AgentId; 2],
        /// What each of them gets.
        parts: [Bundle; 2],
        /// The mediator's rule, if it was the mediator.
        mediated: Option<MediationRule>,
    },
    /// A lease has another size or end, and a new token; the old one opens nothing any more.
    LeaseChanged {
        /// The lease as it is now.
        lease: Lease,
        /// The lease as it was.
        before: Lease,
    },
    /// A step of a conflict about a waiting request.
    ConflictRecorded {
        /// Who recorded it.
        agent: AgentId,
        /// The command's number.
        seq: u64,
        /// The request.
        request: RequestId,
        /// The step.
        record: Record,
    },
    /// An owner has another quota.
    QuotaSet {
        /// The operator.
        agent: AgentId,
        /// The command's number.
        seq: u64,
        /// The owner.
        owner: OwnerId,
        /// Its quota; `None`: none any more.
        quota: Option<Quota>,
    },
    /// Another allocation policy will count.
    PolicyAnnounced {
        /// The operator.
        agent: AgentId,
        /// The command's number.
        seq: u64,
        /// The policy.
        policy: PolicyChoice,
        /// First height at which it counts.
        from: u64,
    },
    /// Another allocation policy counts from this block on.
    PolicyInForce {
        /// The policy.
        policy: PolicyChoice,
    },
    /// A lease was taken for somebody else; its holder keeps its place in the queue.
    CompensationOwed {
        /// To whom.
        agent: AgentId,
        /// For one later request that is not larger: the arrival of the one that had been granted.
        credit: Credit,
        /// Time that was left of the lease.
        left: Millis,
    },
    /// The operator decided about a waiting request.
    RequestDecided {
        /// The operator.
        agent: AgentId,
        /// The command's number.
        seq: u64,
        /// The request.
        request: RequestId,
        /// What becomes of it.
        verdict: OperatorVerdict,
        /// Why.
        reason: ShortText,
    },
    /// The set of validators changes.
    ValidatorsChanged {
        /// Who brought the change.
        agent: AgentId,
        /// The command's number.
        seq: u64,
        /// The change.
        change: MembershipChange,
        /// First height at which it counts.
        from: u64,
    },
    /// It is proven that a validator lied.
    OffenceRecorded {
        /// What it did.
        offence: Offence,
    },
    /// Evidence in a block had no effect.
    EvidenceRefused {
        /// Why.
        reason: EvidenceFault,
    },
    /// A validator that lied loses its vote.
    ValidatorRemoved {
        /// Its present key.
        key: PublicKey,
        /// First height at which it votes no more.
        from: u64,
    },
    /// A validator that lied cannot be removed yet; it is tried again with each block.
    ValidatorStays {
        /// Its present key.
        key: PublicKey,
        /// Why.
        reason: Rejection,
    },
    /// A validator sees an agent gone.
    AgentReported {
        /// Who brought the report.
        agent: AgentId,
        /// The command's number.
        seq: u64,
        /// The validator.
        validator: PublicKey,
        /// The agent.
        about: AgentId,
        /// Weight of the validators that see it gone now.
        weight: u64,
        /// Weight of all validators.
        total: u64,
    },
    /// A quorum of validators sees an agent gone; what it had is free.
    AgentGone {
        /// The agent.
        about: AgentId,
        /// Weight of the validators that see it gone.
        weight: u64,
        /// Weight of all validators.
        total: u64,
    },
    /// An agent that was seen gone is back.
    AgentBack {
        /// The agent.
        agent: AgentId,
        /// Number of its `Present` command.
        seq: u64,
    },
    /// A trial has a worker.
    TrialClaimed {
        /// The trial.
        trial: TrialId,
        /// The worker.
        agent: AgentId,
        /// Number of the `ClaimTrial` command.
        seq: u64,
        /// The decision it will run.
        digest: Digest,
        /// The claim lasts until here unless touched.
        until: Timestamp,
    },
    /// A claim lasts longer.
    TrialTouched {
        /// The trial.
        trial: TrialId,
        /// The worker.
        agent: AgentId,
        /// Number of the `TouchTrial` command.
        seq: u64,
        /// The claim lasts until here unless touched.
        until: Timestamp,
    },
    /// A trial has a result. Comes again, unchanged, when its worker repeats the same result.
    TrialRecorded {
        /// The trial.
        trial: TrialId,
        /// Number of the `TrialResult` command.
        seq: u64,
        /// The result.
        record: TrialRecord,
    },
    /// A claimed trial is free again.
    TrialReleased {
        /// The trial.
        trial: TrialId,
        /// Who held it.
        agent: AgentId,
        /// Number of the `AbandonTrial` command, if that is why.
        seq: Option<u64>,
        /// Why.
        reason: ReleaseReason,
    },
    /// An agent takes part no more, because its sponsor does not.
    FollowerUnregistered {
        /// Who.
        unregistered: AgentId,
        /// Its sponsor.
        sponsor: AgentId,
    },
}

impl LedgerEvent {
    /// The command this event is the answer to: its agent and number.
    #[must_use]
    pub const fn answers(&self) -> Option<(AgentId, u64)> {
        match self {
            Self::Dropped { .. }
            | Self::Held { .. }
            | Self::LeaseExpired { .. }
            | Self::LeaseWithdrawn { .. }
            | Self::AgentGone { .. }
            | Self::FollowerUnregistered { .. }
            | Self::PolicyInForce { .. }
            | Self::CompensationOwed { .. }
            | Self::LeaseChanged { .. }
            | Self::OffenceRecorded { .. }
            | Self::EvidenceRefused { .. }
            | Self::ValidatorRemoved { .. }
            | Self::ValidatorStays { .. } => None,
            Self::Rejected { agent, seq, .. }
            | Self::DeviceRegistered { agent, seq, .. }
            | Self::AgentRegistered { agent, seq, .. }
            | Self::AgentUnregistered { agent, seq, .. }
            | Self::ValidatorsChanged { agent, seq, .. }
            | Self::ContractCarriedOut { agent, seq, .. }
            | Self::ConflictRecorded { agent, seq, .. }
            | Self::QuotaSet { agent, seq, .. }
            | Self::PolicyAnnounced { agent, seq, .. }
            | Self::RequestDecided { agent, seq, .. }
            | Self::AgentReported { agent, seq, .. }
            | Self::AgentBack { agent, seq }
            | Self::LeaseRenewed { agent, seq, .. }
            | Self::RenewRefused { agent, seq, .. }
            | Self::TrialClaimed { agent, seq, .. }
            | Self::TrialTouched { agent, seq, .. } => Some((*agent, *seq)),
            Self::RequestQueued { request, .. } | Self::RequestRefused { request, .. } => {
                Some((request.agent, request.seq))
            }
            Self::RequestCancelled { request, seq } => Some((request.agent, *seq)),
            Self::LeaseGranted(lease) => Some((lease.request.agent, lease.request.seq)),
            Self::LeaseReleased { lease, seq } => Some((lease.agent, *seq)),
            Self::LeaseRevoked { seq, .. } => Some((crate::genesis::OPERATOR, *seq)),
            Self::TrialRecorded { record, seq, .. } => Some((record.agent, *seq)),
            Self::TrialReleased { agent, seq, .. } => match seq {
                Some(seq) => Some((*agent, *seq)),
                None => None,
            },
        }
    }

    /// Whether the block should not have held what this answers: an honest proposer puts nothing into a block that the
    /// ledger drops.
    #[must_use]
    pub const fn is_foul(&self) -> bool {
        match self {
            Self::Dropped { .. } => true,
            Self::EvidenceRefused { reason } => !matches!(reason, EvidenceFault::Known { .. }),
            _ => false,
        }
    }

    /// The request whose waiting is over with this event, granted or not.
    #[must_use]
    pub const fn ends_request(&self) -> Option<RequestId> {
        match self {
            Self::LeaseGranted(lease) => Some(lease.request),
            Self::RequestRefused { request, .. } | Self::RequestCancelled { request, .. } => Some(*request),
            _ => None,
        }
    }

    /// The lease that is over with this event.
    #[must_use]
    pub const fn ends_lease(&self) -> Option<&Lease> {
        match self {
            Self::LeaseExpired { lease }
            | Self::LeaseReleased { lease, .. }
            | Self::LeaseWithdrawn { lease, .. }
            | Self::LeaseRevoked { lease, .. } => Some(lease),
            _ => None,
        }
    }
}
