//! What validators say to each other, and the one bounded form in which they say it.

use super::block::{Certificate, Decided, NamedBlock};
use super::context::{BlockId, ChainContext, Height, Proposal, Vote};
use crate::command::SignedCommand;
use crate::keys::{PublicKey, Signature};
use crate::validators::MAX_VALIDATORS;
use arc_malachitebft_core_types::{
    self as core, NilOrVal, PolkaSignature, Round, RoundCertificateType, RoundSignature, VoteType,
};
use daa_base::codec::{self, CodecError};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Largest encoded [`Message`] in bytes: a response with several blocks.
pub const MAX_MESSAGE: usize = 4 << 20;

/// Commands in one [`Message::Commands`].
pub const MAX_COMMANDS: usize = 1024;

/// Blocks in one [`Message::SyncResponse`].
pub const MAX_SYNC_BLOCKS: usize = 16;

/// A message with its author's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed<T> {
    /// What is said.
    pub message: T,
    /// By whom: over the message's signing bytes.
    pub signature: Signature,
}

/// A signed vote.
pub type SignedVote = Sealed<Vote>;

/// A signed proposal.
pub type SignedProposal = Sealed<Proposal>;

impl<T> From<core::SignedMessage<ChainContext, T>> for Sealed<T> {
    fn from(signed: core::SignedMessage<ChainContext, T>) -> Self {
        Self {
            message: signed.message,
            signature: signed.signature,
        }
    }
}

impl<T> From<Sealed<T>> for core::SignedMessage<ChainContext, T> {
    fn from(sealed: Sealed<T>) -> Self {
        Self::new(sealed.message, sealed.signature)
    }
}

/// Prevotes of a quorum for one block in one round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Polka {
    /// The height.
    pub height: Height,
    /// The round.
    pub round: Round,
    /// The block.
    pub value: BlockId,
    /// Who signed.
    pub signatures: Vec<(PublicKey, Signature)>,
}

/// Votes that justify entering a later round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundProof {
    /// The height.
    pub height: Height,
    /// The round of the votes.
    pub round: Round,
    /// Whether the votes are precommits of a quorum; otherwise any votes of more than a third.
    pub precommits: bool,
    /// Kind, block, author and signature of each vote.
    pub votes: Vec<(VoteType, NilOrVal<BlockId>, PublicKey, Signature)>,
}

/// A block on its way, for one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockMessage {
    /// The round for which it is sent.
    pub round: u32,
    /// The block.
    pub named: NamedBlock,
}

/// What validators say to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Message {
    /// A vote.
    Vote(SignedVote),
    /// A proposal; the block comes in [`Message::Block`].
    Proposal(SignedProposal),
    /// The block that a proposal names.
    Block(BlockMessage),
    /// A proof that a block had a quorum of prevotes.
    Polka(Polka),
    /// A proof that a round is over.
    RoundProof(RoundProof),
    /// Commands that wait for a block, at most [`MAX_COMMANDS`].
    Commands(Vec<SignedCommand>),
    /// How far the sender is.
    Status {
        /// Its last decided height.
        height: u64,
    },
    /// Asks for decided blocks.
    SyncRequest {
        /// The first one.
        from: u64,
        /// How many, at most [`MAX_SYNC_BLOCKS`].
        count: u32,
    },
    /// Decided blocks in the order of their heights, at most [`MAX_SYNC_BLOCKS`].
    SyncResponse(Vec<Decided>),
}

/// Why bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// They do not decode, or are too many.
    #[error("message: {0}")]
    Codec(#[from] CodecError),
    /// A list is too long.
    #[error("{field} has {found} entries, allowed are 0 to {limit}")]
    TooMany {
        /// Which list.
        field: &'static str,
        /// How many entries it has.
        found: usize,
        /// How many it may have.
        limit: usize,
    },
}

