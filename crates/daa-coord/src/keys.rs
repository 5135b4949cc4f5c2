//! Signing keys of agents, and the one rule by which signatures are checked.
//!
//! Signatures are Ed25519 (RFC 8032). Implementations differ in which odd signatures they accept, and a batch may accept
//! what a single check refuses. Every check of this crate follows ZIP-215, where both always agree, whoever checks:
//! [`PublicKey::verify`] for one, [`Ed25519::verify_batch`](SignatureScheme::verify_batch) for many. Keys of small order,
//! under which many signatures would pass, are refused on top.

mod hex;
mod scheme;

pub use hex::HexError;
pub use scheme::{Ed25519, SignatureScheme, Signed, Signer};

use daa_base::Stream;
use ed25519_zebra::{SigningKey, VerificationKey};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a key or a signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The 32 bytes are no point of the curve, or one of small order under which many signatures would pass.
    #[error("the 32 bytes are not a usable Ed25519 public key")]
    InvalidKey,
    /// The signature does not belong to this key and message.
    #[error("the signature does not belong to this key and message")]
    BadSignature,
}

/// The secret half of an agent's key pair. It is wiped from memory when dropped, and never printed.
#[derive(Clone)]
pub struct AgentKey {
    key: SigningKey,
}

impl AgentKey {
    /// The key that belongs to `stream`: the same stream always gives the same key.
    ///
    /// A stream comes from a 64-bit seed that people share, so such a key identifies an agent within one run and
    /// protects nothing from an outsider. Keys that must stay secret come from [`AgentKey::from_secret`].
    #[must_use]
    pub fn from_stream(stream: &Stream) -> Self {
        let mut rng = stream.rng();
        let mut secret = [0_u8; 32];
        for chunk in secret.chunks_exact_mut(8) {
            chunk.copy_from_slice(&rng.next_u64().to_le_bytes());
        }
        Self::from_secret(&secret)
    }

    /// The key behind 32 secret bytes from the system's random source.
    #[must_use]
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self {
            key: SigningKey::from(*secret),
        }
    }

    /// Another key of the same holder, for `purpose` and number: nobody else can make it, and it says nothing about this one
    /// (BLAKE3 key derivation).
    #[must_use]
    pub fn derive(&self, purpose: &str, number: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("daa-coord 2026 derived agent key");
        hasher.update(self.secret());
        hasher.update(&number.to_le_bytes());
        hasher.update(purpose.as_bytes());
        Self::from_secret(hasher.finalize().as_bytes())
    }

    /// The 32 secret bytes, for files and for the transport's identity.
    pub(crate) fn secret(&self) -> &[u8] {
        self.key.as_ref()
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.key.verification_key().into())
    }

    /// Signs `message` as it stands; callers put a domain and a chain in front (see
    /// [`SignedCommand`](crate::SignedCommand)).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.key.sign(message).to_bytes())
    }
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentKey({}, secret withheld)", self.public())
    }
}

/// The public half of a key pair: 32 bytes, not yet known to be a usable key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl PublicKey {
    /// Whether these bytes are a key that can be relied on.
    ///
    /// # Errors
    /// [`KeyError::InvalidKey`].
    pub fn check(&self) -> Result<(), KeyError> {
        self.point().map(|_| ())
    }

    /// Whether `signature` was made over `message` with the secret half of this key.
    ///
    /// # Errors
    /// [`KeyError::InvalidKey`] or [`KeyError::BadSignature`].
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), KeyError> {
        self.point()?
            .verify(&ed25519_zebra::Signature::from_bytes(&signature.0), message)
            .map_err(|_| KeyError::BadSignature)
    }

    fn point(&self) -> Result<VerificationKey, KeyError> {
        scheme::point(self).ok_or(KeyError::InvalidKey)
    }
}

