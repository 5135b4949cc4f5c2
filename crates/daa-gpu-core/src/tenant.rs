//! Tenants of a device, the images they load, and the work they submit.

mod allocation;
mod fences;
#[cfg(any(test, feature = "testing"))]
mod injected;
mod lease;
mod roll;
mod slot;
mod ticket;

pub use allocation::Allocation;
#[cfg(feature = "gpu")]
pub use allocation::RawSlice;
pub(crate) use fences::Fences;
pub(crate) use lease::{Effect, Lease};
pub(crate) use roll::Roll;
pub(crate) use slot::{Images, Slot};
pub use ticket::Ticket;

use crate::backend::{Buffer, Checked, Parts, Region};
use crate::context::Shared;
use crate::error::{GpuError, MemoryError, WorkError};
use crate::image::{self, Image, Slice};
use crate::memory::heap::Colour;
use crate::memory::pool::{BufferUsage, Origin, Pooled};
use crate::schedule::Weight;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, Mutex, PoisonError, Weak};
use daa_base::{Bytes, FencingToken};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Who a tenant is and what it may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSpec {
    /// For errors and reports, 1 to 256 bytes; need not be unique.
    pub name: String,
    /// The most it may reserve at any time, in reserved bytes ([`crate::reserved_bytes`]).
    pub budget: Bytes,
    /// The token of the lease it works under; 0 for a tenant without a lease. [`crate::ComputeContext::fence`] ends
    /// what tenants of a token may do, and no tenant opens under it again. Token 0 is never fenced. Several tenants
    /// may work under one token.
    pub token: FencingToken,
    /// Its part of the device's time while other tenants are busy too.
    pub weight: Weight,
}

/// What a tenant holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantUsage {
    /// What it may hold.
    pub budget: Bytes,
    /// What it holds.
    pub in_use: Bytes,
    /// Of that, what lies in host memory at present ([`crate::ComputeContext::reclaim`]).
    pub spilled: Bytes,
    /// The most it ever held.
    pub high_water: Bytes,
    /// Device time that its work took so far.
    pub busy: Duration,
}

/// A share of a device's memory, and the right to submit work under a fencing token.
///
/// A revoked tenant ([`Self::revoke`], [`crate::ComputeContext::fence`]) may still read what it loaded, so that the
/// holder can save its state, but neither load, upload nor run. Tenants that are busy at the same time share the
/// device's time by their weights: a tenant is busy while it has work waiting, so whoever wants its full part submits the
/// next piece of work before the last one has ended. Dropping the tenant takes back everything it holds:
/// what it loaded refuses all work from then on.
#[derive(Debug)]
pub struct Tenant {
    lease: Arc<Lease>,
    residents: Mutex<Vec<Weak<Slot>>>,
    shared: Arc<Shared>,
}

impl Tenant {
    pub(crate) fn open(shared: Arc<Shared>, spec: TenantSpec) -> Result<Self, MemoryError> {
        let TenantSpec {
            name,
            budget,
            token,
            weight,
        } = spec;
        let lease = shared.lineage.fences.enter(&name, token, |place| {
            let account = shared.pool.open_tenant(&name, budget)?;
            Ok(Lease::new(name.clone(), token, weight, account, place))
        })?;
        shared.roll.enter(&lease);
        Ok(Self {
            lease,
            residents: Mutex::new(Vec::new()),
            shared,
        })
    }

