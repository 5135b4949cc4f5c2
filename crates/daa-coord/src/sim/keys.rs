//! Who signs in a simulation, and the cheap signatures of its bulk.
//!
//! Names of validators are Ed25519 public keys and are checked to be such, so the model uses the public halves of real
//! keys, derived once per process. A model signature is a BLAKE3 hash of the message keyed with a secret that belongs to
//! the public key; a registry of all secrets checks it. Inside the model it cannot be forged: code that is handed a
//! [`ModelSigner`] reaches no secret but that signer's, and none of those through it.

use crate::keys::{AgentKey, Ed25519, PublicKey, Signature, SignatureScheme, Signed, Signer};
use daa_base::Seed;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Keys in all: validators from the front, agents from [`FIRST_AGENT`], the operator last.
const KEYS: usize = 64;
const FIRST_AGENT: usize = 48;
const OPERATOR_KEY: usize = KEYS - 1;

/// Most validators of a simulated cluster.
pub const MAX_NODES: usize = FIRST_AGENT;

/// Most agents of a simulated cluster.
pub(super) const MAX_AGENTS: usize = OPERATOR_KEY - FIRST_AGENT;

struct Ring {
    keys: Vec<AgentKey>,
    /// Public keys with the secrets of the model, by public key.
    secrets: Vec<(PublicKey, [u8; 32])>,
}

fn ring() -> &'static Ring {
    static RING: OnceLock<Ring> = OnceLock::new();
    RING.get_or_init(|| {
        let stream = Seed(0).stream("simulation keys");
        let mut keys: Vec<_> = (0..KEYS as u64)
            .map(|n| AgentKey::from_stream(&stream.child(n)))
            .collect();
        // Validators are numbered in the order of their keys, as in a validator set.
        keys[..FIRST_AGENT].sort_by_key(AgentKey::public);
        let mut secrets: Vec<_> = keys
            .iter()
            .map(|key| {
                let public = key.public();
                let secret = blake3::derive_key("daa-coord 2026 model secret", &key.sign(b"model").0);
                (public, secret)
            })
            .collect();
        secrets.sort_unstable();
        Ring { keys, secrets }
    })
}

/// Signatures that cost a hash instead of a multiplication on a curve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelScheme;

/// What [`ModelScheme`] checks: signs as one key of the model and no other.
#[derive(Clone)]
pub struct ModelSigner {
    public: PublicKey,
    secret: [u8; 32],
}

impl fmt::Debug for ModelSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModelSigner({}, secret withheld)", self.public)
    }
}

fn mac(secret: &[u8; 32], message: &[u8]) -> Signature {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(blake3::keyed_hash(secret, message).as_bytes());
    Signature(bytes)
}

impl Signer for ModelSigner {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Signature {
        mac(&self.secret, message)
    }
}

impl SignatureScheme for ModelScheme {
    fn verify(&self, signed: &Signed<'_>) -> bool {
        let secrets = &ring().secrets;
        secrets
            .binary_search_by_key(&signed.key, |(public, _)| *public)
            .is_ok_and(|at| mac(&secrets[at].1, signed.message) == signed.signature)
    }
}

/// How a run signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signatures {
    /// By [`ModelScheme`].
    Model,
    /// By Ed25519, as outside of simulations.
    Real,
}

impl Signatures {
    pub(super) fn scheme(self) -> Arc<dyn SignatureScheme> {
        match self {
            Self::Model => Arc::new(ModelScheme),
            Self::Real => Arc::new(Ed25519),
        }
    }

    pub(super) fn validator(self, number: usize) -> Box<dyn Signer> {
        self.signer(number.min(MAX_NODES - 1))
    }

    pub(super) fn agent(self, number: usize) -> Box<dyn Signer> {
        self.signer(FIRST_AGENT + number.min(MAX_AGENTS - 1))
    }

    pub(super) fn operator(self) -> Box<dyn Signer> {
        self.signer(OPERATOR_KEY)
    }

    fn signer(self, at: usize) -> Box<dyn Signer> {
        let ring = ring();
        let key = &ring.keys[at];
        if self == Self::Real {
            return Box::new(key.clone());
        }
        let public = key.public();
        let found = ring.secrets.binary_search_by_key(&public, |(public, _)| *public);
        let secret = ring.secrets[found.expect("every key of the ring has a secret")].1;
        Box::new(ModelSigner { public, secret })
    }
}

/// The number of a validator's first or second key in a cluster of `nodes`.
pub(super) const fn key_number(nodes: usize, validator: usize, second: bool) -> usize {
    if second { validator + nodes } else { validator }
}

/// The public key with this number.
pub(super) fn validator_key(number: usize) -> PublicKey {
    ring().keys[number.min(MAX_NODES - 1)].public()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_signature_holds_for_its_key_and_message_only() {
        let (one, two) = (Signatures::Model.validator(0), Signatures::Model.validator(1));
        let signature = one.sign(b"vote");
        let check = |key, message: &[u8], signature| {
            let signed = Signed {
                key,
                message,
                signature,
            };
            ModelScheme.verify(&signed)
        };
        assert!(check(one.public(), b"vote", signature));
        assert!(!check(two.public(), b"vote", signature));
        assert!(!check(one.public(), b"veto", signature));
        let mut bent = signature;
        bent.0[63] = 1;
        assert!(!check(one.public(), b"vote", bent), "one form only");
        assert!(
            !check(PublicKey([1; 32]), b"vote", signature),
            "unknown keys sign nothing"
        );
        assert!(format!("{one:?}").contains("withheld"));
    }

    #[test]
    fn the_keys_are_real_ones_in_the_order_of_a_validator_set() {
        let keys: Vec<_> = (0..10).map(validator_key).collect();
        let set = crate::ValidatorSet::equal(keys.iter().copied()).expect("usable keys");
        assert!(set.as_slice().iter().map(|validator| validator.key).eq(keys));
        let real = Signatures::Real.validator(3);
        let message = b"height 7";
        let signed = Signed {
            key: validator_key(3),
            message,
            signature: real.sign(message),
        };
        assert!(Ed25519.verify(&signed) && !ModelScheme.verify(&signed));
        assert_eq!(Signatures::Model.validator(3).public(), real.public());
    }
}
