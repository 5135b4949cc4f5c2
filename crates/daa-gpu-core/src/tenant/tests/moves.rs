//! Images that move to the host and between pages while others work, on either back end.

use super::*;
use crate::pressure::Rung;
use std::sync::atomic::{AtomicBool, Ordering};

const ALL: Bytes = Bytes(u64::MAX);

/// Adds `b` to what is in `a` and leaves the sum there: list 0 makes c = 2 (a + b), list 1 a = 2 c.
fn step(loaded: &mut Loaded, value: f32) -> Vec<f32> {
    let data = words(&[value; 64]);
    let work = Work {
        list: Some(0),
        uploads: &[(B, &data)],
        reads: &[A, C],
    };
    wait(loaded.submit(work).expect("submits"))
}

fn start(tenant: &Tenant, value: f32) -> Loaded {
    let mut loaded = tenant.load(&image()).expect("loads");
    let data = words(&[value; 64]);
    loaded
        .submit(upload(&[(A, &data)]))
        .expect("submits")
        .wait()
        .expect("uploads");
    loaded
}

fn check(loaded: &mut Loaded, value: f32, round: u8) {
    let more = f32::from(round);
    let want = [[value; 64], [2.0 * (value + more); 64]].concat();
    assert_eq!(step(loaded, more), want);
}

/// What is spilled frees the device, stays charged, and is there again with the next submission.
pub(super) fn spilled_images_return_intact(context: &ComputeContext) {
    let tenant = tenant(context, Bytes::MIB);
    let mut images: Vec<_> = (0..3_u8)
        .map(|at| (f32::from(at), start(&tenant, f32::from(at))))
        .collect();
    let (usage, before) = (tenant.usage(), context.pool_report());
    let arena = crate::reserved_bytes(image().arena);
    assert_eq!(context.reclaimable().spill, Bytes(3 * arena.get()));
    // The least recently submitted goes first.
    let first = context.reclaim(Rung::Spill, Bytes(1));
    assert_eq!((first.moved, first.images, first.skipped), (arena, 1, 0));
    let rest = context.reclaim(Rung::Spill, ALL);
    assert_eq!(
        (rest.moved, rest.images, rest.skipped),
        (Bytes(2 * arena.get()), 2, 0)
    );
    assert_eq!(context.reclaimable().spill, Bytes::ZERO);
    let report = context.pool_report();
    assert_eq!(tenant.usage().in_use, usage.in_use, "still charged");
    assert_eq!(tenant.usage().spilled, Bytes(3 * arena.get()));
    assert_eq!(report.spilled, Bytes(3 * arena.get()));
    assert_eq!(report.in_use + report.spilled, before.in_use);
    for (value, loaded) in &mut images[1..] {
        check(loaded, *value, 5);
    }
    let counters = context.counters();
    assert_eq!((counters.spills, counters.restores), (3, 2));
    assert_eq!(counters.spilled_bytes, 3 * arena.get());
    assert_eq!(tenant.usage().spilled, arena);
    assert_eq!(tenant.usage().high_water, usage.high_water);
    // A revoked tenant may read what it has, wherever that is.
    context.reclaim(Rung::Spill, ALL);
    tenant.revoke();
    let (value, loaded) = &mut images[0];
    assert_eq!(
        wait(loaded.submit(read(&[A])).expect("reading is allowed")),
        [*value; 64]
    );
    drop(tenant);
    let report = context.pool_report();
    assert_eq!(
        (report.in_use, report.spilled, report.tenants),
        (Bytes::ZERO, Bytes::ZERO, 0)
    );
    a_dropped_tenant_is_refused(&mut images[2].1, 7);
}

/// Two tenants that fit only one at a time; `context` has room for one and a half.
pub(super) fn tenants_that_do_not_fit_take_turns(context: &ComputeContext) {
    let footprint = image().footprint();
    let tenants = [tenant(context, footprint), tenant(context, footprint)];
    // Loading the second sends the first to the host.
    let mut images = [start(&tenants[0], 1.0), start(&tenants[1], 2.0)];
    assert_eq!((context.counters().spills, context.pressure().refusals), (1, 0));
    for round in 0..6 {
        for (value, loaded) in [1.0, 2.0].into_iter().zip(&mut images) {
            check(loaded, value, round);
        }
    }
    let counters = context.counters();
    assert_eq!((counters.spills, counters.restores), (13, 12), "each in its turn");
}