    /// The name it was opened with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.lease.name
    }

    /// The token it works under.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.lease.token
    }

    /// Its part of the device's time, relative to other busy tenants.
    #[must_use]
    pub fn weight(&self) -> Weight {
        self.lease.weight()
    }

    /// What it holds now, the most it ever held, and how much of the device's time it had.
    #[must_use]
    pub fn usage(&self) -> TenantUsage {
        self.shared.usage(&self.lease)
    }

    /// Ends the right to load, upload and run, of this tenant alone; for leases that were revoked or ran out.
    /// [`crate::ComputeContext::fence`] does so for every tenant of a token. What it loaded keeps its memory and can
    /// be read until it is dropped.
    ///
    /// Work that it submitted and whose turn has not come is refused too, with [`GpuError::StaleToken`]. Nothing is left
    /// of an image after that, not even reads: what is in its memory is not what its holder believes.
    pub fn revoke(&self) {
        self.lease.revoked.store(true, Ordering::Release);
    }

    /// Whether [`Self::revoke`] was called or its token fenced.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.lease.revoked.load(Ordering::Acquire)
    }

    /// Reserves exactly [`Image::footprint`] bytes and makes the image ready to run, its arena all zeros.
    ///
    /// # Errors
    /// [`GpuError::Image`] when the image is not well-formed or asks for more than the device offers,
    /// [`GpuError::Memory`] when the budget or the capacity is too small, [`GpuError::StaleToken`] once
    /// the tenant was revoked or its token fenced, and whatever the driver refuses.
    pub fn load(&self, image: &Image) -> Result<Loaded, GpuError> {
        self.lease.check()?;
        self.shared.health.check()?;
        #[cfg(any(test, feature = "testing"))]
        self.shared.lineage.injection.load()?;
        image::check(image, &self.shared.selection.chosen.limits)?;
        let footprint = image.footprint();
        let parts = self.shared.with_room(footprint, || {
            // Refused as a whole, so that the error names all of what is missing; the parts are checked again below.
            self.lease.account().check(footprint)?;
            self.parts(image)
        })?;
        let loaded = self.shared.backend.load(image, parts, &self.lease);
        self.shared.health.check()?;
        let resident = loaded?;
        let slot = self.shared.images.enter(resident);
        self.shared.foresee();
        let mut residents = self.residents.lock().unwrap_or_else(PoisonError::into_inner);
        residents.retain(|slot| slot.strong_count() > 0);
        residents.push(Arc::downgrade(&slot));
        Ok(Loaded {
            slot,
            lease: Arc::clone(&self.lease),
            arena: image.arena.get(),
            constants: image.constants.get(),
            lists: image.lists.len(),
            uploads: image.upload > Bytes::ZERO,
            reads: image.readback > Bytes::ZERO,
            shared: Arc::clone(&self.shared),
        })
    }

    fn parts(&self, image: &Image) -> Result<Parts, GpuError> {
        let uploads = if image.upload == Bytes::ZERO {
            0
        } else {
            image.upload_ring
        };
        Ok(Parts {
            arena: self.acquire(BufferUsage::Arena, image.arena)?,
            constants: self.acquire_some(BufferUsage::Constants, image.constants)?,
            params: self.acquire_some(BufferUsage::Params, image.params())?,
            uploads: (0..uploads)
                .map(|_| self.acquire(BufferUsage::Upload, image.upload))
                .collect::<Result<_, _>>()?,
            readback: self.acquire_some(BufferUsage::Readback, image.readback)?,
        })
    }

    fn acquire_some(&self, usage: BufferUsage, size: Bytes) -> Result<Option<Pooled<Buffer>>, GpuError> {
        if size == Bytes::ZERO {
            Ok(None)
        } else {
            self.acquire(usage, size).map(Some)
        }
    }

    fn acquire(&self, usage: BufferUsage, size: Bytes) -> Result<Pooled<Buffer>, GpuError> {
        let create = |usage, size| self.shared.backend.create(usage, size);
        self.lease.account().acquire(usage, size, create)
    }

    /// Device memory for uses without an image: at least `bytes` (rounded to their size class, [`crate::reserved_bytes`];
    /// at least the smallest class), charged to this tenant until the allocation is dropped. It holds zeros or what
    /// this tenant itself left there, never what another tenant did.
    ///
    /// The common case, a block of the same colour and class that this tenant gave back before, costs two short locks
    /// that no other tenant takes, here and at the drop together.
    ///
    /// # Errors
    /// [`GpuError::Memory`] when the budget or the capacity is too small, [`GpuError::StaleToken`] once the tenant was
    /// revoked or its token fenced, [`GpuError::DeviceLost`], and whatever the driver refuses.
    pub fn allocate(&self, bytes: Bytes, colour: Colour) -> Result<Allocation, GpuError> {
        self.lease.check()?;
        self.shared.health.check()?;
        let wanted = bytes.max(Bytes(1));
        if let Some(memory) = self.lease.account().hit(colour.into(), wanted) {
            return Ok(Allocation::new(memory));
        }
        self.allocate_missed(wanted, colour)
    }

    #[cold]
    fn allocate_missed(&self, wanted: Bytes, colour: Colour) -> Result<Allocation, GpuError> {
        let mut memory = self
            .shared
            .with_room(wanted, || self.acquire(colour.into(), wanted))?;
        match memory.origin() {
            Origin::Own => {}
            Origin::Foreign => self.shared.backend.clear(&mut memory)?,
            Origin::Fresh => self.shared.foresee(),
        }
        Ok(Allocation::new(memory))
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        self.revoke();
        self.lease.dropped.store(true, Ordering::Release);
        self.shared.lineage.fences.leave(&self.lease);
        self.shared.roll.leave(&self.lease);
        self.shared.keep_nothing_of_a_lost_device();
        let residents = std::mem::take(self.residents.get_mut().unwrap_or_else(PoisonError::into_inner));
        for slot in residents.iter().filter_map(Weak::upgrade) {
            slot.clear();
        }
        self.shared.pool.close_tenant(self.lease.account());
    }
}

