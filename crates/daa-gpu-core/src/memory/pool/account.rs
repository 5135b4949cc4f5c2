//! One tenant's books and its magazine, behind one short lock.
//!
//! A hit, the common case, takes this lock once to acquire and once to release, and nothing else that another tenant
//! could hold. Whoever holds it never waits for the centre; the centre may take it.

use super::centre::{Grant, Limit, Refused};
use super::chunk::{Chunk, Spare};
use super::kind::{BufferUsage, Kind};
use super::loan::{Origin, Pooled};
use super::magazine::Magazine;
use super::marks::Marks;
use super::{Pool, TierReport};
use crate::error::{ErrorClass, GpuError, MemoryError};
use crate::health::Health;
use crate::memory::tier::{Tier, reserved_bytes};
use crate::memory::trace::{Recorded, Recorder};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use crate::tenant::TenantUsage;
use daa_base::Bytes;

/// A tenant's place in the pool's books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TenantKey(pub(super) u64);

/// One tenant. Aligned so that no two share a cache line, or the pair that processors fetch at once.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Account<B> {
    pub(super) key: TenantKey,
    name: String,
    budget: Bytes,
    pool: Weak<Pool<B>>,
    health: Arc<Health>,
    marks: Arc<Marks>,
    recorder: Recorder,
    books: Mutex<Books<B>>,
}

/// What the lock protects.
#[derive(Debug)]
pub(super) struct Books<B> {
    /// On loan. The sum over the tiers.
    pub(super) in_use: Bytes,
    /// Charged for loans that do not exist yet, and may never.
    pending: Bytes,
    /// Charged for loans whose memory is with the centre at present.
    spilled: Bytes,
    pub(super) high_water: Bytes,
    pub(super) refusals: u64,
    pub(super) tiers: [TierReport; 5],
    pub(super) magazine: Magazine<B>,
    /// On its way to the centre. It still counts as granted, so whoever would refuse for that fetches it here.
    leaving: Vec<Spare<B>>,
    /// Gets nothing more.
    pub(super) closed: bool,
    /// Whether what comes back goes into the magazine.
    pub(super) keeps: bool,
}

impl<B> Books<B> {
    fn new(allowance: u64, keeps: bool) -> Self {
        Self {
            in_use: Bytes::ZERO,
            pending: Bytes::ZERO,
            spilled: Bytes::ZERO,
            high_water: Bytes::ZERO,
            refusals: 0,
            tiers: Tier::ALL.map(TierReport::new),
            magazine: Magazine::new(allowance),
            leaving: Vec::new(),
            closed: false,
            keeps,
        }
    }

    /// Whether nothing is on loan, about to be, or on its way to the centre.
    pub(super) fn is_idle(&self) -> bool {
        self.held() + self.pending == Bytes::ZERO && self.leaving.is_empty()
    }

    /// What the tenant is charged for what it has.
    pub(super) fn held(&self) -> Bytes {
        self.in_use + self.spilled
    }

    #[inline]
    fn take(&mut self, kind: Kind, reserved: Bytes) -> Option<Chunk<B>> {
        let spare = self.magazine.take(kind)?;
        let tier = &mut self.tiers[Tier::of(reserved).index()];
        tier.cached = tier.cached - reserved;
        Some(spare.chunk)
    }

    fn put(&mut self, spare: Spare<B>) {
        let tier = &mut self.tiers[Tier::of(spare.reserved).index()];
        tier.cached = tier.cached + spare.reserved;
        let out = self.magazine.put(spare);
        if !out.is_empty() {
            self.send_off(out);
        }
    }

    /// These were in the magazine.
    fn send_off(&mut self, out: Vec<Spare<B>>) {
        for spare in &out {
            let tier = &mut self.tiers[Tier::of(spare.reserved).index()];
            tier.cached = tier.cached - spare.reserved;
        }
        self.leaving.extend(out);
    }

    /// What is on its way to the centre.
    pub(super) fn fetch(&mut self) -> Vec<Spare<B>> {
        std::mem::take(&mut self.leaving)
    }

    /// The same, and all of the magazine.
    pub(super) fn flush(&mut self) -> Vec<Spare<B>> {
        let out = self.magazine.empty();
        self.send_off(out);
        self.fetch()
    }

    /// What a loan changes; high-water marks move only for what exists.
    #[inline]
    fn lend(&mut self, reserved: Bytes, marks: &Marks) -> &mut TierReport {
        self.in_use = self.in_use + reserved;
        let held = self.held();
        if held > self.high_water {
            marks.raise(None, held - self.high_water);
            self.high_water = held;
        }
        let tier = Tier::of(reserved);
        let report = &mut self.tiers[tier.index()];
        report.in_use = report.in_use + reserved;
        if report.in_use > report.high_water {
            marks.raise(Some(tier), report.in_use - report.high_water);
            report.high_water = report.in_use;
        }
        report
    }

    fn lend_from_centre(&mut self, reserved: Bytes, origin: Origin, marks: &Marks) {
        let tier = self.lend(reserved, marks);
        if origin == Origin::Fresh {
            tier.misses += 1;
            tier.creations += 1;
        } else {
            tier.hits += 1;
        }
    }

