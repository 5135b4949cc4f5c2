mod device;
mod ends;
mod model;
mod share;

use super::*;
use crate::error::{ErrorClass, GpuError};
use crate::memory::tier::reserved_bytes;
use crate::tenant::TenantUsage;
use daa_base::DeviceEpoch;
use proptest::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// A buffer that counts how many of its kind exist.
#[derive(Debug)]
struct Counted(Arc<AtomicU64>, u64);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

fn maker(live: &Arc<AtomicU64>) -> impl Fn(BufferUsage, Bytes) -> Result<Counted, GpuError> + use<> {
    let live = Arc::clone(live);
    move |_, size| {
        live.fetch_add(size.get(), Ordering::Relaxed);
        Ok(Counted(Arc::clone(&live), size.get()))
    }
}

fn pool(capacity: u64, max_cached: u64) -> (Arc<Pool<Counted>>, Arc<AtomicU64>) {
    pool_of(capacity, max_cached, None)
}

const PAGES: Option<PageLimits> = Some(PageLimits {
    alignment: 256,
    max_buffer: Bytes::gib(2),
    memory: None,
});

fn pool_of(
    capacity: u64,
    max_cached: u64,
    pages: Option<PageLimits>,
) -> (Arc<Pool<Counted>>, Arc<AtomicU64>) {
    let config = MemoryConfig {
        capacity: None,
        max_cached: Bytes(max_cached),
        ..MemoryConfig::default()
    };
    let health = Arc::new(Health::new(DeviceEpoch(1)));
    (
        Pool::new(Bytes(capacity), &config, pages, &health).expect("the heap is valid"),
        Arc::new(AtomicU64::new(0)),
    )
}

#[test]
fn a_released_buffer_is_reused_for_the_same_class_and_usage_only() {
    let (pool, live) = pool(1 << 20, 1 << 20);
    let tenant = pool.open_tenant("a", Bytes(1 << 20)).expect("a fine name");
    let get = |usage, size| tenant.acquire(usage, Bytes(size), maker(&live)).expect("room");
    assert!(get(BufferUsage::Arena, 1000).origin() == Origin::Fresh);
    assert!(
        get(BufferUsage::Arena, 1020).origin() != Origin::Fresh,
        "1000 and 1020 are of the class 1024"
    );
    assert!(
        get(BufferUsage::Upload, 1000).origin() == Origin::Fresh,
        "another usage"
    );
    assert!(
        get(BufferUsage::Arena, 1025).origin() == Origin::Fresh,
        "another class"
    );
    let report = pool.report();
    let small = report.tiers[1];
    assert_eq!((small.hits, small.misses, small.creations), (1, 3, 3));
    assert_eq!(report.cached, Bytes(1024 + 1024 + 1152));
    assert_eq!(report.high_water, Bytes(1152));
}

#[test]
fn refusals_name_tenant_wanted_in_use_and_limit() {
    let (pool, live) = pool(4096, 4096);
    let greedy = pool.open_tenant("greedy", Bytes(1024)).expect("a fine name");
    let other = pool.open_tenant("other", Bytes(1 << 20)).expect("a fine name");
    let held = greedy
        .acquire(BufferUsage::Arena, Bytes(512), maker(&live))
        .expect("room");
    let error = greedy
        .acquire(BufferUsage::Arena, Bytes(1000), maker(&live))
        .expect_err("over budget");
    let want = MemoryError::Budget {
        tenant: "greedy".to_owned(),
        wanted: Bytes(1024),
        in_use: Bytes(512),
        budget: Bytes(1024),
    };
    assert_eq!(error, GpuError::Memory(want));
    assert_eq!(
        (error.class(), error.is_retryable()),
        (ErrorClass::OutOfMemory, false)
    );
    let error = other
        .acquire(BufferUsage::Arena, Bytes(4096), maker(&live))
        .expect_err("over capacity");
    let want = MemoryError::Capacity {
        tenant: "other".to_owned(),
        wanted: Bytes(4096),
        in_use: Bytes(512),
        capacity: Bytes(4096),
    };
    assert_eq!(error, GpuError::Memory(want));
    assert!(error.is_retryable());
    assert_eq!(pool.report().refusals, 2);
    assert_eq!(greedy.usage().in_use, Bytes(512));
    drop(held);
}

