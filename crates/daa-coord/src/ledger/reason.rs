//! Why: typed reasons that events carry, each printable as part of a sentence.

use crate::command::RequestId;
use daa_base::{AgentId, Bytes, DeviceId, FencingToken, LeaseId, Millis, Permille, Timestamp, TrialId};
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
    /// The device exists with another capacity.
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
    /// The trial has another result from the same agent.
    #[error("{trial} has another result already")]
    ResultDiffers {
        /// The trial.
        trial: TrialId,
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
    /// Its worker did not touch it in time.
    #[error("its worker was not heard of in time")]
    TimedOut,
}
