//! Contracts and mediation, by example, and against the rule that nobody else is touched.

use super::*;
use crate::Command;
use crate::command::ResourceRequest;
use crate::conflict::{Failure, Reason, Record, Rung};
use crate::genesis::LedgerConfig;
use crate::ledger::Lease;
use crate::ledger::tests::{DEVICE, Scene, key_of, wish};
use crate::negotiate::Weights;
use daa_base::Permille;
use proptest::prelude::*;

fn bundle(bytes: u64, share: u16, time: u64) -> Bundle {
    Bundle {
        bytes: Bytes(bytes),
        share: Permille::new(share).expect("in range"),
        time: Millis(time),
        priority: 0,
    }
}

fn ask(bytes: u64, hold: u64) -> ResourceRequest {
    ResourceRequest {
        hold: Millis(hold),
        ..wish(bytes)
    }
}

/// Agents 1 and 2 divide what they have; `time` is what both have of it together.
fn charter(scene: &Scene, session: u64, time: u64) -> Charter {
    let party = |agent: u32| {
        let id = AgentId(agent);
        let own = scene.ledger.leases().find(|lease| lease.agent == id);
        let base = own.map_or(bundle(0, 0, 0), |lease| {
            bundle(lease.bytes.get(), lease.share.get(), 0)
        });
        Party {
            agent: id,
            key: key_of(id).public(),
            base,
        }
    };
    let parties = [party(1), party(2)];
    let [first, second] = parties.map(|party| party.base);
    Charter {
        chain: scene.ledger.chain_id(),
        session,
        device: DEVICE,
        pie: bundle(
            first.bytes.get() + second.bytes.get(),
            first.share.get() + second.share.get(),
            time,
        ),
        parties,
        rounds: 8,
        expires: scene.ledger.time().after(Millis(1_000)),
    }
}

fn contract(charter: &Charter, first: Bundle) -> Command {
    let sign = |agent| charter.sign(&key_of(AgentId(agent)), 1, first);
    Command::Contract(Box::new(Contract {
        charter: charter.clone(),
        round: 1,
        first,
        signatures: [sign(1), sign(2)],
    }))
}

fn leases(scene: &Scene) -> Vec<(u32, u64, u64)> {
    let brief = |lease: &Lease| (lease.agent.get(), lease.bytes.get(), lease.expires.get());
    scene.ledger.leases().map(brief).collect()
}

fn reason(events: &[LedgerEvent]) -> &Rejection {
    match events {
        [LedgerEvent::Rejected { reason, .. }] => reason,
        other => panic!("not rejected: {other:?}"),
    }
}

/// Two leases of 600 and 400 bytes for 100 ms.
fn two() -> Scene {
    let mut scene = Scene::new(LedgerConfig::default());
    scene.run(1, &Command::Request(wish(600)));
    scene.run(2, &Command::Request(wish(400)));
    scene
}

#[test]
fn what_both_signed_is_carried_out_once_and_old_tokens_end() {
    let mut scene = two();
    let old: Vec<Lease> = scene.ledger.leases().cloned().collect();
    let charter = charter(&scene, 7, 180);
    // The carrier may be anybody.
    let events = scene.run(3, &contract(&charter, bundle(300, 150, 80)));
    assert!(matches!(
        events[0],
        LedgerEvent::ContractCarriedOut {
            agent: AgentId(3),
            mediated: None,
            ..
        }
    ));
    assert_eq!(leases(&scene), [(1, 300, 1_080), (2, 700, 1_100)]);
    for (old, new) in old.iter().zip(scene.ledger.leases()) {
        assert!(new.id == old.id && new.token > old.token, "{new:?}");
    }
    let again = scene.run(3, &contract(&charter, bundle(600, 100, 80)));
    assert_eq!(reason(&again), &Rejection::SessionOver { session: 7 });
    scene.pass(1_000);
    scene.pass(0);
    let late = scene.run(3, &contract(&charter, bundle(600, 100, 80)));
    assert!(
        matches!(reason(&late), Rejection::BadContract { .. }),
        "expired, and forgotten"
    );
    scene.replay();
}

