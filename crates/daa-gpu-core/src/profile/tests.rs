use super::*;
use crate::image::{CommandList, Dispatch, Slice};
use crate::program::{HostCall, Program};
use crate::{Bytes, Clear, Command, Image};
use proptest::prelude::*;

const fn program(name: &'static str) -> Program {
    Program {
        name,
        wgsl: "",
        entry: "main",
        workgroup_size: [1, 1, 1],
        bindings: &[],
        params_words: 0,
        host: |_: HostCall<'_>| {},
    }
}

static ADD: Program = program("add");
static MUL: Program = program("mul");

fn dispatch(program: &'static Program) -> Command {
    Command::Dispatch(Dispatch {
        program,
        params: vec![],
        bindings: vec![],
        groups: [1, 1, 1],
    })
}

/// A list of an addition, a fill and two multiplications.
fn image() -> Image {
    let zero = Command::Zero(Slice { offset: 0, bytes: 4 });
    Image {
        arena: Bytes(256),
        clear: Clear::Always,
        constants: Bytes::ZERO,
        lists: vec![CommandList {
            name: "step".to_owned(),
            commands: vec![dispatch(&ADD), zero, dispatch(&MUL), dispatch(&MUL)],
        }],
        upload: Bytes::ZERO,
        upload_ring: 1,
        readback: Bytes::ZERO,
    }
}

/// One nanosecond in two hundred.
const CHEAP: Cost = Cost {
    run_ns: 1,
    dispatch_ns: 0,
};

fn entry<'a>(reports: &'a [TimeReport], name: &str) -> &'a TimeReport {
    reports.iter().find(|report| report.name == name).expect("it ran")
}

/// Runs the list, each dispatch of the multiplication taking `ns`, those of the first run `cold` longer.
fn run(timed: &Arc<Timed>, runs: u64, ns: u64, cold: u64) -> u64 {
    let mut samples = 0;
    for at in 0..runs {
        if let Some(sample) = timed.begin(0) {
            let ns = if at == 0 { ns + cold } else { ns };
            sample.finish_measured(3 * ns, vec![ns, ns, ns]);
            samples += 1;
        }
    }
    samples
}

#[test]
fn a_report_of_nothing_is_empty() {
    let profile = Arc::new(Profile::default());
    assert_eq!(profile.report(TimeSource::Host), ProfileReport::default());
    let timed = Timed::new(&profile, &image(), Cost::HOST);
    let report = profile.report(TimeSource::Host);
    assert_eq!(entry(&report.programs, "add").runs, 0);
    assert_eq!(entry(&report.lists, "step").times, Spread::default());
    drop(timed);
}

proptest! {
    #[test]
    fn samples_stand_for_all_runs_while_they_are_alike(runs in 1_u64..3_000, ns in 1_u64..500, cold in 0_u64..1_000_000) {
        let profile = Arc::new(Profile::default());
        let timed = Timed::new(&profile, &image(), CHEAP);
        let samples = run(&timed, runs, ns, cold);
        let open = profile.report(TimeSource::Host);
        let (add, mul) = (entry(&open.programs, "add"), entry(&open.programs, "mul"));
        prop_assert_eq!((add.runs, mul.runs), (runs, 2 * runs));
        prop_assert_eq!((add.times.samples, mul.times.samples), (samples, 2 * samples));
        prop_assert_eq!(add.total_ns, runs * ns + cold);
        prop_assert_eq!(mul.total_ns, 2 * add.total_ns);
        prop_assert_eq!(entry(&open.lists, "step").total_ns, 3 * add.total_ns);
        // Once the image is gone, the books say the same.
        drop(timed);
        prop_assert_eq!(profile.report(TimeSource::Host), open);
    }

    #[test]
    fn timing_costs_no_more_than_it_may(dispatches in 0_usize..2_000, busy_ns in 1_u64..100_000_000_000) {
        let every = Cost::HOST.every(dispatches, busy_ns);
        let cost = 1_000 + 100 * dispatches as u64;
        prop_assert!(every == 4096 || cost * OVERHEAD <= every * busy_ns);
        // And is done as often as it may.
        prop_assert!(every == 1 || every == 4096 || cost * OVERHEAD > (every - 1) * busy_ns);
    }
}