/// One submission.
#[derive(Debug, Clone, Copy, Default)]
pub struct Work<'a> {
    /// Which command list runs, if any.
    pub list: Option<usize>,
    /// Bytes written into the arena before the list runs. Offsets and lengths are multiples of 4.
    pub uploads: &'a [(Slice, &'a [u8])],
    /// Slices read after the list ran; the ticket gives their bytes, one after the other.
    pub reads: &'a [Slice],
}

/// An image in a device's memory: its buffers and everything made for its lists. Dropping it gives them back.
#[derive(Debug)]
pub struct Loaded {
    slot: Arc<Slot>,
    lease: Arc<Lease>,
    arena: u64,
    constants: u64,
    lists: usize,
    uploads: bool,
    reads: bool,
    // Last: the threads of the context must outlive the slot.
    shared: Arc<Shared>,
}

impl Loaded {
    /// Hands work to the device and returns at once: uploads, then the list, then reads, after everything submitted
    /// before on the same image. In the steady state no buffer, bind group or pipeline is made.
    ///
    /// Waits, within the context's step deadline, only when every upload staging area is still in use, the queue is
    /// full, or on a GPU the readback area is still in use by an earlier submission; [`crate::Counters::host_waits`]
    /// counts that. An image that was moved to the host ([`crate::ComputeContext::reclaim`]) is brought back first, and
    /// colder ones move there in its place where there is no room. Transfers larger than the image's staging areas go in pieces, each a submission of its own.
    ///
    /// # Errors
    /// [`GpuError::Work`] when the work is not well-formed, [`GpuError::Memory`] when the image is on the host and all
    /// that could make room for it is in use, [`GpuError::StaleToken`] once the tenant was dropped, and
    /// for work with a list or uploads once it was revoked or its token fenced, [`GpuError::DeviceLost`], [`GpuError::Timeout`], [`GpuError::Internal`] after a kernel of this image
    /// failed, and whatever the driver refuses.
    pub fn submit(&mut self, work: Work<'_>) -> Result<Ticket, GpuError> {
        self.lease.check_work(&work)?;
        self.shared.health.check()?;
        self.check(&work)?;
        #[cfg(any(test, feature = "testing"))]
        if let Some(fault) = self.shared.lineage.injection.pass(crate::injection::Site::Submit) {
            return self.submit_struck(work, fault);
        }
        self.hand_over(work)
    }

