//! A million operations on one pool beside a model that knows intervals and sums.

use super::*;
use crate::memory::effort::operations;
use daa_base::{Rng, Seed};
use std::collections::BTreeMap;

const CAPACITY: u64 = 4 << 20;
const BUDGETS: [u64; 4] = [60_000, 700_000, 2 << 20, 1 << 30];
const USAGES: [BufferUsage; 5] = [
    BufferUsage::Arena,
    BufferUsage::Constants,
    BufferUsage::Params,
    BufferUsage::Upload,
    BufferUsage::Readback,
];

/// A buffer with a name.
#[derive(Debug)]
struct Named {
    number: u64,
    counted: Counted,
}

/// A tenant as the model knows it; `held` is on loan or spilled.
struct Tenant {
    account: Arc<Account<Named>>,
    budget: u64,
    held: u64,
    spilled: u64,
    high_water: u64,
}

struct Loan {
    loan: Pooled<Named>,
    usage: BufferUsage,
    account: Arc<Account<Named>>,
    /// Buffer and offset, unless it is spilled.
    at: Option<(u64, u64)>,
}

struct Model {
    pool: Arc<Pool<Named>>,
    live: Arc<AtomicU64>,
    made: AtomicU64,
    /// What is lent out: its end by buffer and offset.
    lent: BTreeMap<(u64, u64), u64>,
    /// What a buffer of pages is used for.
    uses: BTreeMap<u64, BufferUsage>,
    loans: Vec<Loan>,
    tenants: Vec<Tenant>,
    in_use: u64,
    /// Operations that were refused, that spilled, that moved.
    counts: [u64; 3],
}

impl Model {
    fn new(pages: Option<PageLimits>) -> Self {
        let config = MemoryConfig {
            max_cached: Bytes(CAPACITY / 2),
            ..MemoryConfig::default()
        };
        let health = Arc::new(Health::new(DeviceEpoch(1)));
        let pool = Pool::new(Bytes(CAPACITY), &config, pages, &health).expect("the heap is valid");
        let tenants = BUDGETS.map(|budget| Tenant::open(&pool, budget)).into();
        Self {
            pool,
            live: Arc::default(),
            made: AtomicU64::new(0),
            lent: BTreeMap::new(),
            uses: BTreeMap::new(),
            loans: Vec::new(),
            tenants,
            in_use: 0,
            counts: [0; 3],
        }
    }

    fn create(&self, bytes: Bytes) -> Named {
        self.live.fetch_add(bytes.get(), Ordering::Relaxed);
        Named {
            number: self.made.fetch_add(1, Ordering::Relaxed),
            counted: Counted(Arc::clone(&self.live), bytes.get()),
        }
    }

    /// The memory of a loan: in line, inside of its buffer, nobody else's, of one use.
    fn enter(&mut self, loan: &Pooled<Named>, usage: BufferUsage) -> (u64, u64) {
        let (buffer, start) = (loan.get(), loan.offset());
        let end = start + loan.reserved().get();
        assert!(end <= buffer.counted.1 && start.is_multiple_of(256));
        let below = self
            .lent
            .range((buffer.number, 0)..(buffer.number, end))
            .next_back();
        assert!(below.is_none_or(|(_, &other)| other <= start), "no overlap");
        assert_eq!(*self.uses.entry(buffer.number).or_insert(usage), usage);
        self.lent.insert((buffer.number, start), end);
        (buffer.number, start)
    }

    fn acquire(&mut self, rng: &mut Rng) {
        let at = rng.below(self.tenants.len());
        let usage = USAGES[rng.below(5)];
        let size = Bytes((2_f64.powf(18.0 * rng.uniform())) as u64);
        let reserved = reserved_bytes(size).get();
        let tenant = &self.tenants[at];
        let fits = tenant.held + reserved <= tenant.budget && self.in_use + reserved <= CAPACITY;
        let account = Arc::clone(&tenant.account);
        let got = account.acquire(usage, size, |_, bytes| Ok(self.create(bytes)));
        assert_eq!(got.is_ok(), fits, "refused exactly when a limit would be passed");
        let Ok(loan) = got else {
            self.counts[0] += 1;
            return;
        };
        assert_eq!(loan.reserved().get(), reserved);
        let at_place = Some(self.enter(&loan, usage));
        let tenant = &mut self.tenants[at];
        tenant.held += reserved;
        tenant.high_water = tenant.high_water.max(tenant.held);
        self.in_use += reserved;
        self.loans.push(Loan {
            loan,
            usage,
            account,
            at: at_place,
        });
    }

    fn tenant_of(&mut self, index: usize) -> Option<&mut Tenant> {
        let account = &self.loans[index].account;
        self.tenants
            .iter_mut()
            .find(|tenant| Arc::ptr_eq(&tenant.account, account))
    }

    fn release(&mut self, index: usize) {
        let bytes = self.loans[index].loan.reserved().get();
        let is_spilled = self.loans[index].at.is_none();
        if let Some(tenant) = self.tenant_of(index) {
            tenant.held -= bytes;
            tenant.spilled -= if is_spilled { bytes } else { 0 };
        }
        let Loan { loan, at, .. } = self.loans.swap_remove(index);
        if let Some(at) = at {
            self.lent.remove(&at);
            self.in_use -= bytes;
        }
        drop(loan);
    }

