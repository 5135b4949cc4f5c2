//! An insight as it travels.

use crate::genesis::ChainId;
use crate::keys::{PublicKey, Signature, SignatureScheme, Signed, Signer};
use crate::text::ShortText;
use daa_base::codec::{self, CodecError};
use serde::{Deserialize, Serialize};

/// Largest payload in bytes.
pub const MAX_INSIGHT_PAYLOAD: usize = 16 << 10;

/// Largest encoded [`SignedInsight`] in bytes.
pub const MAX_INSIGHT: usize = MAX_INSIGHT_PAYLOAD + 512;

const SIGNING_DOMAIN: &[u8] = b"daa-coord/insight/v1";

/// Why an insight is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InsightError {
    /// The payload is too large.
    #[error("the insight has {size} bytes, allowed are 0 to {MAX_INSIGHT_PAYLOAD}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// The bytes are no insight.
    #[error("insight: {0}")]
    Malformed(#[from] CodecError),
    /// Its author is not among those that are listened to.
    #[error("{author} is not an author that is listened to")]
    UnknownAuthor {
        /// The author.
        author: PublicKey,
    },
    /// It is not newer than what is there.
    #[error("version {got} is not newer than version {have}")]
    Stale {
        /// The version that is there.
        have: u64,
        /// The version that came.
        got: u64,
    },
    /// Its author signed two insights under one number.
    #[error("{author} signed two insights as version {version} of one topic")]
    Conflict {
        /// The author.
        author: PublicKey,
        /// The number.
        version: u64,
    },
    /// Its author has as many topics as allowed.
    #[error("an author has {most} topics already, allowed are no more")]
    TooManyTopics {
        /// How many.
        most: usize,
    },
    /// Its author has as many bytes as allowed.
    #[error("with it an author would have {bytes} bytes, allowed are 0 to {most}")]
    TooManyBytes {
        /// How many there would be.
        bytes: usize,
        /// How many are allowed.
        most: usize,
    },
    /// The signature does not hold.
    #[error("the insight's signature does not hold")]
    Signature,
    /// Usefulness was reported for an insight that is not known, or reported before.
    #[error("version {version} of this topic is not known or was reported before")]
    NotOpen {
        /// The version.
        version: u64,
    },
}

/// What an author says on a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Insight {
    /// Who says it.
    pub author: PublicKey,
    /// What it is about; the layers above choose the names.
    pub topic: ShortText,
    /// Larger is newer; each topic of an author is counted by itself.
    pub version: u64,
    /// Opaque here; at most [`MAX_INSIGHT_PAYLOAD`] bytes.
    pub payload: Vec<u8>,
}

/// An insight with its author's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedInsight {
    /// What is signed.
    pub insight: Insight,
    /// Over the domain, the chain and the insight's canonical bytes.
    pub signature: Signature,
}

impl SignedInsight {
    /// Signs a new insight by the holder of `key` for the members of `chain`.
    ///
    /// # Errors
    /// [`InsightError::TooLarge`].
    pub fn sign(
        key: &(impl Signer + ?Sized),
        chain: ChainId,
        topic: ShortText,
        version: u64,
        payload: Vec<u8>,
    ) -> Result<Self, InsightError> {
        let author = key.public();
        let insight = Insight {
            author,
            topic,
            version,
            payload,
        };
        let signature = key.sign(&insight.signing_bytes(chain)?);
        Ok(Self { insight, signature })
    }

    /// Whether its author signed it for `chain`.
    ///
    /// # Errors
    /// [`InsightError::TooLarge`] or [`InsightError::Signature`].
    pub fn verify(&self, scheme: &dyn SignatureScheme, chain: ChainId) -> Result<(), InsightError> {
        let message = self.insight.signing_bytes(chain)?;
        let holds = scheme.verify(&Signed {
            key: self.insight.author,
            message: &message,
            signature: self.signature,
        });
        if holds {
            Ok(())
        } else {
            Err(InsightError::Signature)
        }
    }

    /// The canonical bytes.
    ///
    /// # Errors
    /// [`InsightError::TooLarge`].
    pub fn encode(&self) -> Result<Vec<u8>, InsightError> {
        self.insight.check_size()?;
        Ok(codec::encode::<MAX_INSIGHT, _>(self)?)
    }

    /// The insight in canonical `bytes`; its signature is not yet checked.
    ///
    /// # Errors
    /// [`InsightError::Malformed`] or [`InsightError::TooLarge`].
    pub fn decode(bytes: &[u8]) -> Result<Self, InsightError> {
        let signed: Self = codec::decode_canonical::<MAX_INSIGHT, _>(bytes)?;
        signed.insight.check_size()?;
        Ok(signed)
    }
}

impl Insight {
    pub(crate) const fn check_size(&self) -> Result<(), InsightError> {
        let size = self.payload.len();
        if size > MAX_INSIGHT_PAYLOAD {
            return Err(InsightError::TooLarge { size });
        }
        Ok(())
    }

    fn signing_bytes(&self, chain: ChainId) -> Result<Vec<u8>, InsightError> {
        self.check_size()?;
        let mut bytes = [SIGNING_DOMAIN, &chain.0].concat();
        bytes.extend(codec::encode::<MAX_INSIGHT, _>(self)?);
        Ok(bytes)
    }
}
