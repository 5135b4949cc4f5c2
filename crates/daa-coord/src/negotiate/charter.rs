//! What a session is about, and the contract that ends it.

use super::terms::Bundle;
use crate::genesis::ChainId;
use crate::keys::{Digest, PublicKey, Signature, SignatureScheme, Signed, Signer};
use daa_base::codec;
use daa_base::{AgentId, DeviceId, Timestamp};
use serde::{Deserialize, Serialize};

/// Most rounds of a session.
pub const MAX_ROUNDS: u16 = 64;

const CONTRACT_DOMAIN: &[u8] = b"daa-coord/contract/v1";

/// Largest encoded charter, and what a contract signs beside it.
const MAX_CHARTER: usize = 256;

/// Who of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Side {
    /// Makes the first offer and all odd ones.
    First,
    /// Makes the even ones.
    Second,
}

impl Side {
    /// The other side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// Who makes the offer of `round`, counted from 1.
    #[must_use]
    pub const fn of_round(round: u16) -> Self {
        if round % 2 == 1 { Self::First } else { Self::Second }
    }
}

/// One of the two agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// The agent.
    pub agent: AgentId,
    /// Its key. Who relies on a charter checks that the ledger knows the agent by it.
    pub key: PublicKey,
    /// What it would have by the policy alone.
    pub base: Bundle,
}

/// What is divided, between whom, and until when: the same for both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charter {
    /// The ledger on which the contract will count.
    pub chain: ChainId,
    /// Tells sessions of the same two agents apart; never used again on this chain.
    pub session: u64,
    /// The device.
    pub device: DeviceId,
    /// What there is to divide.
    pub pie: Bundle,
    /// The side that begins, and the other.
    pub parties: [Party; 2],
    /// Offers in all, 1 to [`MAX_ROUNDS`].
    pub rounds: u16,
    /// From this agreed time on, no contract of this session counts.
    pub expires: Timestamp,
}

/// Why a charter is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CharterError {
    /// The number of rounds is out of range.
    #[error("rounds is {rounds}, allowed are 1 to {MAX_ROUNDS}")]
    Rounds {
        /// What it is.
        rounds: u16,
    },
    /// An agent negotiates with itself.
    #[error("both sides are {agent} or have its key")]
    OneParty {
        /// The agent.
        agent: AgentId,
    },
    /// The policy shares of the two are more than there is.
    #[error("the policy shares together exceed what is divided")]
    Bases,
}

impl Charter {
    /// Whether the charter makes sense in itself.
    ///
    /// # Errors
    /// [`CharterError`].
    pub fn check(&self) -> Result<(), CharterError> {
        if !(1..=MAX_ROUNDS).contains(&self.rounds) {
            return Err(CharterError::Rounds { rounds: self.rounds });
        }
        let [first, second] = &self.parties;
        if first.agent == second.agent || first.key == second.key {
            return Err(CharterError::OneParty { agent: first.agent });
        }
        if !first.base.within(self.pie) || !second.base.within(self.pie.without(first.base)) {
            return Err(CharterError::Bases);
        }
        Ok(())
    }

    /// One side.
    #[must_use]
    pub const fn party(&self, side: Side) -> &Party {
        &self.parties[side.index()]
    }

    /// What `side` has when `first` goes to the side that begins.
    #[must_use]
    pub fn part(&self, first: Bundle, side: Side) -> Bundle {
        match side {
            Side::First => first,
            Side::Second => self.pie.without(first),
        }
    }

    /// The charter's name in messages: the digest of its canonical bytes.
    ///
    /// # Panics
    /// Never: a charter has a fixed size below its limit.
    #[must_use]
    pub fn id(&self) -> Digest {
        let bytes = codec::encode::<MAX_CHARTER, _>(self).expect("a charter has a fixed size");
        Digest(blake3::derive_key("daa-coord 2026 negotiation charter", &bytes))
    }