/// Threads submit while others move their images about; every byte is as if nobody did.
pub(super) fn images_move_under_load(
    context: &ComputeContext,
    rungs: &[Rung],
    moved: impl Fn(crate::Counters) -> bool + Sync,
) {
    const MOST: u32 = 100_000;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for agent in 0..3_u8 {
            let done = &done;
            scope.spawn(move || {
                let tenant = tenant(context, Bytes::MIB);
                let values = [0.5, 1.5].map(|more| f32::from(agent) + more);
                let mut loaded = values.map(|value| start(&tenant, value));
                let mut round = 0_u8;
                while !done.load(Ordering::Relaxed) {
                    for (value, loaded) in values.into_iter().zip(&mut loaded) {
                        check(loaded, value, round);
                    }
                    round = (round + 1) % 64;
                }
                let footprint = image().footprint().get();
                assert_eq!(tenant.usage().high_water, Bytes(2 * footprint));
            });
        }
        let tries = (0..MOST).take_while(|_| !moved(context.counters())).map(|_| {
            for &rung in rungs {
                context.reclaim(rung, Bytes::KIB);
            }
        });
        tries.for_each(drop);
        done.store(true, Ordering::Relaxed);
    });
    let counters = context.counters();
    assert!(moved(counters), "{counters:?}");
    assert!(counters.restores <= counters.spills, "{counters:?}");
    let report = context.pool_report();
    assert_eq!(
        (report.in_use, report.spilled, report.tenants),
        (Bytes::ZERO, Bytes::ZERO, 0)
    );
}

/// Of images that fill pages, some are left; compaction moves them together and pages fall free.
#[cfg(feature = "gpu")]
pub(super) fn pages_fall_free_when_images_move_together(context: &ComputeContext) {
    let large = Image {
        arena: Bytes::kib(512),
        ..image()
    };
    let tenant = tenant(context, Bytes::mib(64));
    let mut images: Vec<_> = (0..24_u8)
        .map(|at| {
            let mut loaded = tenant.load(&large).expect("loads");
            let data = words(&[f32::from(at); 64]);
            loaded
                .submit(upload(&[(A, &data)]))
                .expect("submits")
                .wait()
                .expect("uploads");
            (f32::from(at), loaded)
        })
        .collect();
    let mut at = 0;
    images.retain(|_| {
        at += 1;
        at % 4 == 0
    });
    context.reclaim(Rung::Trim, ALL);
    let before = context.pool_report().reserved;
    let reclaimed = context.reclaim(Rung::Compact, ALL);
    let after = context.pool_report().reserved;
    assert!(reclaimed.bytes >= Bytes::mib(2), "{reclaimed:?}");
    assert_eq!(before - after, reclaimed.bytes);
    let counters = context.counters();
    assert_eq!(
        (counters.compactions, counters.compacted_bytes),
        (reclaimed.images, reclaimed.moved.get())
    );
    assert!(counters.compactions > 0);
    for (value, loaded) in &mut images {
        check(loaded, *value, 3);
    }
    assert_eq!(context.reclaim(Rung::Refuse, ALL).bytes, Bytes::ZERO);
}

/// Threads load, drop and submit to images of many to a page while those are moved together: pages fall free, and every
/// byte is as if nobody moved any.
#[cfg(feature = "gpu")]
pub(super) fn pages_fall_free_under_load(context: &ComputeContext) {
    const MOST: u32 = 5000;
    const ENOUGH: u64 = 24;
    let large = Image {
        arena: Bytes::kib(256),
        ..image()
    };
    let done = AtomicBool::new(false);
    let given = std::thread::scope(|scope| {
        for agent in 0..3_u8 {
            let (done, large) = (&done, &large);
            scope.spawn(move || churn(context, large, agent, done));
        }
        let mut given = 0;
        for _ in 0..MOST {
            if context.counters().compactions >= ENOUGH && given > 0 {
                break;
            }
            context.reclaim(Rung::Trim, ALL);
            given += context.reclaim(Rung::Compact, ALL).bytes.get();
            context.reclaim(Rung::Spill, Bytes(1));
        }
        done.store(true, Ordering::Relaxed);
        given
    });
    let counters = context.counters();
    assert!(
        counters.compactions >= ENOUGH && given > 0,
        "{given} {counters:?}"
    );
    assert!(
        counters.compacted_bytes >= counters.compactions * 256,
        "{counters:?}"
    );
    assert!(counters.spills > 0 && counters.restores > 0, "{counters:?}");
    let report = context.pool_report();
    assert_eq!(
        (report.in_use, report.spilled, report.tenants),
        (Bytes::ZERO, Bytes::ZERO, 0)
    );
    assert_eq!(
        report.heap.map(|heap| (heap.live, heap.strays)),
        Some((Bytes::ZERO, 0))
    );
}

/// Has up to a dozen images, of which every round drops some, and checks all of them.
#[cfg(feature = "gpu")]
fn churn(context: &ComputeContext, image: &Image, agent: u8, done: &AtomicBool) {
    let tenant = tenant(context, Bytes::mib(64));
    let mut images: Vec<(f32, Loaded)> = Vec::new();
    let mut round = 0_u8;
    while !done.load(Ordering::Relaxed) {
        while images.len() < 12 {
            let value = f32::from(agent) + f32::from(round) / 64.0 + images.len() as f32;
            let mut loaded = tenant.load(image).expect("loads");
            let data = words(&[value; 64]);
            let ticket = loaded.submit(upload(&[(A, &data)])).expect("submits");
            ticket.wait().expect("uploads");
            images.push((value, loaded));
        }
        for (value, loaded) in &mut images {
            check(loaded, *value, round);
        }
        let mut at = usize::from(round);
        images.retain(|_| {
            at += 1;
            at % 3 == 0
        });
        round = (round + 1) % 64;
    }
}
