//! The compute context: one opened device, its pool and its threads.

use crate::adapter::{self, DeviceChoice, DeviceClass, DeviceInfo, Selection};
use crate::backend::host::HostBackend;
use crate::backend::{Backend, Buffer, Tally};
use crate::config::{ConfigError, ContextConfig, MemoryConfig};
use crate::error::{DeviceError, MemoryError};
use crate::health::Health;
use crate::memory::pool::{PageLimits, Pool, PoolReport};
use crate::memory::trace::Recorder;
use crate::pipelines::PipelineReport;
use crate::pressure::{MemorySample, MemorySource, PressureReport, Reclaimable, Rung, Unavailable, Watch};
use crate::profile::ProfileReport;
use crate::reclaim::Reclaimed;
use crate::schedule::DeviceLoad;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::tenant::{Fences, Images, Lease, Roll, Tenant, TenantSpec, TenantUsage};
use daa_base::{Bytes, Clock, DeviceEpoch, FencingToken, SystemClock};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// An opened device. Clones share it; its threads end when the last clone, tenant and loaded image is gone.
#[derive(Debug, Clone)]
pub struct ComputeContext {
    shared: Arc<Shared>,
}

/// What tenants and loaded images hold on to.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) pool: Arc<Pool<Buffer>>,
    pub(crate) health: Arc<Health>,
    pub(crate) selection: Selection,
    pub(crate) lineage: Lineage,
    pub(crate) roll: Roll,
    pub(crate) images: Images,
    pub(crate) watch: Watch,
    opened_at: Duration,
    pub(crate) tally: Arc<Tally>,
    pub(crate) config: ContextConfig,
}

impl Shared {
    /// What a tenant holds and had.
    pub(crate) fn usage(&self, lease: &Lease) -> TenantUsage {
        TenantUsage {
            busy: lease.busy(),
            ..lease.account().usage()
        }
    }

    /// Buffers of a device that is gone are of no use to anybody.
    pub(crate) fn keep_nothing_of_a_lost_device(&self) {
        if self.health.is_lost() {
            self.pool.close();
        }
    }
}

/// What all epochs of a device have in common.
#[derive(Debug, Clone)]
pub(crate) struct Lineage {
    pub(crate) fences: Arc<Fences>,
    clock: Arc<dyn Clock>,
    #[cfg(any(test, feature = "testing"))]
    pub(crate) injection: Arc<crate::injection::Injection>,
}

impl Lineage {
    fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            fences: Arc::default(),
            clock,
            #[cfg(any(test, feature = "testing"))]
            injection: Arc::default(),
        }
    }
}

/// How a device is opened again when no context of it is left.
#[derive(Debug)]
pub(crate) struct Origin {
    config: ContextConfig,
    lineage: Lineage,
}

impl Origin {
    /// Opens the device as `epoch`.
    pub(crate) fn open(&self, epoch: DeviceEpoch) -> Result<ComputeContext, DeviceError> {
        ComputeContext::open_epoch(&self.config, epoch, self.lineage.clone())
    }

    /// As [`ComputeContext::fence`].
    pub(crate) fn fence(&self, token: FencingToken) {
        self.lineage.fences.fence(token);
    }

    /// Opens another device with the same limits. Leases that ended have ended there too.
    pub(crate) fn open_beside(&self, device: DeviceChoice) -> Result<ComputeContext, DeviceError> {
        let config = ContextConfig {
            device,
            ..self.config.clone()
        };
        let fences = Arc::clone(&self.lineage.fences);
        let lineage = Lineage {
            fences,
            clock: Arc::clone(&self.lineage.clock),
            #[cfg(any(test, feature = "testing"))]
            injection: Arc::default(),
        };
        ComputeContext::open_epoch(&config, DeviceEpoch(1), lineage)
    }
}

/// Counts since the context was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Counters {
    /// Buffers that the pool did not have, and the staging that moves an image to the host.
    pub buffers_created: u64,
    /// Bind groups, made when images are loaded.
    pub bind_groups_created: u64,
    /// Pipelines, made when a program is first loaded.
    pub pipelines_created: u64,
    /// Submissions handed to the device.
    pub submits: u64,
    /// Dispatches in them.
    pub dispatches: u64,
    /// How often a submission waited for room.
    pub host_waits: u64,
    /// Bytes written into arenas.
    pub uploaded_bytes: u64,
    /// Bytes read out of arenas.
    pub read_bytes: u64,
    /// Images moved to host memory, and the bytes of them.
    pub spills: u64,
    /// Bytes of images moved to host memory.
    pub spilled_bytes: u64,
    /// Images brought back from host memory.
    pub restores: u64,
    /// Blocks of images moved from one page to another.
    pub compactions: u64,
    /// Bytes of blocks moved from one page to another.
    pub compacted_bytes: u64,
}

