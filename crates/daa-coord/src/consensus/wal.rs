//! The write-ahead log: what a validator must remember across a crash so that it never contradicts itself.
//!
//! Each record is one frame: length, checksum, canonical bytes. A frame that is cut off or damaged ends the log: nothing
//! behind it was made durable, because records are flushed before anything that follows from them leaves the validator.

use super::block::{ConsensusBlock, NamedBlock};
use super::context::{ChainContext, Height};
use super::wire::{Polka, SignedProposal, SignedVote};
use crate::keys::PublicKey;
use arc_malachitebft_core_types::{self as core, Round, Timeout};
use daa_base::codec::{self, CodecError};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Largest encoded record in bytes: a block and its circumstances.
pub const MAX_RECORD: usize = (1 << 20) + 1024;

const FRAME_HEADER: usize = 4 + 16;

/// No frame's body is larger.
const MAX_FRAME: usize = 2 << 20;

/// A block that was judged, with the round and proposer for which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedBlock {
    /// The round.
    pub round: Round,
    /// The round in which it already had a quorum of prevotes.
    pub pol_round: Round,
    /// Who proposed it in that round.
    pub proposer: PublicKey,
    /// Whether this validator found it valid.
    pub valid: bool,
    /// Whether it came with a commit certificate instead of a proposal.
    pub synced: bool,
    /// The block.
    pub named: NamedBlock,
}

/// One thing to remember.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum WalRecord {
    /// A vote, own or of others.
    Vote(SignedVote),
    /// A proposal, own or of others.
    Proposal(SignedProposal),
    /// A judged block.
    Block(JudgedBlock),
    /// A timeout that took effect, at this height.
    Timeout(Height, Timeout),
    /// A proof that a block had a quorum of prevotes.
    Polka(Polka),
}

impl WalRecord {
    /// The height it is about.
    #[must_use]
    pub fn height(&self) -> u64 {
        match self {
            Self::Vote(vote) => vote.message.height.0,
            Self::Proposal(proposal) => proposal.message.height.0,
            Self::Block(judged) => judged.named.height(),
            Self::Timeout(height, _) => height.0,
            Self::Polka(polka) => polka.height.0,
        }
    }

    /// Whether it is a vote or proposal of this validator.
    pub(crate) fn is_of(&self, validator: &PublicKey) -> bool {
        match self {
            Self::Vote(vote) => vote.message.validator == *validator,
            Self::Proposal(proposal) => proposal.message.proposer == *validator,
            Self::Block(_) | Self::Timeout(..) | Self::Polka(_) => false,
        }
    }

    /// The record as one frame.
    ///
    /// # Errors
    /// [`CodecError::TooLarge`] above [`MAX_RECORD`].
    pub fn frame(&self) -> Result<Vec<u8>, CodecError> {
        Ok(frame_bytes(&codec::encode::<MAX_RECORD, _>(self)?))
    }
}

/// What a log's bytes hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WalContents {
    /// The whole records, in order.
    pub records: Vec<WalRecord>,
    /// How many bytes they take; what follows is torn and must be cut off before anything is appended.
    pub whole: usize,
}

/// Reads frames until the end, or until one that is cut off or damaged.
#[must_use]
pub fn read_frames(bytes: &[u8]) -> WalContents {
    let mut contents = WalContents::default();
    while let Some((record, used)) = read_frame(&bytes[contents.whole..]) {
        contents.records.push(record);
        contents.whole += used;
    }
    contents
}

pub(super) fn read_frame(bytes: &[u8]) -> Option<(WalRecord, usize)> {
    let (body, used) = read_frame_bytes(bytes)?;
    let record = codec::decode_canonical::<MAX_RECORD, _>(body).ok()?;
    Some((record, used))
}

/// `body` behind its length and checksum.
pub(super) fn frame_bytes(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FRAME_HEADER + body.len());
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&checksum(body));
    bytes.extend_from_slice(body);
    bytes
}

/// The length of the first frame by its header, if there are as many bytes; the frame may be damaged.
pub(super) fn frame_length(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    let whole = FRAME_HEADER + length;
    (length <= MAX_FRAME && whole <= bytes.len()).then_some(whole)
}

/// The body of the first frame and the frame's length, if it is whole.
pub(super) fn read_frame_bytes(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > MAX_FRAME {
        return None;
    }
    let (sum, rest) = rest.split_first_chunk::<16>()?;
    let body = rest.get(..length)?;
    (checksum(body) == *sum).then_some((body, FRAME_HEADER + length))
}

fn checksum(body: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("daa-coord 2026 write-ahead log");
    hasher.update(body);
    let mut sum = [0; 16];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    sum
}

impl JudgedBlock {
    pub(super) fn validity(&self) -> core::Validity {
        core::Validity::from_bool(self.valid)
    }

    pub(crate) const fn origin(&self) -> core::ValueOrigin {
        if self.synced {
            core::ValueOrigin::Sync
        } else {
            core::ValueOrigin::Consensus
        }
    }

    pub(crate) fn proposed(&self) -> arc_malachitebft_core_consensus::ProposedValue<ChainContext> {
        arc_malachitebft_core_consensus::ProposedValue {
            height: Height(self.named.height()),
            round: self.round,
            valid_round: self.pol_round,
            proposer: self.proposer,
            value: self.named.id(),
            validity: self.validity(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct JudgedBytes<'a> {
    round: Round,
    pol_round: Round,
    proposer: PublicKey,
    valid: bool,
    synced: bool,
    block: Cow<'a, ConsensusBlock>,
}

impl Serialize for JudgedBlock {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        JudgedBytes {
            round: self.round,
            pol_round: self.pol_round,
            proposer: self.proposer,
            valid: self.valid,
            synced: self.synced,
            block: Cow::Borrowed(self.named.block()),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JudgedBlock {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = JudgedBytes::deserialize(deserializer)?;
        Ok(Self {
            round: bytes.round,
            pol_round: bytes.pol_round,
            proposer: bytes.proposer,
            valid: bytes.valid,
            synced: bytes.synced,
            named: NamedBlock::new(bytes.block.into_owned()).map_err(serde::de::Error::custom)?,
        })
    }
}
