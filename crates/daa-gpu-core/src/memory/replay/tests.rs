use super::*;
use crate::memory::trace::{Action, Lifetimes, TraceBuilder, Usage};
use daa_base::{Rng, Seed, SystemClock};
use std::fmt::Write as _;

/// A trace of one tenant from `Ok(bytes)` to allocate and `Err(id)` to free.
fn trace_of(usage: Usage, steps: &[Result<u64, u32>]) -> Trace {
    let mut builder = TraceBuilder::new();
    let tenant = builder.tenant("a").expect("valid");
    for step in steps {
        match *step {
            Ok(bytes) => drop(builder.allocate(0, tenant, usage, bytes).expect("valid")),
            Err(id) => builder.free(0, id).expect("live"),
        }
    }
    builder.finish()
}

fn mixed_trace(rng: &mut Rng, events: usize) -> Trace {
    let mut builder = TraceBuilder::new();
    let tenant = builder.tenant("a").expect("valid");
    let mut live = Vec::new();
    for _ in 0..events {
        if live.is_empty() || rng.below(100) < 55 {
            let length = 4 + rng.below(20);
            let bytes = 1 + rng.below(1 << length) as u64;
            let usage = Usage::ALL[rng.below(5)];
            live.push(builder.allocate(0, tenant, usage, bytes).expect("valid"));
        } else {
            let at = rng.below(live.len());
            builder.free(0, live.swap_remove(at)).expect("live");
        }
    }
    builder.finish()
}

#[test]
fn the_figures_of_a_small_trace_are_those_counted_by_hand() {
    let trace = trace_of(
        Usage::ReadWrite,
        &[Ok(1000), Ok(3000), Err(0), Ok(500), Err(1), Err(2)],
    );
    let report = replay(&trace, &ReplayConfig::one_page(Bytes::mib(1), 1)).expect("valid");
    assert_eq!(
        (
            report.operations,
            report.allocations,
            report.refusals,
            report.lost
        ),
        (6, 3, 0, 0)
    );
    assert_eq!(report.peak_live_bytes, Bytes(4000));
    assert_eq!(report.peak_charged_bytes, Bytes(1024 + 3072));
    assert_eq!(report.peak_reserved_bytes, Bytes(4000));
    assert_eq!(
        (report.fragmentation.internal, report.fragmentation.external),
        (0.0, 0.0)
    );
    assert_eq!((report.pages_created, report.hit_rate), (1, Some(2.0 / 3.0)));
    let small = report.tiers[Tier::Small.index()];
    assert_eq!((small.hits, small.misses, small.hit_rate), (1, 0, Some(1.0)));
    assert_eq!(report.tiers[Tier::Large.index()].hit_rate, None);
}

#[test]
fn nothing_is_no_trouble() {
    let report = replay(&Trace::default(), &ReplayConfig::pool(Bytes::mib(1), 256)).expect("valid");
    assert_eq!(
        (report.operations, report.peak_reserved_bytes, report.hit_rate),
        (0, Bytes::ZERO, None)
    );
    let timing = time(
        &Trace::default(),
        &ReplayConfig::pool(Bytes::mib(1), 256),
        &SystemClock::new(),
    );
    assert_eq!(timing.expect("valid").ns_per_operation(), None);
}

#[test]
fn what_goes_beyond_the_capacity_is_refused_and_its_free_does_nothing() {
    let mib = 1 << 20;
    let trace = trace_of(
        Usage::ReadWrite,
        &[Ok(40 * mib), Ok(40 * mib), Err(1), Err(0), Ok(40 * mib)],
    );
    let report = replay(&trace, &ReplayConfig::pool(Bytes::mib(64), 256)).expect("valid");
    assert_eq!((report.refusals, report.peak_live_bytes), (1, Bytes::mib(40)));
    assert_eq!(report.tiers[Tier::Large.index()].refusals, 1);
    assert!(
        replay(&trace, &ReplayConfig::pool(Bytes::mib(64), 3)).is_err(),
        "alignment"
    );
}

/// Only staging keeps whole buffers for each size; pages are shared.
#[test]
fn staging_has_buffers_of_its_own() {
    let steps: Vec<Result<u64, u32>> = (0..10).map(|_| Ok(4096)).collect();
    let created = |usage| {
        let report = replay(&trace_of(usage, &steps), &ReplayConfig::pool(Bytes::mib(64), 256));
        report.expect("valid").pages_created
    };
    assert_eq!((created(Usage::Upload), created(Usage::Readback)), (10, 10));
    assert!(created(Usage::ReadWrite) < 10);
}

