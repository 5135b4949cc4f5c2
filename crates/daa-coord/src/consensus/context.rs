//! What Malachite has to know about this chain: names, heights, votes, proposals, and whose turn it is to propose.
//!
//! A value is the digest of a block. The blocks themselves travel beside the proposals and are judged by the application
//! before anybody votes for them (`ProposalAndParts`).

use crate::command::SignedCommand;
use crate::genesis::ChainId;
use crate::keys::{AgentKey, Digest, PublicKey, Signature};
use crate::validators::{Validator, ValidatorSet};
use arc_malachitebft_core_types as core;
use core::{LinearTimeouts, NilOrVal, Round, SignedExtension, VoteType, VotingPower};
use serde::{Deserialize, Serialize};
use std::fmt;

const VOTE_DOMAIN: &[u8] = b"daa-coord/vote/v1";
const PROPOSAL_DOMAIN: &[u8] = b"daa-coord/proposal/v1";

/// Height of a block; the first block has height 1, and 0 stands for the genesis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Height(pub u64);

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl core::Height for Height {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

/// Digest of a block: what validators vote on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlockId(pub Digest);

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.8}", self.0)
    }
}

impl core::Value for BlockId {
    type Id = Self;

    fn id(&self) -> Self {
        *self
    }
}

/// What one validator says about one round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Prevote or precommit.
    pub kind: VoteType,
    /// The block's height.
    pub height: Height,
    /// The round at that height.
    pub round: Round,
    /// The block, or none of them.
    pub value: NilOrVal<BlockId>,
    /// Who votes.
    pub validator: PublicKey,
}

impl Vote {
    /// The bytes that the validator signs; two different votes, or the same vote on two chains, never share them.
    #[must_use]
    pub fn signing_bytes(&self, chain: ChainId) -> Vec<u8> {
        let kind = match self.kind {
            VoteType::Prevote => 1,
            VoteType::Precommit => 2,
        };
        let mut bytes = Vec::with_capacity(VOTE_DOMAIN.len() + 32 + 1 + 8 + 8 + 33 + 32);
        bytes.extend_from_slice(VOTE_DOMAIN);
        bytes.extend_from_slice(&chain.0);
        bytes.push(kind);
        bytes.extend_from_slice(&self.height.0.to_le_bytes());
        bytes.extend_from_slice(&self.round.as_i64().to_le_bytes());
        match &self.value {
            NilOrVal::Nil => bytes.push(0),
            NilOrVal::Val(id) => {
                bytes.push(1);
                bytes.extend_from_slice(&id.0.0);
            }
        }
        bytes.extend_from_slice(&self.validator.0);
        bytes
    }
}

/// What the proposer of a round proposes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The block's height.
    pub height: Height,
    /// The round at that height.
    pub round: Round,
    /// The block.
    pub value: BlockId,
    /// The round in which the block already had a quorum of prevotes, if any.
    pub pol_round: Round,
    /// Who proposes.
    pub proposer: PublicKey,
}

impl Proposal {
    /// The bytes that the proposer signs.
    #[must_use]
    pub fn signing_bytes(&self, chain: ChainId) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PROPOSAL_DOMAIN.len() + 32 + 8 + 8 + 32 + 8 + 32);
        bytes.extend_from_slice(PROPOSAL_DOMAIN);
        bytes.extend_from_slice(&chain.0);
        bytes.extend_from_slice(&self.height.0.to_le_bytes());
        bytes.extend_from_slice(&self.round.as_i64().to_le_bytes());
        bytes.extend_from_slice(&self.value.0.0);
        bytes.extend_from_slice(&self.pol_round.as_i64().to_le_bytes());
        bytes.extend_from_slice(&self.proposer.0);
        bytes
    }
}

/// A piece of a block on its way from the proposer to the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockPart {
    /// The block's height.
    pub height: Height,
    /// The round for which it is sent.
    pub round: Round,
    /// The round in which the block already had a quorum of prevotes, if any.
    pub pol_round: Round,
    /// Who proposes it in that round.
    pub proposer: PublicKey,
    /// Its place, from 0.
    pub index: u32,
    /// How many parts there are, at least 1.
    pub count: u32,
    /// A slice of the block's canonical bytes.
    pub bytes: Vec<u8>,
}

/// What validators send each other beside votes and proposals where Malachite's engine carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// A piece of a block.
    Block(BlockPart),
    /// Commands that wait for a block.
    Commands(Vec<SignedCommand>),
    /// How far the sender is.
    Status {
        /// Its last decided height.
        height: u64,
    },
}

impl core::ProposalPart<ChainContext> for Part {
    fn is_first(&self) -> bool {
        matches!(self, Self::Block(part) if part.index == 0)
    }

