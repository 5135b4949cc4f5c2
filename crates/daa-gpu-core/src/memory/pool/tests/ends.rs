//! What is left when tenants, pages and pools end.

use super::*;

fn out_of_memory() -> GpuError {
    GpuError::OutOfMemory {
        message: "full".to_owned(),
    }
}

#[test]
fn marks_of_tenants_that_are_gone_do_not_add_up() {
    let (pool, live) = pool(1 << 20, 1 << 20);
    for _ in 0..3 {
        let tenant = pool.open_tenant("t", Bytes(1 << 20)).expect("a fine name");
        let get = |size| tenant.acquire(BufferUsage::Arena, Bytes(size), maker(&live));
        drop((get(4096).expect("room"), get(512).expect("room")));
        pool.close_tenant(&tenant);
    }
    let report = pool.report();
    assert_eq!(report.high_water, Bytes(4096 + 512));
    let of_tiers: Vec<_> = report.tiers.iter().map(|tier| tier.high_water.get()).collect();
    assert_eq!(of_tiers, [512, 4096, 0, 0, 0]);
}

/// Two get a block of a page that is not there yet, and neither can make it.
#[test]
fn a_page_that_nobody_can_make_leaves_nothing() {
    let (pool, live) = pool_of(1 << 24, 1 << 24, PAGES);
    let tenant = pool.open_tenant("t", Bytes(1 << 24)).expect("a fine name");
    let asked = std::cell::Cell::new(false);
    let outer = tenant.acquire(BufferUsage::Arena, Bytes(100_000), |_, _| {
        if !asked.replace(true) {
            let inner = tenant.acquire(BufferUsage::Arena, Bytes(100_000), |_, _| Err(out_of_memory()));
            assert!(inner.is_err(), "the driver has nothing");
        }
        Err(out_of_memory())
    });
    assert!(outer.is_err(), "the driver has nothing");
    let report = pool.report();
    assert_eq!((report.in_use, report.reserved), (Bytes::ZERO, Bytes::ZERO));
    let heap = report.heap.expect("there are pages");
    assert_eq!((heap.live, heap.strays), (Bytes::ZERO, 0));
    drop(
        tenant
            .acquire(BufferUsage::Arena, Bytes(100_000), maker(&live))
            .expect("room"),
    );
}

/// What is being made counts into the budget, and a tenant that was closed meanwhile is forgotten when it comes to
/// nothing.
#[test]
fn a_loan_that_is_being_made_counts() {
    let (pool, _) = pool(1 << 20, 1 << 20);
    let tenant = pool.open_tenant("t", Bytes(4096)).expect("a fine name");
    let outer = tenant.acquire(BufferUsage::Arena, Bytes(4096), |_, _| {
        assert!(
            tenant.check(Bytes(256)).is_err(),
            "all of the budget is being made"
        );
        pool.close_tenant(&tenant);
        assert_eq!(pool.report().tenants, 1);
        Err(out_of_memory())
    });
    assert!(outer.is_err(), "the driver has nothing");
    assert_eq!(pool.report().tenants, 0);
}

#[test]
fn what_comes_back_from_a_lost_device_or_to_a_closed_pool_is_not_kept() {
    for is_lost in [true, false] {
        let health = Arc::new(Health::new(DeviceEpoch(1)));
        let pool =
            Pool::new(Bytes(1 << 20), &MemoryConfig::default(), PAGES, &health).expect("the heap is valid");
        let live = Arc::new(AtomicU64::new(0));
        let tenant = pool.open_tenant("t", Bytes(1 << 20)).expect("a fine name");
        let get = |usage| tenant.acquire(usage, Bytes(1024), maker(&live)).expect("room");
        let held = [BufferUsage::Arena, BufferUsage::Upload].map(get);
        if is_lost {
            health.lose("a test".to_owned());
        } else {
            pool.close();
        }
        drop(held);
        let left = || (pool.report().reserved, live.load(Ordering::Relaxed));
        assert_eq!(left(), (Bytes::ZERO, 0));
        // A page that is made for a late loan goes with it.
        drop(get(BufferUsage::Arena));
        assert_eq!(left(), (Bytes::ZERO, 0));
    }
}

/// A block cannot move into a page that is not there yet, and the try leaves nothing there.
#[test]
fn nothing_moves_into_a_page_that_is_being_made() {
    let (pool, live) = pool_of(1 << 24, 1 << 24, PAGES);
    let tenant = pool.open_tenant("t", Bytes(1 << 24)).expect("a fine name");
    let (held, tries) = (std::cell::RefCell::new(Vec::new()), std::cell::Cell::new(0));
    let make = maker(&live);
    while tries.get() == 0 {
        let loan = tenant.acquire(BufferUsage::Arena, Bytes(100_000), |usage, size| {
            if let Some(first) = held.borrow().first() {
                assert!(Pooled::elsewhere(first).is_none(), "the other page is not there");
                tries.set(1);
            }
            make(usage, size)
        });
        held.borrow_mut().push(loan.expect("room"));
    }
    let loans = held.into_inner();
    assert!(loans[0].elsewhere().is_some(), "now it is");
    drop(loans);
    pool.close_tenant(&tenant);
    let heap = pool.report().heap.expect("there are pages");
    assert_eq!((heap.live, heap.strays), (Bytes::ZERO, 0));
}
