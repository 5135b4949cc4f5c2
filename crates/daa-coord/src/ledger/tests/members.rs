//! Who votes, who is seen gone, who takes part.

use super::*;
use crate::command::{Said, Statement, When};
use crate::genesis::Genesis;
use crate::ledger::MembershipChange;
use crate::ledger::reason::WithdrawReason;
use crate::validators::{Validator, ValidatorSet};

pub(crate) fn validator(n: u8) -> AgentKey {
    AgentKey::from_secret(&[n.wrapping_add(100); 32])
}

fn voting(config: LedgerConfig, powers: &[u64]) -> Genesis {
    let set = powers.iter().zip(1..).map(|(&power, n)| Validator {
        key: validator(n).public(),
        power,
    });
    genesis(config).with_validators(ValidatorSet::new(set).expect("valid"))
}

fn cluster(powers: &[u64]) -> Scene {
    cluster_under(LedgerConfig::default(), powers)
}

pub(crate) fn cluster_under(config: LedgerConfig, powers: &[u64]) -> Scene {
    Scene::of(voting(config, powers))
}

fn set(n: u8, power: u64) -> Command {
    Command::SetValidator {
        key: validator(n).public(),
        power,
    }
}

pub(crate) fn powers(set: &ValidatorSet) -> Vec<(u8, u64)> {
    let name = |key| (1..20).find(|&n| validator(n).public() == key).expect("known");
    let mut all: Vec<_> = set.as_slice().iter().map(|v| (name(v.key), v.power)).collect();
    all.sort_unstable();
    all
}

pub(crate) fn now(scene: &Scene) -> When {
    When {
        epoch: scene.ledger.membership_epoch(),
        until: scene.ledger.height() + 5,
    }
}

fn say(scene: &mut Scene, n: u8, said: Said) -> Vec<LedgerEvent> {
    let statement = Statement::sign(&validator(n), scene.ledger.chain_id(), said);
    scene.run(1, &Command::Statement(statement))
}

#[test]
fn a_change_counts_from_the_block_after_the_next() {
    let mut scene = cluster(&[1, 1, 1, 1]);
    let four = scene.ledger.validators().clone();
    let decided = scene.ledger.height() + 1;
    let events = scene.run(0, &set(5, 1));
    let key = validator(5).public();
    let change = MembershipChange::Joined { key, power: 1 };
    assert!(
        matches!(events[..], [LedgerEvent::ValidatorsChanged { change: found, from, .. }] if found == change && from == decided + 2)
    );
    assert_eq!(
        scene.ledger.validators(),
        &four,
        "the next block knows them not yet"
    );
    assert_eq!(scene.ledger.validators_at(decided), Some(&four));
    assert_eq!(scene.ledger.validators_at(decided + 1), Some(&four));
    assert_eq!(
        scene.ledger.validators_at(decided + 2).map(ValidatorSet::len),
        Some(5)
    );
    assert_eq!(scene.ledger.validators_at(decided + 3), None);
    assert_eq!(scene.ledger.validators_at(decided - 1), None);
    scene.pass(1);
    assert_eq!(scene.ledger.validators().len(), 5);
    assert_eq!(scene.ledger.validators_at(decided + 1), Some(&four));
    scene.replay();
}

