//! What agents ask of the ledger: commands, and the signed, numbered form in which they travel.
//!
//! A command is signed over a domain tag, the chain, the agent, the sequence number and the command's canonical
//! bytes, so it can be used once, by one agent, on one chain. Every part is bounded in size.

mod mediation;
mod statement;

pub use mediation::Plea;
pub use statement::{Said, Statement, When};

use crate::conflict;
use crate::genesis::ChainId;
use crate::keys::{Digest, KeyError, PublicKey, Signature, SignatureScheme, Signed, Signer};
use crate::ledger::PolicyChoice;
use crate::negotiate::Contract;
use crate::policy::Quota;
use crate::text::ShortText;
use daa_base::codec::{self, CodecError};
use daa_base::{
    AgentId, Bytes, DeviceId, FencingToken, LeaseId, Millis, OwnerId, Permille, Timestamp, TrialId,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Largest encoded [`Command`] in bytes.
pub const MAX_PAYLOAD: usize = 512;

const SIGNING_DOMAIN: &[u8] = b"daa-coord/command/v1";

/// Names a request: the agent that made it and the sequence number it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// The agent that asks.
    pub agent: AgentId,
    /// The sequence number of its `Request` command.
    pub seq: u64,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request-{}.{}", self.agent.get(), self.seq)
    }
}

/// A wish for device memory and compute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceRequest {
    /// The device that must serve it; `None`: any that is large enough.
    pub device: Option<DeviceId>,
    /// Device memory in bytes, at least 1.
    pub bytes: Bytes,
    /// Compute share, 1 to 1000 thousandths.
    pub share: Permille,
    /// Larger goes first.
    pub priority: u8,
    /// Wanted length of the lease, 1 ms to the ledger's `max_hold`.
    pub hold: Millis,
    /// Last moment at which a grant is of use; later the request is refused.
    pub deadline: Option<Timestamp>,
    /// What it is for, for people.
    pub purpose: ShortText,
}

/// What the operator makes of a waiting request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperatorVerdict {
    /// It is not granted until further notice; its deadline still counts.
    Hold,
    /// It waits like any other again.
    Resume,
    /// It ends without a lease.
    Refuse,
}

impl fmt::Display for OperatorVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hold => "is held back",
            Self::Resume => "waits like any other again",
            Self::Refuse => "is refused",
        })
    }
}