#[test]
fn what_is_kept_makes_room_the_oldest_first() {
    let (pool, live) = pool(4096, 4096);
    let tenant = pool.open_tenant("a", Bytes(4096)).expect("a fine name");
    let sizes = [1024_u64, 2048, 512];
    let held: Vec<_> = sizes
        .iter()
        .map(|&size| {
            tenant
                .acquire(BufferUsage::Arena, Bytes(size), maker(&live))
                .expect("room")
        })
        .collect();
    held.into_iter().for_each(drop);
    let big = tenant
        .acquire(BufferUsage::Params, Bytes(1024), maker(&live))
        .expect("room is made");
    assert_eq!(
        pool.report().cached,
        Bytes(2048 + 512),
        "the oldest went, which is 1024"
    );
    assert_eq!(live.load(Ordering::Relaxed), 1024 + 2048 + 512);
    drop(big);
    pool.close();
    assert_eq!(
        (pool.report().cached, live.load(Ordering::Relaxed)),
        (Bytes::ZERO, 0)
    );
}

#[test]
fn a_driver_without_memory_is_asked_again_after_a_trim_and_its_failure_costs_nothing() {
    let (pool, live) = pool(1 << 20, 1 << 20);
    let tenant = pool.open_tenant("a", Bytes(1 << 20)).expect("a fine name");
    drop(
        tenant
            .acquire(BufferUsage::Arena, Bytes(1024), maker(&live))
            .expect("room"),
    );
    let make = maker(&live);
    let watched = Arc::clone(&live);
    let full_until_trimmed = move |usage, size| {
        if watched.load(Ordering::Relaxed) > 0 {
            return Err(GpuError::OutOfMemory {
                message: "full".to_owned(),
            });
        }
        make(usage, size)
    };
    let held = tenant
        .acquire(BufferUsage::Arena, Bytes(2048), &full_until_trimmed)
        .expect("trimmed");
    assert_eq!(pool.report().cached, Bytes::ZERO);
    let error = tenant
        .acquire(BufferUsage::Arena, Bytes(4096), &full_until_trimmed)
        .expect_err("full");
    assert_eq!(error.class(), ErrorClass::OutOfMemory);
    let usage = tenant.usage();
    assert_eq!(
        (usage.in_use, usage.high_water),
        (Bytes(2048), Bytes(2048)),
        "a failure leaves no mark"
    );
    drop(held);
}

#[test]
fn a_closed_tenant_gets_nothing_more_and_is_forgotten_with_its_last_buffer() {
    let (pool, live) = pool(1 << 20, 0);
    let tenant = pool.open_tenant("a", Bytes(4096)).expect("a fine name");
    let held = tenant
        .acquire(BufferUsage::Arena, Bytes(256), maker(&live))
        .expect("room");
    pool.close_tenant(&tenant);
    let error = tenant
        .acquire(BufferUsage::Arena, Bytes(256), maker(&live))
        .expect_err("closed");
    assert_eq!(error, GpuError::Memory(MemoryError::Gone));
    assert_eq!(pool.report().tenants, 1);
    drop(held);
    assert_eq!((pool.report().tenants, pool.report().in_use), (0, Bytes::ZERO));
    assert_eq!(
        live.load(Ordering::Relaxed),
        0,
        "nothing is kept when nothing may be"
    );
    assert!(matches!(
        pool.open_tenant("", Bytes(1)),
        Err(MemoryError::Name { length: 0, .. })
    ));
}