    /// Hands checked work to the device.
    fn hand_over(&self, work: Work<'_>) -> Result<Ticket, GpuError> {
        let work = Checked {
            list: work.list,
            uploads: work.uploads,
            region: Region::Arena,
            reads: work.reads,
        };
        self.give(work)
    }

    /// Writes bytes into the constants of the image, after everything submitted before on the same image. Offsets and
    /// lengths are multiples of 4.
    ///
    /// # Errors
    /// As [`Self::submit`] for uploads.
    pub fn upload_constants(&mut self, uploads: &[(Slice, &[u8])]) -> Result<Ticket, GpuError> {
        self.lease.check()?;
        self.shared.health.check()?;
        self.check_uploads(uploads, ("constants", self.constants))?;
        self.give(Checked {
            list: None,
            uploads,
            region: Region::Constants,
            reads: &[],
        })
    }

    fn give(&self, work: Checked<'_>) -> Result<Ticket, GpuError> {
        let mut slot = self.slot.lock();
        let Some(resident) = slot.as_mut() else {
            return Err(self.lease.stale());
        };
        self.shared.images.touch(&self.slot);
        let submitted = if resident.is_spilled() {
            self.shared.bring_back(resident.as_mut())
        } else {
            Ok(())
        };
        // A device that goes away meanwhile fails in many ways; that it is gone is what counts.
        submitted
            .and_then(|()| resident.submit(work))
            .map_err(|error| self.shared.health.check().err().unwrap_or(error))
    }

    /// What the tenant of this image holds, all its images together.
    #[must_use]
    pub fn tenant_usage(&self) -> TenantUsage {
        self.shared.usage(&self.lease)
    }

    fn check(&self, work: &Work<'_>) -> Result<(), WorkError> {
        if let Some(list) = work.list
            && list >= self.lists
        {
            return Err(WorkError::List {
                list,
                lists: self.lists,
            });
        }
        let arena = ("arena", self.arena);
        self.check_uploads(work.uploads, arena)?;
        for (index, slice) in work.reads.iter().enumerate() {
            check_slice("read", index, *slice, arena)?;
        }
        if !work.reads.is_empty() && !self.reads {
            return Err(WorkError::NoStaging { what: "readback" });
        }
        Ok(())
    }

    fn check_uploads(
        &self,
        uploads: &[(Slice, &[u8])],
        region: (&'static str, u64),
    ) -> Result<(), WorkError> {
        for (index, (slice, data)) in uploads.iter().enumerate() {
            check_slice("upload", index, *slice, region)?;
            if data.len() as u64 != slice.bytes {
                return Err(WorkError::Data {
                    index,
                    given: data.len() as u64,
                    slice: slice.bytes,
                });
            }
        }
        if !uploads.is_empty() && !self.uploads {
            return Err(WorkError::NoStaging { what: "upload" });
        }
        Ok(())
    }
}

const fn check_slice(
    what: &'static str,
    index: usize,
    slice: Slice,
    region: (&'static str, u64),
) -> Result<(), WorkError> {
    let Slice { offset, bytes } = slice;
    if bytes == 0 || !bytes.is_multiple_of(4) || !offset.is_multiple_of(4) {
        return Err(WorkError::Words {
            what,
            index,
            offset,
            bytes,
        });
    }
    let end = offset.saturating_add(bytes);
    let (region, size) = region;
    if end > size {
        return Err(WorkError::Range {
            what,
            index,
            offset,
            end,
            region,
            size,
        });
    }
    Ok(())
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.shared.keep_nothing_of_a_lost_device();
    }
}

#[cfg(all(test, shuttle))]
mod interleave;
#[cfg(test)]
mod tests;