impl ComputeContext {
    /// Opens the device that the configuration chooses, as its first epoch.
    ///
    /// # Errors
    /// When a field is out of range, no adapter matches the choice, or the driver or operating system refuses.
    pub fn open(config: &ContextConfig) -> Result<Self, DeviceError> {
        Self::open_with_clock(config, Arc::new(SystemClock::new()))
    }

    /// Like [`Self::open`]; time on the device, of this epoch and later ones, is measured by `clock`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_clock(config: &ContextConfig, clock: Arc<dyn Clock>) -> Result<Self, DeviceError> {
        Self::open_epoch(config, DeviceEpoch(1), Lineage::new(clock))
    }

    /// Opens the host CPU, whatever the configuration chooses.
    ///
    /// # Errors
    /// When a field is out of range or the operating system gives no thread.
    pub fn host(config: &ContextConfig) -> Result<Self, DeviceError> {
        Self::open(&ContextConfig {
            device: DeviceChoice::Cpu,
            ..config.clone()
        })
    }

    /// Opens a device again with the same configuration, as the next epoch. Tenants and images of this epoch stay
    /// what they are: void, if it was lost. What [`Self::fence`] was told counts for every epoch, whichever was told.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn reopen(&self) -> Result<Self, DeviceError> {
        Self::open_epoch(
            &self.shared.config,
            DeviceEpoch(self.epoch().get().saturating_add(1)),
            self.shared.lineage.clone(),
        )
    }

    fn open_epoch(config: &ContextConfig, epoch: DeviceEpoch, lineage: Lineage) -> Result<Self, DeviceError> {
        config.validate()?;
        #[cfg(any(test, feature = "testing"))]
        lineage.injection.open(epoch)?;
        let opened_at = lineage.clock.monotonic();
        let health = Arc::new(Health::new(epoch));
        let tally = Arc::new(Tally::new(config, &lineage.clock));
        let opened = open_device(config, &health, &tally, &lineage.clock)?;
        let mut config = config.clone();
        config.memory.recorder.get_or_insert_default();
        let pool = open_pool(&config.memory, &opened, &health)?;
        for report in &opened.selection.reports {
            tracing::info!(adapter = %report, "adapter");
        }
        let Opened { backend, selection } = opened;
        let shared = Shared {
            backend,
            pool,
            health,
            selection,
            lineage,
            roll: Roll::default(),
            images: Images::default(),
            watch: Watch::new(&config.pressure)?,
            opened_at,
            tally,
            config,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// The device in use, and why it was chosen.
    #[must_use]
    pub fn selection(&self) -> &Selection {
        &self.shared.selection
    }

    /// The device in use.
    #[must_use]
    pub fn info(&self) -> &DeviceInfo {
        &self.shared.selection.chosen
    }

    /// The epoch of the device.
    #[must_use]
    pub fn epoch(&self) -> DeviceEpoch {
        self.shared.health.epoch()
    }

    /// Whether the device is gone. It never comes back; see [`Self::reopen`].
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.shared.health.is_lost()
    }

    /// What all tenants together may reserve.
    #[must_use]
    pub fn capacity(&self) -> Bytes {
        self.shared.pool.capacity()
    }

    /// Opens a tenant. Budgets may sum to more than [`Self::capacity`]: what is reserved may not.
    ///
    /// # Errors
    /// When the token is fenced, the name is empty or too long, or there are too many tenants.
    pub fn tenant(&self, spec: TenantSpec) -> Result<Tenant, MemoryError> {
        Tenant::open(Arc::clone(&self.shared), spec)
    }

    /// Ends what a lease allowed: every tenant under `token` is revoked ([`Tenant::revoke`]), and none opens under it
    /// again ([`MemoryError::Fenced`]). Other tokens are not affected. Fencing twice changes nothing. Token 0, of
    /// tenants without a lease, is never fenced: nothing happens.
    ///
    /// Work whose turn has not come is refused when it does, and its image with it. What is with the device already
    /// ends.
    ///
    /// The newest 4096 fenced tokens are remembered one by one. Of older ones only the newest is: neither it nor any
    /// token below it, save 0, opens a tenant again; tenants that are open stay as they are. Tokens of a device grow
    /// with every lease, so those below belong to leases that ended long ago. The one exception is a lease held while
    /// more than 4096 later ones were fenced: it keeps its open tenants, and must be granted anew to open more.
    pub fn fence(&self, token: FencingToken) {
        self.shared.lineage.fences.fence(token);
    }

    /// The wgpu device and its queue, for work of the caller's own on [`crate::Allocation`]s; `None` on the host
    /// backend. The context polls the device on a thread of its own.
    #[cfg(feature = "gpu")]
    #[must_use]
    pub fn wgpu(&self) -> Option<(wgpu::Device, wgpu::Queue)> {
        self.shared.backend.raw()
    }

    /// The pool at this moment.
    #[must_use]
    pub fn pool_report(&self) -> PoolReport {
        self.shared.pool.report()
    }

    /// What the driver says about the device's memory, or why it cannot be asked. It may lack what is needed for it:
    /// then [`Self::pool_report`] is all that is known.
    ///
    /// # Errors
    /// Says what is missing.
    pub fn driver_memory(&self) -> Result<MemorySample, Unavailable> {
        self.shared.backend.memory_source().and_then(MemorySource::sample)
    }

    /// Writes down what tenants allocate and give back, once [`Recorder::start`] was called. A context that was
    /// reopened from this one has the same recorder.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        self.shared.pool.recorder()
    }

    /// How full memory is, and how full it will be. Takes a sample; so does every load, and every allocation that the
    /// pool had nothing kept for. Where that shows pressure, present or foreseen, memory is given back ahead of need
    /// as [`ContextConfig::pressure`] says, by the rungs of [`Self::reclaim`]; and a request for which there is no
    /// room is refused only when no rung could give any more.
    ///
    /// Asked are, in this order until one tells, what [`Self::watch_memory`] was given, the driver
    /// ([`Self::driver_memory`]), and the pool itself: what tenants hold and what is kept for reuse, against
    /// [`Self::capacity`]. When another one tells than before, watching begins anew.
    #[must_use]
    pub fn pressure(&self) -> PressureReport {
        self.shared.pressure()
    }

    /// From now on `source` says how much memory is in use, in place of the driver and the pool: for those who know
    /// more of what else the device is used for, and for tests.
    pub fn watch_memory(&self, source: Arc<dyn MemorySource>) {
        self.shared.watch.set_source(source);
    }

    /// Gives device memory back, about `target` bytes of it if it can: [`Rung::Trim`] frees everything that is kept for
    /// reuse; [`Rung::Spill`] moves images that are not in use to host memory, the least recently submitted first, of
    /// whichever tenants, until that many bytes moved; [`Rung::Compact`] moves images between pages until pages of that
    /// many bytes fell free. The last two trim as well. [`Rung::Refuse`] does nothing.
    ///
    /// A tenant stays charged for an image on the host, and gets it back, bytes intact, with its next submission; only
    /// [`Self::capacity`] counts it no more. Never fails: images that cannot be moved stay where they are.
    pub fn reclaim(&self, rung: Rung, target: Bytes) -> Reclaimed {
        self.shared.reclaim(rung, target)
    }

    /// What each rung of [`Self::reclaim`] could give back, at most.
    #[must_use]
    pub fn reclaimable(&self) -> Reclaimable {
        self.shared.reclaimable()
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let tally = &self.shared.tally;
        let get = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        Counters {
            buffers_created: get(&tally.buffers_created),
            bind_groups_created: get(&tally.bind_groups_created),
            pipelines_created: get(&tally.pipelines_created),
            submits: get(&tally.submits),
            dispatches: get(&tally.dispatches),
            host_waits: get(&tally.host_waits),
            uploaded_bytes: get(&tally.uploaded_bytes),
            read_bytes: get(&tally.read_bytes),
            spills: get(&tally.spills),
            spilled_bytes: get(&tally.spilled_bytes),
            restores: get(&tally.restores),
            compactions: get(&tally.compactions),
            compacted_bytes: get(&tally.compacted_bytes),
        }
    }

    /// Whether this is a clone of `other`: the same epoch of the same device.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// How to open this device again.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            config: self.shared.config.clone(),
            lineage: self.shared.lineage.clone(),
        }
    }

    /// Ends the epoch: nothing that was computed in it is handed out any more.
    pub(crate) fn condemn(&self, reason: &str) {
        self.shared.health.lose(reason.to_owned());
    }

    /// Plans faults for this device and its later epochs, in place of those planned before. Counting starts over.
    #[cfg(any(test, feature = "testing"))]
    pub fn inject_for_test(&self, faults: &[crate::injection::Planned]) {
        self.shared.lineage.injection.plan(faults);
    }

    /// The faults that struck this device or its later epochs since they were planned, in order.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn struck_for_test(&self) -> Vec<crate::injection::Planned> {
        self.shared.lineage.injection.struck()
    }

    /// Passes a place where a fault may strike.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn pass_for_test(&self, site: crate::injection::Site) -> Option<crate::injection::Fault> {
        self.shared.lineage.injection.pass(site)
    }

    /// Where the time went so far: see [`crate::profile`].
    #[must_use]
    pub fn profile(&self) -> ProfileReport {
        self.shared
            .tally
            .profile
            .report(self.shared.backend.time_source())
    }

    /// What is known about the compiled pipelines of this device.
    #[must_use]
    pub fn pipeline_report(&self) -> PipelineReport {
        self.shared.backend.pipelines()
    }

    /// How busy the device was since the context was opened, and with whose work.
    #[must_use]
    pub fn load(&self) -> DeviceLoad {
        let shared = &self.shared;
        // First: what is counted meanwhile must not make a tenant's part larger than the whole.
        let tenants = shared.roll.loads();
        let busy = shared.tally.busy.load(Ordering::Acquire);
        DeviceLoad {
            wall: shared.lineage.clock.monotonic().saturating_sub(shared.opened_at),
            lanes: shared.backend.lanes(),
            busy: Duration::from_nanos(busy),
            tenants,
        }
    }

    /// Lets so many turns of a GPU begin and no more; `None` for any number.
    #[cfg(all(test, feature = "gpu"))]
    pub(crate) fn allow_turns_for_test(&self, turns: Option<usize>) {
        self.shared.backend.allow_turns_for_test(turns);
    }

    /// What the driver's own books say of buffers, bind groups and pipelines; `None` on the host.
    #[cfg(test)]
    pub(crate) fn driver_counts(&self) -> Option<[isize; 3]> {
        self.shared.backend.driver_counts()
    }

    /// Tenants that fences reach.
    #[cfg(test)]
    pub(crate) fn open_tenants(&self) -> usize {
        self.shared.lineage.fences.open_tenants()
    }

    /// Ends the device as if the driver had lost it: the honest way to test what happens then.
    #[cfg(any(test, feature = "testing"))]
    pub fn destroy_device_for_test(&self) {
        self.shared.backend.destroy();
    }
}