    fn is_last(&self) -> bool {
        matches!(self, Self::Block(part) if part.index.checked_add(1) == Some(part.count))
    }
}

/// Types and rules of this chain, as Malachite's `Context`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChainContext;

/// Ed25519 keys and signatures in the form in which Malachite carries them. Checking is done by a
/// [`SignatureScheme`](crate::keys::SignatureScheme).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainSigning;

/// A key or signature of the wrong length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} has {found} bytes, expected are {expected}")]
pub struct LengthError {
    what: &'static str,
    found: usize,
    expected: usize,
}

impl core::SigningScheme for ChainSigning {
    type DecodingError = LengthError;
    type Signature = Signature;
    type PublicKey = PublicKey;
    type PrivateKey = AgentKey;

    fn decode_signature(bytes: &[u8]) -> Result<Signature, LengthError> {
        bytes.try_into().map(Signature).map_err(|_| LengthError {
            what: "the signature",
            found: bytes.len(),
            expected: 64,
        })
    }

    fn encode_signature(signature: &Signature) -> Vec<u8> {
        signature.0.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<PublicKey, LengthError> {
        bytes.try_into().map(PublicKey).map_err(|_| LengthError {
            what: "the public key",
            found: bytes.len(),
            expected: 32,
        })
    }

    fn encode_public_key(public_key: &PublicKey) -> Vec<u8> {
        public_key.0.to_vec()
    }
}

impl core::Address for PublicKey {}

impl core::Validator<ChainContext> for Validator {
    fn address(&self) -> &PublicKey {
        &self.key
    }

    fn public_key(&self) -> &PublicKey {
        &self.key
    }

    fn voting_power(&self) -> VotingPower {
        self.power
    }
}

impl core::ValidatorSet<ChainContext> for ValidatorSet {
    fn count(&self) -> usize {
        self.len()
    }

    fn total_voting_power(&self) -> VotingPower {
        self.total_power()
    }

    fn get_by_address(&self, address: &PublicKey) -> Option<&Validator> {
        self.get(address)
    }

    fn get_by_index(&self, index: usize) -> Option<&Validator> {
        self.as_slice().get(index)
    }
}

impl core::Proposal<ChainContext> for Proposal {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &BlockId {
        &self.value
    }

    fn take_value(self) -> BlockId {
        self.value
    }

    fn pol_round(&self) -> Round {
        self.pol_round
    }

    fn validator_address(&self) -> &PublicKey {
        &self.proposer
    }
}

impl core::Vote<ChainContext> for Vote {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<BlockId> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<BlockId> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &PublicKey {
        &self.validator
    }

    fn extension(&self) -> Option<&SignedExtension<ChainContext>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedExtension<ChainContext>> {
        None
    }

    fn extend(self, _extension: SignedExtension<ChainContext>) -> Self {
        self
    }
}

impl core::Context for ChainContext {
    type Address = PublicKey;
    type Height = Height;
    type ProposalPart = Part;
    type Proposal = Proposal;
    type Validator = Validator;
    type ValidatorSet = ValidatorSet;
    type Timeouts = LinearTimeouts;
    type Value = BlockId;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = ChainSigning;

    /// Validators take turns in the order of their keys, one step per height and per round, whatever their weight: a weight
    /// says how much a vote counts, not how often somebody may choose what goes into a block.
    ///
    /// # Panics
    /// For an empty set: no consensus runs without validators ([`Host::new`](super::Host::new) refuses it).
    fn select_proposer<'a>(&self, set: &'a ValidatorSet, height: Height, round: Round) -> &'a Validator {
        let round = u64::from(round.as_u32().unwrap_or(0));
        let turn = height.0.wrapping_add(round) % set.len() as u64;
        &set.as_slice()[turn as usize]
    }

    fn new_proposal(
        &self,
        height: Height,
        round: Round,
        value: BlockId,
        pol_round: Round,
        proposer: PublicKey,
    ) -> Proposal {
        Proposal {
            height,
            round,
            value,
            pol_round,
            proposer,
        }
    }

    fn new_prevote(
        &self,
        height: Height,
        round: Round,
        value: NilOrVal<BlockId>,
        validator: PublicKey,
    ) -> Vote {
        Vote {
            kind: VoteType::Prevote,
            height,
            round,
            value,
            validator,
        }
    }

    fn new_precommit(
        &self,
        height: Height,
        round: Round,
        value: NilOrVal<BlockId>,
        validator: PublicKey,
    ) -> Vote {
        Vote {
            kind: VoteType::Precommit,
            height,
            round,
            value,
            validator,
        }
    }
}