    /// Spills a loan, or brings it back.
    fn spill(&mut self, index: usize) {
        self.counts[1] += 1;
        let bytes = self.loans[index].loan.reserved().get();
        let mut loan = self.loans.swap_remove(index);
        let was_spilled = loan.at.is_none();
        if let Some(at) = loan.at.take() {
            self.lent.remove(&at);
            loan.loan.spill();
            self.in_use -= bytes;
        } else {
            let back = loan.loan.refill(|_, bytes| Ok(self.create(bytes)));
            assert_eq!(back.is_ok(), self.in_use + bytes <= CAPACITY);
            if back.is_ok() {
                loan.at = Some(self.enter(&loan.loan, loan.usage));
                self.in_use += bytes;
            }
        }
        let is_spilled = loan.at.is_none();
        self.loans.push(loan);
        if let Some(tenant) = self.tenant_of(self.loans.len() - 1) {
            match (was_spilled, is_spilled) {
                (false, true) => tenant.spilled += bytes,
                (true, false) => tenant.spilled -= bytes,
                _ => {}
            }
        }
    }

    fn move_elsewhere(&mut self, index: usize) {
        let mut loan = self.loans.swap_remove(index);
        if let (Some(at), Some(to)) = (loan.at, loan.loan.elsewhere()) {
            self.counts[2] += 1;
            self.lent.remove(&at);
            loan.loan.move_to(to);
            loan.at = Some(self.enter(&loan.loan, loan.usage));
        }
        self.loans.push(loan);
    }

    fn reopen(&mut self, at: usize) {
        self.pool.close_tenant(&self.tenants[at].account);
        self.tenants[at] = Tenant::open(&self.pool, BUDGETS[at]);
    }

    fn step(&mut self, rng: &mut Rng, fill: usize) {
        let index = rng.below(self.loans.len().max(1));
        let roll = rng.below(1000);
        if roll < fill || self.loans.is_empty() {
            self.acquire(rng);
        } else {
            match roll {
                950..975 => self.spill(index),
                975..997 => self.move_elsewhere(index),
                997..999 => self.reopen(rng.below(4)),
                999 => self.pool.trim(),
                _ => self.release(index),
            }
        }
        for tenant in &self.tenants {
            assert_eq!(tenant.account.usage(), tenant.usage());
        }
    }

    fn audit(&self) {
        let report = self.pool.report();
        assert_eq!(report.in_use.get(), self.in_use, "no byte is lost");
        assert_eq!(
            self.lent.iter().map(|((_, start), end)| end - start).sum::<u64>(),
            self.in_use
        );
        assert_eq!(report.reserved.get(), self.live.load(Ordering::Relaxed));
        assert!((report.in_use + report.cached).get() <= CAPACITY);
        assert!(report.cached.get() <= CAPACITY / 2);
        assert!(report.reserved >= report.in_use + report.cached);
        if let Some(heap) = &report.heap {
            assert!(heap.reserved <= heap.capacity && heap.strays == 0);
        }
    }
}

impl Tenant {
    fn open(pool: &Arc<Pool<Named>>, budget: u64) -> Self {
        Self {
            account: pool.open_tenant("t", Bytes(budget)).expect("a fine name"),
            budget,
            held: 0,
            spilled: 0,
            high_water: 0,
        }
    }

    fn usage(&self) -> TenantUsage {
        TenantUsage {
            budget: Bytes(self.budget),
            in_use: Bytes(self.held),
            spilled: Bytes(self.spilled),
            high_water: Bytes(self.high_water),
            ..TenantUsage::default()
        }
    }
}

fn run(seed: u64, pages: Option<PageLimits>, operations: usize) {
    let mut rng = Seed(seed).stream("pool-model").rng();
    let mut model = Model::new(pages);
    for count in 0..operations {
        // Fills up, and empties again.
        let fill = if count / 1000 % 3 == 2 { 350 } else { 550 };
        model.step(&mut rng, fill);
        if count % 1000 == 0 {
            model.audit();
        }
    }
    model.audit();
    assert!(
        cfg!(miri)
            || model
                .counts
                .iter()
                .zip([true, true, pages.is_some()])
                .all(|(&n, used)| (n > 0) == used)
    );
    while !model.loans.is_empty() {
        model.release(0);
    }
    model
        .tenants
        .iter()
        .for_each(|tenant| model.pool.close_tenant(&tenant.account));
    model.tenants.clear();
    model.audit();
    model.pool.close();
    let report = model.pool.report();
    assert_eq!((report.tenants, report.reserved), (0, Bytes::ZERO));
    assert_eq!(model.live.load(Ordering::Relaxed), 0);
}

#[test]
fn a_million_operations_lose_no_byte_of_pages() {
    run(1, PAGES, operations(1_200_000));
}

#[test]
fn a_million_operations_lose_no_byte_of_whole_buffers() {
    run(2, None, operations(1_200_000));
}