/// A backend and why it is this one.
struct Opened {
    backend: Box<dyn Backend>,
    selection: Selection,
}

fn open_device(
    config: &ContextConfig,
    health: &Arc<Health>,
    tally: &Arc<Tally>,
    clock: &Arc<dyn Clock>,
) -> Result<Opened, DeviceError> {
    #[cfg(feature = "gpu")]
    let (mut adapters, found): (Vec<_>, Vec<_>) = if config.device == DeviceChoice::Cpu {
        // No driver is loaded for a run that asked for none.
        (Vec::new(), Vec::new())
    } else {
        adapter::scan::adapters().into_iter().unzip()
    };
    #[cfg(not(feature = "gpu"))]
    let found = Vec::new();
    let reports = adapter::judge(config.device, found);
    let Some(at) = reports.iter().position(|report| report.chosen) else {
        return Err(DeviceError::NoAdapter {
            choice: config.device,
            reports,
        });
    };
    let chosen = reports[at].info.clone();
    let selection = Selection { chosen, reports };
    if selection.chosen.class == DeviceClass::Host {
        let backend = Box::new(HostBackend::start(config, health, tally, clock)?);
        return Ok(Opened { backend, selection });
    }
    #[cfg(feature = "gpu")]
    {
        let adapter = adapters.swap_remove(at);
        let backend = crate::backend::wgpu::WgpuBackend::open(&adapter, config, health, tally, clock)?;
        Ok(Opened {
            backend: Box::new(backend),
            selection,
        })
    }
    #[cfg(not(feature = "gpu"))]
    Err(DeviceError::NoAdapter {
        choice: config.device,
        reports: selection.reports,
    })
}