#[test]
fn a_closed_pool_keeps_nothing_that_comes_back() {
    let (pool, live) = pool(1 << 20, 1 << 20);
    let tenant = pool.open_tenant("a", Bytes(1 << 20)).expect("a fine name");
    let get = || {
        tenant
            .acquire(BufferUsage::Arena, Bytes(1024), maker(&live))
            .expect("room")
    };
    let held = get();
    pool.close();
    drop(held);
    assert_eq!(
        (pool.report().cached, live.load(Ordering::Relaxed)),
        (Bytes::ZERO, 0),
        "on loan while the pool was closed"
    );
    let late = get();
    assert!(late.origin() == Origin::Fresh);
    drop(late);
    assert_eq!(
        (pool.report().cached, live.load(Ordering::Relaxed)),
        (Bytes::ZERO, 0)
    );
}

#[test]
fn a_tenant_gets_its_own_back_and_another_what_is_kept_for_all() {
    let (pool, live) = pool(1 << 20, 1 << 20);
    let [mine, other] =
        ["mine", "other"].map(|name| pool.open_tenant(name, Bytes(1 << 20)).expect("a fine name"));
    let get = |tenant: &Arc<Account<Counted>>| {
        tenant
            .acquire(BufferUsage::Arena, Bytes(1024), maker(&live))
            .expect("room")
    };
    let first = get(&mine);
    assert_eq!(first.origin(), Origin::Fresh);
    drop(first);
    assert_eq!(
        get(&other).origin(),
        Origin::Fresh,
        "a magazine is its tenant's own"
    );
    assert_eq!(get(&mine).origin(), Origin::Own);
    pool.close_tenant(&mine);
    let held = [get(&other), get(&other)];
    assert_eq!(
        held.each_ref().map(Pooled::origin),
        [Origin::Own, Origin::Foreign]
    );
    assert_eq!(pool.report().tiers[1].creations, 2);
}

#[test]
fn magazines_of_others_make_way_before_a_refusal() {
    let (pool, live) = pool(8192, 8192);
    let tenants: Vec<_> = (0..4)
        .map(|_| pool.open_tenant("a", Bytes(8192)).expect("a fine name"))
        .collect();
    for tenant in &tenants {
        let get = || tenant.acquire(BufferUsage::Arena, Bytes(512), maker(&live));
        drop((get().expect("room"), get()));
    }
    assert!(pool.report().cached > Bytes::ZERO);
    let all = tenants[0]
        .acquire(BufferUsage::Params, Bytes(8192), maker(&live))
        .expect("nobody holds anything");
    assert_eq!(
        (pool.report().cached, live.load(Ordering::Relaxed)),
        (Bytes::ZERO, 8192)
    );
    assert!(tenants[1].check(Bytes(256)).is_err());
    drop(all);
    assert!(tenants[1].check(Bytes(8192)).is_ok());
}

#[test]
fn blocks_of_one_page_are_apart_and_staging_is_whole() {
    let (pool, live) = pool_of(1 << 24, 1 << 24, PAGES);
    let tenant = pool.open_tenant("a", Bytes(1 << 24)).expect("a fine name");
    let get = |usage, size| tenant.acquire(usage, Bytes(size), maker(&live)).expect("room");
    let held = [get(BufferUsage::Arena, 100_000), get(BufferUsage::Arena, 200_000)];
    assert!(std::ptr::eq(held[0].get(), held[1].get()), "one page");
    assert_eq!(
        held.each_ref().map(Pooled::origin),
        [Origin::Fresh, Origin::Foreign]
    );
    let [first, second] = held
        .each_ref()
        .map(|loan| (loan.offset(), loan.offset() + loan.reserved().get()));
    assert!(first.1 <= second.0 || second.1 <= first.0);
    let staging = get(BufferUsage::Upload, 100_000);
    assert_eq!((staging.offset(), staging.get().1), (0, staging.reserved().get()));
    for usage in [BufferUsage::Constants, BufferUsage::Params] {
        let other = get(usage, 100_000);
        assert!(!std::ptr::eq(other.get(), held[0].get()), "another colour");
    }
    let report = pool.report();
    assert_eq!(report.reserved.get(), live.load(Ordering::Relaxed));
    assert!(report.reserved >= report.in_use + report.cached);
}

