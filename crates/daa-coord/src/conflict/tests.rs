use super::*;
use crate::command::RequestId;
use crate::ledger::Lease;
use crate::negotiate::{Bundle, Fallback, Weights};
use crate::policy::Why;
use daa_base::{
    AgentId, Bytes, DeviceId, FencingToken, LeaseId, Millis, OwnerId, Permille, Rng, Seed, Timestamp,
};

fn tried(action: Option<Action>) -> (Rung, u8, u64) {
    match action {
        Some(Action::Try { rung, attempt, until }) => (rung, attempt, until.get()),
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn every_rung_has_its_tries_and_every_step_its_reason() {
    let mut config = LadderConfig::default();
    config.mediator.enabled = false;
    let mut ladder = Ladder::new(config).expect("valid");
    let at = Timestamp;
    assert_eq!(tried(ladder.start(at(0))), (Rung::Policy, 1, 1000));
    assert_eq!(ladder.start(at(0)), None);
    let report = |rung, attempt, why| Report {
        rung,
        attempt,
        result: Err(why),
    };
    let waits = report(Rung::Policy, 1, Failure::Waits(Why::NoRoom));
    assert_eq!(tried(ladder.report(at(10), waits)), (Rung::Negotiation, 1, 5010));
    assert_eq!(ladder.report(at(11), waits), None, "a late report");
    let silent = |attempt| report(Rung::Negotiation, attempt, Failure::NoAgreement(Fallback::Silent));
    assert_eq!(
        tried(ladder.report(at(20), silent(1))),
        (Rung::Negotiation, 2, 5020)
    );
    assert_eq!(ladder.tick(at(5019)), None);
    assert_eq!(tried(ladder.tick(at(5020))), (Rung::Negotiation, 3, 10_020));
    assert_eq!(
        tried(ladder.report(at(5030), silent(3))),
        (Rung::Preemption, 1, 7030)
    );
    let none = report(Rung::Preemption, 1, Failure::NoVictims);
    assert_eq!(tried(ladder.report(at(5040), none)).0, Rung::Hold);
    let decided = Report {
        rung: Rung::Hold,
        attempt: 1,
        result: Ok(()),
    };
    let end = Action::Finished(Verdict::Settled(Rung::Hold));
    assert_eq!(ladder.report(at(6000), decided), Some(end));
    assert_eq!(ladder.report(at(6000), decided), None);
    let lines: Vec<String> = ladder.records().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "policy, try 1 of 1: no device has enough free",
            "negotiation, try 1 of 3: the other side did not answer",
            "negotiation, try 2 of 3: nothing came of it in time",
            "negotiation, try 3 of 3: the other side did not answer",
            "mediator: switched off",
            "preemption, try 1 of 1: the rules name no lease that may be ended for it",
            "operator hold, try 1 of 1: settled",
        ]
    );
}

#[test]
fn a_ladder_that_nobody_answers_ends_with_the_policy_share() {
    let mut ladder = Ladder::new(LadderConfig::default()).expect("valid");
    let mut now = Timestamp(0);
    let mut action = ladder.start(now);
    let mut tries = 0;
    while let Some(Action::Try { until, .. }) = action {
        (now, tries) = (until, tries + 1);
        action = ladder.tick(now);
    }
    assert_eq!(action, Some(Action::Finished(Verdict::PolicyShare)));
    assert_eq!((tries, ladder.records().len()), (7, 7));
    assert_eq!((ladder.next_deadline(), ladder.tick(now)), (None, None));
}

#[test]
fn a_ladder_without_rungs_ends_at_once() {
    let mut config = LadderConfig::default();
    for rule in [
        &mut config.policy,
        &mut config.negotiation,
        &mut config.mediator,
        &mut config.preemption,
        &mut config.hold,
    ] {
        rule.enabled = false;
    }
    let mut ladder = Ladder::new(config).expect("valid");
    assert_eq!(
        ladder.start(Timestamp(0)),
        Some(Action::Finished(Verdict::PolicyShare))
    );
    config.hold.tries = 17;
    let error = Ladder::new(config).expect_err("out of range");
    assert_eq!(
        error.to_string(),
        "tries of the rung operator hold is 17, allowed are 1 to 16"
    );
}

fn weights(of: [u16; 4]) -> Weights {
    let [bytes, share, time, priority] = of;
    Weights {
        bytes,
        share,
        time,
        priority,
    }
}

fn bundle(bytes: u64, share: u16, time: u64, priority: u8) -> Bundle {
    Bundle {
        bytes: Bytes(bytes),
        share: Permille::new(share).expect("in range"),
        time: Millis(time),
        priority,
    }
}