    #[inline]
    fn give_back(&mut self, reserved: Bytes) {
        self.in_use = self.in_use - reserved;
        let tier = &mut self.tiers[Tier::of(reserved).index()];
        tier.in_use = tier.in_use - reserved;
    }
}

impl<B> Account<B> {
    pub(super) fn new(
        key: TenantKey,
        name: &str,
        budget: Bytes,
        pool: Weak<Pool<B>>,
        health: Arc<Health>,
        (marks, recorder): (Arc<Marks>, Recorder),
        books: (u64, bool),
    ) -> Self {
        Self {
            key,
            name: name.to_owned(),
            budget,
            pool,
            health,
            marks,
            recorder,
            books: Mutex::new(Books::new(books.0, books.1)),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Books<B>> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn usage(&self) -> TenantUsage {
        let books = self.lock();
        TenantUsage {
            budget: self.budget,
            in_use: books.held(),
            spilled: books.spilled,
            high_water: books.high_water,
            ..TenantUsage::default()
        }
    }

    /// Whether the budget and the capacity hold `wanted` (already rounded) more; the refusal names the whole of it.
    pub(crate) fn check(&self, wanted: Bytes) -> Result<(), MemoryError> {
        self.check_budget(&mut self.lock(), wanted)?;
        let pool = self.pool.upgrade().ok_or(MemoryError::Gone)?;
        pool.check(wanted).map_err(|refused| {
            self.lock().refusals += 1;
            self.refusal(wanted, refused)
        })
    }

    #[inline]
    fn may_have(&self, books: &Books<B>, wanted: Bytes) -> bool {
        let sum = (books.held() + books.pending).checked_add(wanted);
        !books.closed && sum.is_some_and(|sum| sum <= self.budget)
    }

    fn check_budget(&self, books: &mut Books<B>, wanted: Bytes) -> Result<(), MemoryError> {
        if self.may_have(books, wanted) {
            return Ok(());
        }
        if books.closed {
            return Err(MemoryError::Gone);
        }
        books.refusals += 1;
        Err(MemoryError::Budget {
            tenant: self.name.clone(),
            wanted,
            in_use: books.held() + books.pending,
            budget: self.budget,
        })
    }

    fn refusal(&self, wanted: Bytes, refused: Refused) -> MemoryError {
        let Refused { by, in_use, limit } = refused;
        let tenant = self.name.clone();
        match by {
            Limit::Tier(tier) => MemoryError::Tier {
                tenant,
                tier,
                wanted,
                in_use,
                limit,
            },
            Limit::Capacity => MemoryError::Capacity {
                tenant,
                wanted,
                in_use,
                capacity: limit,
            },
            Limit::Device => MemoryError::Device {
                tenant,
                wanted,
                reserved: in_use,
                memory: limit,
            },
        }
    }

    /// The hit path: a buffer that the tenant gave back before, if there is one of the kind and the budget allows it.
    #[inline]
    pub(crate) fn hit(self: &Arc<Self>, usage: BufferUsage, size: Bytes) -> Option<Pooled<B>> {
        let reserved = reserved_bytes(size);
        let kind = Kind::new(usage, reserved);
        let mut books = self.lock();
        if !self.may_have(&books, reserved) {
            return None;
        }
        let chunk = books.take(kind, reserved)?;
        books.lend(reserved, &self.marks).hits += 1;
        drop(books);
        Some(self.loan(usage, size, (kind, reserved, chunk), Origin::Own))
    }

    #[inline]
    fn loan(
        self: &Arc<Self>,
        usage: BufferUsage,
        size: Bytes,
        (kind, reserved, chunk): (Kind, Bytes, Chunk<B>),
        origin: Origin,
    ) -> Pooled<B> {
        let recorded = self
            .recorder
            .allocated(self.key.0, &self.name, usage.into(), size.get());
        let spare = Spare {
            kind,
            reserved,
            chunk,
        };
        Pooled::new(usage, spare, (origin, recorded), Arc::clone(self))
    }

    /// A buffer of at least `size` bytes, charged to the tenant: a kept one, or one that `create` makes with the size
    /// it gets. When the driver is out of memory, everything kept is freed and `create` is asked once more.
    pub(crate) fn acquire(
        self: &Arc<Self>,
        usage: BufferUsage,
        size: Bytes,
        create: impl Fn(BufferUsage, Bytes) -> Result<B, GpuError>,
    ) -> Result<Pooled<B>, GpuError> {
        if let Some(memory) = self.hit(usage, size) {
            return Ok(memory);
        }
        let reserved = reserved_bytes(size);
        let kind = Kind::new(usage, reserved);
        let mut books = self.lock();
        self.check_budget(&mut books, reserved)?;
        self.expect(&mut books, reserved);
        drop(books);
        let (chunk, origin) = self.miss(usage, kind, reserved, create)?;
        Ok(self.loan(usage, size, (kind, reserved, chunk), origin))
    }

    /// Charges a loan as pending.
    fn expect(&self, books: &mut Books<B>, reserved: Bytes) {
        books.pending = books.pending + reserved;
        // Together with what is kept ready for it, a tenant takes no more than its budget from the others.
        let room = self.budget - books.held() - books.pending;
        let mut out = Vec::new();
        books.magazine.shrink_to(room.get(), &mut out);
        books.send_off(out);
    }

    fn miss(
        self: &Arc<Self>,
        usage: BufferUsage,
        kind: Kind,
        reserved: Bytes,
        create: impl Fn(BufferUsage, Bytes) -> Result<B, GpuError>,
    ) -> Result<(Chunk<B>, Origin), GpuError> {
        let made = self.obtain(usage, kind, reserved, create);
        let mut books = self.lock();
        books.pending = books.pending - reserved;
        match &made {
            Ok((_, origin)) => books.lend_from_centre(reserved, *origin, &self.marks),
            Err(GpuError::Memory(_)) => books.refusals += 1,
            Err(_) => books.tiers[Tier::of(reserved).index()].misses += 1,
        }
        if made.is_err() {
            self.end_if_idle(books);
        }
        made
    }

    /// From the centre, or made.
    fn obtain(
        &self,
        usage: BufferUsage,
        kind: Kind,
        reserved: Bytes,
        create: impl Fn(BufferUsage, Bytes) -> Result<B, GpuError>,
    ) -> Result<(Chunk<B>, Origin), GpuError> {
        let pool = self.pool.upgrade().ok_or(MemoryError::Gone)?;
        let create = |bytes| {
            create(usage, bytes).or_else(|error| {
                if error.class() != ErrorClass::OutOfMemory {
                    return Err(error);
                }
                pool.trim();
                create(usage, bytes)
            })
        };
        let missing = match pool
            .grant(self, kind, reserved)
            .map_err(|refused| self.refusal(reserved, refused))?
        {
            Grant::Kept(chunk) => return Ok((chunk, Origin::Foreign)),
            Grant::Page(missing) => Some(missing),
            Grant::Whole => None,
        };
        let made = match missing {
            None => create(reserved),
            Some(missing) => match create(missing.bytes) {
                Ok(page) => return Ok((pool.made(missing, page)?, Origin::Fresh)),
                Err(error) => match pool.failed(missing, reserved) {
                    Some(chunk) => return Ok((chunk, Origin::Fresh)),
                    // Without room for a page there may be room for what is needed of it.
                    None if error.class() == ErrorClass::OutOfMemory => create(reserved),
                    None => Err(error),
                },
            },
        };
        match made {
            Ok(buffer) => Ok((Chunk::Whole(buffer), Origin::Fresh)),
            Err(error) => {
                pool.ungrant(reserved);
                Err(error)
            }
        }
    }

    /// A loan comes back.
    pub(super) fn release(self: &Arc<Self>, spare: Spare<B>, recorded: Recorded) {
        // Before the books, as an allocation comes after them: no trace shows more than there was.
        self.recorder.released(recorded);
        let mut books = self.lock();
        books.give_back(spare.reserved);
        if books.keeps && !self.health.is_lost() {
            books.put(spare);
        } else {
            books.leaving.push(spare);
        }
        let leaves = !books.leaving.is_empty();
        drop(books);
        if leaves {
            self.overflow();
        }
    }

    /// The memory of a loan goes back; the tenant stays charged for it.
    pub(super) fn spill(&self, spare: Spare<B>) {
        let mut books = self.lock();
        books.give_back(spare.reserved);
        books.spilled = books.spilled + spare.reserved;
        books.leaving.push(spare);
        drop(books);
        self.overflow();
    }

    /// Memory for a loan that has none at present.
    pub(super) fn refill(
        &self,
        usage: BufferUsage,
        kind: Kind,
        reserved: Bytes,
        create: impl Fn(BufferUsage, Bytes) -> Result<B, GpuError>,
    ) -> Result<(Chunk<B>, Origin), GpuError> {
        // It stays charged as spilled until it is there, so that its place under the high-water mark is its own.
        let made = self.obtain(usage, kind, reserved, create);
        if let Ok((_, origin)) = &made {
            let mut books = self.lock();
            books.spilled = books.spilled - reserved;
            books.lend_from_centre(reserved, *origin, &self.marks);
        }
        made
    }

    /// Lets the pool forget a tenant that gets nothing more, once it holds nothing.
    fn end_if_idle(&self, books: MutexGuard<'_, Books<B>>) {
        let ended = books.closed && books.is_idle();
        drop(books);
        if ended && let Some(pool) = self.pool.upgrade() {
            pool.settle(self);
        }
    }

    /// A loan without memory ends.
    pub(super) fn forget(&self, reserved: Bytes, recorded: Recorded) {
        self.recorder.released(recorded);
        let mut books = self.lock();
        books.spilled = books.spilled - reserved;
        self.end_if_idle(books);
    }

    pub(super) const fn pool(&self) -> &Weak<Pool<B>> {
        &self.pool
    }

    #[cold]
    fn overflow(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.collect(self);
        } else {
            // Without its pool there are no books left to keep.
            let out = self.lock().fetch();
            drop(out);
        }
    }
}
