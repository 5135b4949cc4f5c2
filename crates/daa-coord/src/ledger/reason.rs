//! Why: typed reasons that events carry, each printable as part of a sentence.

use crate::command::RequestId;
use crate::consensus::evidence::Offence;
use crate::keys::PublicKey;
use crate::policy;
use crate::text::ShortText;
use crate::validators::ValidatorError;
use daa_base::{
    AgentId, Bytes, DeviceId, FencingToken, LeaseId, Millis, OwnerId, Permille, Timestamp, TrialId,
};
use serde::{Deserialize, Serialize};

/// Why an entry of a block had no effect and answers nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum DropReason {
    /// The agent is not registered.
    #[error("the agent is not registered")]
    UnknownAgent,
    /// The signature does not hold for the agent's key on this chain.
    #[error("the signature does not hold for this agent on this chain")]
    BadSignature,
    /// The payload is larger than allowed.
    #[error("the payload is larger than allowed")]
    TooLarge,
    /// The number was used before.
    #[error("the number was used before, next is {next}")]
    Replayed {
        /// The number that comes next.
        next: u64,
    },
    /// A command with this number waits already.
    #[error("a command with this number waits already")]
    AlreadyHeld,
    /// The number is too far ahead of the oldest missing one.
    #[error("the number is too far ahead, allowed are {next} to {last}")]
    TooFarAhead {
        /// The number that comes next.
        next: u64,
        /// The largest number that would be kept.
        last: u64,
    },
}

