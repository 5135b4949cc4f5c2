//! Blocks as validators propose and decide them, and the proof that they did.

use super::context::{BlockId, ChainContext, Height, Vote};
use super::evidence::Evidence;
use super::verify::CheckedSignatures;
use crate::command::SignedCommand;
use crate::genesis::ChainId;
use crate::keys::{Digest, PublicKey, Signature};
use crate::log::Block;
use crate::validators::{MAX_VALIDATORS, ValidatorSet};
use arc_malachitebft_core_types::{
    CommitCertificate, CommitSignature, ExtendedCommitCertificate, ExtendedCommitSignature, NilOrVal, Round,
    ThresholdParams, VoteType,
};
use daa_base::Timestamp;
use daa_base::codec::{self, CodecError};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// Largest encoded block in bytes.
pub const MAX_BLOCK: usize = 1 << 20;

/// Evidence records in one block.
pub const MAX_BLOCK_EVIDENCE: usize = 16;

/// What a block says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The chain it belongs to.
    pub chain: ChainId,
    /// 1 for the first block, then one more each.
    pub height: u64,
    /// Agreed time: not before the previous block's.
    pub time: Timestamp,
    /// The previous block; all zero for the first.
    pub parent: BlockId,
    /// The ledger's state hash before this block.
    pub state: Digest,
    /// Who put it together; a later round may propose it again in another's name.
    pub proposer: PublicKey,
}

/// A block of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsensusBlock {
    /// What it says about itself.
    pub header: Header,
    /// Commands in agreed order.
    pub entries: Vec<SignedCommand>,
    /// Proofs that validators misbehaved, at most [`MAX_BLOCK_EVIDENCE`].
    pub evidence: Vec<Evidence>,
}

impl ConsensusBlock {
    /// Canonical bytes.
    ///
    /// # Errors
    /// [`CodecError::TooLarge`] above [`MAX_BLOCK`].
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode::<MAX_BLOCK, _>(self)
    }

    /// The block behind canonical bytes.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode_canonical::<MAX_BLOCK, _>(bytes)
    }

    /// Its name: a digest of its canonical bytes.
    ///
    /// # Errors
    /// [`CodecError::TooLarge`] above [`MAX_BLOCK`].
    pub fn id(&self) -> Result<BlockId, CodecError> {
        let bytes = self.encode()?;
        let mut hasher = blake3::Hasher::new_derive_key("daa-coord 2026 block id");
        hasher.update(&bytes);
        Ok(BlockId(Digest(*hasher.finalize().as_bytes())))
    }

    /// The part that the ledger applies.
    #[must_use]
    pub fn ledger_block(&self) -> Block {
        Block {
            height: self.header.height,
            time: self.header.time,
            entries: self.entries.clone(),
            evidence: self.evidence.clone(),
        }
    }
}

/// A block together with its name, made once and shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedBlock {
    id: BlockId,
    block: Arc<ConsensusBlock>,
}

impl NamedBlock {
    /// Works out the block's name.
    ///
    /// # Errors
    /// [`CodecError::TooLarge`] above [`MAX_BLOCK`].
    pub fn new(block: ConsensusBlock) -> Result<Self, CodecError> {
        Ok(Self {
            id: block.id()?,
            block: Arc::new(block),
        })
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> BlockId {
        self.id
    }

    /// The block.
    #[must_use]
    pub const fn block(&self) -> &Arc<ConsensusBlock> {
        &self.block
    }

    /// Its height.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.block.header.height
    }
}

/// Precommits of a quorum for one block in one round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The round in which it was decided.
    pub round: u32,
    /// Who signed, each validator once, in the order of keys; at most [`MAX_VALIDATORS`].
    pub signatures: Vec<(PublicKey, Signature)>,
}

/// Why a certificate proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// It names more validators than a set can have.
    #[error("the certificate has {found} signatures, allowed are 0 to {MAX_VALIDATORS}")]
    TooMany {
        /// How many it has.
        found: usize,
    },
    /// The engine's rule refuses it.
    #[error("the certificate for height {height} does not hold: {reason}")]
    Refused {
        /// The height it is for.
        height: u64,
        /// What the rule found.
        reason: String,
    },
}