#[test]
fn what_is_signed_inside_an_entry_is_checked_again_when_decided_blocks_are_replayed() {
    let mut scene = two();
    let charter = charter(&scene, 7, 180);
    let Command::Contract(mut forged) = contract(&charter, bundle(300, 150, 80)) else {
        unreachable!("a contract is a contract");
    };
    forged.signatures[1] = forged.signatures[0];
    let before = scene.ledger.clone();
    let events = scene.run(1, &Command::Contract(forged));
    assert!(matches!(reason(&events), Rejection::BadContract { .. }));
    let mut again = before;
    let block = scene.blocks.last().expect("the last one");
    let told = again.apply_decided(block, &crate::keys::Ed25519);
    assert_eq!(told, Ok(events));
    assert_eq!(again.state_hash(), scene.ledger.state_hash());
}

#[test]
fn a_party_without_a_lease_is_granted_what_was_agreed() {
    let mut scene = Scene::new(LedgerConfig::default());
    scene.run(1, &Command::Request(wish(1000)));
    let waiting = scene.run(2, &Command::Request(wish(500)));
    let request = waiting[0].answers();
    let charter = charter(&scene, 1, 180);
    let events = scene.run(1, &contract(&charter, bundle(800, 50, 90)));
    assert!(
        events
            .iter()
            .any(|event| matches!(event, LedgerEvent::LeaseGranted(lease)
            if lease.bytes == Bytes(200) && event.answers() == request)),
        "{events:?}"
    );
    assert_eq!(leases(&scene), [(1, 800, 1_090), (2, 200, 1_090)]);
    assert_eq!(scene.ledger.queue().count(), 0);
    scene.replay();
}

#[test]
fn a_lease_given_away_ends_and_what_is_left_over_is_free() {
    let mut scene = two();
    scene.run(3, &Command::Request(wish(500)));
    let charter = charter(&scene, 1, 100);
    let events = scene.run(1, &contract(&charter, bundle(600, 100, 0)));
    assert!(events.iter().any(|event| matches!(event,
        LedgerEvent::LeaseWithdrawn { reason: WithdrawReason::GivenAway, lease } if lease.agent == AgentId(1))));
    assert_eq!(leases(&scene), [(2, 400, 1_100), (3, 500, 1_100)]);
    scene.replay();
}

#[test]
fn nobody_outside_pays_for_a_contract() {
    let mut scene = Scene::new(LedgerConfig::default());
    scene.run(1, &Command::Request(ask(600, 50)));
    scene.run(2, &Command::Request(ask(400, 100)));
    let whole = charter(&scene, 1, 300);
    let cases = [
        // Longer than either.
        (bundle(600, 100, 150), Timestamp(1_100)),
        // The short lease's memory would be used as long as the other's.
        (bundle(500, 100, 51), Timestamp(1_050)),
    ];
    for (first, at) in cases {
        let events = scene.run(1, &contract(&whole, first));
        let Rejection::ContractTooLong { at: found } = reason(&events) else {
            panic!("{events:?}");
        };
        assert!(*found <= at, "{found:?}");
    }
    let mut lying = charter(&scene, 2, 100);
    lying.parties[0].base = bundle(500, 100, 0);
    assert!(matches!(
        reason(&scene.run(1, &contract(&lying, bundle(600, 100, 50)))),
        Rejection::HoldingDiffers {
            agent: AgentId(1),
            ..
        }
    ));
    let mut greedy = charter(&scene, 3, 100);
    greedy.pie.bytes = Bytes(1_001);
    assert!(matches!(
        reason(&scene.run(1, &contract(&greedy, bundle(600, 100, 50)))),
        Rejection::PieDiffers { .. }
    ));
    let mut forged = charter(&scene, 4, 100);
    forged.parties[1].key = key_of(AgentId(3)).public();
    let sign = |agent| forged.sign(&key_of(AgentId(agent)), 1, bundle(600, 100, 50));
    let signatures = [sign(1), sign(3)];
    let forged = Command::Contract(Box::new(Contract {
        round: 1,
        first: bundle(600, 100, 50),
        signatures,
        charter: forged,
    }));
    assert_eq!(
        reason(&scene.run(1, &forged)),
        &Rejection::ContractParty { agent: AgentId(2) }
    );
    let mut distant = charter(&scene, 5, 100);
    distant.expires = scene.ledger.time().after(Millis(86_400_001));
    assert!(matches!(
        reason(&scene.run(1, &contract(&distant, bundle(600, 100, 50)))),
        Rejection::CharterTooLong { .. }
    ));
    assert_eq!(
        leases(&scene),
        [(1, 600, 1_050), (2, 400, 1_100)],
        "all of that changed nothing"
    );
}

