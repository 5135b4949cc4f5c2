//! Memory that fills up: what is given back, in which order, and what is refused.

use super::*;
use crate::pressure::{Level, MemorySample, MemorySource, Simulated, SourceKind, Unavailable};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the simulated device has.
const CAPACITY: u64 = 1000 << 10;

/// An image of 64 KiB, so that one is worth moving.
fn large() -> Image {
    Image {
        arena: Bytes::kib(64),
        ..image()
    }
}

fn start(tenant: &Tenant, value: f32) -> Loaded {
    let mut loaded = tenant.load(&large()).expect("loads");
    let data = words(&[value; 64]);
    let work = Work {
        uploads: &[(A, &data)],
        ..Work::default()
    };
    loaded.submit(work).expect("submits").wait().expect("uploads");
    loaded
}

fn check(loaded: &mut Loaded, value: f32) {
    let work = Work {
        reads: &[A],
        ..Work::default()
    };
    assert_eq!(wait(loaded.submit(work).expect("submits")), [value; 64]);
}

/// As the level rises, what is kept is given back first, then cold images move to the host, then pages are emptied.
/// Fewer samples than the forecast looks ahead, so that it has seen no rise yet and the level alone counts.
pub(super) fn rising_pressure_climbs_the_ladder(context: &ComputeContext) {
    let tenant = tenant(context, Bytes::mib(256));
    let mut images: Vec<_> = (0..12_u8)
        .map(|at| (f32::from(at), start(&tenant, f32::from(at))))
        .collect();
    // Something is kept for reuse, and pages have holes.
    let mut at = 0;
    images.retain(|_| {
        at += 1;
        at % 3 == 0
    });
    let source = Arc::new(Simulated::new(Bytes(CAPACITY), [Bytes::ZERO]));
    context.watch_memory(Arc::clone(&source) as _);
    let mut seen = Vec::new();
    for (used, level) in [
        (100_u16, Level::None),
        (650, Level::Low),
        (720, Level::Medium),
        (820, Level::High),
        (930, Level::Critical),
    ] {
        source.set(Bytes(u64::from(used) << 10));
        images.push((f32::from(used), start(&tenant, f32::from(used))));
        let report = context.pressure();
        assert_eq!(
            (report.level, report.source),
            (level, SourceKind::Simulated),
            "{report:?}"
        );
        seen.push([report.trims, report.spills, report.compactions, report.refusals]);
    }
    assert_eq!(seen[..3], [[0; 4], [0; 4], [1, 0, 0, 0]]);
    assert_eq!((seen[3][1], seen[3][2]), (1, 0), "{seen:?}");
    assert!(context.counters().spills > 0);
    // The host backend has no pages, so there is nothing to compact.
    let compacts = u64::from(context.info().backend != crate::BackendKind::Host);
    assert!(seen[4][2] <= compacts && seen[4][3] == 0, "{seen:?}");
    for (value, loaded) in &mut images {
        check(loaded, *value);
    }
}

/// `context` has room for two of the images at once. The third is let in, in the place of the coldest; one that would
/// not fit even alone is refused, with every rung tried, and all go on.
pub(super) fn nothing_is_refused_while_images_can_move(context: &ComputeContext) {
    let tenant = tenant(context, Bytes::mib(256));
    let mut images: Vec<_> = (0..3_u8)
        .map(|at| (f32::from(at), start(&tenant, f32::from(at))))
        .collect();
    let report = context.pressure();
    assert!(report.spills > 0 && report.refusals == 0, "{report:?}");
    assert_eq!(report.source, SourceKind::Tracked);
    let huge = Image {
        arena: Bytes::mib(128),
        ..image()
    };
    let error = tenant.load(&huge).expect_err("more than there is");
    assert!(
        matches!(error, GpuError::Memory(MemoryError::Capacity { .. })),
        "{error}"
    );
    assert_eq!(context.pressure().refusals, 1);
    for round in 0..3 {
        for (value, loaded) in &mut images {
            check(loaded, *value);
        }
        assert!(context.counters().restores > round);
    }
}

/// Room for two images of the test above.
pub(super) fn room_for_two() -> crate::MemoryConfig {
    crate::MemoryConfig {
        capacity: Some(Bytes(large().footprint().get() * 2)),
        ..crate::MemoryConfig::default()
    }
}

