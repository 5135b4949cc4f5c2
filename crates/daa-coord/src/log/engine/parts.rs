//! Blocks in pieces: cut by whoever proposes, put together by the others within bounds per publisher and per sender.

use crate::consensus::{BlockPart, ConsensusBlock, Height, MAX_BLOCK, NamedBlock};
use crate::keys::PublicKey;
use arc_malachitebft_core_types::Round;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;

/// Bytes of a block in one part; only a block's last part has fewer.
pub(super) const PART_BYTES: usize = 128 << 10;

/// Parts of the largest block.
const MAX_PARTS: u32 = MAX_BLOCK.div_ceil(PART_BYTES) as u32;

/// Rounds beyond the first that are looked at before a height is in work, and beyond the current one afterwards.
const ROUNDS_AHEAD: u32 = 10;

/// Unfinished blocks of one publisher, and unfinished bytes of one sender.
const MAX_OPEN: usize = 4;
const MAX_OPEN_BYTES: usize = 2 * MAX_BLOCK;

/// Where a block belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) height: Height,
    pub(super) round: Round,
    pub(super) pol_round: Round,
    pub(super) proposer: PublicKey,
}

/// The parts of `named`, at least one.
pub(super) fn cut(block: &[u8], place: Place) -> Vec<BlockPart> {
    let count = block.len().div_ceil(PART_BYTES).max(1) as u32;
    let chunks = block.chunks(PART_BYTES).zip(0..);
    let part = |(bytes, index): (&[u8], u32)| BlockPart {
        height: place.height,
        round: place.round,
        pol_round: place.pol_round,
        proposer: place.proposer,
        index,
        count,
        bytes: bytes.to_vec(),
    };
    chunks.map(part).collect()
}

#[derive(Debug)]
struct Open {
    place: Place,
    sender: PublicKey,
    parts: Vec<Option<Vec<u8>>>,
}

impl Open {
    fn bytes(&self) -> usize {
        self.parts.iter().flatten().map(Vec::len).sum()
    }
}

/// Who sends a part, and under which name of a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    /// Who published it: parts of one block share it.
    pub(super) publisher: PublicKey,
    /// Who delivered it, and is charged for it.
    pub(super) sender: PublicKey,
    pub(super) stream: &'a Bytes,
}

/// Blocks that are not complete yet.
#[derive(Debug, Default)]
pub(super) struct Parts {
    open: BTreeMap<(PublicKey, Bytes), Open>,
}

impl Parts {
    pub(super) const fn new() -> Self {
        Self {
            open: BTreeMap::new(),
        }
    }

    /// Takes a part; the block when it completes one. `None` for what is refused, too.
    pub(super) fn take(
        &mut self,
        origin: Origin<'_>,
        part: BlockPart,
        round: u32,
    ) -> Option<(Place, NamedBlock)> {
        let place = Place {
            height: part.height,
            round: part.round,
            pol_round: part.pol_round,
            proposer: part.proposer,
        };
        let last = part.index.checked_add(1)? == part.count;
        let sized = part.bytes.len() == PART_BYTES || (last && part.bytes.len() < PART_BYTES);
        let near = part
            .round
            .as_u32()
            .is_some_and(|at| at <= round.saturating_add(ROUNDS_AHEAD));
        if part.count > MAX_PARTS || part.index >= part.count || !sized || !near {
            return None;
        }
        if part.count == 1 {
            return finish(place, &part.bytes);
        }
        let key = (origin.publisher, origin.stream.clone());
        if !self.may_grow(origin, &key, part.bytes.len()) {
            return None;
        }
        let open = self.open.entry(key.clone()).or_insert_with(|| Open {
            place,
            sender: origin.sender,
            parts: vec![None; part.count as usize],
        });
        if open.place != place || open.parts.len() != part.count as usize {
            return None;
        }
        open.parts[part.index as usize].get_or_insert(part.bytes);
        if open.parts.iter().any(Option::is_none) {
            return None;
        }
        let whole = self.open.remove(&key)?;
        finish(
            place,
            &whole.parts.into_iter().flatten().flatten().collect::<Vec<u8>>(),
        )
    }

    fn may_grow(&self, origin: Origin<'_>, key: &(PublicKey, Bytes), more: usize) -> bool {
        let of_publisher = self
            .open
            .keys()
            .filter(|(who, _)| *who == origin.publisher)
            .count();
        let of_sender = self.open.values().filter(|open| open.sender == origin.sender);
        let bytes: usize = of_sender.map(Open::bytes).sum();
        (self.open.contains_key(key) || of_publisher < MAX_OPEN) && bytes + more <= MAX_OPEN_BYTES
    }

    /// Forgets what belongs below `height`.
    pub(super) fn prune(&mut self, height: u64) {
        self.open.retain(|_, open| open.place.height.0 >= height);
    }
}