#[test]
fn a_block_takes_no_more_than_a_third_away_and_never_the_last() {
    let mut scene = cluster(&[1, 1, 1, 1]);
    let both = vec![scene.next(0, &set(1, 0)), scene.next(0, &set(2, 0))];
    let events = scene.commit(both);
    assert!(matches!(events[0], LedgerEvent::ValidatorsChanged { .. }));
    assert_eq!(
        rejection(&events[1..]),
        Rejection::TooMuchLost { lost: 2, total: 4 }
    );
    // The next block still votes with four: what was decided counts against the same four.
    scene.pass(1);
    assert_eq!(powers(scene.ledger.validators()), [(2, 1), (3, 1), (4, 1)]);
    scene.run(0, &set(2, 0));
    scene.pass(1);
    assert_eq!(
        rejection(&scene.run(0, &set(3, 0))),
        Rejection::TooMuchLost { lost: 1, total: 2 }
    );
    scene.run(0, &set(4, 2));
    scene.pass(1);
    scene.run(0, &set(3, 0));
    scene.pass(1);
    assert_eq!(powers(scene.ledger.validators()), [(4, 2)]);
    assert_eq!(rejection(&scene.run(0, &set(4, 0))), Rejection::LastValidator);
    assert_eq!(
        rejection(&scene.run(0, &set(3, 0))),
        Rejection::NotValidator {
            key: validator(3).public()
        }
    );
    scene.replay();
}

#[test]
fn newcomers_cannot_stop_those_who_are_there() {
    let mut scene = cluster(&[1, 1, 1, 1]);
    assert_eq!(
        rejection(&scene.run(0, &set(5, 2))),
        Rejection::TooMuchNew { new: 2, total: 6 }
    );
    let two = vec![scene.next(0, &set(5, 1)), scene.next(0, &set(6, 1))];
    assert_eq!(
        rejection(&scene.commit(two)[1..]),
        Rejection::TooMuchNew { new: 2, total: 6 }
    );
    scene.pass(1);
    scene.run(0, &set(6, 1));
    let mut small = cluster(&[1]);
    for n in 2..=4 {
        assert!(matches!(
            small.run(0, &set(n, 1))[..],
            [LedgerEvent::ValidatorsChanged { .. }]
        ));
        small.pass(1);
    }
    assert_eq!(small.ledger.validators().len(), 4);
}

#[test]
fn only_the_operator_and_the_validator_itself_change_membership() {
    let mut scene = cluster(&[1, 1, 1, 1]);
    assert_eq!(rejection(&scene.run(1, &set(1, 0))), Rejection::NotOperator);
    let mut local = Scene::new(LedgerConfig::default());
    assert_eq!(rejection(&local.run(0, &set(1, 1))), Rejection::NoValidators);
    let when = now(&scene);
    let forged = Statement {
        validator: validator(2).public(),
        ..Statement::sign(&validator(1), scene.ledger.chain_id(), Said::Leave { when })
    };
    assert_eq!(
        rejection(&scene.run(1, &Command::Statement(forged))),
        Rejection::BadStatement
    );
    let stranger = rejection(&say(&mut scene, 9, Said::Leave { when }));
    assert_eq!(
        stranger,
        Rejection::NotValidator {
            key: validator(9).public()
        }
    );
    assert!(matches!(
        say(&mut scene, 2, Said::Leave { when })[..],
        [LedgerEvent::ValidatorsChanged {
            change: MembershipChange::Left { .. },
            ..
        }]
    ));
    assert_eq!(
        rejection(&say(&mut scene, 3, Said::Leave { when })),
        Rejection::OtherEpoch { named: 0, epoch: 1 },
        "a statement works once, before any other change"
    );
    let late = When {
        epoch: 1,
        until: scene.ledger.height(),
    };
    assert!(matches!(
        rejection(&say(&mut scene, 3, Said::Leave { when: late })),
        Rejection::StatementLate { .. }
    ));
}

