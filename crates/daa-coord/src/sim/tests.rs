//! The simulator itself: it repeats itself, it finds nothing where nothing is wrong, and it can find.

use super::*;

fn report(options: Options, first_seed: u64, seeds: u64, threads: usize) -> Report {
    let what = Sweep {
        options,
        first_seed,
        seeds,
        threads,
        stop_at_first: false,
    };
    sweep(&what, |_| {}).expect("valid options")
}

#[test]
fn the_same_seed_does_the_same_and_threads_change_nothing() {
    let options = Options::default();
    let one = run(options, Seed(5));
    assert_eq!(one, run(options, Seed(5)));
    assert_ne!(one.stats.trace, run(options, Seed(6)).stats.trace);
    let (alone, together) = (report(options, 1, 6, 1), report(options, 1, 6, 3));
    assert_eq!(
        (alone.trace, alone.heights, alone.faults.clone()),
        (together.trace, together.heights, together.faults)
    );
}

#[test]
fn clusters_with_every_fault_agree_and_go_on() {
    for (nodes, seeds) in [(4, 30), (7, 4)] {
        let options = Options {
            nodes,
            ..Options::default()
        };
        let report = report(options, 0, seeds, 2);
        assert!(report.is_clean(), "{report}");
        assert!(report.heights >= 20 * seeds, "{report}");
        // What lies beyond the agreement itself happens as well.
        for kind in [
            "contract carried out",
            "poisoned insight",
            "uneven weight",
            "contradiction proven",
        ] {
            assert!(
                seeds < 10 || report.faults.contains_key(kind),
                "no {kind}: {report}"
            );
        }
    }
}

#[test]
fn keys_change_in_the_middle_of_runs() {
    let report = report(Options::default(), 100, 24, 2);
    assert!(report.is_clean(), "{report}");
    assert!(report.faults.contains_key("key changed"), "{report}");
}

#[test]
fn every_place_of_a_log_record_is_crashed_at() {
    let options = Options {
        mode: Mode::WalPoints,
        ..Options::default()
    };
    // The fifth record of each of four validators, at each of seven places.
    let report = report(options, 5 * 28 + 1, 28, 2);
    assert!(report.is_clean(), "{report}");
    let crashes = report
        .faults
        .iter()
        .filter(|(kind, _)| kind.contains("log record"));
    assert_eq!(
        crashes.map(|(_, count)| *count).collect::<Vec<_>>(),
        [4; 7],
        "{report}"
    );
}

#[test]
fn twins_and_calm_clusters_agree() {
    for (mode, nodes) in [
        (Mode::Twins, 4),
        (Mode::Twins, 7),
        (Mode::Calm, 4),
        (Mode::CrashPoints, 4),
    ] {
        let options = Options {
            nodes,
            mode,
            ..Options::default()
        };
        let report = report(options, 1, 8, 2);
        assert!(report.is_clean(), "{report}");
        let twins = report.faults.get("run with twins").copied();
        assert_eq!(twins, (mode == Mode::Twins).then_some(8), "{report}");
    }
}

#[test]
fn more_liars_than_can_be_borne_are_reported() {
    let options = Options {
        liars: Some(2),
        ..Options::default()
    };
    let report = report(options, 0, 40, 2);
    assert!(report.violations > 0, "{report}");
}

#[test]
fn a_story_has_a_plan_and_ends_with_its_outcome() {
    let tale = replay(Options::default(), Seed(3)).expect("valid options");
    assert!(
        tale.plan.starts_with("seed 3: 4 validators, mixed"),
        "{}",
        tale.plan
    );
    assert!(tale.lines.iter().any(|line| line.contains("COMMITS height 1 ")));
    assert_eq!(tale.outcome, run(Options::default(), Seed(3)));
}

#[test]
fn a_crash_while_a_decided_block_is_stored_is_no_contradiction() {
    // Validator 1 decides at height 2, crashes before the block is durable, and precommits nil instead; it had shown neither.
    let outcome = run(Options::default(), Seed(3_029_390));
    assert_eq!(outcome.finding, None);
}

#[test]
fn a_vote_that_follows_from_a_log_without_it_is_logged_before_it_is_said() {
    // Validator 3 stops with a proposal and its block in the log, but not its answer, which it gives when it starts again.
    let outcome = run(Options::default(), Seed(3_020_162));
    assert_eq!(outcome.finding, None);
}
