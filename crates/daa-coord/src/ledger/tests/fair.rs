//! Policy 2 on the ledger: quotas, lending, preemption with compensation, and the operator's word.

use super::*;
use crate::command::OperatorVerdict;
use crate::genesis::{POLICY_FAIR_SHARES, POLICY_ROTATING_QUEUE};
use crate::ledger::PolicyChoice;
use crate::ledger::reason::WithdrawReason;
use crate::policy::{Amount, CohortId, PreemptRule, Quota, Rules, Why};
use proptest::prelude::*;
use std::num::NonZeroU16;

fn quota(bytes: u64) -> Quota {
    Quota {
        cohort: Some(CohortId(1)),
        nominal: Amount {
            bytes: Bytes(bytes),
            share: 500,
        },
        borrow_limit: None,
        lend_limit: None,
        weight: NonZeroU16::MIN,
    }
}

fn fair() -> Scene {
    let config = LedgerConfig {
        policy: POLICY_FAIR_SHARES,
        ..LedgerConfig::default()
    };
    Scene::new(config)
}

/// Owners 1 and 2 own half of the device each and lend to one another; owner 3 owns nothing.
fn halves() -> Scene {
    let mut scene = fair();
    for owner in [1, 2] {
        let set = Command::SetQuota {
            owner: OwnerId(owner),
            quota: Some(quota(500)),
        };
        assert!(matches!(scene.run(0, &set)[..], [LedgerEvent::QuotaSet { .. }]));
    }
    scene
}

fn granted(events: &[LedgerEvent]) -> Vec<(u32, u64)> {
    let lease = |event: &LedgerEvent| match event {
        LedgerEvent::LeaseGranted(lease) => Some((lease.agent.get(), lease.bytes.get())),
        _ => None,
    };
    events.iter().filter_map(lease).collect()
}

#[test]
fn without_quotas_the_requests_of_a_block_are_shared_fairly() {
    let mut scene = fair();
    let entries = vec![
        scene.next(1, &Command::Request(wish(400))),
        scene.next(1, &Command::Request(wish(400))),
        scene.next(2, &Command::Request(wish(400))),
    ];
    let events = scene.commit(entries);
    assert_eq!(granted(&events), [(1, 400), (2, 400)]);
    assert!(
        matches!(&events[2], LedgerEvent::RequestQueued { request, why: WaitReason::Policy { why: Why::NoRoom }, .. } if request.agent == AgentId(1))
    );
    scene.replay();
}

#[test]
fn an_owner_takes_back_what_it_lent_and_the_borrower_keeps_its_place() {
    let mut scene = halves();
    let old = scene.grant(1, wish(400));
    let lent = scene.grant(1, wish(500));
    let events = scene.run(2, &Command::Request(wish(500)));
    assert!(
        matches!(&events[0], LedgerEvent::LeaseWithdrawn { lease, reason: WithdrawReason::Preempted { rule: PreemptRule::Reclaim, .. } } if lease.id == lent.id),
        "{events:?}"
    );
    let LedgerEvent::CompensationOwed { credit, left, .. } = &events[1] else {
        panic!("no compensation: {events:?}");
    };
    assert_eq!((credit.bytes, *left), (Bytes(500), Millis(100)));
    assert!(
        matches!(&events[2], LedgerEvent::LeaseGranted(lease) if lease.agent == AgentId(2) && lease.token > lent.token)
    );
    assert_eq!(
        scene.ledger.lease(old.id).map(|lease| lease.bytes),
        Some(Bytes(400))
    );
    assert_eq!(scene.ledger.credits(AgentId(1)).len(), 1);
    // A larger request does not use the place, one that fits does, once.
    let (large, ..) = scene.queue(1, wish(600));
    let (small, ..) = scene.queue(1, wish(500));
    assert_eq!(scene.ledger.credits(AgentId(1)), []);
    let order: Vec<_> = scene.ledger.queue().map(|waiting| waiting.id).collect();
    assert_eq!(order, [small, large]);
    let lines: Vec<_> = events.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines[..2],
        [
            "lease-2 of agent-1 ended: request-2.0 is granted in its place: its quota was lent and is taken back by its owner",
            "agent-1 lost 100 ms of a lease; until 61000 a request of at most 500 B and 10.0 % keeps its place",
        ]
    );
    scene.replay();
}

#[test]
fn a_credit_ends_with_agreed_time_and_with_its_agent() {
    let mut scene = halves();
    scene.grant(1, wish(1000));
    scene.run(2, &Command::Request(wish(500)));
    assert_eq!(scene.ledger.credits(AgentId(1)).len(), 1);
    let mut other = scene.ledger.clone();
    scene.pass(59_999);
    assert_eq!(scene.ledger.credits(AgentId(1)).len(), 1);
    scene.pass(1);
    assert_eq!(scene.ledger.credits(AgentId(1)), []);
    let unregister = Command::UnregisterAgent { agent: AgentId(1) };
    let block = Block {
        height: other.height() + 1,
        entries: vec![scene.next(0, &unregister)],
        ..Block::default()
    };
    other.apply(&block).expect("the next block");
    assert_eq!(other.credits(AgentId(1)), []);
}