/// A loan's page is made while nobody holds a lock; somebody else may need the same page meanwhile.
#[test]
fn a_page_that_two_need_at_once_is_made_by_the_one_that_can() {
    for first_fails in [false, true] {
        let (pool, live) = pool_of(1 << 24, 1 << 24, PAGES);
        let tenant = pool.open_tenant("a", Bytes(1 << 24)).expect("a fine name");
        let make = maker(&live);
        let inner = std::cell::RefCell::new(None);
        let outer = tenant.acquire(BufferUsage::Arena, Bytes(100_000), |usage, size| {
            if inner.borrow().is_none() {
                let other = tenant.acquire(BufferUsage::Arena, Bytes(100_000), maker(&live));
                *inner.borrow_mut() = Some(other.expect("room"));
            }
            if first_fails {
                return Err(GpuError::OutOfMemory {
                    message: "full".to_owned(),
                });
            }
            make(usage, size)
        });
        let (outer, inner) = (
            outer.expect("the page is there"),
            inner.take().expect("it was asked"),
        );
        assert!(std::ptr::eq(outer.get(), inner.get()), "one page");
        assert_ne!(outer.offset(), inner.offset());
        assert_eq!(
            pool.report().reserved.get(),
            live.load(Ordering::Relaxed),
            "a second page was freed"
        );
        drop((outer, inner));
        pool.close_tenant(&tenant);
        pool.close();
        assert_eq!(
            (pool.report().reserved, live.load(Ordering::Relaxed)),
            (Bytes::ZERO, 0)
        );
    }
}

#[test]
fn without_room_for_a_page_a_loan_gets_what_it_needs_or_costs_nothing() {
    let (pool, live) = pool_of(1 << 24, 1 << 24, PAGES);
    let tenant = pool.open_tenant("a", Bytes(1 << 24)).expect("a fine name");
    let make = maker(&live);
    let tight = |usage, size: Bytes| {
        if size > Bytes(200_000) {
            return Err(GpuError::OutOfMemory {
                message: "full".to_owned(),
            });
        }
        make(usage, size)
    };
    let held = tenant
        .acquire(BufferUsage::Arena, Bytes(100_000), tight)
        .expect("no page, but this");
    assert_eq!((held.offset(), held.get().1), (0, held.reserved().get()));
    let report = pool.report();
    assert_eq!(
        (report.reserved, report.in_use),
        (held.reserved(), held.reserved())
    );
    let error = tenant
        .acquire(BufferUsage::Arena, Bytes(300_000), tight)
        .expect_err("not even that");
    assert_eq!(error.class(), ErrorClass::OutOfMemory);
    drop(held);
    pool.trim();
    let report = pool.report();
    assert_eq!(
        (report.reserved, report.in_use, live.load(Ordering::Relaxed)),
        (Bytes::ZERO, Bytes::ZERO, 0)
    );
}

#[test]
fn tiers_have_limits_that_magazines_make_way_for() {
    let mut config = MemoryConfig::default();
    config.tiers[1].max_in_use = Bytes(4096);
    let health = Arc::new(Health::new(DeviceEpoch(1)));
    let pool = Pool::new(Bytes(1 << 20), &config, None, &health).expect("there is no heap");
    let live = Arc::new(AtomicU64::new(0));
    let [one, two] = ["one", "two"].map(|name| pool.open_tenant(name, Bytes(1 << 20)).expect("a fine name"));
    let get =
        |tenant: &Arc<Account<Counted>>, size| tenant.acquire(BufferUsage::Arena, Bytes(size), maker(&live));
    drop((get(&one, 2048).expect("room"), get(&one, 1024).expect("room")));
    let held = get(&two, 4096).expect("room, once the magazine gave way");
    let micro = get(&one, 512).expect("another tier");
    let want = MemoryError::Tier {
        tenant: "one".to_owned(),
        tier: Tier::Small,
        wanted: Bytes(1024),
        in_use: Bytes(4096),
        limit: Bytes(4096),
    };
    assert_eq!(
        get(&one, 1024).expect_err("the tier is full"),
        GpuError::Memory(want)
    );
    drop((held, micro));
    drop(get(&one, 4096).expect("room again"));
}

