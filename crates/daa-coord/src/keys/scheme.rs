//! Who signs and who checks: ports, so that a simulation of millions of decisions can use cheaper signatures.

use super::{AgentKey, PublicKey, Signature};
use ed25519_zebra::batch::Verifier;
use ed25519_zebra::{VerificationKey, VerificationKeyBytes};
use rand_core_06::{CryptoRng, Error, RngCore};
use std::fmt::Debug;

/// From how many signatures on a batch is cheaper than single checks.
const WORTH_A_BATCH: usize = 3;

/// Something that signs: an [`AgentKey`], or a stand-in for one in a simulation.
pub trait Signer: Debug + Send + Sync {
    /// The key that others check its signatures with.
    fn public(&self) -> PublicKey;

    /// A signature over `message` as it stands; callers put a domain and a chain in front.
    fn sign(&self, message: &[u8]) -> Signature;
}

impl Signer for AgentKey {
    fn public(&self) -> PublicKey {
        Self::public(self)
    }

    fn sign(&self, message: &[u8]) -> Signature {
        Self::sign(self, message)
    }
}

impl Signer for Box<dyn Signer> {
    fn public(&self) -> PublicKey {
        self.as_ref().public()
    }

    fn sign(&self, message: &[u8]) -> Signature {
        self.as_ref().sign(message)
    }
}

/// A signature with what it says it signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed<'a> {
    /// Whose signature it should be.
    pub key: PublicKey,
    /// What should be signed.
    pub message: &'a [u8],
    /// The signature.
    pub signature: Signature,
}

/// A way to check signatures. Implementations are pure: the same arguments always give the same answer, on every replica.
pub trait SignatureScheme: Debug + Send + Sync {
    /// Whether the signature holds.
    fn verify(&self, signed: &Signed<'_>) -> bool;

    /// Whether each signature holds; the same answers as [`SignatureScheme::verify`] one by one.
    fn verify_batch(&self, all: &[Signed<'_>]) -> Vec<bool> {
        all.iter().map(|signed| self.verify(signed)).collect()
    }
}

/// Ed25519 under the rules of ZIP-215, for which single and batched checks accept the same signatures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ed25519;

impl SignatureScheme for Ed25519 {
    fn verify(&self, signed: &Signed<'_>) -> bool {
        signed.key.verify(signed.message, &signed.signature).is_ok()
    }

    /// A batch that does not hold is halved until the bad ones are found, so one forger among many costs little.
    fn verify_batch(&self, all: &[Signed<'_>]) -> Vec<bool> {
        let mut answers = Vec::with_capacity(all.len());
        self.verify_into(all, &mut answers);
        answers
    }
}

impl Ed25519 {
    fn verify_into(self, all: &[Signed<'_>], answers: &mut Vec<bool>) {
        if all.len() < WORTH_A_BATCH {
            answers.extend(all.iter().map(|signed| self.verify(signed)));
        } else if batch_holds(all) {
            answers.extend(std::iter::repeat_n(true, all.len()));
        } else {
            let (front, back) = all.split_at(all.len() / 2);
            self.verify_into(front, answers);
            self.verify_into(back, answers);
        }
    }
}

fn batch_holds(all: &[Signed<'_>]) -> bool {
    let mut batch = Verifier::new();
    let mut hasher = blake3::Hasher::new_derive_key("daa-coord 2026 batch coefficients");
    for signed in all {
        if signed.key.check().is_err() {
            return false;
        }
        let signature = ed25519_zebra::Signature::from_bytes(&signed.signature.0);
        let key = VerificationKeyBytes::from(signed.key.0);
        batch.queue((key, signature, signed.message));
        hasher.update(&signed.key.0);
        hasher.update(&signed.signature.0);
        hasher.update(blake3::hash(signed.message).as_bytes());
    }
    batch.verify(Coefficients(hasher.finalize_xof())).is_ok()
}

/// The random numbers of a batch, drawn from a digest of all that is checked: whoever made the signatures could not know
/// them before (Fiat and Shamir 1986), and no replica needs a random source.
struct Coefficients(blake3::OutputReader);

impl RngCore for Coefficients {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl CryptoRng for Coefficients {}

/// A key as a point of the curve, if it is one that can be relied on.
pub(super) fn point(key: &PublicKey) -> Option<VerificationKey> {
    let small = curve25519_dalek::edwards::CompressedEdwardsY(key.0)
        .decompress()
        .is_none_or(|point| point.is_small_order());
    if small {
        return None;
    }
    VerificationKey::try_from(key.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_batch_of_sound_signatures_holds() {
        let keys: Vec<_> = (1..=7).map(|n| AgentKey::from_secret(&[n; 32])).collect();
        let signatures: Vec<_> = keys.iter().map(|key| key.sign(b"vote")).collect();
        let all: Vec<_> = keys
            .iter()
            .zip(&signatures)
            .map(|(key, &signature)| Signed {
                key: key.public(),
                message: b"vote",
                signature,
            })
            .collect();
        assert!(batch_holds(&all), "the batch itself, not the fallback");
    }

    #[test]
    fn keys_of_small_order_hold_in_no_batch() {
        // Under the identity as key, the identity as commitment and zero as response satisfy the equation for any text.
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        let signed = Signed {
            key: PublicKey(identity),
            message: b"anything",
            signature: Signature(signature),
        };
        assert_eq!(Ed25519.verify_batch(&[signed; 5]), [false; 5]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_batch_answers_like_single_checks(
            kinds in prop::collection::vec(0_u8..5, 0..24),
            text in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let made: Vec<_> = kinds
                .iter()
                .enumerate()
                .map(|(at, kind)| {
                    let key = AgentKey::from_secret(&[at as u8 % 5 + 1; 32]);
                    let mut signature = key.sign(&text);
                    match kind {
                        1 => signature.0[at % 64] ^= 1,
                        2 => signature = AgentKey::from_secret(&[99; 32]).sign(&text),
                        _ => {}
                    }
                    (key.public(), signature)
                })
                .collect();
            let all: Vec<_> = made
                .iter()
                .map(|&(key, signature)| Signed { key, message: &text, signature })
                .collect();
            let single: Vec<_> = all.iter().map(|signed| Ed25519.verify(signed)).collect();
            prop_assert_eq!(Ed25519.verify_batch(&all), single.clone());
            for (kind, holds) in kinds.iter().zip(single) {
                prop_assert_eq!(holds, !matches!(kind, 1 | 2));
            }
        }
    }
}