/// What an agent or the operator asks. Variants are encoded by their position: new ones go to the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Makes a device's memory available: by the operator, or by a [sponsor](crate::ledger::sponsored), which may say
    /// another capacity of its device later.
    RegisterDevice {
        /// The new device.
        device: DeviceId,
        /// Memory that leases may use, at least 1 byte.
        capacity: Bytes,
    },
    /// Lets an agent take part: by the operator, or by a [sponsor](crate::ledger::sponsored) of the same owner.
    RegisterAgent {
        /// The new agent; not the operator.
        agent: AgentId,
        /// Whose agent it is.
        owner: OwnerId,
        /// The key it will sign with.
        key: PublicKey,
    },
    /// Asks for a lease.
    Request(ResourceRequest),
    /// Withdraws an own request that still waits.
    Cancel {
        /// The request.
        request: RequestId,
    },
    /// Asks for more time on an own lease: until `hold` from now.
    Renew {
        /// The lease.
        lease: LeaseId,
        /// Its token.
        token: FencingToken,
        /// Wanted time from now, 1 ms to the ledger's `max_hold`.
        hold: Millis,
    },
    /// Gives an own lease back.
    Release {
        /// The lease.
        lease: LeaseId,
        /// Its token.
        token: FencingToken,
    },
    /// Takes on a trial of the search.
    ClaimTrial {
        /// The next unclaimed number, or one that was released.
        trial: TrialId,
        /// Digest of the decision that says what the trial is, for others to compare with theirs.
        digest: Digest,
    },
    /// Shows that an own claim is still worked on; it then lasts `claim_timeout` from now.
    TouchTrial {
        /// The trial.
        trial: TrialId,
    },
    /// Records how an own trial ended.
    TrialResult {
        /// The trial.
        trial: TrialId,
        /// Its score in millionths, larger is better.
        score_micro: i64,
        /// Epochs trained.
        epochs: u32,
        /// Digest of the resulting model.
        checkpoint: Digest,
    },
    /// Gives an own claim back without a result.
    AbandonTrial {
        /// The trial.
        trial: TrialId,
    },
    /// Operator only: ends a lease at once.
    Revoke {
        /// The lease.
        lease: LeaseId,
        /// Why, for people.
        reason: ShortText,
    },
    /// Operator only: a validator joins, weighs something else, or leaves.
    SetValidator {
        /// Its key.
        key: PublicKey,
        /// Its weight; 0: it leaves.
        power: u64,
    },
    /// What a validator says, brought by any agent.
    Statement(Statement),
    /// Operator only: what an owner is entitled to; `None`: nothing any more.
    SetQuota {
        /// The owner.
        owner: OwnerId,
        /// Its quota.
        quota: Option<Quota>,
    },
    /// Operator only: another allocation policy, or other parameters of it.
    SetPolicy {
        /// The policy.
        policy: PolicyChoice,
        /// First height at which it counts; heights that are over: the next.
        from: u64,
    },
    /// Operator only: settles a conflict about a waiting request by a person's word.
    Decide {
        /// The request.
        request: RequestId,
        /// What becomes of it.
        verdict: OperatorVerdict,
        /// Why, for people.
        reason: ShortText,
    },
    /// What two agents agreed on, brought by any agent.
    Contract(Box<Contract>),
    /// Two agents ask the ledger to divide for them; brought by any agent.
    Mediate(Box<Plea>),
    /// Puts a step of a conflict about an own waiting request on record; the operator may for any.
    RecordConflict {
        /// The request.
        request: RequestId,
        /// The step.
        record: conflict::Record,
    },
    /// An agent that a quorum of validators saw gone is here.
    Present {
        /// What [`Ledger::gone`](crate::Ledger::gone) says about it.
        challenge: Digest,
    },
    /// By the operator or its sponsor: an agent takes part no more, nor do those that it registered.
    UnregisterAgent {
        /// The agent; not the operator.
        agent: AgentId,
    },
}

/// Why a signed command is not acceptable before any ledger rule is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// Its payload is too large or not a command's canonical bytes.
    #[error("command payload: {0}")]
    Payload(#[from] CodecError),
    /// Its signature does not hold.
    #[error("command signature: {0}")]
    Signature(#[from] KeyError),
}

/// A command as it travels: numbered and signed by its agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedCommand {
    /// The agent that says it signed.
    pub agent: AgentId,
    /// Its number; each agent counts from 0 without gaps.
    pub seq: u64,
    /// Canonical bytes of a [`Command`], at most [`MAX_PAYLOAD`].
    pub payload: Vec<u8>,
    /// Over the domain, the chain, `agent`, `seq` and `payload`.
    pub signature: Signature,
}

impl SignedCommand {
    /// Signs `command` as number `seq` of `agent` on `chain`.
    ///
    /// # Errors
    /// [`CommandError::Payload`] when the command encodes to more than [`MAX_PAYLOAD`] bytes.
    pub fn sign(
        key: &(impl Signer + ?Sized),
        chain: ChainId,
        agent: AgentId,
        seq: u64,
        command: &Command,
    ) -> Result<Self, CommandError> {
        let payload = codec::encode::<MAX_PAYLOAD, _>(command)?;
        let signature = key.sign(&signing_bytes(chain, agent, seq, &payload));
        Ok(Self {
            agent,
            seq,
            payload,
            signature,
        })
    }