#[test]
fn the_mediator_divides_for_two_that_both_ask() {
    let mut scene = two();
    // So little time that either may have all of it.
    let charter = charter(&scene, 1, 90);
    let memory = Weights {
        bytes: 9,
        share: 1,
        time: 1,
        priority: 1,
    };
    let compute = Weights {
        bytes: 1,
        share: 9,
        time: 1,
        priority: 1,
    };
    let weights = [memory, compute];
    let sign = |agent| Plea::sign(&key_of(AgentId(agent)), &charter, weights);
    let plea = |signatures| {
        Command::Mediate(Box::new(Plea {
            charter: charter.clone(),
            weights,
            signatures,
        }))
    };
    let forged = scene.run(3, &plea([sign(1), sign(1)]));
    assert!(matches!(reason(&forged), Rejection::BadContract { .. }));
    let outcome = conflict::mediate(charter.pie, charter.parties.map(|party| party.base), weights);
    let parts = [outcome.first, charter.part(outcome.first, Side::Second)];
    let events = scene.run(3, &plea([sign(1), sign(2)]));
    let LedgerEvent::ContractCarriedOut {
        parts: found,
        mediated,
        ..
    } = &events[0]
    else {
        panic!("not carried out: {events:?}");
    };
    assert_eq!((*found, *mediated), (parts, Some(outcome.rule)));
    scene.replay();
}

#[test]
fn steps_of_a_conflict_are_on_record() {
    let mut scene = two();
    let waiting = scene.run(3, &Command::Request(wish(500)));
    let Some((agent, seq)) = waiting[0].answers() else {
        panic!("no answer");
    };
    let request = RequestId { agent, seq };
    let record = Record {
        at: Timestamp(1_000),
        rung: Rung::Mediator,
        attempt: 1,
        tries: 1,
        reason: Reason::Failed(Failure::NothingToGain),
    };
    let step = Command::RecordConflict { request, record };
    assert_eq!(
        scene.run(3, &step)[0].to_string(),
        "request-3.0: mediator, try 1 of 1: no division is worth more to both than what they have"
    );
    assert_eq!(reason(&scene.run(1, &step)), &Rejection::NotOperator);
    let gone = RequestId { agent, seq: 99 };
    let step = Command::RecordConflict {
        request: gone,
        record,
    };
    assert_eq!(
        reason(&scene.run(3, &step)),
        &Rejection::NoSuchRequest { request: gone }
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever two agents sign, at no later moment do they hold more together than without it.
    #[test]
    fn two_never_hold_more_than_they_would_have(
        sizes in (1_u64..500, 1_u64..500),
        holds in (1_u64..200, 1_u64..200),
        bytes in 0_u64..1000,
        share in 0_u16..=200,
        times in (0_u64..220, 0_u64..220),
    ) {
        let mut scene = Scene::new(LedgerConfig::default());
        scene.run(1, &Command::Request(ask(sizes.0, holds.0)));
        scene.run(2, &Command::Request(ask(sizes.1, holds.1)));
        let before: Vec<Lease> = scene.ledger.leases().cloned().collect();
        let charter = charter(&scene, 1, times.0 + times.1);
        let first = bundle(bytes.min(charter.pie.bytes.get()), share, times.0);
        scene.run(3, &contract(&charter, first));
        let held = |leases: &[Lease], at: u64| {
            let live = leases.iter().filter(|lease| lease.is_live(Timestamp(at)));
            live.fold((0, 0), |(bytes, share), lease| {
                (bytes + lease.bytes.get(), share + lease.share.get())
            })
        };
        let after: Vec<Lease> = scene.ledger.leases().cloned().collect();
        for at in 1_000..1_250 {
            let (most, now) = (held(&before, at), held(&after, at));
            prop_assert!(now.0 <= most.0 && now.1 <= most.1, "at {}: {:?} of {:?}", at, now, most);
        }
    }
}
