//! What the two sides send each other: signed, numbered, bounded.

use super::charter::{Charter, Side};
use super::terms::Bundle;
use crate::genesis::ChainId;
use crate::keys::{Digest, PublicKey, Signature, SignatureScheme, Signed, Signer};
use daa_base::codec::{self, CodecError};
use serde::{Deserialize, Serialize};

/// Largest encoded [`Envelope`] in bytes.
pub const MAX_MESSAGE: usize = 512;

const MESSAGE_DOMAIN: &[u8] = b"daa-coord/negotiate/v1";

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// Shall we divide this?
    Open(Charter),
    /// An offer: a contract that its sender has signed.
    Offer {
        /// Which, counted from 1.
        round: u16,
        /// What the side that begins would get.
        first: Bundle,
        /// The sender's, under the contract.
        contract: Signature,
    },
    /// The offer of this round is accepted.
    Accept {
        /// Which.
        round: u16,
        /// The sender's signature under the contract.
        contract: Signature,
    },
    /// The sender makes no further offer. What it offered before stands until the charter expires.
    Withdraw,
}

/// A message as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The charter it belongs to, by [`Charter::id`].
    pub session: Digest,
    /// Who sends.
    pub from: Side,
    /// Its number: each side counts its messages from 0. One that comes again has the same bytes.
    pub seq: u32,
    /// What it says.
    pub body: Body,
    /// The sender's, over domain, chain, session, side, number and body.
    pub signature: Signature,
}

impl Envelope {
    pub(crate) fn sign(
        signer: &dyn Signer,
        chain: ChainId,
        session: Digest,
        from: Side,
        seq: u32,
        body: Body,
    ) -> Self {
        let signature = signer.sign(&signing_bytes(chain, session, from, seq, &body));
        Self {
            session,
            from,
            seq,
            body,
            signature,
        }
    }

    /// Whether `key` signed this message for `chain`.
    #[must_use]
    pub fn verify(&self, scheme: &dyn SignatureScheme, chain: ChainId, key: PublicKey) -> bool {
        let message = signing_bytes(chain, self.session, self.from, self.seq, &self.body);
        scheme.verify(&Signed {
            key,
            message: &message,
            signature: self.signature,
        })
    }
}

fn signing_bytes(chain: ChainId, session: Digest, from: Side, seq: u32, body: &Body) -> Vec<u8> {
    let mut bytes = MESSAGE_DOMAIN.to_vec();
    bytes.extend_from_slice(&chain.0);
    bytes.extend_from_slice(&session.0);
    bytes.push(from.index() as u8);
    bytes.extend_from_slice(&seq.to_le_bytes());
    let body = codec::encode::<MAX_MESSAGE, _>(body).expect("every body has a bounded size");
    bytes.extend_from_slice(&body);
    bytes
}

/// The canonical bytes of a message.
///
/// # Panics
/// Never: every part of a message has a bounded size.
#[must_use]
pub fn encode(envelope: &Envelope) -> Vec<u8> {
    codec::encode::<MAX_MESSAGE, _>(envelope).expect("every message has a bounded size")
}

/// The message behind any bytes from a peer; its signature is not checked yet.
///
/// # Errors
/// [`CodecError`] for more than [`MAX_MESSAGE`] bytes, and for anything that [`encode`] does not write.
pub fn decode(bytes: &[u8]) -> Result<Envelope, CodecError> {
    codec::decode_canonical::<MAX_MESSAGE, Envelope>(bytes)
}
