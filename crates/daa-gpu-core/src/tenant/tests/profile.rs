//! Where the time of real work is said to go.

use super::*;
use crate::{ProfileReport, TimeReport, TimeSource};

fn entry<'a>(reports: &'a [TimeReport], name: &str) -> &'a TimeReport {
    reports.iter().find(|report| report.name == name).expect("it ran")
}

/// Runs `list` so many times, each waited for.
fn run(loaded: &mut Loaded, list: usize, times: u32) {
    for _ in 0..times {
        let work = Work {
            list: Some(list),
            ..Work::default()
        };
        drop(wait(loaded.submit(work).expect("submits")));
    }
}

/// Runs two lists of an image, lets go of it, and gives the report.
fn profile(context: &ComputeContext) -> ProfileReport {
    let tenant = tenant(context, Bytes::MIB);
    let mut loaded = tenant.load(&image()).expect("loads");
    run(&mut loaded, 0, 12);
    run(&mut loaded, 2, 12);
    drop(loaded);
    drop(tenant);
    context.profile()
}

/// What any report on it says.
fn check(report: &ProfileReport) {
    let (sum, clear) = (entry(&report.lists, "sum"), entry(&report.lists, "clear"));
    assert_eq!((sum.runs, clear.runs), (12, 12));
    assert_eq!(entry(&report.lists, "double").runs, 0);
    for list in [sum, clear] {
        let times = list.times;
        assert!((1..=list.runs).contains(&times.samples), "{list:?}");
        assert!(times.p50_ns <= times.p90_ns && times.p90_ns <= times.p99_ns && times.p99_ns <= times.max_ns);
        assert!(list.total_ns > 0 && times.max_ns > 0, "{list:?}");
    }
    let (add, scale) = (entry(&report.programs, "add"), entry(&report.programs, "scale"));
    assert_eq!((add.runs, scale.runs), (24, 24));
    for program in [add, scale] {
        assert!(program.times.samples >= 2 && program.total_ns > 0, "{program:?}");
    }
    let programs: u64 = report.programs.iter().map(|program| program.total_ns).sum();
    let lists: u64 = report.lists.iter().map(|list| list.total_ns).sum();
    // Parts are rounded down to a nanosecond.
    assert!(programs <= lists, "{programs} of {lists}");
    assert!(report.latency.samples >= 2 && report.latency.max_ns > 0);
}

#[test]
fn the_host_times_every_dispatch() {
    let report = profile(&host());
    assert_eq!(report.source, TimeSource::Host);
    check(&report);
}

#[test]
fn a_context_that_does_not_sample_still_counts() {
    let config = ContextConfig {
        profiling: crate::Profiling::Off,
        ..ContextConfig::default()
    };
    let report = profile(&ComputeContext::host(&config).expect("the host is there"));
    assert_eq!(entry(&report.lists, "sum").runs, 12);
    assert!(report.lists.iter().all(|list| list.total_ns == 0));
    assert_eq!(report.latency.samples, 0);
}

#[test]
fn a_failed_run_is_not_in_the_profile() {
    use crate::program::Program;
    use crate::program::samples::{IN_PLACE, sample};
    static FAILING: Program = sample("failing", "", IN_PLACE, |_| panic!("on purpose"));
    let context = host();
    let tenant = tenant(&context, Bytes::MIB);
    let run = Dispatch {
        program: &FAILING,
        params: vec![],
        bindings: vec![A],
        groups: [1, 1, 1],
    };
    let lists = vec![CommandList {
        name: "fails".to_owned(),
        commands: vec![Command::Dispatch(run)],
    }];
    let mut loaded = tenant.load(&Image { lists, ..image() }).expect("loads");
    let work = Work {
        list: Some(0),
        ..Work::default()
    };
    let ticket = loaded.submit(work).expect("submits");
    assert_eq!(ticket.wait().expect_err("fails").class(), ErrorClass::Internal);
    let report = context.profile();
    assert_eq!(entry(&report.lists, "fails").times.samples, 0);
    assert_eq!(report.latency.samples, 0);
}

#[cfg(feature = "gpu")]
mod software {
    use super::*;
    use crate::tenant::tests::software::on_software;

    #[test]
    fn timestamps_time_every_dispatch_on_software() {
        on_software(|context| {
            let report = profile(context);
            assert_eq!(report.source, TimeSource::DispatchTimestamps);
            check(&report);
        });
    }

    /// More dispatches than a set has timestamps, cut into passes by a fill.
    #[test]
    fn a_long_list_is_timed_as_a_whole_on_software() {
        on_software(|context| {
            let mut commands: Vec<Command> = (0..4_200).map(|_| scale(1.0, A)).collect();
            commands.insert(2_000, Command::Zero(B));
            commands.push(Command::Zero(C));
            let name = "long".to_owned();
            let image = Image {
                lists: vec![CommandList { name, commands }],
                ..image()
            };
            let tenant = tenant(context, Bytes::gib(1));
            let mut loaded = tenant.load(&image).expect("loads");
            run(&mut loaded, 0, 3);
            drop(loaded);
            let report = context.profile();
            let long = entry(&report.lists, "long");
            assert!(long.times.samples >= 1 && long.total_ns > 0, "{long:?}");
            let scale = entry(&report.programs, "scale");
            assert_eq!((scale.runs, scale.times.samples), (3 * 4_200, 0));
        });
    }

    /// What is timed is only so much at once; the rest runs all the same.
    #[test]
    fn many_images_are_timed_at_once_on_software() {
        on_software(|context| {
            let tenant = tenant(context, Bytes::MIB);
            let mut images: Vec<Loaded> = (0..12).map(|_| tenant.load(&image()).expect("loads")).collect();
            for _ in 0..4 {
                let submit = |loaded: &mut Loaded| {
                    let work = Work {
                        list: Some(0),
                        ..Work::default()
                    };
                    loaded.submit(work).expect("submits")
                };
                let tickets: Vec<Ticket> = images.iter_mut().map(submit).collect();
                tickets.into_iter().for_each(|ticket| drop(wait(ticket)));
            }
            drop(images);
            let report = context.profile();
            let sum = entry(&report.lists, "sum");
            assert_eq!(sum.runs, 48);
            assert!((4..=48).contains(&sum.times.samples), "{sum:?}");
        });
    }
}