/// Every thread works for its own tenant, and all for one more; the capacity is exactly what they need at most.
#[test]
fn threads_lose_no_byte_and_are_not_refused_within_the_capacity() {
    threads_lose_no_byte(None);
    threads_lose_no_byte(PAGES);
}

fn threads_lose_no_byte(pages: Option<PageLimits>) {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = if cfg!(miri) { 12 } else { 500 };
    let sizes = [256_u64, 1024, 4096];
    let need: u64 = sizes.iter().sum();
    let (pool, live) = pool_of(2 * THREADS * need, THREADS * need, pages);
    let shared = pool
        .open_tenant("shared", Bytes(THREADS * need))
        .expect("a fine name");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (pool, live, shared) = (&pool, &live, &shared);
            scope.spawn(move || {
                let own = pool.open_tenant("own", Bytes(need)).expect("a fine name");
                for round in 0..ROUNDS {
                    let mut held = Vec::new();
                    for (at, &size) in sizes.iter().enumerate() {
                        let usage = if (round + thread) % 3 == at as u64 {
                            BufferUsage::Upload
                        } else {
                            BufferUsage::Arena
                        };
                        for tenant in [&own, shared] {
                            held.push(tenant.acquire(usage, Bytes(size), maker(live)).expect("it fits"));
                        }
                    }
                    if round % 7 == thread {
                        pool.trim();
                    }
                }
                assert_eq!(own.usage().high_water, Bytes(need));
                pool.close_tenant(&own);
            });
        }
    });
    pool.close_tenant(&shared);
    let report = pool.report();
    assert_eq!((report.in_use, report.tenants), (Bytes::ZERO, 0));
    assert_eq!(live.load(Ordering::Relaxed), report.reserved.get());
    assert!(report.high_water <= report.capacity);
    if let Some(heap) = &report.heap {
        assert_eq!((heap.live, heap.strays), (Bytes::ZERO, 0));
    }
    let loans: u64 = report.tiers.iter().map(|tier| tier.hits + tier.misses).sum();
    assert_eq!(loans, THREADS * ROUNDS * 6);
}

#[derive(Debug, Clone)]
enum Action {
    Acquire { tenant: usize, usage: u8, size: u64 },
    Release { which: usize },
    Reopen { tenant: usize },
}

fn action() -> impl Strategy<Value = Action> {
    let size = prop_oneof![1_u64..2000, 1_u64..300_000];
    prop_oneof![
        5 => (0_usize..3, 0_u8..4, size).prop_map(|(tenant, usage, size)| Action::Acquire { tenant, usage, size }),
        4 => any::<usize>().prop_map(|which| Action::Release { which }),
        1 => (0_usize..3).prop_map(|tenant| Action::Reopen { tenant }),
    ]
}

/// One tenant as the model knows it.
struct Model {
    key: Arc<Account<Counted>>,
    in_use: u64,
    high_water: u64,
}

/// A buffer, the index of the tenant that opened it with the generation of that tenant, and its reserved size.
type Held = (Pooled<Counted>, usize, Arc<Account<Counted>>, u64);

const BUDGETS: [u64; 3] = [20_000, 200_000, 1 << 30];
const CAPACITY: u64 = 1_000_000;

