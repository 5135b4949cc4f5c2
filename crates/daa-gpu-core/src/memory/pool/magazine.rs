//! The blocks that a tenant gave back and may have again at once.

use super::chunk::Spare;
use super::kind::Kind;

/// Blocks in a magazine at most: as many as one look through its kinds finds at once.
const SLOTS: usize = 32;

/// How many go at once when all slots are taken, so that the centre is not asked each time.
const BATCH: usize = 8;

/// A bounded store of blocks, in slots and in bytes.
#[derive(Debug)]
pub(super) struct Magazine<B> {
    /// Of the slots below, together so that a look through them touches one cache line.
    kinds: [Kind; SLOTS],
    slots: Vec<Slot<B>>,
    bytes: u64,
    /// Bytes at most.
    allowance: u64,
    returns: u64,
}

#[derive(Debug)]
struct Slot<B> {
    returned: u64,
    spare: Spare<B>,
}

impl<B> Magazine<B> {
    pub(super) fn new(allowance: u64) -> Self {
        Self {
            kinds: [Kind::NONE; SLOTS],
            slots: Vec::new(),
            bytes: 0,
            allowance,
            returns: 0,
        }
    }

    /// Takes a block of this kind out. Looks from the end, where the last returned mostly are: those are the likeliest
    /// to be still in a cache of the hardware.
    pub(super) fn take(&mut self, kind: Kind) -> Option<Spare<B>> {
        let at = self.kinds[..self.slots.len()]
            .iter()
            .rposition(|&kept| kept == kind)?;
        Some(self.remove(at))
    }

    fn remove(&mut self, at: usize) -> Spare<B> {
        let slot = self.slots.swap_remove(at);
        self.kinds[at] = self.kinds[self.slots.len()];
        self.bytes -= slot.spare.reserved.get();
        slot.spare
    }

    /// Puts a block in. What has no room any more comes out: the oldest, or the block itself if it is larger than all
    /// the magazine may hold.
    #[inline]
    pub(super) fn put(&mut self, spare: Spare<B>) -> Vec<Spare<B>> {
        let size = spare.reserved.get();
        if self.slots.len() < self.slots.capacity().min(SLOTS) && self.bytes + size <= self.allowance {
            self.push(spare);
            return Vec::new();
        }
        self.put_making_room(spare)
    }

    #[inline]
    fn push(&mut self, spare: Spare<B>) {
        self.kinds[self.slots.len()] = spare.kind;
        self.bytes += spare.reserved.get();
        self.returns += 1;
        self.slots.push(Slot {
            returned: self.returns,
            spare,
        });
    }

    #[cold]
    fn put_making_room(&mut self, spare: Spare<B>) -> Vec<Spare<B>> {
        let size = spare.reserved.get();
        if size > self.allowance {
            return vec![spare];
        }
        let mut out = Vec::new();
        if self.slots.len() == SLOTS {
            for _ in 0..BATCH {
                out.extend(self.take_oldest());
            }
        }
        self.shrink_to(self.allowance - size, &mut out);
        if self.slots.capacity() == 0 {
            self.slots.reserve_exact(SLOTS);
        }
        self.push(spare);
        out
    }

    /// Takes the oldest out until at most `limit` bytes are left.
    pub(super) fn shrink_to(&mut self, limit: u64, out: &mut Vec<Spare<B>>) {
        while self.bytes > limit {
            match self.take_oldest() {
                Some(spare) => out.push(spare),
                None => break,
            }
        }
    }

    fn take_oldest(&mut self) -> Option<Spare<B>> {
        let ages = self.slots.iter().enumerate();
        let (at, _) = ages.min_by_key(|(_, slot)| slot.returned)?;
        Some(self.remove(at))
    }

    /// Takes out everything.
    pub(super) fn empty(&mut self) -> Vec<Spare<B>> {
        self.bytes = 0;
        std::mem::take(&mut self.slots)
            .into_iter()
            .map(|slot| slot.spare)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::pool::chunk::Chunk;
    use crate::memory::pool::kind::BufferUsage;
    use daa_base::Bytes;

    fn spare(size: u64, number: u32) -> Spare<u32> {
        Spare {
            kind: Kind::new(BufferUsage::Arena, Bytes(size)),
            reserved: Bytes(size),
            chunk: Chunk::Whole(number),
        }
    }

    fn numbers(spares: &[Spare<u32>]) -> Vec<u32> {
        spares.iter().map(|spare| *spare.chunk.get()).collect()
    }

    #[test]
    fn the_oldest_make_room_for_bytes_and_for_slots() {
        let mut magazine = Magazine::new(4096);
        assert!(magazine.take(spare(256, 0).kind).is_none());
        for number in 0..4 {
            assert!(magazine.put(spare(1024, number)).is_empty());
        }
        assert_eq!(numbers(&magazine.put(spare(2048, 4))), [0, 1]);
        assert_eq!(
            numbers(&magazine.put(spare(8192, 5))),
            [5],
            "larger than all of it"
        );
        let taken = magazine.take(spare(1024, 9).kind).expect("there are two");
        assert!([2, 3].contains(taken.chunk.get()), "one of the right size");
        assert_eq!(magazine.bytes, 1024 + 2048);
        assert_eq!(magazine.empty().len(), 2);
        assert_eq!((magazine.bytes, magazine.slots.len()), (0, 0));
        let mut magazine = Magazine::new(1 << 20);
        let out: Vec<_> = (0..=SLOTS as u32)
            .map(|number| magazine.put(spare(256, number)))
            .collect();
        assert!(out[..SLOTS].iter().all(Vec::is_empty));
        assert_eq!(numbers(&out[SLOTS]), (0..BATCH as u32).collect::<Vec<_>>());
    }
}