impl PublicKey {
    /// All 32 bytes as 64 lower-case hexadecimal digits: how a key is written in files and on command lines.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(&self.0)
    }

    /// The key that [`PublicKey::to_hex`] writes so; capitals are read as well. Whether it can be relied on is for
    /// [`PublicKey::check`] to say.
    ///
    /// # Errors
    /// [`HexError`].
    pub fn from_hex(text: &str) -> Result<Self, HexError> {
        hex::decode(text).map(Self)
    }
}

impl fmt::Display for PublicKey {
    /// The first eight bytes in hexadecimal, enough to tell keys apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0[..8])
    }
}

/// A signature: 64 bytes, valid only once [`PublicKey::verify`] says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "([u8; 32], [u8; 32])", into = "([u8; 32], [u8; 32])")]
pub struct Signature(pub [u8; 64]);

impl From<([u8; 32], [u8; 32])> for Signature {
    fn from((front, back): ([u8; 32], [u8; 32])) -> Self {
        let mut bytes = [0_u8; 64];
        bytes[..32].copy_from_slice(&front);
        bytes[32..].copy_from_slice(&back);
        Self(bytes)
    }
}

impl From<Signature> for ([u8; 32], [u8; 32]) {
    fn from(signature: Signature) -> Self {
        let (mut front, mut back) = ([0_u8; 32], [0_u8; 32]);
        front.copy_from_slice(&signature.0[..32]);
        back.copy_from_slice(&signature.0[32..]);
        (front, back)
    }
}

/// 32 bytes that stand for something larger: a decision, a checkpoint, a ledger state.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub [u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Digest {
    /// The BLAKE3 digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for Digest {
    /// All 32 bytes in hexadecimal; `{:.8}` prints the first eight.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0[..f.precision().unwrap_or(32).min(32)])
    }
}

pub(crate) use hex::decode as decode_hex;

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use daa_base::Seed;
    use daa_base::codec;

    #[test]
    fn the_same_stream_gives_the_same_key() {
        let key = |seed, index| AgentKey::from_stream(&Seed(seed).stream("agent key").child(index)).public();
        assert_eq!(key(1, 1), key(1, 1));
        assert_ne!(key(1, 1), key(1, 2));
        assert_ne!(key(1, 1), key(2, 1));
    }

    #[test]
    fn a_signature_holds_for_its_key_and_message_only() {
        let key = AgentKey::from_secret(&[7; 32]);
        let other = AgentKey::from_secret(&[8; 32]);
        let signature = key.sign(b"lease");
        assert_eq!(key.public().verify(b"lease", &signature), Ok(()));
        assert_eq!(
            key.public().verify(b"leash", &signature),
            Err(KeyError::BadSignature)
        );
        assert_eq!(
            other.public().verify(b"lease", &signature),
            Err(KeyError::BadSignature)
        );
        for at in [0, 31, 32, 63] {
            let mut forged = signature;
            forged.0[at] ^= 1;
            assert_eq!(
                key.public().verify(b"lease", &forged),
                Err(KeyError::BadSignature),
                "byte {at}"
            );
        }
    }

    #[test]
    fn keys_of_small_order_are_refused() {
        let mut identity = [0_u8; 32];
        identity[0] = 1;
        assert_eq!(PublicKey(identity).check(), Err(KeyError::InvalidKey));
        assert_eq!(PublicKey([0; 32]).check(), Err(KeyError::InvalidKey));
        assert_eq!(AgentKey::from_secret(&[1; 32]).public().check(), Ok(()));
    }

    #[test]
    fn the_secret_is_not_printed() {
        let text = format!("{:?}", AgentKey::from_secret(&[0xab; 32]));
        assert!(!text.contains("abab") && !text.contains("171"), "{text}");
    }

    #[test]
    fn signatures_survive_the_codec() {
        let signature = AgentKey::from_secret(&[3; 32]).sign(b"x");
        let bytes = codec::encode::<64, _>(&signature).expect("64 bytes fit");
        assert_eq!(bytes, signature.0);
        assert_eq!(codec::decode_canonical::<64, Signature>(&bytes), Ok(signature));
    }
}
