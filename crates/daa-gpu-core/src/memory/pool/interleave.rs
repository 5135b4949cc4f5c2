//! One pool under many schedules: `cargo xtask interleave`.

use super::*;
use crate::error::GpuError;
use crate::sync::explore::explore;
use daa_base::DeviceEpoch;
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// A buffer that counts the bytes of its kind.
#[derive(Debug)]
struct Counted {
    live: Arc<AtomicU64>,
    number: u64,
    bytes: u64,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.live.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Who holds what, as the test knows it. Its lock is that of std: it is never held while threads may change places.
type Ledger = Arc<std::sync::Mutex<BTreeMap<(u64, u64), u64>>>;

/// A pool whose loans are checked against a ledger.
#[derive(Debug, Clone)]
struct World {
    pool: Arc<Pool<Counted>>,
    health: Arc<Health>,
    live: Arc<AtomicU64>,
    made: Arc<AtomicU64>,
    ledger: Ledger,
}

/// A loan that is in the ledger.
#[derive(Debug)]
struct Taken {
    loan: Pooled<Counted>,
    ledger: Ledger,
    at: Option<(u64, u64)>,
}

const PAGES: PageLimits = PageLimits {
    alignment: 256,
    max_buffer: Bytes::mib(1),
    memory: None,
};

impl World {
    fn new(capacity: u64, pages: Option<PageLimits>) -> Self {
        let config = MemoryConfig {
            max_cached: Bytes(capacity),
            ..MemoryConfig::default()
        };
        let health = Arc::new(Health::new(DeviceEpoch(1)));
        Self {
            pool: Pool::new(Bytes(capacity), &config, pages, &health).expect("the heap is valid"),
            health,
            live: Arc::default(),
            made: Arc::default(),
            ledger: Arc::default(),
        }
    }

    fn open(&self, budget: u64) -> Arc<Account<Counted>> {
        self.pool.open_tenant("t", Bytes(budget)).expect("a fine name")
    }

    fn make(&self, bytes: Bytes) -> Counted {
        thread::yield_now();
        self.live.fetch_add(bytes.get(), Ordering::Relaxed);
        Counted {
            live: Arc::clone(&self.live),
            number: self.made.fetch_add(1, Ordering::Relaxed),
            bytes: bytes.get(),
        }
    }

    /// A loan, from a driver that is out of memory each time in `1 / odds`; never for 0.
    fn take(
        &self,
        account: &Arc<Account<Counted>>,
        usage: BufferUsage,
        size: u64,
        odds: u32,
    ) -> Result<Taken, GpuError> {
        let loan = account.acquire(usage, Bytes(size), |_, bytes| self.create(bytes, odds))?;
        let mut taken = Taken {
            loan,
            ledger: Arc::clone(&self.ledger),
            at: None,
        };
        taken.enter();
        Ok(taken)
    }

    fn create(&self, bytes: Bytes, odds: u32) -> Result<Counted, GpuError> {
        if odds > 0 && thread_rng().gen_ratio(1, odds) {
            return Err(GpuError::OutOfMemory {
                message: "full".to_owned(),
            });
        }
        Ok(self.make(bytes))
    }

    /// What holds whenever the pool is asked, whatever goes on.
    fn check_report(&self) {
        let report = self.pool.report();
        let sum = |get: fn(&TierReport) -> Bytes| report.tiers.iter().map(get).sum::<Bytes>();
        assert_eq!(sum(|tier| tier.in_use), report.in_use);
        assert_eq!(sum(|tier| tier.cached), report.cached);
        assert!(report.in_use + report.cached <= report.capacity, "{report:?}");
        assert!(report.high_water >= report.in_use);
        if let Some(heap) = &report.heap {
            assert!(heap.reserved <= heap.capacity && heap.strays == 0);
        } else {
            assert!(report.reserved >= report.in_use + report.cached);
        }
    }

    /// What holds once every thread has ended, every loan is back and every tenant closed: no byte is lost.
    fn check_end(&self) {
        assert!(self.ledger.lock().expect("nobody panicked").is_empty());
        let report = self.pool.report();
        assert_eq!((report.in_use, report.tenants), (Bytes::ZERO, 0));
        assert_eq!(report.spilled, Bytes::ZERO);
        assert_eq!(report.reserved.get(), self.live.load(Ordering::Relaxed));
        let most = report.high_water;
        let all = self.pool.capacity();
        let last = self.open(all.get());
        let held = self.take(&last, BufferUsage::Upload, all.get(), 0);
        drop(held.expect("nothing is granted any more, and nothing kept is in the way"));
        assert_eq!(
            self.pool.report().high_water,
            most.max(all),
            "the others' marks are gone"
        );
        self.pool.close_tenant(&last);
        self.pool.close();
        let report = self.pool.report();
        assert_eq!((report.cached, report.reserved), (Bytes::ZERO, Bytes::ZERO));
        assert_eq!(self.live.load(Ordering::Relaxed), 0);
        if let Some(heap) = &report.heap {
            assert_eq!((heap.live, heap.strays), (Bytes::ZERO, 0));
        }
    }
}

impl Taken {
    /// Writes the loan down. Nobody else may have any byte of it.
    fn enter(&mut self) {
        let buffer = self.loan.get();
        let (start, end) = (
            self.loan.offset(),
            self.loan.offset() + self.loan.reserved().get(),
        );
        assert!(end <= buffer.bytes);
        let mut ledger = self.ledger.lock().expect("nobody panicked");
        let below = ledger.range((buffer.number, 0)..(buffer.number, end)).next_back();
        assert!(below.is_none_or(|(_, &other)| other <= start), "lent twice");
        ledger.insert((buffer.number, start), end);
        self.at = Some((buffer.number, start));
    }

