//! Contradictions that come late: the engine looks for them only at the height in work.

use crate::consensus::{ChainContext, CheckedSignatures, Evidence, SignedProposal, SignedVote};
use crate::keys::PublicKey;
use arc_malachitebft_app_channel::app::types::SignedConsensusMsg;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Heights below the one in work of which is remembered what validators signed. Who contradicts itself later than that is not
/// found out by this node.
pub(super) const HEIGHTS: u64 = 32;

/// Votes and proposals of one validator at one height that are remembered, of each.
const PER_HEIGHT: usize = 16;

#[derive(Debug, Default)]
struct Signed {
    votes: Vec<SignedVote>,
    proposals: Vec<SignedProposal>,
}

/// Remembers what validators signed of late.
#[derive(Debug)]
pub(super) struct Witness {
    signatures: Arc<CheckedSignatures>,
    said: Mutex<BTreeMap<(u64, PublicKey), Signed>>,
}

impl Witness {
    pub(super) fn new(signatures: Arc<CheckedSignatures>) -> Self {
        Self {
            signatures,
            said: Mutex::default(),
        }
    }

    /// Takes note of a message while `current` is in work; the proof, if it contradicts an earlier one.
    pub(super) fn hear(&self, message: &SignedConsensusMsg<ChainContext>, current: u64) -> Option<Evidence> {
        let (height, validator) = match message {
            SignedConsensusMsg::Vote(vote) => (vote.height.0, vote.validator),
            SignedConsensusMsg::Proposal(proposal) => (proposal.height.0, proposal.proposer),
        };
        if height > current || height + HEIGHTS < current {
            return None;
        }
        // The engine's check of the same signature is answered from memory.
        let genuine = match message {
            SignedConsensusMsg::Vote(vote) => self.signatures.vote(vote, &vote.signature),
            SignedConsensusMsg::Proposal(proposal) => self.signatures.proposal(proposal, &proposal.signature),
        };
        if !genuine {
            return None;
        }
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = said.split_off(&(current.saturating_sub(HEIGHTS), PublicKey([0; 32])));
        *said = kept;
        let before = said.entry((height, validator)).or_default();
        match message.clone() {
            SignedConsensusMsg::Vote(vote) => {
                let vote = vote.into();
                note(&mut before.votes, vote, |a, b| {
                    Evidence::of_votes(a.clone(), b.clone())
                })
            }
            SignedConsensusMsg::Proposal(proposal) => {
                let proposal = proposal.into();
                note(&mut before.proposals, proposal, |a, b| {
                    Evidence::of_proposals(a.clone(), b.clone())
                })
            }
        }
    }
}

fn note<T: PartialEq>(before: &mut Vec<T>, new: T, proof: impl Fn(&T, &T) -> Evidence) -> Option<Evidence> {
    if before.contains(&new) {
        return None;
    }
    let proofs = before.iter().map(|old| proof(old, &new));
    let found = proofs.into_iter().find(|proof| proof.offence().is_ok());
    if before.len() < PER_HEIGHT {
        before.push(new);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::{BlockId, Height, Vote};
    use crate::genesis::ChainId;
    use crate::keys::{AgentKey, Digest, Ed25519, Signature};
    use arc_malachitebft_core_types::{NilOrVal, Round, SignedMessage, VoteType};

    const CHAIN: ChainId = ChainId([5; 32]);

    fn witness() -> Witness {
        Witness::new(Arc::new(CheckedSignatures::new(CHAIN, Arc::new(Ed25519))))
    }

    fn vote(height: u64, block: u8, forged: bool) -> SignedConsensusMsg<ChainContext> {
        let key = AgentKey::from_secret(&[3; 32]);
        let vote = Vote {
            kind: VoteType::Precommit,
            height: Height(height),
            round: Round::ZERO,
            value: NilOrVal::Val(BlockId(Digest([block; 32]))),
            validator: key.public(),
        };
        let signature = if forged {
            Signature([1; 64])
        } else {
            key.sign(&vote.signing_bytes(CHAIN))
        };
        SignedConsensusMsg::Vote(SignedMessage::new(vote, signature))
    }

    #[test]
    fn a_second_vote_that_comes_late_is_proof() {
        let witness = witness();
        assert_eq!(witness.hear(&vote(7, 1, false), 7), None);
        assert_eq!(witness.hear(&vote(7, 1, false), 8), None, "the same again");
        let proof = witness
            .hear(&vote(7, 2, false), 7 + HEIGHTS)
            .expect("a contradiction");
        let offence = proof.verify(&Ed25519, CHAIN).expect("it holds");
        assert_eq!(offence.height, 7);
    }

    #[test]
    fn forged_far_and_many_votes_prove_nothing_and_take_no_room() {
        let witness = witness();
        assert_eq!(witness.hear(&vote(7, 1, true), 7), None);
        assert_eq!(
            witness.hear(&vote(7, 2, false), 7),
            None,
            "the forged one was not kept"
        );
        assert_eq!(witness.hear(&vote(9, 1, false), 8), None, "from the future");
        assert_eq!(witness.hear(&vote(7, 3, false), 8 + HEIGHTS), None, "too old");
        for block in 0..100 {
            witness.hear(&vote(8, block, false), 8);
        }
        let said = witness.said.lock().expect("whole");
        assert!(said.values().all(|signed| signed.votes.len() <= PER_HEIGHT));
    }
}