impl Message {
    /// A short name for counters.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Vote(_) => "vote",
            Self::Proposal(_) => "proposal",
            Self::Block(_) => "block",
            Self::Polka(_) => "polka",
            Self::RoundProof(_) => "round proof",
            Self::Commands(_) => "commands",
            Self::Status { .. } => "status",
            Self::SyncRequest { .. } => "sync request",
            Self::SyncResponse(_) => "sync response",
        }
    }

    /// Canonical bytes.
    ///
    /// # Errors
    /// [`WireError`] when the message is larger than peers accept.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        self.check()?;
        Ok(codec::encode::<MAX_MESSAGE, _>(self)?)
    }

    /// The message behind canonical bytes. Signatures are not checked.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let message = codec::decode_canonical::<MAX_MESSAGE, Self>(bytes)?;
        message.check()?;
        Ok(message)
    }

    /// Whether every list is within its bound.
    ///
    /// # Errors
    /// [`WireError::TooMany`].
    pub fn check(&self) -> Result<(), WireError> {
        let at_most = |field, found, limit| {
            if found > limit {
                Err(WireError::TooMany { field, found, limit })
            } else {
                Ok(())
            }
        };
        match self {
            Self::Polka(polka) => at_most("signatures", polka.signatures.len(), MAX_VALIDATORS),
            Self::RoundProof(proof) => at_most("votes", proof.votes.len(), 2 * MAX_VALIDATORS),
            Self::Commands(commands) => at_most("commands", commands.len(), MAX_COMMANDS),
            Self::SyncResponse(blocks) => at_most("blocks", blocks.len(), MAX_SYNC_BLOCKS),
            Self::SyncRequest { count, .. } => at_most("count", *count as usize, MAX_SYNC_BLOCKS),
            Self::Vote(_) | Self::Proposal(_) | Self::Block(_) | Self::Status { .. } => Ok(()),
        }
    }
}

impl Certificate {
    /// The certificate of a decided block, with each list bounded as in [`Message::check`].
    pub(crate) const fn is_bounded(&self) -> bool {
        self.signatures.len() <= MAX_VALIDATORS
    }
}

impl From<&core::PolkaCertificate<ChainContext>> for Polka {
    fn from(certificate: &core::PolkaCertificate<ChainContext>) -> Self {
        let signatures = certificate.polka_signatures.iter();
        Self {
            height: certificate.height,
            round: certificate.round,
            value: certificate.value_id,
            signatures: signatures.map(|one| (one.address, one.signature)).collect(),
        }
    }
}

impl From<&Polka> for core::PolkaCertificate<ChainContext> {
    fn from(polka: &Polka) -> Self {
        let signatures = polka.signatures.iter();
        Self {
            height: polka.height,
            round: polka.round,
            value_id: polka.value,
            polka_signatures: signatures
                .map(|&(address, signature)| PolkaSignature::new(address, signature))
                .collect(),
        }
    }
}

impl From<&core::RoundCertificate<ChainContext>> for RoundProof {
    fn from(certificate: &core::RoundCertificate<ChainContext>) -> Self {
        let votes = certificate.round_signatures.iter();
        Self {
            height: certificate.height,
            round: certificate.round,
            precommits: certificate.cert_type == RoundCertificateType::Precommit,
            votes: votes
                .map(|one| (one.vote_type, one.value_id, one.address, one.signature))
                .collect(),
        }
    }
}

impl From<&RoundProof> for core::RoundCertificate<ChainContext> {
    fn from(proof: &RoundProof) -> Self {
        let votes = proof.votes.iter().cloned();
        Self {
            height: proof.height,
            round: proof.round,
            cert_type: if proof.precommits {
                RoundCertificateType::Precommit
            } else {
                RoundCertificateType::Skip
            },
            round_signatures: votes
                .map(|(kind, value, address, signature)| RoundSignature::new(kind, value, address, signature))
                .collect(),
        }
    }
}

/// In this form a block travels: its name is worked out again by whoever receives it.
#[derive(Serialize, Deserialize)]
struct BlockMessageBytes<'a> {
    round: u32,
    block: Cow<'a, super::block::ConsensusBlock>,
}

impl Serialize for BlockMessage {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        BlockMessageBytes {
            round: self.round,
            block: Cow::Borrowed(self.named.block()),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for BlockMessage {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let BlockMessageBytes { round, block } = BlockMessageBytes::deserialize(deserializer)?;
        let named = NamedBlock::new(block.into_owned()).map_err(serde::de::Error::custom)?;
        Ok(Self { round, named })
    }
}
