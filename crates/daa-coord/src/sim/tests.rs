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
    }
}

#[test]
fn twins_and_calm_clusters_agree() {
    for mode in [Mode::Twins, Mode::Calm, Mode::CrashPoints] {
        let options = Options {
            mode,
            ..Options::default()
        };
        let report = report(options, 1, 8, 2);
        assert!(report.is_clean(), "{report}");
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
