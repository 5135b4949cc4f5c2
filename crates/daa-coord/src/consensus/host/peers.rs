//! What is known of the others, and how much each of them may ask.

use crate::keys::PublicKey;
use std::collections::BTreeMap;
use std::time::Duration;

/// Peers that are remembered; who was silent longest is forgotten first.
const MAX_PEERS: usize = 512;

/// Blocks that may be served to one peer at once.
const BURST: u32 = 64;

/// How often one peer is told that it is behind.
const TELL_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug, Clone)]
struct Peer {
    /// The last height it has said or shown to have decided.
    height: u64,
    heard: Duration,
    /// When it was last told how far this validator is.
    told: Option<Duration>,
    /// Blocks it may still be served, in millionths, and when that was worked out.
    credit: u64,
    credited: Duration,
    /// Failed answers to requests.
    blame: u32,
}

/// A request for blocks that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SyncRequest {
    pub(super) peer: PublicKey,
    pub(super) from: u64,
}

#[derive(Debug, Default)]
pub(super) struct Peers {
    known: BTreeMap<PublicKey, Peer>,
    pub(super) asked: Option<SyncRequest>,
}

impl Peers {
    fn entry(&mut self, peer: PublicKey, now: Duration) -> &mut Peer {
        if !self.known.contains_key(&peer) && self.known.len() >= MAX_PEERS {
            let silent = self
                .known
                .iter()
                .min_by_key(|(_, peer)| peer.heard)
                .map(|(&key, _)| key);
            if let Some(silent) = silent {
                self.known.remove(&silent);
            }
        }
        let entry = self.known.entry(peer).or_insert(Peer {
            height: 0,
            heard: now,
            told: None,
            credit: u64::from(BURST) * 1_000_000,
            credited: now,
            blame: 0,
        });
        entry.heard = now;
        entry
    }

    /// The peer has decided `height`, or says so.
    pub(super) fn is_at(&mut self, peer: PublicKey, height: u64, now: Duration) {
        let entry = self.entry(peer, now);
        entry.height = entry.height.max(height);
    }

    /// Whether it is time to tell the peer how far this validator is.
    pub(super) fn may_tell(&mut self, peer: PublicKey, now: Duration) -> bool {
        let entry = self.entry(peer, now);
        let due = entry
            .told
            .is_none_or(|told| now.saturating_sub(told) >= TELL_EVERY);
        if due {
            entry.told = Some(now);
        }
        due
    }

    /// How many of `wanted` blocks the peer may be served now; they are taken from its share.
    pub(super) fn grant(&mut self, peer: PublicKey, wanted: u32, rate: u32, now: Duration) -> u32 {
        let entry = self.entry(peer, now);
        let passed = u64::try_from(now.saturating_sub(entry.credited).as_micros()).unwrap_or(u64::MAX);
        entry.credited = now;
        entry.credit = entry
            .credit
            .saturating_add(passed.saturating_mul(u64::from(rate)))
            .min(u64::from(BURST) * 1_000_000);
        let granted = (entry.credit / 1_000_000).min(u64::from(wanted));
        entry.credit -= granted * 1_000_000;
        u32::try_from(granted).unwrap_or(wanted)
    }

    /// Whom to ask for blocks after `height`: the least blamed of those that are further, and of these the furthest.
    pub(super) fn ahead_of(&self, height: u64) -> Option<(PublicKey, u64)> {
        self.known
            .iter()
            .filter(|(_, peer)| peer.height > height)
            .min_by_key(|(_, peer)| (peer.blame, std::cmp::Reverse(peer.height)))
            .map(|(&key, peer)| (key, peer.height))
    }

    /// The peer that was asked gave nothing of use.
    pub(super) fn blame_sync(&mut self) {
        if let Some(asked) = self.asked.take()
            && let Some(peer) = self.known.get_mut(&asked.peer)
        {
            peer.blame = peer.blame.saturating_add(1);
            // A height that it cannot show is a height that it does not have.
            peer.height = peer.height.min(asked.from.saturating_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PublicKey = PublicKey([1; 32]);
    const B: PublicKey = PublicKey([2; 32]);

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_peer_that_asks_much_is_served_at_its_rate_only() {
        let mut peers = Peers::default();
        let served: u32 = (0..100).map(|_| peers.grant(A, 16, 1000, at(0))).sum();
        assert_eq!(served, BURST, "the burst, then nothing");
        assert_eq!(peers.grant(A, 16, 1000, at(10)), 10, "a thousand per second");
        assert_eq!(
            peers.grant(B, 16, 1000, at(10)),
            16,
            "another peer has its own share"
        );
    }

    #[test]
    fn whoever_cannot_show_blocks_is_asked_last() {
        let mut peers = Peers::default();
        peers.is_at(A, 100, at(0));
        peers.is_at(B, 50, at(0));
        assert_eq!(peers.ahead_of(10), Some((A, 100)));
        peers.asked = Some(SyncRequest { peer: A, from: 11 });
        peers.blame_sync();
        assert_eq!(peers.ahead_of(10), Some((B, 50)));
        assert_eq!(peers.ahead_of(50), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut peers = Peers::default();
        for n in 0..2000_u32 {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&n.to_le_bytes());
            peers.is_at(PublicKey(key), 1, at(u64::from(n)));
        }
        assert_eq!(peers.known.len(), MAX_PEERS);
    }
}