/// A forecast that sees the wall acts before the level does.
pub(super) fn what_is_foreseen_counts(context: &ComputeContext) {
    let tenant = tenant(context, Bytes::mib(256));
    // Something is kept for reuse.
    let kept = [1.0, 2.0, 3.0, 4.0].map(|value| start(&tenant, value));
    drop(kept);
    let uses = (0..60_u64).map(|step| Bytes((step * 16) << 10));
    context.watch_memory(Arc::new(Simulated::new(Bytes(CAPACITY), uses)));
    let mut trimmed = None;
    for _ in 0..40 {
        drop(start(&tenant, 5.0));
        let report = context.pressure();
        if report.trims > 0 && trimmed.is_none() {
            trimmed = Some(report.level);
        }
    }
    assert!(trimmed.is_some_and(|level| level < Level::Medium), "{trimmed:?}");
    assert_eq!(context.pressure().level, Level::Critical);
}

/// A device that the pool shares with others, who take more and more of it.
#[derive(Debug)]
struct Crowded {
    pool: std::sync::Weak<crate::memory::pool::Pool<crate::backend::Buffer>>,
    others: AtomicU64,
    capacity: u64,
}

impl MemorySource for Crowded {
    fn sample(&self) -> Result<MemorySample, Unavailable> {
        let pool = self.pool.upgrade().ok_or(Unavailable::Silent)?;
        Ok(MemorySample {
            used: Bytes(pool.report().reserved.get() + self.others.load(Ordering::Relaxed)),
            capacity: Bytes(self.capacity),
            source: SourceKind::Simulated,
        })
    }
}

/// An image of half a mebibyte: several share a page.
fn half() -> Image {
    Image {
        arena: Bytes::kib(512),
        ..image()
    }
}

fn start_half(tenant: &Tenant, value: f32) -> Loaded {
    let mut loaded = tenant.load(&half()).expect("loads");
    let data = words(&[value; 64]);
    let ticket = loaded.submit(upload(&[(A, &data)])).expect("submits");
    ticket.wait().expect("uploads");
    loaded
}

/// Others fill a device until six tenths of it are theirs, where at first the pool had half: without giving back,
/// the wall would be met. Trim, spill and compact come in that order, each before the wall, the first before the level
/// is critical; nothing is refused, and no byte is lost. Only what the pool itself cannot hold is refused, at the end.
pub(super) fn the_ladder_acts_before_the_wall(context: &ComputeContext) {
    let tenant = tenant(context, Bytes::gib(4));
    let all: Vec<_> = (0..48_u8)
        .map(|at| (f32::from(at), start_half(&tenant, f32::from(at))))
        .collect();
    let keep = |(at, image): (usize, _)| (at % 3 != 1).then_some(image);
    let mut images: Vec<_> = all.into_iter().enumerate().filter_map(keep).collect();
    let pool = &tenant.shared.pool;
    let capacity = 2 * pool.report().reserved.get();
    let source = Arc::new(Crowded {
        pool: Arc::downgrade(pool),
        others: AtomicU64::new(0),
        capacity,
    });
    context.watch_memory(Arc::clone(&source) as _);
    let mut first = [None; 3];
    for step in 0..150_u64 {
        source.others.store(capacity * step / 250, Ordering::Relaxed);
        drop(start_half(&tenant, 0.5));
        let report = context.pressure();
        assert!(report.used < report.capacity, "{step}: {report:?}");
        assert_eq!(report.refusals, 0, "{step}: {report:?}");
        let taken = [report.trims, report.spills, report.compactions];
        for (first, taken) in first.iter_mut().zip(taken) {
            if taken > 0 && first.is_none() {
                *first = Some((step, report.level));
            }
        }
    }
    let (trim, spill, compact) = (first[0].expect("trims"), first[1].expect("spills"), first[2]);
    assert!(trim.0 < spill.0, "{first:?}");
    assert!(
        trim.1 < Level::Medium && spill.1 < Level::High,
        "by what is foreseen: {first:?}"
    );
    if context.info().backend != crate::BackendKind::Host {
        let compact = compact.expect("compacts");
        assert!(spill.0 < compact.0 && compact.1 < Level::Critical, "{first:?}");
    }
    assert!(context.counters().spilled_bytes > 0);
    // The others leave.
    source.others.store(0, Ordering::Relaxed);
    for (value, loaded) in &mut images {
        check(loaded, *value);
    }
    assert!(context.counters().restores > 0);
    let huge = Image {
        arena: Bytes(context.capacity().get() + 1024),
        ..image()
    };
    let error = tenant.load(&huge).expect_err("more than there is");
    assert_eq!(error.class(), ErrorClass::OutOfMemory, "{error}");
    assert_eq!(context.pressure().refusals, 1);
}

/// A source that tells for a while.
#[derive(Debug)]
struct Fickle(AtomicU64);

impl MemorySource for Fickle {
    fn sample(&self) -> Result<MemorySample, Unavailable> {
        match self.0.load(Ordering::Relaxed) {
            0 => Err(Unavailable::Silent),
            used => Ok(MemorySample {
                used: Bytes(used),
                capacity: Bytes(100),
                source: SourceKind::Simulated,
            }),
        }
    }
}

