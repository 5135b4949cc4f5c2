//! The buffers that are kept for any tenant.

use super::chunk::{Chunk, Spare};
use super::kind::Kind;
use super::paging::Freed;
use crate::memory::tier::Tier;
use daa_base::Bytes;
use std::collections::{BTreeMap, VecDeque};

type Sort = (Kind, Bytes);

/// Kept buffers by kind and by age.
#[derive(Debug)]
pub(super) struct Shelf<B> {
    /// Of each kind with the time of their return, oldest first.
    kept: BTreeMap<Sort, VecDeque<(u64, Chunk<B>)>>,
    /// The same by time of return.
    by_age: BTreeMap<u64, Sort>,
    returns: u64,
    bytes: Bytes,
    /// Bytes by tier.
    tiers: [Bytes; 5],
    /// Buffers of each tier that had to go.
    evictions: [u64; 5],
}

impl<B> Shelf<B> {
    pub(super) const fn new() -> Self {
        Self {
            kept: BTreeMap::new(),
            by_age: BTreeMap::new(),
            returns: 0,
            bytes: Bytes::ZERO,
            tiers: [Bytes::ZERO; 5],
            evictions: [0; 5],
        }
    }

    pub(super) const fn bytes(&self) -> Bytes {
        self.bytes
    }

    /// Kept bytes and evictions of a tier.
    pub(super) const fn tier(&self, tier: Tier) -> (Bytes, u64) {
        (self.tiers[tier.index()], self.evictions[tier.index()])
    }

    pub(super) fn put(&mut self, spare: Spare<B>) {
        let Spare {
            kind,
            reserved,
            chunk,
        } = spare;
        self.returns += 1;
        self.kept
            .entry((kind, reserved))
            .or_default()
            .push_back((self.returns, chunk));
        self.by_age.insert(self.returns, (kind, reserved));
        self.bytes = self.bytes + reserved;
        let tier = &mut self.tiers[Tier::of(reserved).index()];
        *tier = *tier + reserved;
    }

    /// The one returned last is the likeliest to be still in a cache of the hardware.
    pub(super) fn take(&mut self, kind: Kind, reserved: Bytes) -> Option<Chunk<B>> {
        let (returned, chunk) = self.kept.get_mut(&(kind, reserved))?.pop_back()?;
        self.by_age.remove(&returned);
        self.forget(kind, reserved);
        Some(chunk)
    }

    fn forget(&mut self, kind: Kind, reserved: Bytes) {
        self.bytes = self.bytes - reserved;
        let tier = &mut self.tiers[Tier::of(reserved).index()];
        *tier = *tier - reserved;
        if self.kept.get(&(kind, reserved)).is_some_and(VecDeque::is_empty) {
            self.kept.remove(&(kind, reserved));
        }
    }

    /// Takes out the least recently returned buffers until at most `limit` bytes are kept.
    pub(super) fn trim_to(&mut self, limit: Bytes, freed: &mut Vec<Freed<B>>) {
        while self.bytes > limit {
            let Some((_, (kind, reserved))) = self.by_age.pop_first() else {
                break;
            };
            let oldest = self.kept.get_mut(&(kind, reserved)).and_then(VecDeque::pop_front);
            freed.extend(oldest.map(|(_, chunk)| Freed::Chunk(chunk)));
            self.forget(kind, reserved);
            self.evictions[Tier::of(reserved).index()] += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::pool::kind::BufferUsage;

    #[test]
    fn the_newest_is_taken_and_the_oldest_goes() {
        let mut shelf = Shelf::new();
        let (kind, reserved) = (Kind::new(BufferUsage::Arena, Bytes(256)), Bytes(256));
        for number in 0..4_u32 {
            shelf.put(Spare {
                kind,
                reserved,
                chunk: Chunk::Whole(number),
            });
        }
        let mut freed = Vec::new();
        shelf.trim_to(Bytes(700), &mut freed);
        assert!(matches!(
            freed[..],
            [Freed::Chunk(Chunk::Whole(0)), Freed::Chunk(Chunk::Whole(1))]
        ));
        assert_eq!(shelf.tier(Tier::Micro), (Bytes(512), 2));
        assert!(matches!(shelf.take(kind, reserved), Some(Chunk::Whole(3))));
        assert!(matches!(shelf.take(kind, reserved), Some(Chunk::Whole(2))));
        assert!(shelf.take(kind, reserved).is_none());
        assert_eq!(shelf.bytes(), Bytes::ZERO);
    }
}