/// Every other block of full pages goes; then a block comes that only a page of its own can hold.
#[test]
fn compaction_serves_what_is_refused_without_it() {
    let block = 1 << 20;
    let mut steps: Vec<Result<u64, u32>> = (0..64).map(|_| Ok(block)).collect();
    steps.extend((0..64).filter(|id| id % 2 == 0).map(Err));
    steps.push(Ok(12 * block));
    let trace = trace_of(Usage::ReadWrite, &steps);
    let mut config = ReplayConfig::pool(Bytes::mib(64), 256);
    config.heap.first_page = Bytes::mib(8);
    config.heap.page = Bytes::mib(16);
    let refused = replay(&trace, &config).expect("valid");
    config.on_refusal = OnRefusal::Compact;
    let served = replay(&trace, &config).expect("valid");
    assert_eq!((refused.refusals, refused.moved_blocks), (1, 0));
    assert_eq!(served.refusals, 0);
    assert!(served.moved_blocks > 0 && served.moved_bytes.get() == served.moved_blocks * block);
    assert_eq!(served.peak_live_bytes, Bytes(64 * block));
}

/// 100,000 events against many configurations: the books agree with books kept apart from every heap.
#[test]
fn reports_agree_with_plain_books_and_are_the_same_again() {
    let mut rng = Seed(3).stream("replay").rng();
    for round in 0..10 {
        let trace = mixed_trace(&mut rng, 10_000);
        let mut config = ReplayConfig::pool(Bytes::mib(1 << (4 + round)), 1 << rng.below(9));
        if round % 2 == 0 {
            config.on_refusal = OnRefusal::Compact;
        }
        let report = replay(&trace, &config).expect("valid");
        assert_eq!(replay(&trace, &config).expect("valid"), report);
        assert_eq!(report.operations, trace.len());
        let granted: u64 = report.tiers.iter().map(|tier| tier.hits + tier.misses).sum();
        assert_eq!(granted + report.refusals, report.allocations);
        assert!(report.peak_charged_bytes >= report.peak_live_bytes);
        assert!(report.peak_reserved_bytes >= report.peak_live_bytes);
        let Fragmentation { internal, external } = report.fragmentation;
        assert!(
            (0.0..1.0).contains(&internal) && (0.0..=1.0).contains(&external),
            "{report:?}"
        );
        if report.refusals == 0 {
            assert_eq!(report.peak_live_bytes, peak_live(&trace));
        }
    }
}

fn peak_live(trace: &Trace) -> Bytes {
    let mut sizes = vec![0; trace.allocations() as usize];
    let (mut live, mut peak) = (0, 0);
    for event in trace.events() {
        match event.action {
            Action::Allocate { id, bytes, .. } => {
                sizes[id as usize] = bytes;
                live += bytes;
                peak = peak.max(live);
            }
            Action::Free { id } => live -= sizes[id as usize],
        }
    }
    Bytes(peak)
}

#[test]
fn timing_repeats_short_traces() {
    let trace = trace_of(Usage::ReadWrite, &[Ok(1000), Err(0)]);
    let timing = time(
        &trace,
        &ReplayConfig::pool(Bytes::mib(64), 256),
        &SystemClock::new(),
    )
    .expect("valid");
    assert_eq!(timing.operations, MIN_TIMED);
    assert!(
        timing.ns_per_operation().is_some_and(|ns| ns > 0.0 && ns < 1e6),
        "{timing:?}"
    );
}

/// In one page with alignment 1 nothing is rounded, and no replay beats the lower bound of the static planner.
#[test]
fn one_page_is_bounded_by_the_plan_below_and_the_sum_above() {
    let mut rng = Seed(5).stream("one page").rng();
    for _ in 0..20 {
        let mut text = String::from("id,lower,upper,size\n");
        for id in 0..60 {
            let lower = rng.below(100);
            let (upper, size) = (lower + 1 + rng.below(40), 1 + rng.below(5000));
            writeln!(text, "{id},{lower},{upper},{size}").expect("a string takes everything");
        }
        let rows = Lifetimes::read(text.as_bytes(), 1 << 20).expect("valid");
        let report = replay(&rows.trace(), &ReplayConfig::one_page(Bytes::mib(8), 1)).expect("valid");
        let plan = crate::memory::layout::pack(&rows.steps(), 1);
        let sum: u64 = rows.rows().iter().map(|row| row.size).sum();
        assert_eq!((report.refusals, report.fragmentation.internal), (0, 0.0));
        assert_eq!(report.peak_live_bytes, Bytes(plan.lower_bound));
        assert!((plan.lower_bound..=sum).contains(&report.peak_reserved_bytes.get()));
    }
}
