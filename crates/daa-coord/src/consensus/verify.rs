//! Signature checks with a memory: what held once is not checked again.
//!
//! Malachite asks for every own vote and for every commit certificate again, and a command is seen when it arrives, when
//! it is proposed and when it is applied. The memory is filled when signing and when checking, and forgets by
//! generations: when the newer of two is full, the older goes.

use super::context::{BlockId, ChainContext, Height, Proposal, Vote};
use super::planted::{Bug, is_planted};
use crate::genesis::ChainId;
use crate::keys::{PublicKey, Signature, SignatureScheme, Signed};
use crate::validators::ValidatorSet;
use arc_malachitebft_core_types::{
    self as core, CommitCertificate, ExtendedCommitCertificate, PolkaCertificate, RoundCertificate,
    ThresholdParams, ValidatorProof, VoteExtensionPolicy, VoteExtensionScope,
};
use arc_malachitebft_signing::{Error, VerificationResult, Verifier, VerifierExt};
use futures::FutureExt as _;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Signatures remembered per generation, 32 bytes each. A height of 128 validators needs 257 per round.
const MAX_REMEMBERED: usize = 1 << 14;

/// How many checks were asked for and how many the memory answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckCounts {
    /// Checks that had to be made.
    pub made: u64,
    /// Checks that were answered from memory.
    pub remembered: u64,
    /// Checks that failed.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Memory {
    fresh: HashSet<[u8; 32]>,
    old: HashSet<[u8; 32]>,
    counts: CheckCounts,
}

impl Memory {
    fn knows(&mut self, name: &[u8; 32]) -> bool {
        let known = self.fresh.contains(name) || self.old.contains(name);
        if known {
            self.counts.remembered += 1;
        }
        known
    }

    fn learn(&mut self, name: [u8; 32], holds: bool) {
        self.counts.made += 1;
        if holds {
            self.insert(name);
        } else {
            self.counts.failed += 1;
        }
    }

    fn insert(&mut self, name: [u8; 32]) {
        if self.fresh.len() >= MAX_REMEMBERED {
            self.old = std::mem::take(&mut self.fresh);
        }
        self.fresh.insert(name);
    }
}

/// Checks the signatures of one chain and remembers which of them hold.
#[derive(Debug)]
pub struct CheckedSignatures {
    chain: ChainId,
    scheme: Arc<dyn SignatureScheme>,
    /// Malachite's verifier trait takes `&self` and wants `Sync`; nobody ever waits for this lock.
    memory: Mutex<Memory>,
}

type CertificateResult = Result<(), core::CertificateError<ChainContext>>;

impl CheckedSignatures {
    /// An empty memory for `chain`.
    #[must_use]
    pub fn new(chain: ChainId, scheme: Arc<dyn SignatureScheme>) -> Self {
        Self {
            chain,
            scheme,
            memory: Mutex::default(),
        }
    }

    /// The scheme behind it.
    #[must_use]
    pub const fn scheme(&self) -> &Arc<dyn SignatureScheme> {
        &self.scheme
    }