fn finish(place: Place, bytes: &[u8]) -> Option<(Place, NamedBlock)> {
    let block = ConsensusBlock::decode(bytes).ok()?;
    let named = NamedBlock::new(block).ok()?;
    (named.height() == place.height.0).then_some((place, named))
}

/// How many commands each peer may still have checked: a bucket that fills with time.
#[derive(Debug, Default)]
pub(super) struct Allowances {
    of: BTreeMap<PublicKey, (u32, Duration)>,
}

impl Allowances {
    pub(super) const fn new() -> Self {
        Self { of: BTreeMap::new() }
    }

    /// How many of `wanted` commands of `peer`, who may have `full` a second, are looked at.
    pub(super) fn grant(&mut self, peer: PublicKey, wanted: usize, full: u32, now: Duration) -> usize {
        let (left, since) = self.of.entry(peer).or_insert((full, now));
        let gained = now.saturating_sub(*since).as_secs_f64() * f64::from(full);
        if gained >= 1.0 {
            *left = left.saturating_add(gained as u32).min(full);
            *since = now;
        }
        let granted = wanted.min(*left as usize);
        *left -= granted as u32;
        granted
    }

    /// Forgets everybody but `keep`.
    pub(super) fn retain(&mut self, keep: impl Fn(&PublicKey) -> bool) {
        self.of.retain(|peer, _| keep(peer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::{BlockId, Header};
    use crate::genesis::ChainId;
    use crate::keys::Digest;
    use daa_base::Timestamp;

    const ME: PublicKey = PublicKey([7; 32]);

    fn place() -> Place {
        Place {
            height: Height(1),
            round: Round::ZERO,
            pol_round: Round::Nil,
            proposer: ME,
        }
    }

    /// Parts need not be sound blocks until they are complete.
    fn junk() -> Vec<BlockPart> {
        cut(&vec![1; 2 * PART_BYTES + 5], place())
    }

    fn origin<'a>(publisher: PublicKey, stream: &'a Bytes) -> Origin<'a> {
        Origin {
            publisher,
            sender: publisher,
            stream,
        }
    }

    #[test]
    fn a_block_survives_being_cut() {
        let block = ConsensusBlock {
            header: Header {
                chain: ChainId([1; 32]),
                height: 1,
                time: Timestamp(5),
                parent: BlockId::default(),
                state: Digest([2; 32]),
                proposer: ME,
            },
            entries: Vec::new(),
            evidence: Vec::new(),
        };
        let parts = cut(&block.encode().expect("small"), place());
        assert_eq!(parts.len(), 1);
        let stream = Bytes::from_static(b"s");
        let (at, named) = Parts::default()
            .take(origin(ME, &stream), parts[0].clone(), 0)
            .expect("whole");
        assert_eq!((at, named.block().as_ref()), (place(), &block));
    }

    #[test]
    fn unfinished_blocks_are_bounded_per_publisher() {
        let mut parts = Parts::default();
        for stream in 0..50_u8 {
            let stream = Bytes::from(vec![stream]);
            for part in &junk()[..2] {
                assert_eq!(parts.take(origin(ME, &stream), part.clone(), 0), None);
            }
        }
        assert_eq!(parts.open.len(), MAX_OPEN);
        let other = Bytes::from_static(b"other");
        parts.take(origin(PublicKey([8; 32]), &other), junk()[0].clone(), 0);
        assert_eq!(parts.open.len(), MAX_OPEN + 1, "nobody takes another's room");
        parts.prune(2);
        assert!(parts.open.is_empty());
    }

    #[test]
    fn odd_parts_are_refused() {
        let stream = Bytes::from_static(b"s");
        let refused = |change: fn(&mut BlockPart)| {
            let mut parts = Parts::default();
            let mut part = junk()[0].clone();
            change(&mut part);
            parts.take(origin(ME, &stream), part, 0).is_none() && parts.open.is_empty()
        };
        assert!(refused(|part| part.index = part.count));
        assert!(refused(|part| part.count = u32::MAX));
        assert!(refused(|part| part.index = u32::MAX));
        assert!(refused(|part| part.bytes.truncate(9)));
        assert!(refused(|part| part.round = Round::new(11)));
        assert!(refused(|part| part.round = Round::Nil));
        assert!(!refused(|_| {}));
    }

    #[test]
    fn a_flooding_peer_has_its_share_and_no_more() {
        let mut allowances = Allowances::new();
        let at = Duration::from_millis;
        assert_eq!(allowances.grant(ME, 1000, 100, at(0)), 100);
        assert_eq!(allowances.grant(ME, 1000, 100, at(1)), 0);
        assert_eq!(allowances.grant(PublicKey([8; 32]), 60, 100, at(1)), 60);
        assert_eq!(allowances.grant(ME, 1000, 100, at(501)), 50);
        allowances.retain(|_| false);
        assert!(allowances.of.is_empty());
    }
}
