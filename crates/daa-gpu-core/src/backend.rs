//! What a backend must do. There are two: host functions on CPU threads, and wgpu.

pub(crate) mod host;
#[cfg(feature = "gpu")]
pub(crate) mod wgpu;

use crate::config::ContextConfig;
use crate::error::GpuError;
use crate::image::{Image, Slice};
use crate::memory::heap::PageId;
use crate::memory::pool::{BufferUsage, PageLimits, Pooled};
use crate::pipelines::PipelineReport;
use crate::pressure::{MemorySource, Unavailable};
use crate::profile::{Profile, TimeSource};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::tenant::{Lease, Ticket};
use daa_base::{Bytes, Clock};
use std::fmt::Debug;
use std::time::Duration;

/// Memory of either backend.
#[derive(Debug)]
pub(crate) enum Buffer {
    /// Words in host memory.
    Host(Vec<u32>),
    /// A wgpu buffer.
    #[cfg(feature = "gpu")]
    Device(Box<dyn RawBuffer>),
}

/// A wgpu buffer behind a pointer: loans are moved about on the hit path. And behind a trait: that wgpu's types are
/// `Send` takes the compiler more steps to see than it allows by default, which every crate above would have to raise.
#[cfg(feature = "gpu")]
pub(crate) trait RawBuffer: Debug + Send + Sync {
    /// The buffer.
    fn raw(&self) -> &::wgpu::Buffer;
}

#[cfg(feature = "gpu")]
impl RawBuffer for ::wgpu::Buffer {
    fn raw(&self) -> &::wgpu::Buffer {
        self
    }
}

/// The buffers of one loaded image, each at its reserved size.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) arena: Pooled<Buffer>,
    pub(crate) constants: Option<Pooled<Buffer>>,
    pub(crate) params: Option<Pooled<Buffer>>,
    pub(crate) uploads: Vec<Pooled<Buffer>>,
    pub(crate) readback: Option<Pooled<Buffer>>,
}

/// The memory of an image that its owner can write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Region {
    #[default]
    Arena,
    Constants,
}

/// One submission that passed every check.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checked<'a> {
    pub(crate) list: Option<usize>,
    pub(crate) uploads: &'a [(Slice, &'a [u8])],
    /// Where the uploads go.
    pub(crate) region: Region,
    pub(crate) reads: &'a [Slice],
}

/// A device that images can be loaded on. Dropping it ends its threads.
pub(crate) trait Backend: Debug + Send + Sync {
    /// What pages may be like; `None` where buffers are lent out whole.
    fn pages(&self) -> Option<PageLimits> {
        None
    }

    /// Makes a buffer of exactly `size` bytes, ready at rest.
    fn create(&self, usage: BufferUsage, size: Bytes) -> Result<Buffer, GpuError>;

    /// Makes a checked image ready to run in `parts`, its arena all zeros.
    /// Its work takes turns with others' as `lease` says.
    fn load(&self, image: &Image, parts: Parts, lease: &Arc<Lease>) -> Result<Box<dyn Resident>, GpuError>;

    /// Turns that may go on beside each other.
    fn lanes(&self) -> usize;

    /// Returns what was dropped to the driver, where that takes a call.
    fn free_dropped(&self) {}

    /// Fills memory with zero bytes, before anything that is submitted later.
    fn clear(&self, memory: &mut Pooled<Buffer>) -> Result<(), GpuError>;

    /// The device and its queue, for work of the caller's own.
    #[cfg(feature = "gpu")]
    fn raw(&self) -> Option<(::wgpu::Device, ::wgpu::Queue)> {
        None
    }

    /// How the times of its lists are taken.
    fn time_source(&self) -> TimeSource {
        TimeSource::Host
    }

    /// What is known about its compiled pipelines.
    fn pipelines(&self) -> PipelineReport {
        PipelineReport::default()
    }

    /// What the driver says about memory, or why it cannot be asked.
    fn memory_source(&self) -> Result<&dyn MemorySource, Unavailable> {
        Err(Unavailable::NotVulkan)
    }

    /// Ends the device as if the driver had lost it.
    #[cfg(any(test, feature = "testing"))]
    fn destroy(&self);

