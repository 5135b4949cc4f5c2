use super::*;
use daa_coord::AgentKey;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn node(number: u8) -> PublicKey {
    AgentKey::from_secret(&[number; 32]).public()
}

/// Nodes that are ready from the beginning, with so many places each.
fn roll(slots: &[u32]) -> Roll {
    let mut roll = Roll::default();
    for (number, &slots) in (1..).zip(slots) {
        assert!(roll.here(node(number), slots, at(0)));
        assert_eq!(roll.ready(&node(number)), Some(Change::Joined));
    }
    roll
}

/// As many orders as there are places for.
fn all(roll: &mut Roll, now: Duration) -> Vec<PublicKey> {
    let mut taken = Vec::new();
    while let Some(node) = roll.take(now) {
        taken.push(node);
        assert!(taken.len() <= 1000, "without end");
    }
    taken
}

fn count(taken: &[PublicKey], number: u8) -> usize {
    taken.iter().filter(|taken| **taken == node(number)).count()
}

#[test]
fn places_are_earned_and_not_claimed() {
    let mut roll = roll(&[4, u32::MAX, 4]);
    let first = all(&mut roll, at(0));
    assert_eq!(first.len(), 3, "one each, whatever they claim");
    for number in [1, 3] {
        roll.took(&node(number));
        roll.delivered(&node(number));
        roll.give_back(&node(number));
    }
    let second = all(&mut roll, at(1));
    assert_eq!(
        (count(&second, 1), count(&second, 2), count(&second, 3)),
        (2, 0, 2)
    );
    for _ in 0..1000 {
        roll.delivered(&node(2));
    }
    let third = all(&mut roll, at(2));
    assert_eq!(count(&third, 2), MAX_SLOTS - 1, "and bounded");
}

#[test]
fn a_node_that_loses_orders_rests_while_others_are_there() {
    let mut roll = roll(&[1, 1]);
    assert_eq!(all(&mut roll, at(0)).len(), 2);
    for round in 0..20 {
        roll.lost(&node(1), false, at(600), at(round));
        roll.give_back(&node(1));
        assert_eq!(roll.ready(&node(1)), Some(Change::Joined));
        roll.delivered(&node(2));
        roll.give_back(&node(2));
        assert_eq!(
            all(&mut roll, at(round)),
            [node(2)],
            "it rests as long as it wasted"
        );
    }
    roll.give_back(&node(2));
    roll.refused(&node(2));
    assert_eq!(all(&mut roll, at(20)), [node(1)], "better than nobody, one order");
}

#[test]
fn rests_grow_and_a_delivery_ends_that() {
    let mut roll = roll(&[1, 1]);
    let rests = |roll: &mut Roll, now: u64, length: u64| {
        roll.lost(&node(1), false, Duration::ZERO, at(now));
        roll.ready(&node(1));
        let early = all(roll, at(now + length - 1));
        for taken in &early {
            roll.give_back(taken);
        }
        let late = all(roll, at(now + length));
        for taken in &late {
            roll.give_back(taken);
        }
        (early.contains(&node(1)), late.contains(&node(1)))
    };
    for (now, length) in [(0, 1), (10, 2), (20, 4), (30, 8)] {
        assert_eq!(rests(&mut roll, now, length), (false, true), "{length} s");
    }
    roll.delivered(&node(1));
    assert_eq!(rests(&mut roll, 100, 1), (false, true));
}

#[test]
fn who_breaks_rules_is_out_and_who_is_unlucky_is_not() {
    let mut roll = roll(&[1]);
    for _ in 0..100 {
        roll.lost(&node(1), false, Duration::ZERO, at(0));
    }
    assert!(roll.here(node(1), 1, at(1)));
    for _ in 0..MAX_STRIKES {
        assert!(roll.here(node(1), 1, at(1)));
        roll.lost(&node(1), true, Duration::ZERO, at(1));
    }
    assert!(!roll.here(node(1), 1, at(2)));
    assert_eq!(roll.ready(&node(1)), None);
    assert_eq!(roll.take(at(1_000_000)), None);
    assert_eq!(roll.outlook(), Outlook::Alone);
}

#[test]
fn a_node_that_is_always_full_costs_one_question_a_second() {
    let mut roll = roll(&[u32::MAX, 1]);
    let (mut asked, mut told) = (0, Vec::new());
    for tenth in 0..600 {
        let now = Duration::from_millis(100 * tenth);
        // What is left is taken by others.
        while let Some(taken) = roll.take(now) {
            if taken == node(1) {
                asked += 1;
                told.extend(roll.full(&taken, Crowd::Places, now));
                roll.give_back(&taken);
            }
        }
    }
    assert!((15..=24).contains(&asked), "{asked} times in a minute");
    assert_eq!(told, [Change::Full(Crowd::Places)], "told once");
    roll.give_back(&node(2));
    roll.refused(&node(2));
    assert_eq!(roll.outlook(), Outlook::Full(Crowd::Places));
    roll.took(&node(1));
    assert_eq!(roll.outlook(), Outlook::Alone);
}

#[test]
fn one_silent_node_is_lost_and_no_other() {
    let mut roll = roll(&[1, 1, 1]);
    for second in 1..30 {
        for number in [1, 3] {
            roll.here(node(number), 1, at(second));
        }
        let silent = roll.silent(at(second));
        let lost = if second == LOST_AFTER.as_secs() {
            vec![node(2)]
        } else {
            Vec::new()
        };
        assert_eq!(silent, lost, "at {second} s");
    }
    let mut left = all(&mut roll, at(30));
    left.sort_unstable();
    let mut wanted = vec![node(1), node(3)];
    wanted.sort_unstable();
    assert_eq!(left, wanted);
}

#[test]
fn a_run_without_room_says_so_once() {
    let mut roll = Roll::default();
    assert!(roll.here(node(1), 4, at(0)));
    let first = roll.no_room(&node(1), Crowd::JobsOfOwner);
    assert_eq!(first, Some(Change::Full(Crowd::JobsOfOwner)));
    assert_eq!(roll.no_room(&node(1), Crowd::JobsOfOwner), None);
    assert_eq!(roll.outlook(), Outlook::Full(Crowd::JobsOfOwner));
    assert_eq!(roll.ready(&node(1)), Some(Change::Joined));
    assert_eq!(roll.take(at(0)), Some(node(1)));
    assert_eq!(roll.outlook(), Outlook::AtWork);
}
