use super::*;
use crate::memory::trace::{Action, Lifetimes, TraceBuilder, Usage};
use crate::sync::Arc;
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

fn heap(capacity: Bytes, alignment: u64) -> ReplayConfig {
    ReplayConfig::heap(HeapConfig::new(capacity, alignment))
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
    let report = replay(&Trace::default(), &ReplayConfig::pool(Bytes::mib(1), Some(256))).expect("valid");
    assert_eq!(
        (report.operations, report.peak_reserved_bytes, report.hit_rate),
        (0, Bytes::ZERO, None)
    );
    let timing = time(
        &Trace::default(),
        &ReplayConfig::pool(Bytes::mib(1), Some(256)),
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
    let report = replay(&trace, &heap(Bytes::mib(64), 256)).expect("valid");
    assert_eq!((report.refusals, report.peak_live_bytes), (1, Bytes::mib(40)));
    assert_eq!(report.tiers[Tier::Large.index()].refusals, 1);
    let report = replay(&trace, &ReplayConfig::pool(Bytes::mib(64), Some(256))).expect("valid");
    assert_eq!((report.refusals, report.peak_live_bytes), (1, Bytes::mib(40)));
    assert!(replay(&trace, &ReplayConfig::pool(Bytes::mib(64), Some(3))).is_err());
    assert!(replay(&trace, &heap(Bytes::mib(64), 3)).is_err(), "alignment");
}

/// Only staging keeps whole buffers for each size; pages are shared.
#[test]
fn staging_has_buffers_of_its_own() {
    let steps: Vec<Result<u64, u32>> = (0..10).map(|_| Ok(4096)).collect();
    let created = |usage| {
        let report = replay(&trace_of(usage, &steps), &heap(Bytes::mib(64), 256));
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
    let mut small = HeapConfig::new(Bytes::mib(64), 256);
    (small.first_page, small.page) = (Bytes::mib(8), Bytes::mib(16));
    let mut config = ReplayConfig::heap(small);
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
        let mut config = match round % 3 {
            0 => ReplayConfig::pool(Bytes::mib(1 << (4 + round)), Some(1 << rng.below(9))),
            1 => ReplayConfig::pool(Bytes::mib(1 << (4 + round)), None),
            _ => heap(Bytes::mib(1 << (4 + round)), 1 << rng.below(9)),
        };
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
    let timing = time(&trace, &heap(Bytes::mib(64), 256), &SystemClock::new()).expect("valid");
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
        let plan = crate::memory::layout::pack(&rows.steps(), 1).expect("the sum is in range");
        let sum: u64 = rows.rows().iter().map(|row| row.size).sum();
        assert_eq!((report.refusals, report.fragmentation.internal), (0, 0.0));
        assert_eq!(report.peak_live_bytes, Bytes(plan.lower_bound));
        assert!((plan.lower_bound..=sum).contains(&report.peak_reserved_bytes.get()));
    }
}

/// What a pool did while it was recorded, and what its buffers came to.
struct Worked {
    trace: Trace,
    peak_reserved: u64,
    report: crate::memory::pool::PoolReport,
}

/// Three tenants take and give back at random; of all of them the recorder writes.
fn worked(rng: &mut Rng, space: &PoolSpace) -> Worked {
    use crate::health::Health;
    use crate::memory::pool::{BufferUsage, PageLimits, Pool};
    use crate::memory::trace::{RecordLimit, Recorder, Ticks};
    let recorder = Recorder::new();
    let mut memory = space.memory.clone();
    memory.recorder = Some(recorder.clone());
    let pages = space.pages.map(|pages| PageLimits {
        alignment: pages.alignment,
        max_buffer: pages.max_buffer,
        memory: pages.memory,
    });
    let health = Arc::new(Health::new(daa_base::DeviceEpoch(1)));
    let pool = Pool::new(space.capacity, &memory, pages, &health).expect("valid");
    let recording = recorder
        .start(RecordLimit::default(), Ticks::Events)
        .expect("off");
    let mut tenants = ["a", "b", "c"].map(|name| pool.open_tenant(name, space.capacity).expect("a name"));
    let usages = [
        BufferUsage::Arena,
        BufferUsage::Constants,
        BufferUsage::Params,
        BufferUsage::Upload,
        BufferUsage::Readback,
    ];
    let (mut loans, mut peak_reserved) = (Vec::new(), 0);
    let mut next = None;
    for event in 0..20_000 {
        let fills = event % 5_000 < 2_500;
        if event < 3 || next.is_some() || loans.is_empty() || rng.below(100) < if fills { 60 } else { 40 } {
            let length = 4 + rng.below(20);
            let bytes = Bytes(1 + rng.below(1 << length) as u64);
            // New tenants begin at once: a replay opens them when they first allocate.
            let tenant = next
                .take()
                .unwrap_or_else(|| if event < 3 { event } else { rng.below(3) });
            let loan = tenants[tenant].acquire(usages[rng.below(5)], bytes, |_, _| Ok(()));
            loans.push((tenant, loan.expect("room")));
        } else {
            drop(loans.swap_remove(rng.below(loans.len())));
        }
        if event % 3_000 == 2_999 {
            // One leaves with its last release, and another comes.
            let leaves = rng.below(3);
            drop(tenants[leaves].acquire(usages[0], Bytes(1), |_, _| Ok(())));
            loans.retain(|(tenant, _)| *tenant != leaves);
            pool.close_tenant(&tenants[leaves]);
            tenants[leaves] = pool.open_tenant("d", space.capacity).expect("a name");
            next = Some(leaves);
        }
        peak_reserved = pool.report().reserved.get().max(peak_reserved);
    }
    // All are still there at the end.
    let last = [0, 1, 2].map(|tenant| tenants[tenant].acquire(usages[0], Bytes(1), |_, _| Ok(())));
    peak_reserved = pool.report().reserved.get().max(peak_reserved);
    assert!(last.iter().all(Result::is_ok));
    Worked {
        trace: recording.stop(),
        peak_reserved,
        report: pool.report(),
    }
}

/// The same pool over the same requests: magazines, shelves, pages and their sizes are its own, so that every figure is.
#[test]
fn a_recorded_pool_is_replayed_to_its_own_figures() {
    let mut rng = Seed(11).stream("recorded").rng();
    let device = DevicePages {
        alignment: 256,
        max_buffer: Bytes::mib(256),
        memory: None,
    };
    for pages in [Some(device), None] {
        for (max_cached, capacity) in [(0, 4096), (8, 4096), (512, 4096), (512, 1024)] {
            let mut config = ReplayConfig::pool(Bytes::mib(capacity), None);
            let Space::Pool(space) = &mut config.space else {
                panic!("a pool");
            };
            space.pages = pages;
            space.memory.max_cached = Bytes::mib(max_cached);
            let done = worked(&mut rng, space);
            // What was refused is in no trace, and neither is what was given back for it.
            assert_eq!(done.report.refusals, 0);
            let report = replay(&done.trace, &config).expect("valid");
            assert_eq!(report.refusals, 0, "what was granted is granted again");
            assert_eq!(
                report.peak_reserved_bytes,
                Bytes(done.peak_reserved),
                "{pages:?} {max_cached}"
            );
            for (ours, theirs) in report.tiers.iter().zip(&done.report.tiers) {
                let hits = (theirs.hits, theirs.misses);
                assert_eq!((ours.tier, (ours.hits, ours.misses)), (theirs.tier, hits));
            }
            let created: u64 = done.report.tiers.iter().map(|tier| tier.creations).sum();
            assert_eq!(report.pages_created, created);
            assert!(report.pages_created > 0 && report.hit_rate.is_some_and(|rate| rate < 1.0));
            assert!(report.peak_charged_bytes <= report.peak_reserved_bytes);
        }
    }
}

/// The default is what a context makes: where pages are made differently, this differs too.
#[test]
fn the_default_is_the_pool_of_a_context() {
    let trace = trace_of(Usage::ReadWrite, &[Ok(100_000), Ok(1 << 20), Err(0), Err(1)]);
    let reserved = |config| {
        let report = replay(&trace, &config).expect("valid");
        report.peak_reserved_bytes
    };
    assert_eq!(
        reserved(ReplayConfig::pool(Bytes::gib(4), Some(256))),
        Bytes::mib(2),
        "one first page"
    );
    assert_eq!(
        reserved(ReplayConfig::pool(Bytes::gib(4), None)),
        Bytes((1 << 20) + 106_496),
        "two buffers"
    );
    assert_eq!(reserved(heap(Bytes::gib(4), 256)), Bytes::mib(8));
}
