//! Proof that a validator signed two things of which an honest one signs at most one.

use super::context::{Height, Proposal, Vote};
use super::wire::{SignedProposal, SignedVote};
use crate::genesis::ChainId;
use crate::keys::{Digest, PublicKey, SignatureScheme, Signed};
use daa_base::codec;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Largest encoded [`Evidence`] in bytes.
pub const MAX_EVIDENCE: usize = 512;

/// Two signed messages that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evidence {
    /// Two votes of one kind in one round.
    Votes(Box<(SignedVote, SignedVote)>),
    /// Two proposals in one round.
    Proposals(Box<(SignedProposal, SignedProposal)>),
}

/// What a validator did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum OffenceKind {
    /// It voted twice, differently.
    DoubleVote,
    /// It proposed twice, differently.
    DoubleProposal,
}

/// Who did what when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Offence {
    /// The offender.
    pub validator: PublicKey,
    /// At which height.
    pub height: u64,
    /// In which round.
    pub round: u32,
    /// What it did.
    pub kind: OffenceKind,
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let did = match self.kind {
            OffenceKind::DoubleVote => "voted twice",
            OffenceKind::DoubleProposal => "proposed twice",
        };
        write!(
            f,
            "validator {} {did} at height {}, round {}",
            self.validator, self.height, self.round
        )
    }
}

/// Why something proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// The two messages are not by the same validator about the same question.
    #[error("the two messages are not by one validator about one height, round and step")]
    Unrelated,
    /// The two messages say the same.
    #[error("the two messages do not contradict each other")]
    Consistent,
    /// They are about no round.
    #[error("the messages name no round")]
    NoRound,
    /// A signature does not hold.
    #[error("a signature does not hold")]
    BadSignature,
    /// The pair is in the wrong order: each proof has one form only.
    #[error("the two messages are in the wrong order")]
    Order,
}

impl Evidence {
    /// The proof made of two votes, in its one form.
    #[must_use]
    pub fn of_votes(a: SignedVote, b: SignedVote) -> Self {
        let ordered = a.message.value <= b.message.value;
        Self::Votes(Box::new(if ordered { (a, b) } else { (b, a) }))
    }

    /// The proof made of two proposals, in its one form.
    #[must_use]
    pub fn of_proposals(a: SignedProposal, b: SignedProposal) -> Self {
        let key = |p: &SignedProposal| (p.message.value, p.message.pol_round.as_i64());
        let ordered = key(&a) <= key(&b);
        Self::Proposals(Box::new(if ordered { (a, b) } else { (b, a) }))
    }

    /// Names the proof, for deduplication.
    ///
    /// # Panics
    /// Never: a proof has a fixed size below [`MAX_EVIDENCE`].
    #[must_use]
    pub fn digest(&self) -> Digest {
        let bytes =
            codec::encode::<MAX_EVIDENCE, _>(self).expect("two signed messages have less than 512 bytes");
        Digest::of(&bytes)
    }

    /// What is claimed, without checking signatures.
    ///
    /// # Errors
    /// [`EvidenceError`], except for signatures.
    pub fn offence(&self) -> Result<Offence, EvidenceError> {
        match self {
            Self::Votes(pair) => votes_offence(&pair.0.message, &pair.1.message),
            Self::Proposals(pair) => proposals_offence(&pair.0.message, &pair.1.message),
        }
    }

    /// What is proved.
    ///
    /// # Errors
    /// [`EvidenceError`].
    pub fn verify(&self, scheme: &dyn SignatureScheme, chain: ChainId) -> Result<Offence, EvidenceError> {
        let offence = self.offence()?;
        let messages = match self {
            Self::Votes(pair) => [
                (pair.0.message.signing_bytes(chain), pair.0.signature),
                (pair.1.message.signing_bytes(chain), pair.1.signature),
            ],
            Self::Proposals(pair) => [
                (pair.0.message.signing_bytes(chain), pair.0.signature),
                (pair.1.message.signing_bytes(chain), pair.1.signature),
            ],
        };
        let hold = messages.iter().all(|(message, signature)| {
            scheme.verify(&Signed {
                key: offence.validator,
                message,
                signature: *signature,
            })
        });
        if hold {
            Ok(offence)
        } else {
            Err(EvidenceError::BadSignature)
        }
    }
}

fn votes_offence(a: &Vote, b: &Vote) -> Result<Offence, EvidenceError> {
    if (a.kind, a.height, a.round, a.validator) != (b.kind, b.height, b.round, b.validator) {
        return Err(EvidenceError::Unrelated);
    }
    if a.value == b.value {
        return Err(EvidenceError::Consistent);
    }
    if a.value > b.value {
        return Err(EvidenceError::Order);
    }
    let Height(height) = a.height;
    Ok(Offence {
        validator: a.validator,
        height,
        round: a.round.as_u32().ok_or(EvidenceError::NoRound)?,
        kind: OffenceKind::DoubleVote,
    })
}

fn proposals_offence(a: &Proposal, b: &Proposal) -> Result<Offence, EvidenceError> {
    if (a.height, a.round, a.proposer) != (b.height, b.round, b.proposer) {
        return Err(EvidenceError::Unrelated);
    }
    if (a.value, a.pol_round) == (b.value, b.pol_round) {
        return Err(EvidenceError::Consistent);
    }
    if (a.value, a.pol_round.as_i64()) > (b.value, b.pol_round.as_i64()) {
        return Err(EvidenceError::Order);
    }
    let Height(height) = a.height;
    Ok(Offence {
        validator: a.proposer,
        height,
        round: a.round.as_u32().ok_or(EvidenceError::NoRound)?,
        kind: OffenceKind::DoubleProposal,
    })
}