fn check_books(pool: &Pool<Counted>, live: &AtomicU64, tenants: &[Model], held: &[Held]) {
    let report = pool.report();
    let in_use: u64 = held.iter().map(|(_, _, _, size)| size).sum();
    assert_eq!(report.in_use.get(), in_use, "no byte is lost");
    assert_eq!(live.load(Ordering::Relaxed), report.reserved.get());
    match &report.heap {
        None => assert_eq!(
            report.reserved,
            report.in_use + report.cached,
            "what exists is held or kept"
        ),
        Some(heap) => {
            assert!(report.reserved >= report.in_use + report.cached);
            assert!(heap.reserved <= heap.capacity && heap.strays == 0);
            assert!(heap.live <= report.in_use + report.cached);
        }
    }
    assert!(in_use + report.cached.get() <= CAPACITY);
    assert!(report.cached.get() <= CAPACITY / 2);
    let sum = |get: fn(&TierReport) -> Bytes| report.tiers.iter().map(get).sum::<Bytes>();
    assert_eq!(sum(|tier| tier.in_use), report.in_use);
    assert_eq!(sum(|tier| tier.cached), report.cached);
    for (model, budget) in tenants.iter().zip(BUDGETS) {
        let want = TenantUsage {
            budget: Bytes(budget),
            in_use: Bytes(model.in_use),
            high_water: Bytes(model.high_water),
            ..TenantUsage::default()
        };
        assert_eq!(model.key.usage(), want);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 64 }))]
    #[test]
    fn random_tenants_lose_no_byte_and_budgets_are_exact(
        actions in proptest::collection::vec(action(), 1..200),
        paged in any::<bool>(),
    ) {
        const USAGES: [BufferUsage; 4] =
            [BufferUsage::Arena, BufferUsage::Constants, BufferUsage::Upload, BufferUsage::Readback];
        let (pool, live) = pool_of(CAPACITY, CAPACITY / 2, PAGES.filter(|_| paged));
        let open = |budget| {
            let key = pool.open_tenant("tenant", Bytes(budget)).expect("a fine name");
            Model { key, in_use: 0, high_water: 0 }
        };
        let mut tenants: Vec<Model> = BUDGETS.into_iter().map(open).collect();
        let mut held: Vec<Held> = Vec::new();
        for action in actions {
            match action {
                Action::Acquire { tenant, usage, size } => {
                    let reserved = reserved_bytes(Bytes(size)).get();
                    let total: u64 = held.iter().map(|(_, _, _, size)| size).sum();
                    let model = &mut tenants[tenant];
                    let fits = model.in_use + reserved <= BUDGETS[tenant] && total + reserved <= CAPACITY;
                    let got = model.key.acquire(USAGES[usize::from(usage)], Bytes(size), maker(&live));
                    prop_assert_eq!(got.is_ok(), fits, "refused exactly when a limit would be passed");
                    if let Ok(buffer) = got {
                        prop_assert!(buffer.offset() + reserved <= buffer.get().1);
                        prop_assert!(paged || buffer.get().1 == reserved);
                        model.in_use += reserved;
                        model.high_water = model.high_water.max(model.in_use);
                        held.push((buffer, tenant, Arc::clone(&model.key), reserved));
                    }
                }
                Action::Release { which } if !held.is_empty() => {
                    let (buffer, tenant, key, reserved) = held.swap_remove(which % held.len());
                    drop(buffer);
                    if Arc::ptr_eq(&tenants[tenant].key, &key) {
                        tenants[tenant].in_use -= reserved;
                    }
                }
                Action::Release { .. } => {}
                Action::Reopen { tenant } => {
                    pool.close_tenant(&tenants[tenant].key);
                    tenants[tenant] = open(BUDGETS[tenant]);
                }
            }
            check_books(&pool, &live, &tenants, &held);
        }
        drop(held);
        let report = pool.report();
        prop_assert_eq!((report.in_use, report.tenants), (Bytes::ZERO, 3));
    }
}