    /// Lets so many turns begin and no more; `None` for any number. The host's are held by a host function that waits.
    #[cfg(all(test, feature = "gpu"))]
    fn allow_turns_for_test(&self, _turns: Option<usize>) {}

    /// What the driver's own books say of buffers, bind groups and pipelines.
    #[cfg(test)]
    fn driver_counts(&self) -> Option<[isize; 3]> {
        None
    }
}

/// How memory is made for an image that comes back.
pub(crate) type Create<'a> = dyn Fn(BufferUsage, Bytes) -> Result<Buffer, GpuError> + 'a;

/// What an image holds while it is in host memory.
#[derive(Debug)]
pub(crate) struct OnHost {
    arena: Vec<u8>,
    constants: Vec<u8>,
    tally: Arc<Tally>,
}

impl OnHost {
    pub(crate) fn new(arena: Vec<u8>, constants: Vec<u8>, tally: &Arc<Tally>) -> Self {
        count(&tally.on_host, (arena.len() + constants.len()) as u64);
        Self {
            arena,
            constants,
            tally: Arc::clone(tally),
        }
    }

    pub(crate) fn bytes(&self, region: Region) -> &[u8] {
        match region {
            Region::Arena => &self.arena,
            Region::Constants => &self.constants,
        }
    }
}

impl Drop for OnHost {
    fn drop(&mut self) {
        let bytes = (self.arena.len() + self.constants.len()) as u64;
        self.tally.on_host.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A loaded image. Dropping it waits, within the deadline, for what was submitted, and gives the buffers back.
pub(crate) trait Resident: Debug + Send {
    /// Uploads, runs the list, reads; in this order, after everything submitted before.
    fn submit(&mut self, work: Checked<'_>) -> Result<Ticket, GpuError>;

    /// What [`Self::spill`] would free, in reserved bytes; none while it is spilled.
    fn movable(&self) -> Bytes;

    /// Moves arena and constants to host memory and gives theirs back. `None` if work on the image is still under way
    /// after `patience`.
    fn spill(&mut self, patience: Duration) -> Result<Option<Bytes>, GpuError>;

    /// Whether it has to be restored before the next submission.
    fn is_spilled(&self) -> bool;

    /// Brings arena and constants back. On failure they stay on the host.
    fn restore(&mut self, create: &Create<'_>) -> Result<(), GpuError>;

    /// Moves what lies in this page to others. No bytes if nothing does; `None` if the image is in use, or there is no
    /// room.
    fn leave(&mut self, page: PageId, patience: Duration) -> Result<Option<Bytes>, GpuError>;
}

/// Counts of what a context did.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) buffers_created: AtomicU64,
    pub(crate) bind_groups_created: AtomicU64,
    pub(crate) pipelines_created: AtomicU64,
    pub(crate) submits: AtomicU64,
    pub(crate) dispatches: AtomicU64,
    pub(crate) host_waits: AtomicU64,
    pub(crate) uploaded_bytes: AtomicU64,
    pub(crate) read_bytes: AtomicU64,
    pub(crate) spills: AtomicU64,
    pub(crate) spilled_bytes: AtomicU64,
    pub(crate) restores: AtomicU64,
    pub(crate) compactions: AtomicU64,
    pub(crate) compacted_bytes: AtomicU64,
    /// Bytes of images in host memory at present.
    pub(crate) on_host: AtomicU64,
    /// Nanoseconds of turns.
    pub(crate) busy: AtomicU64,
    pub(crate) profile: Arc<Profile>,
}

/// Counts device time that a tenant was served.
pub(crate) fn charge(tally: &Tally, lease: &Lease, cost: Duration) {
    // The whole first: who reads a tenant's part and then the whole finds the part within it.
    count(&tally.busy, u64::try_from(cost.as_nanos()).unwrap_or(u64::MAX));
    lease.charge(cost);
}

impl Tally {
    pub(crate) fn new(config: &ContextConfig, clock: &Arc<dyn Clock>) -> Self {
        Self {
            profile: Arc::new(Profile::new(config.profiling, clock)),
            ..Self::default()
        }
    }
}

/// Adds to a count.
pub(crate) fn count(cell: &AtomicU64, more: u64) {
    cell.fetch_add(more, Ordering::Relaxed);
}
