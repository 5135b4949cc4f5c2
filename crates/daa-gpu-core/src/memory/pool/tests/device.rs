//! What the device has bounds pages and buffers, whatever lies in them.

use super::*;
use crate::memory::heap::TierLimit;
use daa_base::Seed;

const CAPACITY: u64 = 16 << 20;

type Made = (Arc<Pool<Counted>>, Arc<AtomicU64>);

fn pool_within(memory: Option<Bytes>, tiers: [TierLimit; 5]) -> Made {
    let config = MemoryConfig {
        max_cached: Bytes(CAPACITY / 4),
        tiers,
        ..MemoryConfig::default()
    };
    let limits = PAGES.map(|limits| PageLimits { memory, ..limits });
    let health = Arc::new(Health::new(DeviceEpoch(1)));
    let pool = Pool::new(Bytes(CAPACITY), &config, limits, &health).expect("the heap is valid");
    (pool, Arc::default())
}

/// Loans of all usages and sizes come and go at random. Gives the most that there was of buffers, and how many loans
/// were refused because the device had no more.
fn most_of_a_random_run(memory: Option<Bytes>, seed: u64) -> (u64, u64) {
    const USAGES: [BufferUsage; 5] = [
        BufferUsage::Arena,
        BufferUsage::Constants,
        BufferUsage::Params,
        BufferUsage::Upload,
        BufferUsage::Readback,
    ];
    let (pool, live) = pool_within(memory, [TierLimit::default(); 5]);
    let tenant = pool.open_tenant("a", Bytes(CAPACITY)).expect("a fine name");
    let mut rng = Seed(seed).stream("device").rng();
    let (mut held, mut most, mut refused) = (Vec::new(), 0, 0);
    for _ in 0..6000 {
        if rng.below(100) < 45 && !held.is_empty() {
            held.swap_remove(rng.below(held.len()));
        } else {
            let size = (256.0 * 13_f64.exp2().powf(rng.uniform())) as u64;
            match tenant.acquire(USAGES[rng.below(5)], Bytes(size), maker(&live)) {
                Ok(loan) => held.push(loan),
                Err(GpuError::Memory(MemoryError::Device { reserved, .. })) => {
                    assert!(reserved.get() <= memory.map_or(u64::MAX, Bytes::get));
                    refused += 1;
                }
                Err(error) => assert!(matches!(
                    error,
                    GpuError::Memory(MemoryError::Budget { .. } | MemoryError::Capacity { .. })
                )),
            }
        }
        let now = live.load(Ordering::Relaxed);
        assert_eq!(
            pool.report().reserved.get(),
            now,
            "the books are of what there is"
        );
        most = most.max(now);
    }
    drop(held);
    pool.trim();
    assert_eq!(
        (pool.report().reserved.get(), live.load(Ordering::Relaxed)),
        (0, 0)
    );
    (most, refused)
}

#[test]
fn buffers_never_take_more_than_the_device_has() {
    let mut refusals = 0;
    for seed in 0..4 {
        let (free, none) = most_of_a_random_run(None, seed);
        assert!(free > CAPACITY && none == 0, "holes take room too: {free}");
        let (most, refused) = most_of_a_random_run(Some(Bytes(CAPACITY)), seed);
        assert!(most <= CAPACITY, "{most}");
        refusals += refused;
    }
    assert!(refusals > 0, "it was met");
}

/// What is kept makes way before the device is said to have no more.
#[test]
fn idle_pages_and_buffers_make_way_for_what_needs_the_device() {
    let (pool, live) = pool_within(Some(Bytes(CAPACITY)), [TierLimit::default(); 5]);
    let tenant = pool.open_tenant("a", Bytes(CAPACITY)).expect("a fine name");
    let get = |usage, size| tenant.acquire(usage, Bytes(size), maker(&live));
    drop([
        get(BufferUsage::Arena, 300 << 10),
        get(BufferUsage::Upload, 300 << 10),
    ]);
    drop([
        get(BufferUsage::Constants, 300 << 10),
        get(BufferUsage::Readback, 1 << 20),
    ]);
    pool.with_centre(Centre::flush);
    assert!(pool.report().reserved > Bytes::mib(4));
    let all = get(BufferUsage::Upload, CAPACITY).expect("there is nothing else");
    assert_eq!(live.load(Ordering::Relaxed), CAPACITY);
    drop(all);
    let most = get(BufferUsage::Arena, CAPACITY).expect("the same of pages");
    assert_eq!(live.load(Ordering::Relaxed), CAPACITY);
    drop(most);
}

fn full() -> GpuError {
    GpuError::OutOfMemory {
        message: "full".to_owned(),
    }
}

#[test]
fn what_is_made_ahead_is_made_once_and_what_fails_is_named() {
    let mut tiers = [TierLimit::default(); 5];
    tiers[1].preallocate = Bytes::mib(1);
    tiers[2].preallocate = Bytes::mib(4);
    let (pool, live) = pool_within(None, tiers);
    pool.prepare(maker(&live)).expect("made");
    assert_eq!(live.load(Ordering::Relaxed), 5 << 20);
    let tenant = pool.open_tenant("a", Bytes(CAPACITY)).expect("a fine name");
    for _ in 0..3 {
        let small = (0..4).map(|_| Bytes::kib(256));
        let medium = (0..2).map(|_| Bytes::mib(2));
        let get = |size| tenant.acquire(BufferUsage::Arena, size, |_, _| Err(full()));
        let loans: Vec<_> = small
            .chain(medium)
            .map(|size| get(size).expect("it is there"))
            .collect();
        assert_eq!(
            (loans.len(), pool.report().reserved, live.load(Ordering::Relaxed)),
            (6, Bytes::mib(5), 5 << 20)
        );
    }
    pool.trim();
    assert_eq!(
        live.load(Ordering::Relaxed),
        0,
        "given back like all that is kept"
    );
    let (pool, live) = pool_within(None, tiers);
    let make = maker(&live);
    let tight = |usage, size| {
        if size > Bytes::mib(1) {
            Err(full())
        } else {
            make(usage, size)
        }
    };
    assert_eq!(
        pool.prepare(tight).expect_err("no room"),
        (Tier::Medium, Some(full()))
    );
}