#[test]
fn a_validator_changes_its_key_and_keeps_its_weight() {
    let mut scene = cluster(&[1, 4, 1]);
    let chain = scene.ledger.chain_id();
    // Two thirds of the weight change hands within one block, and nothing is lost.
    let first = Statement::rotate(&validator(2), &validator(12), chain, now(&scene));
    let entry = scene.next(1, &Command::Statement(first.clone()));
    let mut when = now(&scene);
    when.epoch += 1;
    let second = Statement::rotate(&validator(12), &validator(13), chain, when);
    let entries = vec![entry, scene.next(2, &Command::Statement(second))];
    for event in scene.commit(entries) {
        assert!(
            matches!(
                event,
                LedgerEvent::ValidatorsChanged {
                    change: MembershipChange::Rotated { .. },
                    ..
                }
            ),
            "{event}"
        );
    }
    scene.pass(1);
    assert_eq!(powers(scene.ledger.validators()), [(1, 1), (3, 1), (13, 4)]);
    for key in [2, 12] {
        let key = validator(key).public();
        assert_eq!(
            rejection(&scene.run(0, &Command::SetValidator { key, power: 1 })),
            Rejection::KeyRetired { key }
        );
    }
    let when = now(&scene);
    let taken = Statement::rotate(&validator(13), &validator(1), chain, when);
    assert_eq!(
        rejection(&scene.run(1, &Command::Statement(taken))),
        Rejection::KeyRetired {
            key: validator(1).public()
        }
    );
    assert!(matches!(
        rejection(&scene.run(1, &Command::Statement(first))),
        Rejection::NotValidator { .. }
    ));
    scene.replay();
}

fn gone(scene: &mut Scene, n: u8, agent: u32, back: u64) -> Vec<LedgerEvent> {
    let at = Timestamp(scene.ledger.time().get() - back);
    say(
        scene,
        n,
        Said::Gone {
            agent: AgentId(agent),
            at,
        },
    )
}

#[test]
fn a_quorum_that_sees_an_agent_gone_frees_what_it_has() {
    let mut scene = cluster(&[1, 1, 1, 1]);
    let lease = scene.grant(2, wish(900));
    scene.run(2, &claim(0));
    let (own, ..) = scene.queue(2, wish(200));
    let (other, ..) = scene.queue(3, wish(200));
    for n in [1, 2] {
        let events = gone(&mut scene, n, 2, 0);
        assert!(
            matches!(events[..], [LedgerEvent::AgentReported { weight, total: 4, .. }] if weight == u64::from(n)),
            "{events:?}"
        );
        scene.pass(1);
    }
    let again = gone(&mut scene, 2, 2, 1);
    assert!(
        matches!(rejection(&again), Rejection::ReportTime { .. }),
        "reports do not add up twice"
    );
    let events = gone(&mut scene, 3, 2, 0);
    let lines: Vec<_> = events.iter().map(ToString::to_string).collect();
    assert!(
        matches!(events[1], LedgerEvent::AgentGone { weight: 3, .. }),
        "{lines:?}"
    );
    assert!(
        matches!(&events[2], LedgerEvent::LeaseWithdrawn { lease: over, reason: WithdrawReason::HolderGone } if over.id == lease.id)
    );
    assert!(
        matches!(events[3], LedgerEvent::RequestRefused { request, reason: RefuseReason::AgentGone } if request == own)
    );
    assert!(matches!(
        events[4],
        LedgerEvent::TrialReleased {
            reason: ReleaseReason::WorkerGone,
            ..
        }
    ));
    assert!(
        matches!(&events[5], LedgerEvent::LeaseGranted(next) if next.request == other && next.token > lease.token)
    );
    assert_eq!(
        rejection(&scene.run(2, &release(&lease))),
        Rejection::NoSuchLease { lease: lease.id }
    );
    assert_eq!(
        refusal(&scene.run(2, &Command::Request(wish(1)))),
        RefuseReason::AgentGone
    );
    scene.replay();
}

#[test]
fn a_gone_agent_comes_back_by_what_it_could_not_know_before() {
    let mut scene = cluster(&[1, 1, 1, 1]);
    for n in [1, 2, 3] {
        gone(&mut scene, n, 2, 0);
    }
    let asked = scene.ledger.gone(AgentId(2)).expect("gone");
    let wrong = Command::Present {
        challenge: Digest::default(),
    };
    assert_eq!(rejection(&scene.run(2, &wrong)), Rejection::StaleSign);
    assert_eq!(rejection(&scene.run(3, &wrong)), Rejection::NotGone);
    scene.pass(5);
    let right = Command::Present {
        challenge: asked.challenge,
    };
    assert_eq!(scene.run(2, &right)[0].to_string(), "agent-2 is back");
    assert_eq!(scene.ledger.gone(AgentId(2)), None);
    scene.grant(2, wish(10));
    let old = gone(&mut scene, 4, 2, 5);
    assert!(
        matches!(rejection(&old), Rejection::ReportTime { .. }),
        "old reports are void"
    );
    scene.pass(1);
    assert!(matches!(
        gone(&mut scene, 4, 2, 0)[..],
        [LedgerEvent::AgentReported { weight: 1, .. }]
    ));
    scene.replay();
}