    /// What both sign under an offer: domain, chain, charter, round and terms.
    pub(crate) fn contract_bytes(&self, round: u16, first: Bundle) -> Vec<u8> {
        let mut bytes = CONTRACT_DOMAIN.to_vec();
        bytes.extend_from_slice(&self.chain.0);
        bytes.extend_from_slice(&self.id().0);
        bytes.extend_from_slice(&round.to_le_bytes());
        for amount in first.issues() {
            bytes.extend_from_slice(&amount.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn sign(&self, signer: &dyn Signer, round: u16, first: Bundle) -> Signature {
        signer.sign(&self.contract_bytes(round, first))
    }
}

/// An agreement that both signed. Only this reaches the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    /// What it is about.
    pub charter: Charter,
    /// The round whose offer was accepted.
    pub round: u16,
    /// What the side that begins gets; the other gets the rest.
    pub first: Bundle,
    /// Of both sides, over the same bytes.
    pub signatures: [Signature; 2],
}

/// Why a contract does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContractError {
    /// Its charter makes no sense.
    #[error("charter: {0}")]
    Charter(#[from] CharterError),
    /// It is for another ledger.
    #[error("the contract is for chain {found}, this is {expected}")]
    Chain {
        /// The chain it names.
        found: ChainId,
        /// The chain it is shown to.
        expected: ChainId,
    },
    /// It comes too late.
    #[error("the contract expired at {}, it is {}", expires.get(), now.get())]
    Expired {
        /// When it expired.
        expires: Timestamp,
        /// Agreed time.
        now: Timestamp,
    },
    /// It is of a round that the session does not have.
    #[error("round is {round}, allowed are 1 to {rounds}")]
    Round {
        /// The round it names.
        round: u16,
        /// How many there are.
        rounds: u16,
    },
    /// It gives away more than there is.
    #[error("the terms exceed what is divided")]
    Terms,
    /// A signature does not hold.
    #[error("the signature of {agent} does not hold")]
    Signature {
        /// Whose.
        agent: AgentId,
    },
    /// The bytes are not a contract.
    #[error("contract bytes: {0}")]
    Bytes(#[from] codec::CodecError),
}

impl Contract {
    /// Largest encoded contract in bytes; fits into a command.
    pub const MAX_BYTES: usize = 448;

    /// The canonical bytes.
    ///
    /// # Panics
    /// Never: a contract has a fixed size below its limit.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode::<{ Self::MAX_BYTES }, _>(self).expect("a contract has a fixed size")
    }

    /// The contract behind its canonical bytes; not verified yet.
    ///
    /// # Errors
    /// [`ContractError::Bytes`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ContractError> {
        Ok(codec::decode_canonical::<{ Self::MAX_BYTES }, Self>(bytes)?)
    }

    /// Whether both signed it for `chain` and it still counts at the agreed time `now`.
    ///
    /// The ledger checks two more things, which only it knows: that it knows both agents by the keys of the charter, and
    /// that no contract of this session was recorded before.
    ///
    /// # Errors
    /// [`ContractError`]; the cheap checks come first.
    pub fn verify(
        &self,
        scheme: &dyn SignatureScheme,
        chain: ChainId,
        now: Timestamp,
    ) -> Result<(), ContractError> {
        let charter = &self.charter;
        if charter.chain != chain {
            return Err(ContractError::Chain {
                found: charter.chain,
                expected: chain,
            });
        }
        if now >= charter.expires {
            return Err(ContractError::Expired {
                expires: charter.expires,
                now,
            });
        }
        charter.check()?;
        if !(1..=charter.rounds).contains(&self.round) {
            return Err(ContractError::Round {
                round: self.round,
                rounds: charter.rounds,
            });
        }
        if !self.first.within(charter.pie) {
            return Err(ContractError::Terms);
        }
        self.check_signatures(scheme)
    }

    fn check_signatures(&self, scheme: &dyn SignatureScheme) -> Result<(), ContractError> {
        let message = self.charter.contract_bytes(self.round, self.first);
        for (party, signature) in self.charter.parties.iter().zip(self.signatures) {
            let signed = Signed {
                key: party.key,
                message: &message,
                signature,
            };
            if !scheme.verify(&signed) {
                return Err(ContractError::Signature { agent: party.agent });
            }
        }
        Ok(())
    }

    /// What `side` gets.
    #[must_use]
    pub fn part(&self, side: Side) -> Bundle {
        self.charter.part(self.first, side)
    }
}
