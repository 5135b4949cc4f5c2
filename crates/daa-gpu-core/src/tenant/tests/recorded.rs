//! Traces of contexts at work.

use super::*;
use crate::Colour;
use crate::memory::replay::{ReplayConfig, replay};
use crate::memory::trace::{RecordLimit, Recorder, Ticks};
use daa_base::SystemClock;
use std::sync::Arc;

/// What a recorder writes down while a context works, replayed, peaks where the pool's own books peaked.
#[test]
fn a_recorded_trace_replays_to_the_high_water_of_the_pool() {
    let context = host();
    let recording = context
        .recorder()
        .start(
            RecordLimit::default(),
            Ticks::Micros(Arc::new(SystemClock::new())),
        )
        .expect("off");
    let tenant = tenant(&context, Bytes::MIB);
    let mut held = Vec::new();
    for round in 0..40_u64 {
        held.push(
            tenant
                .allocate(Bytes(1000 + 77 * round), Colour::ReadWrite)
                .expect("fits"),
        );
        if round % 3 == 0 {
            held.remove(0);
        }
        if round == 20 {
            held.clear();
        }
    }
    let refused = tenant.allocate(Bytes::mib(2), Colour::ReadWrite);
    assert!(refused.is_err(), "and is not in the trace");
    let pool = context.pool_report();
    drop(held);
    drop(tenant);
    let trace = recording.stop();
    assert_eq!(trace.tenants(), ["test"]);
    assert_eq!((trace.allocations(), trace.len()), (40, 80));
    let report = replay(&trace, &ReplayConfig::pool(pool.capacity, None)).expect("valid");
    assert_eq!(report.peak_charged_bytes, pool.high_water);
    assert!(report.peak_live_bytes < report.peak_charged_bytes);
    assert_eq!(
        report
            .tiers
            .iter()
            .map(|tier| (tier.hits, tier.misses))
            .collect::<Vec<_>>(),
        pool.tiers
            .iter()
            .map(|tier| (tier.hits, tier.misses))
            .collect::<Vec<_>>(),
        "each tier's hits and misses are the pool's own"
    );
}

/// Tenants that come and go, as in a run: what one leaves, the next has, and the most that was reserved is the same.
#[test]
fn a_recorded_run_replays_to_what_its_pool_reserved() {
    let context = host();
    let recording = context
        .recorder()
        .start(RecordLimit::default(), Ticks::Events)
        .expect("off");
    let mut reserved = Bytes::ZERO;
    for turn in 0..6_u64 {
        let tenant = tenant(&context, Bytes::MIB);
        let mut held = Vec::new();
        for piece in 0..5 {
            let bytes = Bytes(1000 + 900 * ((turn + piece) % 4));
            held.push(tenant.allocate(bytes, Colour::ReadWrite).expect("fits"));
            reserved = reserved.max(context.pool_report().reserved);
        }
    }
    let pool = context.pool_report();
    let trace = recording.stop();
    assert_eq!((trace.tenants().len(), trace.allocations()), (6, 30));
    let report = replay(&trace, &ReplayConfig::pool(pool.capacity, None)).expect("valid");
    assert_eq!(report.peak_reserved_bytes, reserved);
    assert!(
        report.hit_rate.is_some_and(|rate| rate > 0.5),
        "what was left is used again: {report:?}"
    );
    for (ours, theirs) in report.tiers.iter().zip(&pool.tiers) {
        assert_eq!((ours.hits, ours.misses), (theirs.hits, theirs.misses));
    }
}

/// A recorder that the configuration names is the context's, and that of the context reopened from it.
#[test]
fn a_recorder_outlives_its_device() {
    let recorder = Recorder::new();
    let mut config = ContextConfig::default();
    config.memory.recorder = Some(recorder.clone());
    let context = ComputeContext::host(&config).expect("the host is there");
    let again = context.reopen().expect("the host is there");
    assert_eq!((context.recorder(), again.recorder()), (&recorder, &recorder));
    let own = host();
    assert_ne!(own.recorder(), &recorder);
    assert_eq!(
        own.reopen().expect("the host is there").recorder(),
        own.recorder()
    );
}