#[test]
fn reports_count_within_their_window_and_from_validators_only() {
    let mut scene = cluster(&[1, 1, 1, 1]);
    gone(&mut scene, 1, 2, 0);
    gone(&mut scene, 2, 2, 0);
    scene.pass(10_001);
    let events = gone(&mut scene, 3, 2, 0);
    assert!(
        matches!(events[..], [LedgerEvent::AgentReported { weight: 1, .. }]),
        "{events:?}"
    );
    assert!(matches!(
        rejection(&gone(&mut scene, 9, 2, 0)),
        Rejection::NotValidator { .. }
    ));
    assert_eq!(
        rejection(&gone(&mut scene, 1, 77, 0)),
        Rejection::NoSuchAgent { agent: AgentId(77) }
    );
    assert_eq!(rejection(&gone(&mut scene, 1, 0, 0)), Rejection::OperatorStays);
    let future = Said::Gone {
        agent: AgentId(2),
        at: scene.ledger.time().after(Millis(1)),
    };
    assert!(matches!(
        rejection(&say(&mut scene, 1, future)),
        Rejection::ReportTime { .. }
    ));
    assert!(matches!(
        rejection(&gone(&mut scene, 1, 2, 10_001)),
        Rejection::ReportTime { .. }
    ));
}

#[test]
fn an_unregistered_agent_leaves_nothing_and_its_old_commands_never_count_again() {
    let mut scene = Scene::new(LedgerConfig::default());
    let lease = scene.grant(2, wish(900));
    let old = scene.sign(2, 1, &Command::Request(wish(5)));
    let (waiting, ..) = scene.queue(2, wish(200));
    let held = scene.sign(2, 5, &Command::Request(wish(5)));
    scene.commit(vec![held]);
    let unregister = Command::UnregisterAgent { agent: AgentId(2) };
    assert!(matches!(
        rejection(&scene.run(1, &unregister)),
        Rejection::OutsideBlock { number: 2, .. }
    ));
    let events = scene.run(0, &unregister);
    assert_eq!(events[0].to_string(), "agent-2 is not registered any more");
    assert!(matches!(&events[1], LedgerEvent::LeaseWithdrawn { lease: over, .. } if *over == lease));
    assert_eq!(events[2].ends_request(), Some(waiting));
    assert_eq!(scene.ledger.agent(AgentId(2)), None);
    assert_eq!(scene.ledger.agents().count(), 3);
    assert_eq!(
        dropped(&scene.commit(vec![old.clone()])),
        DropReason::UnknownAgent
    );
    assert_eq!(
        rejection(&scene.run(0, &unregister)),
        Rejection::NoSuchAgent { agent: AgentId(2) }
    );
    let operator = Command::UnregisterAgent { agent: OPERATOR };
    assert_eq!(rejection(&scene.run(0, &operator)), Rejection::OperatorStays);
    let again = Command::RegisterAgent {
        agent: AgentId(2),
        owner: OwnerId(9),
        key: key_of(AgentId(2)).public(),
    };
    scene.run(0, &again);
    assert_eq!(scene.ledger.next_seq(AgentId(2)), Some(2));
    assert_eq!(
        dropped(&scene.commit(vec![old])),
        DropReason::Replayed { next: 2 }
    );
    scene.grant(2, wish(900));
    scene.replay();
}
