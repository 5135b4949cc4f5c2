//! Votes that a message shows, on their own or inside a proof: a signature that has left cannot be taken back, whatever it
//! travelled in.

use crate::consensus::{Message, Polka, RoundProof, SignedVote, Vote};
use arc_malachitebft_core_types::{NilOrVal, VoteType};

/// All of them, of whomever.
pub(super) fn votes_in(message: &Message) -> Vec<Vote> {
    match message {
        Message::Vote(SignedVote { message, .. }) => vec![message.clone()],
        Message::Polka(polka) => of_polka(polka),
        Message::RoundProof(proof) => of_proof(proof),
        Message::SyncResponse(blocks) => blocks
            .iter()
            .flat_map(|decided| decided.certificate.votes(decided.height(), decided.id()))
            .map(|(vote, _)| vote)
            .collect(),
        _ => Vec::new(),
    }
}

fn of_polka(polka: &Polka) -> Vec<Vote> {
    let votes = polka.signatures.iter().map(|&(validator, _)| Vote {
        kind: VoteType::Prevote,
        height: polka.height,
        round: polka.round,
        value: NilOrVal::Val(polka.value),
        validator,
    });
    votes.collect()
}

fn of_proof(proof: &RoundProof) -> Vec<Vote> {
    let votes = proof.votes.iter().map(|(kind, value, validator, _)| Vote {
        kind: *kind,
        height: proof.height,
        round: proof.round,
        value: *value,
        validator: *validator,
    });
    votes.collect()
}