/// The pool for a device, with what is to be made ahead.
fn open_pool(
    config: &MemoryConfig,
    opened: &Opened,
    health: &Arc<Health>,
) -> Result<Arc<Pool<Buffer>>, DeviceError> {
    let info = &opened.selection.chosen;
    let memory = config.max_reserved.into_iter().chain(info.memory).min();
    let capacity = config.capacity.unwrap_or_else(|| {
        let known = info.default_capacity();
        config.max_reserved.map_or(known, |most| known.min(most))
    });
    let limits = opened
        .backend
        .pages()
        .map(|limits| PageLimits { memory, ..limits });
    config.check_tiers(memory.map_or(capacity, |memory| memory.min(capacity)))?;
    if let Some(limits) = &limits {
        config.check_ahead(memory.map_or(limits.max_buffer, |memory| memory.min(limits.max_buffer)))?;
    }
    let pool = Pool::new(capacity, config, limits, health)?;
    let create = |usage, bytes| opened.backend.create(usage, bytes);
    pool.prepare(create).map_err(|(tier, refused)| {
        let field = MemoryConfig::AHEAD[tier.index()];
        let bytes = config.tiers[tier.index()].preallocate;
        match refused {
            Some(source) => DeviceError::Preallocation { field, bytes, source },
            None => DeviceError::Config(ConfigError {
                field,
                value: bytes.to_string(),
                allowed: "together no more than pages may take".to_owned(),
            }),
        }
    })?;
    Ok(pool)
}