    fn leave(&mut self) {
        if let Some(at) = self.at.take() {
            self.ledger.lock().expect("nobody panicked").remove(&at);
        }
    }

    fn spill_and_refill(&mut self, world: &World) {
        self.leave();
        self.loan.spill();
        thread::yield_now();
        // What is charged to a tenant stays its own, but the room may be others' by now.
        if self.loan.refill(|_, bytes| world.create(bytes, 8)).is_ok() {
            self.enter();
        }
    }

    fn move_elsewhere(&mut self) {
        let Some(to) = self.at.and_then(|_| self.loan.elsewhere()) else {
            return;
        };
        let place = |(buffer, offset): (&Counted, u64)| (buffer.number, offset);
        let there = place(to.place());
        assert_ne!(Some(there.0), self.at.map(|at| at.0), "another page");
        self.leave();
        self.loan.move_to(to);
        self.enter();
        assert_eq!(self.at, Some(there));
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.leave();
    }
}

const USAGES: [BufferUsage; 3] = [BufferUsage::Arena, BufferUsage::Constants, BufferUsage::Upload];

/// One thread's random life with a tenant that others may use, too.
fn live_with(world: &World, account: &Arc<Account<Counted>>, steps: usize) {
    let mut rng = thread_rng();
    let mut held: Vec<Taken> = Vec::new();
    for _ in 0..steps {
        let which = rng.gen_range(0..held.len().max(1));
        match rng.gen_range(0..10) {
            0..4 => {
                let (usage, size) = (USAGES[rng.gen_range(0..3)], 256 << rng.gen_range(0..4));
                held.extend(world.take(account, usage, size, 8));
            }
            4..7 if !held.is_empty() => drop(held.swap_remove(which)),
            7 if !held.is_empty() => held[which].spill_and_refill(world),
            8 if !held.is_empty() => held[which].move_elsewhere(),
            9 => world.pool.trim(),
            _ => drop(account.check(Bytes(1024))),
        }
        let usage = account.usage();
        assert!(usage.in_use <= usage.budget && usage.in_use <= usage.high_water);
    }
}

fn threads_lose_no_byte(pages: Option<PageLimits>) {
    let world = World::new(8192, pages);
    let shared = world.open(4096);
    let lives = (0..3).map(|index| {
        let (world, shared) = (world.clone(), Arc::clone(&shared));
        thread::spawn(move || {
            let own = world.open(4096);
            if index == 2 {
                world.check_report();
                live_with(&world, &own, 3);
                // Others may hold loans of it and want more.
                world.pool.close_tenant(&shared);
                world.check_report();
            } else {
                live_with(&world, &shared, 4);
                live_with(&world, &own, 3);
            }
            world.pool.close_tenant(&own);
        })
    });
    for life in lives.collect::<Vec<_>>() {
        life.join().expect("no thread panics");
    }
    world.check_end();
}

#[test]
fn threads_lose_no_byte_of_whole_buffers() {
    explore(24_000, || threads_lose_no_byte(None));
}

#[test]
fn threads_lose_no_byte_of_pages() {
    explore(16_000, || threads_lose_no_byte(Some(PAGES)));
}

/// Leases rely on it: what sums up to the capacity is there for everybody, whatever others do at the same moment.
#[test]
fn nobody_is_refused_for_what_others_do_within_their_budgets() {
    explore(40_000, || {
        let world = World::new(16_384, None);
        let crowded = world.open(12_288);
        let alone = world.open(4096);
        let mut threads: Vec<_> = (0..2)
            .map(|_| {
                let (world, account) = (world.clone(), Arc::clone(&crowded));
                thread::spawn(move || {
                    let mut rng = thread_rng();
                    let mut held = Vec::new();
                    for _ in 0..5 {
                        match world.take(&account, BufferUsage::Arena, 256 << rng.gen_range(0..6), 0) {
                            Ok(taken) => held.push(taken),
                            Err(GpuError::Memory(MemoryError::Budget { .. })) => held.clear(),
                            Err(error) => panic!("{error}"),
                        }
                        if rng.gen_ratio(1, 3) {
                            drop(held.pop());
                        }
                    }
                })
            })
            .collect();
        let (of_world, account) = (world.clone(), Arc::clone(&alone));
        threads.push(thread::spawn(move || {
            for size in [4096, 2048, 4096] {
                account.check(Bytes(size)).expect("it is within the capacity");
                let taken = of_world.take(&account, BufferUsage::Arena, size, 0);
                drop(taken.expect("it is within the budget and the capacity"));
            }
        }));
        for thread in threads {
            thread.join().expect("no thread panics");
        }
        world.pool.close_tenant(&crowded);
        world.pool.close_tenant(&alone);
        world.check_end();
    });
}

#[test]
fn nothing_is_kept_once_the_pool_is_closed() {
    explore(24_000, || {
        let pages = thread_rng().gen_bool(0.5).then_some(PAGES);
        let world = World::new(8192, pages);
        let account = world.open(4096);
        let (of_world, of_account) = (world.clone(), Arc::clone(&account));
        let worker = thread::spawn(move || live_with(&of_world, &of_account, 5));
        let of_world = world.clone();
        let late = thread::spawn(move || {
            let own = of_world.open(2048);
            live_with(&of_world, &own, 3);
            of_world.pool.close_tenant(&own);
        });
        world.health.lose("a test".to_owned());
        world.pool.close();
        for thread in [worker, late] {
            thread.join().expect("no thread panics");
        }
        let report = world.pool.report();
        assert_eq!((report.cached, report.reserved), (Bytes::ZERO, Bytes::ZERO));
        assert_eq!(world.live.load(Ordering::Relaxed), 0);
        world.pool.close_tenant(&account);
        assert_eq!(world.pool.report().tenants, 0);
    });
}
