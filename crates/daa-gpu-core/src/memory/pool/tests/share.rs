//! How much of what is kept a magazine may hold, and how much is left for all.

use super::*;

struct World {
    pool: Arc<Pool<Counted>>,
    live: Arc<AtomicU64>,
}

impl World {
    fn new(max_cached: u64) -> Self {
        let (pool, live) = pool(1 << 20, max_cached);
        Self { pool, live }
    }

    fn open(&self) -> Arc<Account<Counted>> {
        self.pool.open_tenant("t", Bytes(1 << 20)).expect("a fine name")
    }

    fn get(&self, tenant: &Arc<Account<Counted>>, size: u64) -> Pooled<Counted> {
        let got = tenant.acquire(BufferUsage::Arena, Bytes(size), maker(&self.live));
        got.expect("there is room")
    }

    /// Where a block of this size comes from that the tenant has just given back.
    fn comes_back_as(&self, tenant: &Arc<Account<Counted>>, size: u64) -> Origin {
        drop(self.get(tenant, size));
        let origin = self.get(tenant, size).origin();
        self.pool.trim();
        origin
    }
}

#[test]
fn a_magazine_holds_an_eighth_of_what_is_not_promised_yet() {
    let world = World::new(32_768);
    let [first, second] = [world.open(), world.open()];
    assert_eq!(world.comes_back_as(&first, 4096), Origin::Own, "32,768 / 8");
    assert_eq!(
        world.comes_back_as(&first, 4608),
        Origin::Foreign,
        "the next class"
    );
    assert_eq!(
        world.comes_back_as(&second, 3584),
        Origin::Own,
        "(32,768 - 4096) / 8"
    );
    assert_eq!(world.comes_back_as(&second, 4096), Origin::Foreign);
    world.pool.close_tenant(&first);
    let third = world.open();
    assert_eq!(
        world.comes_back_as(&third, 3584),
        Origin::Own,
        "(32,768 - 3584) / 8"
    );
    world.pool.close_tenant(&third);
    world.pool.close_tenant(&second);
    let fourth = world.open();
    assert_eq!(
        world.comes_back_as(&fourth, 4096),
        Origin::Own,
        "nothing is promised again"
    );
}

#[test]
fn a_full_magazine_sends_its_oldest_to_the_shelf() {
    let world = World::new(32_768);
    let [mine, other] = [world.open(), world.open()];
    let held: Vec<_> = (0..17).map(|_| world.get(&mine, 256)).collect();
    drop(held);
    let got = [world.get(&other, 256), world.get(&other, 256)];
    assert_eq!(
        got.each_ref().map(Pooled::origin),
        [Origin::Foreign, Origin::Fresh],
        "16 fit into 4096 bytes, one was sent off"
    );
    let again: Vec<_> = (0..17).map(|_| world.get(&mine, 256)).collect();
    let own = again.iter().filter(|loan| loan.origin() == Origin::Own);
    assert_eq!(own.count(), 16);
}

#[test]
fn shelf_and_magazines_together_hold_what_may_be_kept() {
    let world = World::new(8192);
    let tenant = world.open();
    let both = [world.get(&tenant, 4096), world.get(&tenant, 4096)];
    drop(both);
    assert_eq!(
        world.pool.report().cached,
        Bytes(4096),
        "1024 are promised to the magazine"
    );
    let both = [world.get(&tenant, 4096), world.get(&tenant, 3072)];
    drop(both);
    assert_eq!(world.pool.report().cached, Bytes(4096 + 3072), "all of the rest");
    let other = world.open();
    let report = world.pool.report();
    assert_eq!(
        report.cached,
        Bytes(3072),
        "896 more are promised: the oldest made way"
    );
    assert_eq!(report.tiers.iter().map(|tier| tier.evictions).sum::<u64>(), 2);
    drop(world.get(&other, 896));
    assert_eq!(world.pool.report().cached, Bytes(3072 + 896));
    world.pool.close_tenant(&other);
    assert_eq!(
        world.pool.report().cached,
        Bytes(3072 + 896),
        "what it kept is for all"
    );
}

/// What leases rely on: budgets that sum up to the capacity are there without anything being taken from anybody.
#[test]
fn what_a_tenant_keeps_ready_counts_into_its_budget_when_it_takes_more() {
    let world = World::new(32_768);
    let mine = world.pool.open_tenant("t", Bytes(1536)).expect("a fine name");
    let other = world.open();
    let held = [world.get(&mine, 1024), world.get(&mine, 512)];
    drop(held);
    let fits = world.get(&mine, 256);
    assert_eq!(
        world.get(&other, 1024).origin(),
        Origin::Foreign,
        "the oldest made way"
    );
    assert_eq!(world.get(&mine, 512).origin(), Origin::Own, "the other had room");
    drop(fits);
}