    /// How much work there was.
    #[must_use]
    pub fn counts(&self) -> CheckCounts {
        self.memory().counts
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a signature that this validator made itself.
    pub fn remember(&self, signed: &Signed<'_>) {
        self.memory().insert(name(signed));
    }

    /// Whether the vote is signed by the validator it names.
    #[must_use]
    pub fn vote(&self, vote: &Vote, signature: &Signature) -> bool {
        self.verify(&Signed {
            key: vote.validator,
            message: &vote.signing_bytes(self.chain),
            signature: *signature,
        })
    }

    /// Whether the proposal is signed by the proposer it names.
    #[must_use]
    pub fn proposal(&self, proposal: &Proposal, signature: &Signature) -> bool {
        self.verify(&Signed {
            key: proposal.proposer,
            message: &proposal.signing_bytes(self.chain),
            signature: *signature,
        })
    }

    pub(super) fn commit_certificate(
        &self,
        certificate: &CommitCertificate<ChainContext>,
        set: &ValidatorSet,
        thresholds: ThresholdParams,
    ) -> CertificateResult {
        let signers = certificate.commit_signatures.iter();
        let signers = signers.map(|one| (one.address, one.signature));
        let about = (certificate.height, certificate.round, certificate.value_id);
        if is_planted(Bug::DuplicateVote) && self.counts_twice(about, signers, set) {
            return Ok(());
        }
        ready(self.verify_commit_certificate(&ChainContext, certificate, set, thresholds))
    }

    pub(super) fn extended_certificate(
        &self,
        certificate: &ExtendedCommitCertificate<ChainContext>,
        set: &ValidatorSet,
        thresholds: ThresholdParams,
        policy: VoteExtensionPolicy,
    ) -> CertificateResult {
        let signers = certificate.commit_signatures.iter();
        let signers = signers.map(|one| (one.address, one.signature));
        let about = (certificate.height, certificate.round, certificate.value_id);
        if is_planted(Bug::DuplicateVote) && self.counts_twice(about, signers, set) {
            return Ok(());
        }
        ready(self.verify_extended_commit_certificate(&ChainContext, certificate, set, thresholds, policy))
    }

    /// What a careless programmer would write: counts signatures, not validators; see [`Bug`].
    fn counts_twice(
        &self,
        (height, round, id): (Height, core::Round, BlockId),
        signers: impl Iterator<Item = (PublicKey, Signature)>,
        set: &ValidatorSet,
    ) -> bool {
        let good = signers.filter(|(validator, signature)| {
            let vote = Vote {
                kind: core::VoteType::Precommit,
                height,
                round,
                value: core::NilOrVal::Val(id),
                validator: *validator,
            };
            set.get(validator).is_some() && self.vote(&vote, signature)
        });
        3 * good.count() > 2 * set.len()
    }

    pub(super) fn polka_certificate(
        &self,
        certificate: &PolkaCertificate<ChainContext>,
        set: &ValidatorSet,
        thresholds: ThresholdParams,
    ) -> CertificateResult {
        ready(self.verify_polka_certificate(&ChainContext, certificate, set, thresholds))
    }

    pub(super) fn round_certificate(
        &self,
        certificate: &RoundCertificate<ChainContext>,
        set: &ValidatorSet,
        thresholds: ThresholdParams,
    ) -> CertificateResult {
        ready(self.verify_round_certificate(&ChainContext, certificate, set, thresholds))
    }
}

/// The engine's certificate rules are `async` for remote signers; ours are at hand, so they are ready at once.
fn ready(check: impl Future<Output = CertificateResult>) -> CertificateResult {
    check
        .now_or_never()
        .unwrap_or(Err(core::CertificateError::VerificationError(None)))
}

impl SignatureScheme for CheckedSignatures {
    fn verify(&self, signed: &Signed<'_>) -> bool {
        let name = name(signed);
        if self.memory().knows(&name) {
            return true;
        }
        let holds = self.scheme.verify(signed);
        self.memory().learn(name, holds);
        holds
    }

    /// Only what is not remembered goes into the batch.
    fn verify_batch(&self, all: &[Signed<'_>]) -> Vec<bool> {
        let names: Vec<_> = all.iter().map(name).collect();
        let mut answers: Vec<bool> = {
            let mut memory = self.memory();
            names.iter().map(|name| memory.knows(name)).collect()
        };
        let open: Vec<usize> = (0..all.len()).filter(|&at| !answers[at]).collect();
        let unknown: Vec<_> = open.iter().map(|&at| all[at]).collect();
        let made = self.scheme.verify_batch(&unknown);
        let mut memory = self.memory();
        for (&at, holds) in open.iter().zip(made) {
            memory.learn(names[at], holds);
            answers[at] = holds;
        }
        answers
    }
}

/// Key and signature have fixed lengths, so no two checks share a name.
fn name(signed: &Signed<'_>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&signed.key.0);
    hasher.update(&signed.signature.0);
    if !is_planted(Bug::WeakMemo) {
        hasher.update(signed.message);
    }
    *hasher.finalize().as_bytes()
}

#[async_trait::async_trait]
impl Verifier<ChainContext> for CheckedSignatures {
    async fn verify_signed_vote(
        &self,
        vote: &Vote,
        signature: &Signature,
        key: &PublicKey,
    ) -> Result<VerificationResult, Error> {
        let holds = vote.validator == *key && self.vote(vote, signature);
        Ok(VerificationResult::from_bool(holds))
    }

    async fn verify_signed_proposal(
        &self,
        proposal: &Proposal,
        signature: &Signature,
        key: &PublicKey,
    ) -> Result<VerificationResult, Error> {
        let holds = proposal.proposer == *key && self.proposal(proposal, signature);
        Ok(VerificationResult::from_bool(holds))
    }

    /// There are no vote extensions on this chain, so none can be valid.
    async fn verify_signed_vote_extension(
        &self,
        _scope: &VoteExtensionScope<ChainContext>,
        _extension: &(),
        _signature: &Signature,
        _key: &PublicKey,
    ) -> Result<VerificationResult, Error> {
        Ok(VerificationResult::Invalid)
    }

    async fn verify_validator_proof(
        &self,
        proof: &ValidatorProof<ChainContext>,
    ) -> Result<VerificationResult, Error> {
        let Ok(key) = <[u8; 32]>::try_from(proof.public_key.as_slice()) else {
            return Ok(VerificationResult::Invalid);
        };
        let signed = Signed {
            key: PublicKey(key),
            message: &proof.preimage(),
            signature: proof.signature,
        };
        Ok(VerificationResult::from_bool(self.scheme.verify(&signed)))
    }
}
