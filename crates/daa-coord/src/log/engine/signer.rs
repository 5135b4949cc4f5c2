//! Signing for the engine. Own signatures go into the memory of checked ones: the engine asks for them again.

use crate::consensus::{ChainContext, CheckedSignatures, Proposal, Vote};
use crate::genesis::ChainId;
use crate::keys::{AgentKey, Signature, Signed};
use arc_malachitebft_core_types::{SignedMessage, ValidatorProof, VoteExtensionScope};
use arc_malachitebft_signing::{Error, Signer};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct EngineSigner {
    pub(super) key: AgentKey,
    pub(super) chain: ChainId,
    pub(super) signatures: Arc<CheckedSignatures>,
}

impl EngineSigner {
    fn sign(&self, message: &[u8]) -> Signature {
        let signature = self.key.sign(message);
        self.signatures.remember(&Signed {
            key: self.key.public(),
            message,
            signature,
        });
        signature
    }
}

#[async_trait::async_trait]
impl Signer<ChainContext> for EngineSigner {
    async fn sign_vote(&self, vote: Vote) -> Result<SignedMessage<ChainContext, Vote>, Error> {
        let signature = self.sign(&vote.signing_bytes(self.chain));
        Ok(SignedMessage::new(vote, signature))
    }

    async fn sign_proposal(
        &self,
        proposal: Proposal,
    ) -> Result<SignedMessage<ChainContext, Proposal>, Error> {
        let signature = self.sign(&proposal.signing_bytes(self.chain));
        Ok(SignedMessage::new(proposal, signature))
    }

    /// No height of this chain has vote extensions, and whoever checks them refuses all.
    async fn sign_vote_extension(
        &self,
        _scope: VoteExtensionScope<ChainContext>,
        extension: (),
    ) -> Result<SignedMessage<ChainContext, ()>, Error> {
        Ok(SignedMessage::new(extension, Signature([0; 64])))
    }

    /// Not asked for: connections prove their keys.
    async fn sign_validator_proof(
        &self,
        public_key: Vec<u8>,
        peer_id: Vec<u8>,
    ) -> Result<ValidatorProof<ChainContext>, Error> {
        let bytes = ValidatorProof::<ChainContext>::signing_bytes(&public_key, &peer_id);
        let signature = self.sign(&bytes);
        Ok(ValidatorProof::new(public_key, peer_id, signature))
    }
}
