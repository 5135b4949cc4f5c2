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

/// A nanosecond.
const CHEAP: Cost = Cost {
    run_ns: 1,
    dispatch_ns: 0,
};

/// As a device whose timestamps cost `extra` each time it times dispatches, which take `ns` each without.
fn measured(sample: Sample, ns: u64, extra: u64) {
    if sample.wants_whole() {
        sample.finish_whole(3 * ns);
    } else {
        let ns = ns + extra;
        sample.finish_dispatches(3 * ns, vec![ns, ns, ns]);
    }
}

fn entry<'a>(reports: &'a [TimeReport], name: &str) -> &'a TimeReport {
    reports.iter().find(|report| report.name == name).expect("it ran")
}

/// Runs the list, each dispatch taking `ns`, and those of the first run `cold` longer.
fn run(timed: &Arc<Timed>, runs: u64, ns: u64, cold: u64, extra: u64) -> u64 {
    let mut samples = 0;
    for at in 0..runs {
        if let Some(sample) = timed.begin(0) {
            let ns = if at == 0 { ns + cold } else { ns };
            measured(sample, ns, extra);
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
    fn samples_stand_for_all_runs_while_they_are_alike(
        runs in 3_u64..3_000,
        ns in 1_u64..500,
        cold in 0_u64..1_000_000,
        extra in 0_u64..5_000,
    ) {
        let profile = Arc::new(Profile::default());
        let timed = Timed::new(&profile, &image(), CHEAP);
        let samples = run(&timed, runs, ns, cold, extra);
        let open = profile.report(TimeSource::Host);
        let (add, mul) = (entry(&open.programs, "add"), entry(&open.programs, "mul"));
        prop_assert_eq!((add.runs, mul.runs), (runs, 2 * runs));
        let list = entry(&open.lists, "step");
        prop_assert_eq!(list.times.samples + add.times.samples, samples);
        prop_assert_eq!(mul.times.samples, 2 * add.times.samples);
        prop_assert_eq!(list.total_ns, 3 * (runs * ns + cold));
        // A third of each part, rounded down.
        prop_assert!(add.total_ns.abs_diff(runs * ns + cold) <= samples);
        prop_assert!(mul.total_ns.abs_diff(2 * (runs * ns + cold)) <= samples);
        // Once the image is gone, the books say the same.
        drop(timed);
        prop_assert_eq!(profile.report(TimeSource::Host), open);
    }

    #[test]
    fn timing_costs_no_more_than_it_may(ns in 300_u64..100_000, extra in 0_u64..1_000_000) {
        let profile = Arc::new(Profile::default());
        let timed = Timed::new(&profile, &image(), CHEAP);
        // The first samples find out.
        run(&timed, 3, ns, 0, extra);
        let before = profile.report(TimeSource::Host);
        let runs = 200_000;
        run(&timed, runs, ns, 0, extra);
        let after = profile.report(TimeSource::Host);
        let samples = |report: &ProfileReport, of| match of {
            "add" => entry(&report.programs, of).times.samples,
            _ => entry(&report.lists, of).times.samples,
        };
        let (whole, single) = (
            samples(&after, "step") - samples(&before, "step"),
            samples(&after, "add") - samples(&before, "add"),
        );
        let cost = whole + single * (1 + 3 * extra);
        // And one of each, which may come first.
        prop_assert!(cost.saturating_sub(2 + 3 * extra) * OVERHEAD <= 3 * ns * runs, "{} and {}", whole, single);
    }

    #[test]
    fn samples_are_as_far_apart_as_they_must(cost in 0_u64..1_000_000_000, busy in 1_u64..100_000_000_000) {
        let every = Cost::every(cost, busy);
        prop_assert!(every == 1 << 20 || cost * OVERHEAD <= every * busy);
        prop_assert!(every == 1 || every == 1 << 20 || cost * OVERHEAD > (every - 1) * busy);
    }
}

#[test]
fn quantiles_are_right_to_two_digits() {
    let profile = Arc::new(Profile::default());
    let timed = Timed::new(&profile, &image(), CHEAP);
    for us in 1..=1_000 {
        let mut sample = timed.begin(0).expect("every run is timed");
        sample.dispatches_for_test([us * 1_000; 3]);
        sample.finish();
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
    measured(sample, 10, 0);
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
            .finish_whole(1_000);
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
        let mut sample = timed.begin(list).expect("the first");
        sample.dispatches_for_test([2_000]);
        sample.finish();
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
                    run(&timed, 40, 50, 0, 0);
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
