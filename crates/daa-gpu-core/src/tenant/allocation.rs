//! Device memory that a tenant holds without an image.

use crate::backend::Buffer;
use crate::memory::pool::Pooled;
use daa_base::Bytes;

/// Device memory of a tenant ([`crate::Tenant::allocate`]). Dropping it gives it back.
#[derive(Debug)]
pub struct Allocation {
    memory: Pooled<Buffer>,
}

/// Where an allocation lies on a wgpu device. Other allocations may lie in the same buffer.
#[cfg(feature = "gpu")]
#[derive(Debug, Clone, Copy)]
pub struct RawSlice<'a> {
    /// The buffer it lies in.
    pub buffer: &'a wgpu::Buffer,
    /// Its first byte there, in line with the offset limits of the device for bindings of its colour.
    pub offset: u64,
    /// Its length in bytes: [`Allocation::bytes`].
    pub bytes: u64,
}

impl Allocation {
    pub(super) const fn new(memory: Pooled<Buffer>) -> Self {
        Self { memory }
    }

    /// How large it is, and what it is charged at.
    #[must_use]
    pub const fn bytes(&self) -> Bytes {
        self.memory.reserved()
    }

    /// The words of it on the host backend; `None` on a device.
    #[must_use]
    pub fn words(&mut self) -> Option<&mut [u32]> {
        match self.memory.get_mut() {
            Buffer::Host(words) => Some(words),
            #[cfg(feature = "gpu")]
            Buffer::Device(_) => None,
        }
    }

    /// Where it lies on a wgpu device; `None` on the host backend. It may be bound, and copied from and to, as its
    /// colour allows, until the allocation is dropped; work on it must have been submitted by then. Neither the
    /// scheduler nor the counters know of what is done this way.
    #[cfg(feature = "gpu")]
    #[must_use]
    pub fn raw(&self) -> Option<RawSlice<'_>> {
        match self.memory.get() {
            Buffer::Device(buffer) => Some(RawSlice {
                buffer: buffer.raw(),
                offset: self.memory.offset(),
                bytes: self.memory.reserved().get(),
            }),
            Buffer::Host(_) => None,
        }
    }
}