impl Certificate {
    pub(super) fn from_commit(certificate: &CommitCertificate<ChainContext>) -> Self {
        let mut signatures: Vec<_> = certificate
            .commit_signatures
            .iter()
            .map(|commit| (commit.address, commit.signature))
            .collect();
        signatures.sort_unstable();
        Self {
            round: certificate.round.as_u32().unwrap_or(0),
            signatures,
        }
    }

    #[cfg(feature = "net")]
    pub(crate) fn from_extended(certificate: &ExtendedCommitCertificate<ChainContext>) -> Self {
        let signatures = certificate.commit_signatures.iter();
        Self {
            round: certificate.round.as_u32().unwrap_or(0),
            signatures: signatures
                .map(|commit| (commit.address, commit.signature))
                .collect(),
        }
    }

    pub(super) fn to_commit(&self, height: u64, id: BlockId) -> CommitCertificate<ChainContext> {
        CommitCertificate {
            height: Height(height),
            round: Round::new(self.round),
            value_id: id,
            commit_signatures: self
                .signatures
                .iter()
                .map(|&(address, signature)| CommitSignature::new(address, signature))
                .collect(),
        }
    }

    pub(crate) fn to_extended(&self, height: u64, id: BlockId) -> ExtendedCommitCertificate<ChainContext> {
        let signatures = self
            .signatures
            .iter()
            .map(|&(address, signature)| ExtendedCommitSignature::new(address, signature, None))
            .collect();
        ExtendedCommitCertificate {
            height: Height(height),
            round: Round::new(self.round),
            value_id: id,
            commit_signatures: signatures,
        }
    }

    /// The votes it is made of.
    pub fn votes(&self, height: u64, id: BlockId) -> impl Iterator<Item = (Vote, Signature)> + '_ {
        self.signatures.iter().map(move |&(validator, signature)| {
            let vote = Vote {
                kind: VoteType::Precommit,
                height: Height(height),
                round: Round::new(self.round),
                value: NilOrVal::Val(id),
                validator,
            };
            (vote, signature)
        })
    }
}

/// A decided block with its proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The block and its name.
    pub named: NamedBlock,
    /// The proof.
    pub certificate: Certificate,
}

impl Decided {
    /// The block's height.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.named.height()
    }

    /// The block's name.
    #[must_use]
    pub const fn id(&self) -> BlockId {
        self.named.id()
    }

    /// The block.
    #[must_use]
    pub const fn block(&self) -> &Arc<ConsensusBlock> {
        self.named.block()
    }

    /// Whether a quorum of `validators` signed for this block.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn verify(
        &self,
        validators: &ValidatorSet,
        thresholds: ThresholdParams,
        signatures: &CheckedSignatures,
    ) -> Result<(), CertificateError> {
        let found = self.certificate.signatures.len();
        if found > MAX_VALIDATORS {
            return Err(CertificateError::TooMany { found });
        }
        let certificate = self.certificate.to_commit(self.height(), self.id());
        signatures
            .commit_certificate(&certificate, validators, thresholds)
            .map_err(|error| CertificateError::Refused {
                height: self.height(),
                reason: error.to_string(),
            })
    }
}

/// In this form a decided block is stored and sent.
#[derive(Serialize, Deserialize)]
struct DecidedBytes<'a> {
    block: Cow<'a, ConsensusBlock>,
    certificate: Certificate,
}

impl Serialize for Decided {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        DecidedBytes {
            block: Cow::Borrowed(self.block()),
            certificate: self.certificate.clone(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Decided {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let DecidedBytes { block, certificate } = DecidedBytes::deserialize(deserializer)?;
        let named = NamedBlock::new(block.into_owned()).map_err(serde::de::Error::custom)?;
        Ok(Self { named, certificate })
    }
}
