//! Liars, by example.

use super::*;
use crate::command::Statement;
use crate::consensus::{BlockId, Evidence, Height, Sealed, SignedVote, Vote};
use crate::genesis::LedgerConfig;
use crate::keys::{AgentKey, Digest};
use crate::ledger::tests::Scene;
use crate::ledger::tests::members::{cluster_under, now, powers, validator};
use crate::ledger::{LedgerError, LedgerEvent};
use crate::log::Block;
use crate::{Command, Said};
use arc_malachitebft_core_types::{NilOrVal, Round, VoteType};

fn cluster(weights: &[u64], on_evidence: OnEvidence) -> Scene {
    let config = LedgerConfig {
        on_evidence,
        ..LedgerConfig::default()
    };
    cluster_under(config, weights)
}

fn vote(scene: &Scene, key: &AgentKey, height: u64, block: u8) -> SignedVote {
    let message = Vote {
        kind: VoteType::Precommit,
        height: Height(height),
        round: Round::new(0),
        value: NilOrVal::Val(BlockId(Digest([block; 32]))),
        validator: key.public(),
    };
    let signature = key.sign(&message.signing_bytes(scene.ledger.chain_id()));
    Sealed { message, signature }
}

fn double_vote(scene: &Scene, n: u8, height: u64) -> Evidence {
    let key = validator(n);
    Evidence::of_votes(vote(scene, &key, height, 1), vote(scene, &key, height, 2))
}

fn show(scene: &mut Scene, evidence: Vec<Evidence>) -> Vec<LedgerEvent> {
    scene.commit_with(Vec::new(), evidence)
}

fn refused(events: &[LedgerEvent]) -> EvidenceFault {
    match events {
        [event @ LedgerEvent::EvidenceRefused { reason }] => {
            assert_eq!(event.is_foul(), !matches!(reason, EvidenceFault::Known { .. }));
            *reason
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_liar_is_recorded_once_and_votes_no_more() {
    let mut scene = cluster(&[1, 1, 1, 1], OnEvidence::Remove);
    let proof = double_vote(&scene, 2, 3);
    assert!(scene.ledger.wants_evidence(&proof));
    let height = scene.ledger.height() + 1;
    let events = show(&mut scene, vec![proof.clone()]);
    let key = validator(2).public();
    assert!(matches!(
        events[..],
        [
            LedgerEvent::OffenceRecorded { offence: Offence { validator, height: 3, .. } },
            LedgerEvent::ValidatorRemoved { key: gone, from }
        ] if validator == key && gone == key && from == height + 2
    ));
    assert!(!scene.ledger.wants_evidence(&proof));
    assert!(matches!(
        refused(&show(&mut scene, vec![proof])),
        EvidenceFault::Known { .. }
    ));
    let mut forged = double_vote(&scene, 2, 3);
    if let Evidence::Votes(pair) = &mut forged {
        pair.1.signature.0[7] ^= 1;
    }
    let events = show(&mut scene, vec![forged]);
    assert!(events[0].is_foul(), "known, and not proven: {}", events[0]);
    assert_eq!(powers(scene.ledger.validators()), [(1, 1), (3, 1), (4, 1)]);
    assert_eq!(scene.ledger.offences().count(), 1);
    let again = Command::SetValidator { key, power: 1 };
    assert_eq!(
        scene.run(0, &again)[0].to_string(),
        format!("command 4 of agent-0 rejected: {key} was removed as a validator for an offence")
    );
    scene.replay();
}

#[test]
fn what_proves_nothing_changes_nothing() {
    let mut scene = cluster(&[1, 1, 1, 1], OnEvidence::Remove);
    let mut forged = double_vote(&scene, 2, 3);
    if let Evidence::Votes(pair) = &mut forged {
        pair.1.signature.0[7] ^= 1;
    }
    let same = Evidence::of_votes(
        vote(&scene, &validator(1), 3, 1),
        vote(&scene, &validator(1), 3, 1),
    );
    let stranger = double_vote(&scene, 9, 3);
    let next = scene.ledger.height() + 1;
    let early = double_vote(&scene, 1, 99);
    assert_eq!(refused(&show(&mut scene, vec![forged])), EvidenceFault::NoProof);
    assert_eq!(refused(&show(&mut scene, vec![same])), EvidenceFault::NoProof);
    let key = validator(9).public();
    assert_eq!(
        refused(&show(&mut scene, vec![stranger])),
        EvidenceFault::NotValidator { key }
    );
    assert_eq!(
        refused(&show(&mut scene, vec![early])),
        EvidenceFault::Future {
            named: 99,
            height: next + 3
        }
    );
    assert_eq!(scene.ledger.validators().len(), 4);
    let proof = double_vote(&scene, 1, 1);
    let block = Block {
        height: scene.ledger.height() + 1,
        evidence: vec![proof; 17],
        ..Block::default()
    };
    assert_eq!(
        scene.ledger.apply(&block),
        Err(LedgerError::TooMuchEvidence { found: 17 })
    );
}

#[test]
fn the_genesis_says_whether_a_liar_goes() {
    let mut scene = cluster(&[1, 1, 1, 1], OnEvidence::Record);
    for height in 1..=20 {
        let proof = double_vote(&scene, 2, height);
        scene.pass(1);
        show(&mut scene, vec![proof]);
    }
    scene.pass(1);
    assert_eq!(scene.ledger.validators().len(), 4);
    assert_eq!(scene.ledger.offences().count(), 16, "bounded");
    scene.replay();
}

#[test]
fn a_liar_is_found_under_its_new_key() {
    let mut scene = cluster(&[1, 1, 1, 1], OnEvidence::Remove);
    let proof = double_vote(&scene, 2, 3);
    let rotate = Statement::rotate(
        &validator(2),
        &validator(12),
        scene.ledger.chain_id(),
        now(&scene),
    );
    scene.run(1, &Command::Statement(rotate));
    for _ in 0..4 {
        scene.pass(1);
    }
    let events = show(&mut scene, vec![proof]);
    assert!(matches!(events[1], LedgerEvent::ValidatorRemoved { key, .. } if key == validator(12).public()));
    scene.replay();
}

#[test]
fn those_whose_removal_would_break_the_set_go_one_after_the_other() {
    let mut scene = cluster(&[1, 1, 1, 1], OnEvidence::Remove);
    let proofs = vec![double_vote(&scene, 1, 2), double_vote(&scene, 2, 2)];
    let events = show(&mut scene, proofs);
    assert!(matches!(
        events[3],
        LedgerEvent::ValidatorStays {
            reason: Rejection::TooMuchLost { lost: 2, total: 4 },
            ..
        }
    ));
    let mut removed = scene.pass(1);
    removed.extend(scene.pass(1));
    assert!(
        matches!(removed[..], [LedgerEvent::ValidatorRemoved { key, .. }] if key == validator(2).public()),
        "{removed:?}"
    );
    scene.pass(1);
    assert_eq!(powers(scene.ledger.validators()), [(3, 1), (4, 1)]);
    let leave = Said::Leave { when: now(&scene) };
    let leave = Statement::sign(&validator(3), scene.ledger.chain_id(), leave);
    scene.run(1, &Command::Statement(leave));
    assert_eq!(
        powers(scene.ledger.validators()),
        [(3, 1), (4, 1)],
        "half is more than a third"
    );
    scene.replay();
}