#[test]
fn quantiles_are_right_to_two_digits() {
    let profile = Arc::new(Profile::default());
    let timed = Timed::new(
        &profile,
        &image(),
        Cost {
            run_ns: 0,
            dispatch_ns: 0,
        },
    );
    for us in 1..=1_000 {
        let ns = us * 1_000;
        let sample = timed.begin(0).expect("every run is timed");
        sample.finish_measured(ns, vec![ns, ns, ns]);
    }
    let report = profile.report(TimeSource::DispatchTimestamps);
    let times = entry(&report.programs, "add").times;
    let wanted = [
        (times.p50_ns, 500),
        (times.p90_ns, 900),
        (times.p99_ns, 990),
        (times.max_ns, 1_000),
    ];
    for (found, us) in wanted {
        assert!(found.abs_diff(us * 1_000) <= us * 10, "{found} is not {us} us");
    }
    assert_eq!(report.latency.samples, 1_000);
}

#[test]
fn a_run_that_fails_is_not_timed_and_the_next_is() {
    let profile = Arc::new(Profile::default());
    let timed = Timed::new(&profile, &image(), CHEAP);
    drop(timed.begin(0).expect("the first is timed"));
    let sample = timed.begin(0).expect("instead of the first");
    assert!(timed.begin(0).is_none(), "one at a time");
    sample.finish_measured(30, vec![10, 10, 10]);
    let report = profile.report(TimeSource::Host);
    assert_eq!(entry(&report.lists, "step").runs, 3);
    assert_eq!(entry(&report.lists, "step").times.samples, 1);
}

#[test]
fn a_device_that_times_whole_lists_says_nothing_of_programs() {
    let profile = Arc::new(Profile::default());
    let timed = Timed::new(&profile, &image(), CHEAP);
    for _ in 0..4 {
        timed
            .begin(0)
            .expect("long enough to be timed always")
            .finish_measured(1_000, vec![]);
    }
    let report = profile.report(TimeSource::ListTimestamps);
    assert_eq!(entry(&report.lists, "step").total_ns, 4_000);
    let add = entry(&report.programs, "add");
    assert_eq!((add.runs, add.total_ns, add.times.samples), (4, 0, 0));
}

#[test]
fn there_is_a_last_name() {
    let profile = Arc::new(Profile::default());
    let lists = (0..1_100).map(|number| CommandList {
        name: format!("list {number}"),
        commands: vec![dispatch(&ADD)],
    });
    let image = Image {
        lists: lists.collect(),
        ..image()
    };
    let timed = Timed::new(&profile, &image, CHEAP);
    for list in 0..1_100 {
        timed
            .begin(list)
            .expect("the first")
            .finish_measured(2_000, vec![2_000]);
    }
    let report = profile.report(TimeSource::Host);
    assert_eq!(report.lists.len(), 1_025);
    assert_eq!(entry(&report.lists, "(others)").runs, 1_100 - 1_024);
    assert_eq!(entry(&report.programs, "add").total_ns, 1_100 * 2_000);
    assert_eq!(
        report.lists[0].name, "(others)",
        "those that took most come first"
    );
}

#[test]
fn reports_and_runs_do_not_wait_for_each_other() {
    let profile = Arc::new(Profile::default());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let timed = Timed::new(&profile, &image(), CHEAP);
                    run(&timed, 40, 50, 0);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..200 {
                let report = profile.report(TimeSource::Host);
                assert!(
                    report
                        .lists
                        .iter()
                        .all(|list| list.total_ns <= 3 * 50 * 3 * 50 * 40)
                );
            }
        });
    });
    let report = profile.report(TimeSource::Host);
    assert_eq!(entry(&report.lists, "step").runs, 3 * 50 * 40);
    assert_eq!(entry(&report.lists, "step").total_ns, 3 * 50 * 40 * 150);
}
