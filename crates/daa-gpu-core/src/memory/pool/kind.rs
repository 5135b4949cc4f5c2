//! What is reused for what: usage and size class in one small number.

use crate::memory::heap::Colour;
use crate::memory::trace::Usage;
use daa_base::Bytes;

/// What a buffer is for; buffers are reused only for the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum BufferUsage {
    /// Memory that programs write: storage, copied from and to.
    Arena,
    /// Memory that programs only read: storage, copied from and to.
    Constants,
    /// Parameter slots.
    Params,
    /// Staging that the host writes. At rest it is mapped, where the backend maps.
    Upload,
    /// Staging that the host reads. At rest it is not mapped.
    Readback,
}

impl From<Colour> for BufferUsage {
    fn from(colour: Colour) -> Self {
        match colour {
            Colour::ReadWrite => Self::Arena,
            Colour::ReadOnly => Self::Constants,
            Colour::Uniform => Self::Params,
        }
    }
}

impl From<BufferUsage> for Usage {
    fn from(usage: BufferUsage) -> Self {
        match usage {
            BufferUsage::Arena => Self::ReadWrite,
            BufferUsage::Constants => Self::ReadOnly,
            BufferUsage::Params => Self::Uniform,
            BufferUsage::Upload => Self::Upload,
            BufferUsage::Readback => Self::Readback,
        }
    }
}

/// A usage and a size class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind(u16);

impl Kind {
    /// No usage has it.
    pub(super) const NONE: Self = Self(u16::MAX);

    /// Bits of a class: eight classes for each of the 64 doublings.
    const CLASS_BITS: u32 = 9;

    /// Of a size that was rounded to its class ([`crate::reserved_bytes`]): its highest bit and the three below name it.
    pub(super) const fn new(usage: BufferUsage, reserved: Bytes) -> Self {
        let size = reserved.get() | 1;
        let doubling = size.ilog2();
        let eighth = ((size << (63 - doubling)) >> 60) & 7;
        let class = (doubling << 3) | eighth as u32;
        Self(((usage as u32) << Self::CLASS_BITS | class) as u16)
    }
}

impl Kind {
    /// What pages it is served from, where the device has pages; `None` for staging, which is mapped as a whole.
    pub(super) const fn colour(self) -> Option<Colour> {
        const ARENA: u16 = BufferUsage::Arena as u16;
        const CONSTANTS: u16 = BufferUsage::Constants as u16;
        const PARAMS: u16 = BufferUsage::Params as u16;
        match self.0 >> Self::CLASS_BITS {
            ARENA => Some(Colour::ReadWrite),
            CONSTANTS => Some(Colour::ReadOnly),
            PARAMS => Some(Colour::Uniform),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::tier::reserved_bytes;
    use std::collections::BTreeMap;

    #[test]
    fn every_usage_and_class_has_a_number_of_its_own() {
        let usages = [
            BufferUsage::Arena,
            BufferUsage::Constants,
            BufferUsage::Params,
            BufferUsage::Upload,
            BufferUsage::Readback,
        ];
        let mut seen = BTreeMap::new();
        let mut size = Bytes(256);
        while size < Bytes(u64::MAX) {
            for usage in usages {
                let before = seen.insert(Kind::new(usage, size), (usage, size));
                assert_eq!(before, None, "{usage:?} {size:?}");
            }
            size = reserved_bytes(Bytes(size.get() + 1));
        }
        assert_eq!(seen.len(), 5 * (56 * 8));
    }
}