#[test]
fn what_the_quotas_can_never_allow_is_refused_when_asked_and_when_they_change() {
    let mut scene = halves();
    assert!(matches!(
        refusal(&scene.run(3, &Command::Request(wish(1)))),
        RefuseReason::Quota {
            owner: OwnerId(3),
            ..
        }
    ));
    scene.grant(1, wish(500));
    scene.grant(2, wish(500));
    let (waiting, ..) = scene.queue(1, wish(400));
    let none = Command::SetQuota {
        owner: OwnerId(1),
        quota: None,
    };
    let events = scene.run(0, &none);
    assert_eq!(events[1].ends_request(), Some(waiting));
    assert_eq!(
        rejection(&scene.run(0, &none)),
        Rejection::NoQuota { owner: OwnerId(1) }
    );
    assert_eq!(rejection(&scene.run(1, &none)), Rejection::NotOperator);
    scene.replay();
}

#[test]
fn a_policy_counts_from_its_height_on() {
    let mut scene = Scene::new(LedgerConfig::default());
    let fair = PolicyChoice {
        version: POLICY_FAIR_SHARES,
        rules: Rules::default(),
    };
    let set = |version, from| Command::SetPolicy {
        policy: PolicyChoice { version, ..fair },
        from,
    };
    assert_eq!(
        rejection(&scene.run(0, &set(3, 0))),
        Rejection::UnknownPolicy { version: 3 }
    );
    assert_eq!(
        rejection(&scene.run(1, &set(POLICY_FAIR_SHARES, 0))),
        Rejection::NotOperator
    );
    let from = scene.ledger.height() + 3;
    scene.run(0, &set(POLICY_FAIR_SHARES, from));
    scene.pass(1);
    assert_eq!(scene.ledger.policy().version, POLICY_ROTATING_QUEUE);
    assert_eq!(scene.pass(1), [LedgerEvent::PolicyInForce { policy: fair }]);
    assert_eq!(scene.ledger.policy(), fair);
    scene.grant(1, wish(1000));
    scene.run(0, &set(POLICY_ROTATING_QUEUE, 0));
    scene.pass(1);
    let (request, ..) = scene.queue(2, wish(10));
    assert_eq!(scene.ledger.policy().version, POLICY_ROTATING_QUEUE);
    assert!(scene.ledger.is_waiting(request));
    scene.replay();
}

#[test]
fn the_operator_holds_resumes_and_refuses() {
    for policy in [POLICY_ROTATING_QUEUE, POLICY_FAIR_SHARES] {
        let mut scene = Scene::new(LedgerConfig {
            policy,
            ..LedgerConfig::default()
        });
        let lease = scene.grant(1, wish(1000));
        let (request, ..) = scene.queue(2, wish(10));
        let (second, ..) = scene.queue(3, wish(20));
        let decide = |request, verdict| Command::Decide {
            request,
            verdict,
            reason: ShortText::fitted("a person looks at it"),
        };
        assert_eq!(
            rejection(&scene.run(2, &decide(request, OperatorVerdict::Resume))),
            Rejection::NotOperator
        );
        let held = scene.run(0, &decide(request, OperatorVerdict::Hold));
        let line = "request-2.0 is held back by the operator: a person looks at it";
        assert_eq!(held[0].to_string(), line);
        let events = scene.run(1, &release(&lease));
        assert_eq!(granted(&events), [(3, 20)], "policy {policy}");
        assert_eq!(
            granted(&scene.run(0, &decide(request, OperatorVerdict::Resume))),
            [(2, 10)]
        );
        let (third, ..) = scene.queue(1, wish(1000));
        let events = scene.run(0, &decide(third, OperatorVerdict::Refuse));
        assert!(matches!(
            &events[1],
            LedgerEvent::RequestRefused {
                reason: RefuseReason::ByOperator { .. },
                ..
            }
        ));
        assert!(matches!(
            rejection(&scene.run(0, &decide(second, OperatorVerdict::Hold))),
            Rejection::NoSuchRequest { .. }
        ));
        scene.replay();
    }
}

#[test]
fn a_renewal_yields_to_whom_the_policy_prefers() {
    let mut scene = fair();
    let lease = scene.grant(1, wish(600));
    assert!(matches!(scene.renew(&lease), LedgerEvent::LeaseRenewed { .. }));
    let (request, ..) = scene.queue(2, wish(500));
    let event = scene.renew(&lease);
    assert!(
        matches!(&event, LedgerEvent::RenewRefused { reason, .. } if *reason == RenewRefusal::Contended { request }),
        "{event}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Agents' own commands keep their order; between agents the order inside a block changes nothing.
    #[test]
    fn the_order_of_requests_inside_a_block_does_not_count(
        sizes in prop::collection::vec((1_u32..=3, 1_u64..700), 1..12),
        order in any::<prop::sample::Index>(),
    ) {
        let outcome = |first: u32| {
            let mut scene = halves();
            let mut entries: Vec<_> = sizes
                .iter()
                .map(|&(agent, bytes)| (agent, scene.next(agent, &Command::Request(wish(bytes)))))
                .collect();
            entries.sort_by_key(|(agent, _)| (agent + first) % 3);
            scene.commit(entries.into_iter().map(|(_, entry)| entry).collect());
            let leases: Vec<_> = scene.ledger.leases().cloned().collect();
            let waiting: std::collections::BTreeSet<_> =
                scene.ledger.queue().map(|waiting| waiting.id).collect();
            (leases, waiting)
        };
        prop_assert_eq!(outcome(0), outcome(1 + order.index(2) as u32));
    }
}