#[test]
fn the_mediator_gives_each_what_it_values_more() {
    let pie = bundle(1000, 1000, 1000, 10);
    let half = bundle(500, 500, 500, 5);
    let found = mediate(pie, [half, half], [weights([9, 1, 1, 1]), weights([1, 1, 9, 1])]);
    assert_eq!(found.rule, MediationRule::NashProduct);
    // Half of each policy share stays: of memory, compute and time there are 500 to divide, of the priority all.
    assert_eq!(found.first, bundle(750, 750, 250, 2));
    assert_eq!(found.gains, [162_500, 170_833]);
}

#[test]
fn with_nothing_to_gain_the_rest_is_divided_in_proportion() {
    let pie = bundle(100, 0, 0, 0);
    let bases = [bundle(60, 0, 0, 0), bundle(40, 0, 0, 0)];
    let found = mediate(pie, bases, [Weights::EVEN; 2]);
    assert_eq!(found.rule, MediationRule::Proportional);
    assert_eq!((found.first, found.gains), (bases[0], [0, 0]));
    let pie = bundle(130, 0, 0, 0);
    let found = mediate(pie, bases, [weights([0, 1, 0, 0]), Weights::EVEN]);
    assert_eq!(found.first, bundle(78, 0, 0, 0));
}

fn drawn(rng: &mut Rng, most: Bundle) -> Bundle {
    let issues = most.issues().map(|most| rng.below(most as usize + 1) as u64);
    Bundle::from_issues(issues, most)
}

/// Tries all divisions of small pies, for the largest product of gains and for efficiency.
#[test]
#[expect(clippy::print_stdout, reason = "the documentation quotes these counts")]
fn no_division_of_a_small_pie_has_a_much_larger_product() {
    let mut rng = Seed(9).stream("mediator").rng();
    let (mut nash, mut far) = (0, 0);
    for number in 0..400 {
        let pie = bundle(
            rng.below(9) as u64,
            rng.below(9) as u16,
            rng.below(9) as u64,
            rng.below(4) as u8,
        );
        let first = drawn(&mut rng, pie);
        let bases = [first, drawn(&mut rng, pie.without(first))];
        let mut draw = || weights([0; 4].map(|_: u16| rng.below(6) as u16));
        let both = [draw(), draw()];
        let found = mediate(pie, bases, both);
        let worth = |side: usize, own: Bundle| i64::from(both[side].utility(own, pie));
        let product = |first: Bundle| {
            let gains = [
                worth(0, first) - worth(0, bases[0]),
                worth(1, pie.without(first)) - worth(1, bases[1]),
            ];
            (gains[0].min(gains[1]) >= 0).then(|| gains[0] * gains[1])
        };
        let own = product(found.first);
        assert!(own.is_some(), "case {number}: below a policy share");
        let [a, b, c, d] = pie.without(bases[1].kept()).issues();
        let [e, f, g, h] = bases[0].kept().issues();
        assert!(bases[0].kept().within(found.first), "case {number}");
        assert!(bases[1].kept().within(pie.without(found.first)), "case {number}");
        let mut best = 0;
        for bytes in e..=a {
            for share in f..=b {
                for time in g..=c {
                    for priority in h..=d {
                        let first = Bundle::from_issues([bytes, share, time, priority], pie);
                        best = best.max(product(first).unwrap_or(0));
                    }
                }
            }
        }
        nash += u64::from(found.rule == MediationRule::NashProduct);
        far += u64::from(own < Some(best));
    }
    println!(
        "of 400 small pies, {nash} have a gain for both; in {far} another whole division has a larger product"
    );
    assert_eq!((nash, far), (305, 24));
}

#[test]
fn parts_add_up_to_the_whole() {
    let mut rng = Seed(4).stream("divide").rng();
    for _ in 0..500 {
        let whole = rng.next_u64() >> rng.below(64);
        let claims: Vec<u64> = (0..1 + rng.below(6))
            .map(|_| rng.next_u64() >> rng.below(64))
            .collect();
        let parts = divide(whole, &claims);
        assert_eq!(
            parts.iter().map(|&part| u128::from(part)).sum::<u128>(),
            u128::from(whole)
        );
    }
    assert_eq!(divide(10, &[0, 0, 0]), [4, 3, 3]);
    assert_eq!(divide(10, &[1, 2]), [3, 7]);
    assert!(divide(10, &[]).is_empty());
}

#[test]
fn what_is_owed_is_what_could_still_have_been_used() {
    let lease = Lease {
        id: LeaseId(1),
        device: DeviceId(0),
        agent: AgentId(1),
        request: RequestId {
            agent: AgentId(1),
            seq: 0,
        },
        bytes: Bytes(10),
        share: Permille::new(250).expect("in range"),
        granted: Timestamp(0),
        expires: Timestamp(1000),
        token: FencingToken(1),
    };
    let owed = compensation(&lease, OwnerId(3), Timestamp(400));
    assert_eq!(
        owed.to_string(),
        "owner-3 is owed 600 ms of its lease: 6000 byte-milliseconds and 150000 thousandths times milliseconds"
    );
    assert_eq!(compensation(&lease, OwnerId(3), Timestamp(2000)).byte_millis, 0);
}