    /// Whether the payload is within its size and the signature was made with `key` for `chain`.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn verify(&self, chain: ChainId, key: &PublicKey) -> Result<(), CommandError> {
        self.check_size()?;
        let message = signing_bytes(chain, self.agent, self.seq, &self.payload);
        Ok(key.verify(&message, &self.signature)?)
    }

    /// Whether each command is within its size and signed with the key beside it, for `chain`.
    #[must_use]
    pub fn verify_all(
        scheme: &dyn SignatureScheme,
        chain: ChainId,
        commands: &[(&Self, PublicKey)],
    ) -> Vec<bool> {
        let messages: Vec<_> = commands
            .iter()
            .map(|(command, _)| signing_bytes(chain, command.agent, command.seq, &command.payload))
            .collect();
        let signed: Vec<_> = commands
            .iter()
            .zip(&messages)
            .map(|((command, key), message)| Signed {
                key: *key,
                message,
                signature: command.signature,
            })
            .collect();
        scheme
            .verify_batch(&signed)
            .into_iter()
            .zip(commands)
            .map(|(holds, (command, _))| holds && command.check_size().is_ok())
            .collect()
    }

    /// The command inside.
    ///
    /// # Errors
    /// [`CommandError::Payload`] when the payload is too large or not canonical.
    pub fn command(&self) -> Result<Command, CommandError> {
        decode_payload(&self.payload)
    }

    /// Whether the payload is within [`MAX_PAYLOAD`].
    ///
    /// # Errors
    /// [`CommandError::Payload`].
    pub const fn check_size(&self) -> Result<(), CommandError> {
        if self.payload.len() > MAX_PAYLOAD {
            return Err(CommandError::Payload(CodecError::TooLarge {
                size: self.payload.len(),
                limit: MAX_PAYLOAD,
            }));
        }
        Ok(())
    }
}

pub(crate) fn decode_payload(payload: &[u8]) -> Result<Command, CommandError> {
    Ok(codec::decode_canonical::<MAX_PAYLOAD, Command>(payload)?)
}

/// Only the last part has a variable length, so no two commands share their bytes.
fn signing_bytes(chain: ChainId, agent: AgentId, seq: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SIGNING_DOMAIN.len() + 44 + payload.len());
    bytes.extend_from_slice(SIGNING_DOMAIN);
    bytes.extend_from_slice(&chain.0);
    bytes.extend_from_slice(&agent.get().to_le_bytes());
    bytes.extend_from_slice(&seq.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::AgentKey;
    use proptest::prelude::*;

    const CHAIN: ChainId = ChainId([5; 32]);

    fn signed() -> (AgentKey, SignedCommand) {
        let key = AgentKey::from_secret(&[9; 32]);
        let command = Command::TouchTrial { trial: TrialId(3) };
        let signed = SignedCommand::sign(&key, CHAIN, AgentId(2), 7, &command).expect("small");
        (key, signed)
    }

    #[test]
    fn a_command_holds_for_its_agent_number_and_chain_only() {
        let (key, good) = signed();
        let public = key.public();
        assert_eq!(good.verify(CHAIN, &public), Ok(()));
        let bad = CommandError::Signature(KeyError::BadSignature);
        assert_eq!(good.verify(ChainId([6; 32]), &public), Err(bad.clone()));
        let mut other = good.clone();
        other.seq = 8;
        assert_eq!(other.verify(CHAIN, &public), Err(bad.clone()));
        let mut other = good.clone();
        other.agent = AgentId(3);
        assert_eq!(other.verify(CHAIN, &public), Err(bad.clone()));
        let mut other = good;
        other.payload[4] ^= 1;
        assert_eq!(other.verify(CHAIN, &public), Err(bad));
    }

    #[test]
    fn an_oversized_payload_is_refused_before_its_signature_is_checked() {
        let (key, mut command) = signed();
        command.payload = vec![0; MAX_PAYLOAD + 1];
        let expected = CommandError::Payload(CodecError::TooLarge {
            size: 513,
            limit: 512,
        });
        assert_eq!(command.verify(CHAIN, &key.public()), Err(expected.clone()));
        assert_eq!(command.command(), Err(expected));
    }

    #[test]
    fn the_largest_request_fits() {
        let request = ResourceRequest {
            device: Some(DeviceId(u32::MAX)),
            bytes: Bytes(u64::MAX),
            share: Permille::WHOLE,
            priority: u8::MAX,
            hold: Millis(u64::MAX),
            deadline: Some(Timestamp(u64::MAX)),
            purpose: ShortText::fitted(&"x".repeat(200)),
        };
        let bytes = codec::encode::<MAX_PAYLOAD, _>(&Command::Request(request)).expect("fits");
        assert!(bytes.len() <= MAX_PAYLOAD / 2, "{} bytes", bytes.len());
    }

    proptest! {
        #[test]
        fn any_payload_decodes_or_fails_without_harm(payload in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(command) = decode_payload(&payload) {
                prop_assert_eq!(codec::encode::<MAX_PAYLOAD, _>(&command).expect("fits"), payload);
            }
        }
    }
}