/// Why an authentic command was not carried out. It used its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The payload is not a command's canonical bytes.
    #[error("the payload is not the canonical form of a command")]
    Malformed,
    /// Only the operator may do this.
    #[error("only the operator may do this")]
    NotOperator,
    /// The device exists with another capacity, which only its sponsor may change.
    #[error("{device} is registered already, with {capacity}")]
    DeviceExists {
        /// The device.
        device: DeviceId,
        /// Its capacity.
        capacity: Bytes,
    },
    /// A device without memory.
    #[error("a device needs at least 1 byte")]
    ZeroCapacity,
    /// As many devices as allowed are registered.
    #[error("{limit} devices are registered, more are not allowed")]
    DeviceLimit {
        /// The limit.
        limit: u32,
    },
    /// The agent exists with another key or owner.
    #[error("{agent} is registered already, with another key or owner")]
    AgentExists {
        /// The agent.
        agent: AgentId,
    },
    /// The key cannot be used.
    #[error("the key is not a usable Ed25519 public key")]
    InvalidKey,
    /// As many agents as allowed are registered.
    #[error("{limit} agents are registered, more are not allowed")]
    AgentLimit {
        /// The limit.
        limit: u32,
    },
    /// No such request of this agent waits.
    #[error("no {request} of this agent waits")]
    NoSuchRequest {
        /// The request.
        request: RequestId,
    },
    /// No such lease is live.
    #[error("{lease} is not live")]
    NoSuchLease {
        /// The lease.
        lease: LeaseId,
    },
    /// The lease belongs to somebody else.
    #[error("{lease} belongs to another agent")]
    NotHolder {
        /// The lease.
        lease: LeaseId,
    },
    /// The token is not the lease's.
    #[error("the token is not the lease's {token}")]
    WrongToken {
        /// The lease's token.
        token: FencingToken,
    },
    /// The wanted time is outside the allowed range.
    #[error("hold is {hold}, allowed are 1 to {max}")]
    HoldOutOfRange {
        /// What was asked.
        hold: Millis,
        /// The longest allowed.
        max: Millis,
    },
    /// Another agent works on the trial.
    #[error("{trial} is claimed by {by}")]
    TrialTaken {
        /// The trial.
        trial: TrialId,
        /// Its worker.
        by: AgentId,
    },
    /// The trial is neither released nor next in order.
    #[error("{trial} is not next; next is {next}")]
    TrialNotNext {
        /// The trial.
        trial: TrialId,
        /// The next unclaimed number.
        next: TrialId,
    },
    /// The trial's decision needs a result that is still missing.
    #[error("{trial} needs the result of {missing} first")]
    WindowClosed {
        /// The trial.
        trial: TrialId,
        /// The lowest trial without a result.
        missing: TrialId,
    },
    /// The trial is over.
    #[error("{trial} has a result already")]
    TrialOver {
        /// The trial.
        trial: TrialId,
    },
    /// No more trials are allowed.
    #[error("the trials end at number {last}")]
    TrialLimit {
        /// The largest allowed number.
        last: TrialId,
    },
    /// The trial is not claimed by this agent (any more).
    #[error("{trial} is not claimed by this agent")]
    NotClaimant {
        /// The trial.
        trial: TrialId,
    },
    /// The ledger is ordered by one process and has no validators.
    #[error("this ledger has no validators, and cannot be given any")]
    NoValidators,
    /// The key is no validator's.
    #[error("{key} is no validator")]
    NotValidator {
        /// The key.
        key: PublicKey,
    },
    /// The key was given up for another one, or is or was another validator's.
    #[error("{key} votes or has voted before, a validator needs a fresh key")]
    KeyRetired {
        /// The key.
        key: PublicKey,
    },
    /// The validator was removed because it lied.
    #[error("{key} was removed as a validator for an offence")]
    Offender {
        /// The key.
        key: PublicKey,
    },
    /// A contract, or a plea for mediation, that does not hold.
    #[error("the contract does not hold: {reason}")]
    BadContract {
        /// Why.
        reason: ShortText,
    },
    /// A party is not registered with the key it signed with, or is gone.
    #[error("{agent} does not take part under the key of the contract")]
    ContractParty {
        /// The party.
        agent: AgentId,
    },
    /// The charter expires too late.
    #[error("the charter expires at {}, allowed is at most {}", expires.get(), max.get())]
    CharterTooLong {
        /// When it expires.
        expires: Timestamp,
        /// The latest allowed.
        max: Timestamp,
    },
    /// The session ended in a contract before.
    #[error("session {session} of these two ended in a contract before")]
    SessionOver {
        /// The session.
        session: u64,
    },
    /// Too many sessions have to be remembered.
    #[error("these two, or all together, made as many contracts as are remembered")]
    SessionLimit,
    /// The charter does not say what the ledger finds.
    #[error(
        "{agent} does not hold what the charter says in one lease of the device, the ledger finds {bytes}"
    )]
    HoldingDiffers {
        /// The party.
        agent: AgentId,
        /// What it holds in its first lease.
        bytes: Bytes,
    },
    /// What is divided is not what the two hold.
    #[error("the two do not hold the {bytes} that are divided")]
    PieDiffers {
        /// What the charter divides.
        bytes: Bytes,
    },
    /// Others would pay for the contract.
    #[error("at time {} the two would hold more than without the contract", at.get())]
    ContractTooLong {
        /// From when on.
        at: Timestamp,
    },
    /// A party that holds nothing does not ask for anything either.
    #[error("{agent} holds nothing on the device, and no request of it waits")]
    NothingToGrow {
        /// The party.
        agent: AgentId,
    },
    /// There is no such policy.
    #[error("policy {version} is unknown, there are 1 and 2")]
    UnknownPolicy {
        /// Its number.
        version: u16,
    },
    /// The owner has no quota.
    #[error("{owner} has no quota")]
    NoQuota {
        /// The owner.
        owner: OwnerId,
    },
    /// As many owners as allowed have quotas.
    #[error("{limit} owners have quotas, more are not allowed")]
    QuotaLimit {
        /// The limit.
        limit: u32,
    },
    /// The set of validators cannot hold it.
    #[error("{reason}")]
    BadValidator {
        /// Why.
        reason: ValidatorError,
    },
    /// Nobody would vote any more.
    #[error("it is the last validator")]
    LastValidator,
    /// One block would take too much weight away.
    #[error("validators would lose {lost} of {total} in weight within one block, allowed is a third")]
    TooMuchLost {
        /// The weight that would go.
        lost: u64,
        /// The weight of all that vote next.
        total: u64,
    },
    /// Newcomers that do not start could stop the others.
    #[error("newcomers would have {new} of {total} in weight, the others could not decide without them")]
    TooMuchNew {
        /// Weight of the newcomers.
        new: u64,
        /// Weight of all.
        total: u64,
    },
    /// The statement was made before another change of membership.
    #[error("the statement is about change {named} of the membership, the next is {epoch}")]
    OtherEpoch {
        /// The number it names.
        named: u64,
        /// The number of changes so far.
        epoch: u64,
    },
    /// The statement is not valid any more.
    #[error("the statement was valid until block {until}, this is block {height}")]
    StatementLate {
        /// Its last height.
        until: u64,
        /// The height.
        height: u64,
    },
    /// A signature inside a validator's statement does not hold.
    #[error("a signature of the validator's statement does not hold on this chain")]
    BadStatement,
    /// A report on an agent is too old, from the future, or older than one that is known.
    #[error("the report is of time {}, accepted are {} to {}", at.get(), from.get(), to.get())]
    ReportTime {
        /// When it was made.
        at: Timestamp,
        /// The earliest accepted.
        from: Timestamp,
        /// The latest accepted.
        to: Timestamp,
    },
    /// No such agent is registered.
    #[error("{agent} is not registered")]
    NoSuchAgent {
        /// The agent.
        agent: AgentId,
    },
    /// The operator cannot be taken away.
    #[error("the operator stays")]
    OperatorStays,
    /// Nobody sees the agent gone.
    #[error("nobody sees this agent gone")]
    NotGone,
    /// What the agent says to show that it is alive was not made after it was seen gone.
    #[error("the sign of life does not answer what the ledger asked")]
    StaleSign,
    /// The trial has another result from the same agent.
    #[error("{trial} has another result already")]
    ResultDiffers {
        /// The trial.
        trial: TrialId,
    },
    /// A sponsor registers only what lies in its block.
    #[error("{number} is outside this agent's block, {first} to {last}")]
    OutsideBlock {
        /// The number of the agent or the device.
        number: u32,
        /// The first of the block.
        first: u32,
        /// The last of the block.
        last: u32,
    },
    /// A sponsor registers agents of its own owner only.
    #[error("this agent registers agents of {owner} and of no other owner")]
    OtherOwner {
        /// The sponsor's owner.
        owner: OwnerId,
    },
    /// The key stands for somebody else.
    #[error("{key} is the key of another agent or of a validator")]
    KeyTaken {
        /// The key.
        key: PublicKey,
    },
    /// The sponsor registered as many agents as it may.
    #[error("this agent has registered {limit} agents, more are not allowed")]
    SponsorAgents {
        /// The limit.
        limit: u32,
    },
    /// The sponsor registered as many devices as it may.
    #[error("this agent has registered {limit} devices, more are not allowed")]
    SponsorDevices {
        /// The limit.
        limit: u32,
    },
    /// Somebody else registered it.
    #[error("{number} was not registered by this agent")]
    NotSponsor {
        /// The number.
        number: u32,
    },
    /// More of the device is leased than it would have.
    #[error("{used} of {device} are leased, its capacity cannot be less")]
    BelowLeases {
        /// The device.
        device: DeviceId,
        /// What is leased.
        used: Bytes,
    },
}