/// A source that cannot tell is passed over for what the pool knows itself, and no figure is made up.
pub(super) fn a_silent_source_is_passed_over(context: &ComputeContext) {
    let source = Arc::new(Fickle(AtomicU64::new(95)));
    context.watch_memory(Arc::clone(&source) as _);
    let report = context.pressure();
    assert_eq!(
        (report.level, report.source),
        (Level::Critical, SourceKind::Simulated)
    );
    source.0.store(0, Ordering::Relaxed);
    let tenant = tenant(context, Bytes::mib(1));
    let loaded = start(&tenant, 1.0);
    let report = context.pressure();
    assert_eq!((report.level, report.source), (Level::None, SourceKind::Tracked));
    assert_eq!(report.capacity, context.capacity());
    assert!(report.used >= tenant.usage().in_use && report.used < report.capacity);
    assert_eq!(
        (report.trims, report.spills),
        (0, 0),
        "what was told before is forgotten"
    );
    drop(loaded);
    source.0.store(61, Ordering::Relaxed);
    let report = context.pressure();
    assert_eq!((report.level, report.source), (Level::Low, SourceKind::Simulated));
}

/// `context` may take no more of the device than its loans may sum up to. What lies between them makes way: nothing that
/// fits is refused, and no byte is lost.
#[cfg(feature = "gpu")]
pub(super) fn loans_within_the_capacity_fit_the_device(context: &ComputeContext) {
    let capacity = context.capacity();
    let tenant = tenant(context, capacity);
    let mut rng = daa_base::Seed(5).stream("fit").rng();
    let mut images: Vec<(f32, Loaded)> = Vec::new();
    for step in 0..160_u16 {
        let arena = Bytes::kib(64 << rng.below(6));
        let sized = Image { arena, ..image() };
        while tenant.usage().in_use + sized.footprint() > capacity {
            images.swap_remove(rng.below(images.len()));
        }
        let mut loaded = tenant.load(&sized).expect("it fits");
        let value = f32::from(step);
        let data = words(&[value; 64]);
        let ticket = loaded.submit(upload(&[(A, &data)])).expect("submits");
        ticket.wait().expect("uploads");
        images.push((value, loaded));
        let at = rng.below(images.len());
        let (value, loaded) = &mut images[at];
        check(loaded, *value);
        let report = context.pool_report();
        assert!(report.reserved <= capacity, "{report:?}");
    }
    for (value, loaded) in &mut images {
        check(loaded, *value);
    }
    let report = context.pressure();
    assert!(report.trims > 0 && report.refusals == 0, "{report:?}");
    let counters = context.counters();
    assert!(counters.spills + counters.compactions > 0, "{counters:?}");
}

/// What tiers have made ahead is there when the context opens: their first allocations make no buffer, in the driver's
/// books too, and it works like any other memory.
#[cfg(feature = "gpu")]
pub(super) fn what_is_made_ahead_is_there(context: &ComputeContext, sizes: &[(u64, u64)]) {
    let made = context.counters().buffers_created;
    assert_eq!(made, sizes.len() as u64);
    let (driver, before) = (context.driver_counts(), context.pool_report());
    let heap = before.heap.expect("there are pages");
    assert_eq!((heap.idle, before.reserved), (heap.reserved, heap.reserved));
    let tenant = tenant(context, Bytes::gib(2));
    let get = |size| {
        tenant
            .allocate(Bytes(size), crate::Colour::ReadWrite)
            .expect("room")
    };
    let mut held = Vec::new();
    for &(ahead, size) in sizes {
        held.extend((0..ahead / size).map(|_| get(size)));
    }
    assert_eq!(context.counters().buffers_created, made);
    let buffers = |counts: Option<[isize; 3]>| counts.map(|[buffers, ..]| buffers);
    assert!(buffers(context.driver_counts()) <= buffers(driver));
    assert_eq!(context.pool_report().reserved, before.reserved);
    // One more of a tier that has used up its own.
    let (_, size) = sizes[0];
    let more = get(size);
    assert_eq!(context.counters().buffers_created, made + 1);
    drop((more, held));
    let large = Image {
        arena: Bytes::mib(12),
        ..image()
    };
    let mut loaded = tenant.load(&large).expect("loads");
    let data = words(&[3.0; 64]);
    let ticket = loaded.submit(upload(&[(A, &data)])).expect("submits");
    ticket.wait().expect("uploads");
    check(&mut loaded, 3.0);
    let reclaimed = context.reclaim(crate::pressure::Rung::Spill, Bytes(u64::MAX));
    assert!(reclaimed.bytes >= Bytes::mib(12), "{reclaimed:?}");
    check(&mut loaded, 3.0);
}
