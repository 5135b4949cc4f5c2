//! The pool over buffers that are numbers.

use super::{Counts, Fragmentation, PoolSpace, Stage, missing_part};
use crate::config::ConfigError;
use crate::health::Health;
use crate::memory::pool::{Account, BufferUsage, PageLimits, Pool, Pooled};
use crate::memory::tier::{Tier, reserved_bytes};
use crate::memory::trace::{Action, Event, Recorder, Trace, Usage};
use crate::sync::Arc;
use daa_base::{Bytes, DeviceEpoch};
use std::sync::atomic::{AtomicU64, Ordering};

/// What all buffers of one replay come to.
#[derive(Debug, Default)]
struct Totals {
    created: AtomicU64,
    freed: AtomicU64,
    bytes: AtomicU64,
    peak: AtomicU64,
}

/// A buffer without memory.
#[derive(Debug)]
struct Buffer {
    bytes: u64,
    totals: Arc<Totals>,
}

impl Buffer {
    fn new(bytes: Bytes, totals: &Arc<Totals>) -> Self {
        let bytes = bytes.get();
        totals.created.fetch_add(1, Ordering::Relaxed);
        let now = totals.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        totals.peak.fetch_max(now, Ordering::Relaxed);
        let totals = Arc::clone(totals);
        Self { bytes, totals }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.totals.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.totals.freed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Opened when it first asks, closed with the last that the trace tells of it.
#[derive(Debug, Default)]
struct Tenant {
    account: Option<Arc<Account<Buffer>>>,
    /// Events to come.
    events: u64,
    /// Allocations that are not freed.
    live: u64,
}

#[derive(Debug)]
pub(super) struct PoolStage<'t> {
    /// By number of the allocation; `None` for those that were refused or freed.
    loans: Vec<Option<Pooled<Buffer>>>,
    /// By place in the trace.
    tenants: Vec<Tenant>,
    /// Places of the tenants that the allocations are for.
    owners: Vec<u32>,
    names: &'t [String],
    pool: Arc<Pool<Buffer>>,
    totals: Arc<Totals>,
}

impl<'t> PoolStage<'t> {
    pub(super) fn new(trace: &'t Trace, space: &PoolSpace) -> Result<Self, ConfigError> {
        let mut memory = space.memory.clone();
        memory.recorder = Some(Recorder::new());
        let pages = space.pages.map(|pages| PageLimits {
            alignment: pages.alignment,
            max_buffer: pages.max_buffer,
            memory: pages.memory,
        });
        let health = Arc::new(Health::new(DeviceEpoch(0)));
        let mut tenants: Vec<Tenant> = trace.tenants().iter().map(|_| Tenant::default()).collect();
        let mut owners = Vec::with_capacity(trace.allocations() as usize);
        for event in trace.events() {
            let owner = match event.action {
                Action::Allocate { tenant, .. } => {
                    owners.push(tenant);
                    tenant
                }
                Action::Free { id } => owners[id as usize],
            };
            tenants[owner as usize].events += 1;
        }
        let pool = Pool::new(space.capacity, &memory, pages, &health)?;
        let totals = Arc::default();
        let ahead = pool.prepare(|_, bytes| Ok(Buffer::new(bytes, &totals)));
        ahead.map_err(|(tier, _)| ConfigError {
            field: "preallocate",
            value: format!(
                "{} B for the {tier} tier",
                memory.tiers[tier.index()].preallocate.get()
            ),
            allowed: "what there is room for".to_owned(),
        })?;
        Ok(Self {
            loans: (0..trace.allocations()).map(|_| None).collect(),
            tenants,
            owners,
            names: trace.tenants(),
            pool,
            totals,
        })
    }

    fn allocate(&mut self, tenant: usize, usage: Usage, bytes: u64) -> Option<Pooled<Buffer>> {
        let account = match &mut self.tenants[tenant].account {
            Some(account) => account,
            closed => {
                let budget = self.pool.capacity();
                // A trace has no more tenants than a pool, and no other names.
                closed.insert(self.pool.open_tenant(&self.names[tenant], budget).ok()?)
            }
        };
        let usage = match usage {
            Usage::ReadWrite => BufferUsage::Arena,
            Usage::ReadOnly => BufferUsage::Constants,
            Usage::Uniform => BufferUsage::Params,
            Usage::Upload => BufferUsage::Upload,
            Usage::Readback => BufferUsage::Readback,
        };
        let make = |_, bytes| Ok(Buffer::new(bytes, &self.totals));
        account.acquire(usage, Bytes(bytes), make).ok()
    }
}

impl Stage for PoolStage<'_> {
    fn serve(&mut self, event: &Event) -> bool {
        match event.action {
            Action::Allocate {
                id,
                bytes,
                usage,
                tenant,
            } => {
                let loan = self.allocate(tenant as usize, usage, bytes);
                let tenant = &mut self.tenants[tenant as usize];
                tenant.events -= 1;
                tenant.live += 1;
                let served = loan.is_some();
                self.loans[id as usize] = loan;
                served
            }
            Action::Free { id } => {
                self.loans[id as usize] = None;
                let tenant = &mut self.tenants[self.owners[id as usize] as usize];
                tenant.events -= 1;
                tenant.live -= 1;
                if tenant.events == 0
                    && tenant.live == 0
                    && let Some(account) = tenant.account.take()
                {
                    self.pool.close_tenant(&account);
                }
                true
            }
        }
    }

    fn reserved(&self) -> u64 {
        self.totals.bytes.load(Ordering::Relaxed)
    }

    fn tier(&self, bytes: u64) -> Tier {
        Tier::of(reserved_bytes(Bytes(bytes)))
    }

    fn fragmentation(&self, live: u64) -> Fragmentation {
        let report = self.pool.report();
        let external = report.heap.map_or(0.0, |heap| {
            missing_part(heap.largest_free.get(), heap.reserved.get() - heap.in_use.get())
        });
        Fragmentation {
            internal: missing_part(live, report.in_use.get()),
            external,
        }
    }

    fn counts(&self) -> Counts {
        let tiers = self.pool.report().tiers;
        let by_tier = |count: fn(&crate::memory::pool::TierReport) -> u64| {
            Tier::ALL.map(|tier| tiers.get(tier.index()).map_or(0, count))
        };
        Counts {
            peak_reserved: Some(self.totals.peak.load(Ordering::Relaxed)),
            hits: by_tier(|tier| tier.hits),
            misses: by_tier(|tier| tier.misses),
            created: self.totals.created.load(Ordering::Relaxed),
            freed: self.totals.freed.load(Ordering::Relaxed),
            ..Counts::default()
        }
    }
}