/// What a request waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum WaitReason {
    /// No suitable device has the memory free.
    #[error("{wanted} wanted, at most {free} free on a suitable device")]
    Memory {
        /// What was asked.
        wanted: Bytes,
        /// Most that is free on one suitable device.
        free: Bytes,
    },
    /// No suitable device has memory and compute share free together.
    #[error("a share of {wanted} wanted, at most {free} free on a device with enough memory")]
    Compute {
        /// What was asked.
        wanted: Permille,
        /// Most that is free where the memory suffices.
        free: Permille,
    },
    /// The fair policy lets it wait.
    #[error("{why}")]
    Policy {
        /// Why.
        why: policy::Why,
    },
    /// It was withdrawn before the policy looked at it.
    #[error("the policy has not looked at it")]
    Undecided,
    /// The operator holds it back.
    #[error("the operator holds it back")]
    OnHold,
    /// It would fit, but the device is kept free for a request that was overtaken often enough.
    #[error("the device is kept free for {behind}, which was overtaken often enough")]
    Reserved {
        /// The request the device is kept for.
        behind: RequestId,
    },
}

/// Why a request ended without a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum RefuseReason {
    /// The wanted device is not registered.
    #[error("{device} is not registered")]
    UnknownDevice {
        /// The device.
        device: DeviceId,
    },
    /// No device is registered.
    #[error("no device is registered")]
    NoDevice,
    /// No memory was asked for.
    #[error("it asks for 0 bytes, at least 1 is needed")]
    ZeroBytes,
    /// No compute share was asked for.
    #[error("it asks for no compute share, at least 1 thousandth is needed")]
    ZeroShare,
    /// No suitable device can ever hold it.
    #[error(
        "it asks for {bytes} ({} bytes), the largest suitable device has {capacity} ({} bytes)",
        bytes.get(),
        capacity.get()
    )]
    TooLarge {
        /// What was asked.
        bytes: Bytes,
        /// Capacity of the largest suitable device.
        capacity: Bytes,
    },
    /// The wanted time is outside the allowed range.
    #[error("hold is {hold}, allowed are 1 to {max}")]
    HoldOutOfRange {
        /// What was asked.
        hold: Millis,
        /// The longest allowed.
        max: Millis,
    },
    /// It was not granted in time.
    #[error("it was not granted before its deadline {}", deadline.get())]
    DeadlinePassed {
        /// The deadline.
        deadline: Timestamp,
    },
    /// The ledger has as many waiting requests and leases as allowed.
    #[error("{limit} requests and leases are open, more are not allowed")]
    LedgerFull {
        /// The limit.
        limit: u32,
    },
    /// It is more than its owner may ever use, or no device could hold it.
    #[error("{bytes} and {share} are more than {owner} may ever use")]
    Quota {
        /// The owner.
        owner: OwnerId,
        /// What was asked.
        bytes: Bytes,
        /// What was asked.
        share: Permille,
    },
    /// The operator refused it.
    #[error("the operator says: {reason}")]
    ByOperator {
        /// Why.
        reason: ShortText,
    },
    /// A quorum of validators sees the agent gone.
    #[error("a quorum of validators sees this agent gone")]
    AgentGone,
    /// The agent is not registered any more.
    #[error("the agent is not registered any more")]
    Unregistered,
    /// The agent has as many waiting requests and leases as allowed.
    #[error("this agent has {limit} requests and leases open, more are not allowed")]
    AgentFull {
        /// The limit.
        limit: u32,
    },
}

