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
