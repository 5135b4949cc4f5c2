//! On the CPU, seed, data and configuration decide every byte of the model; the schedule decides none.

use daa_agent::{AgentError, Delays, EventKind, Place, RunConfig};
use daa_base::{Bytes, Millis, Rng, Seed};
use daa_tests::runs::{Folder, Model, Ran, config, run, try_run};
use daa_tests::tables::{CsvTable, kinds};
use std::sync::OnceLock;

/// Enough for a dozen trials on three rungs, so that decisions hang on results.
pub(crate) const BUDGET: u32 = 75;

/// The run that all others are compared with.
pub(crate) struct Reference {
    pub(crate) table: CsvTable,
    pub(crate) config: RunConfig,
    pub(crate) ran: Ran,
    pub(crate) model: Model,
}

/// One agent, one thread, no limit, no delay.
pub(crate) fn reference() -> &'static Reference {
    static REFERENCE: OnceLock<Reference> = OnceLock::new();
    REFERENCE.get_or_init(|| {
        let table = kinds(720);
        let mut config = config(table.path(), 5, BUDGET);
        config.schedule.agents = 1;
        let (ran, folder) = run(&config);
        Reference {
            model: folder.model(),
            table,
            config,
            ran,
        }
    })
}

/// Runs the reference's task under another schedule and compares every byte.
pub(crate) fn same_under(change: impl FnOnce(&mut RunConfig)) -> Ran {
    let reference = reference();
    let mut config = reference.config.clone();
    change(&mut config);
    let (ran, folder) = run(&config);
    assert_eq!(folder.model(), reference.model, "{:?}", config.schedule);
    ran
}

fn yields(ran: &Ran) -> usize {
    ran.count(|kind| matches!(kind, EventKind::WorkYielded { .. }))
}

#[test]
fn the_reference_is_worth_comparing_with() {
    let reference = reference();
    let trials = &reference.ran.summary.trials;
    // More than the window's 8, so that some decisions hang on results, and some networks went on to later rungs.
    assert!(trials.len() > 9, "{trials:?}");
    assert!(trials.iter().any(|trial| trial.from_epoch > 0), "{trials:?}");
    assert!(reference.table.path().is_file());
}

#[test]
fn another_seed_gives_another_model() {
    let reference = reference();
    let mut other = reference.config.clone();
    other.seed = Seed(6);
    let (_, folder) = run(&other);
    assert_ne!(folder.model().tensors, reference.model.tensors);
}

#[test]
fn another_budget_gives_another_model() {
    let reference = reference();
    let mut other = reference.config.clone();
    other.epochs_budget = Some(BUDGET - 9);
    let (_, folder) = run(&other);
    assert_ne!(folder.model().tensors, reference.model.tensors);
}

#[test]
fn threads_change_no_byte() {
    for threads in [1, 2, 5] {
        same_under(|config| config.schedule.threads = Some(threads));
    }
}

#[test]
fn agents_change_no_byte() {
    for agents in [3, 8] {
        let ran = same_under(|config| config.schedule.agents = agents);
        let working = ran.summary.agents.iter().filter(|agent| agent.tasks > 0).count();
        assert!(working > 1, "of {agents} agents only {working} worked");
    }
}

#[test]
fn memory_limits_change_no_byte_and_force_turns() {
    let peak = reference().ran.largest_peak();
    for (limit, hold) in [
        (Some(peak), Millis(20)),
        (Some(Bytes(peak.get() + 1)), Millis(40)),
        (Some(Bytes(peak.get() * 3 / 2)), Millis(60)),
        (Some(Bytes(peak.get() * 4)), Millis(2_000)),
        (None, Millis(10)),
    ] {
        let ran = same_under(|config| {
            config.schedule.agents = 4;
            config.schedule.memory_limit = limit;
            config.schedule.lease = hold;
        });
        let most = limit.map_or(u64::MAX, Bytes::get);
        assert!(
            ran.summary.leases.peak_bytes <= most,
            "{limit:?}: {:?}",
            ran.summary.leases
        );
        if limit == Some(peak) {
            assert!(
                yields(&ran) > 0,
                "nobody ever stopped at a step for others: nothing is shown"
            );
        }
    }
}

#[test]
fn a_limit_below_the_largest_plan_is_refused_before_anything_is_written() {
    let reference = reference();
    let peak = reference.ran.largest_peak();
    let mut config = reference.config.clone();
    config.schedule.memory_limit = Some(Bytes(peak.get() - 1));
    let folder = Folder::new();
    let error =
        try_run(&config, Place::New(folder.path().to_owned()), None).expect_err("one byte is missing");
    match error {
        AgentError::MemoryLimit {
            peak: needed,
            limit,
            given,
            ..
        } => {
            assert_eq!((needed, limit.get(), given), (peak, peak.get() - 1, true));
        }
        other => panic!("{other}"),
    }
    assert!(!folder.path().exists(), "nothing was written");
}

#[test]
fn delays_and_a_faulty_log_change_no_byte() {
    let peak = reference().ran.largest_peak();
    for seed in [1, 2, 3] {
        same_under(|config| {
            config.schedule.agents = 3;
            config.schedule.memory_limit = Some(Bytes(peak.get() * 2));
            config.schedule.lease = Millis(30);
            config.schedule.delays = Some(Delays {
                seed: Seed(seed),
                longest: Millis(8),
            });
        });
    }
}

/// A schedule drawn at random, printed whole when a comparison fails.
fn draw(config: &mut RunConfig, peak: Bytes, rng: &mut Rng) {
    let schedule = &mut config.schedule;
    schedule.agents = 1 + rng.below(8);
    schedule.threads = Some(1 + rng.below(4));
    schedule.memory_limit = match rng.below(3) {
        0 => Some(peak),
        1 => Some(Bytes(peak.get() + rng.below(3 * peak.get() as usize) as u64)),
        _ => None,
    };
    schedule.lease = Millis([10, 25, 80, 300, 2_000][rng.below(5)]);
    schedule.delays = (rng.below(2) == 0).then(|| Delays {
        seed: Seed(rng.next_u64()),
        longest: Millis(rng.below(6) as u64),
    });
}

#[test]
fn random_schedules_change_no_byte() {
    let peak = reference().ran.largest_peak();
    let stream = Seed(2026).stream("tests.schedules");
    for case in 0..12 {
        same_under(|config| draw(config, peak, &mut stream.child(case).rng()));
    }
}

#[test]
fn images_and_convolutions_depend_on_the_seed_alone() {
    let mut config = config("digits".as_ref(), 3, 12);
    config.schedule.agents = 1;
    let (ran, first) = run(&config);
    config.schedule.agents = 3;
    config.schedule.threads = Some(3);
    config.schedule.memory_limit = Some(ran.largest_peak());
    config.schedule.lease = Millis(20);
    let (_, second) = run(&config);
    assert_eq!(second.model(), first.model());
    let convolves = |ran: &Ran| {
        ran.summary
            .trials
            .iter()
            .any(|trial| trial.architecture.contains("conv"))
    };
    assert!(convolves(&ran), "{:?}", ran.summary.trials);
}