/// Why a lease is not prolonged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum RenewRefusal {
    /// A waiting request needs what this lease holds.
    #[error("{request} waits for what it holds")]
    Contended {
        /// The request.
        request: RequestId,
    },
}

/// Why a claimed trial is free again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseReason {
    /// Its worker gave it back.
    #[error("its worker gave it back")]
    Abandoned,
    /// Its worker is gone, or not registered any more.
    #[error("its worker is gone")]
    WorkerGone,
    /// Its worker did not touch it in time.
    #[error("its worker was not heard of in time")]
    TimedOut,
}

/// Why the ledger itself ended a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum WithdrawReason {
    /// A quorum of validators sees its holder gone.
    #[error("a quorum of validators sees its holder gone")]
    HolderGone,
    /// The fair policy gives what it held to another request.
    #[error("{request} is granted in its place: {rule}")]
    Preempted {
        /// The request.
        request: RequestId,
        /// By which rule.
        rule: policy::PreemptRule,
    },
    /// Its holder gave it away by a contract.
    #[error("its holder gave it away by a contract")]
    GivenAway,
    /// Its holder is not registered any more.
    #[error("its holder is not registered any more")]
    HolderUnregistered,
}

/// Why evidence in a block is not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceFault {
    /// It does not prove what it says.
    #[error("the messages do not prove an offence, or their signatures do not hold")]
    NoProof,
    /// It is about nobody who votes or voted lately.
    #[error("{key} is no validator")]
    NotValidator {
        /// The key.
        key: PublicKey,
    },
    /// It is about a height that has not come.
    #[error("it is about height {named}, this is {height}")]
    Future {
        /// The height it names.
        named: u64,
        /// The height.
        height: u64,
    },
    /// The validator's offence at this height is recorded, or as many of it as are kept. Happens to honest proposers.
    #[error("known already: {offence}")]
    Known {
        /// The offence.
        offence: Offence,
    },
}
