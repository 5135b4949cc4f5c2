//! Catching up: who is behind asks for decided blocks, and believes their certificates only.

use super::peers::SyncRequest;
use super::{Bug, Effect, Host, TimerId, is_planted};
use crate::consensus::block::Decided;
use crate::consensus::context::ChainContext;
use crate::consensus::wire::{MAX_SYNC_BLOCKS, Message};
use crate::keys::PublicKey;
use arc_malachitebft_core_consensus::{Input, PeerId};
use arc_malachitebft_core_types::ValueResponse;

/// Bytes of blocks in one response, far below what a message may have.
const RESPONSE_BYTES: usize = 2 << 20;

impl Host {
    pub(super) fn on_status_timer(&mut self) {
        let height = self.height();
        self.shell.broadcast(Message::Status { height });
        let every = self.shell.config.status_every;
        self.shell.schedule(TimerId::Status, every);
    }

    pub(super) fn on_status(&mut self, from: PublicKey, height: u64) {
        let own = self.height();
        let now = self.shell.now.monotonic;
        self.shell.peers.is_at(from, height, now);
        if height > own && !self.shell.timers.contains(&TimerId::Sync) {
            let after = self.shell.config.sync_after;
            self.shell.schedule(TimerId::Sync, after);
        } else if height < own {
            self.tell_behind(from);
        }
    }

    /// Answers a peer that speaks of a height that is over.
    pub(super) fn tell_behind(&mut self, from: PublicKey) {
        let height = self.height();
        if self.shell.peers.may_tell(from, self.shell.now.monotonic) {
            self.send(from, Message::Status { height });
        }
    }

    pub(super) fn on_sync_timer(&mut self) {
        // Whoever was asked and has not answered by now is asked last.
        self.shell.peers.blame_sync();
        self.ask_for_blocks();
    }

    fn ask_for_blocks(&mut self) {
        let own = self.height();
        let Some((peer, height)) = self.shell.peers.ahead_of(own) else {
            return;
        };
        let from = own + 1;
        let count = u32::try_from((height - own).min(MAX_SYNC_BLOCKS as u64)).unwrap_or(1);
        self.shell.peers.asked = Some(SyncRequest { peer, from });
        self.send(peer, Message::SyncRequest { from, count });
        // The answer takes a way there and back: four times the wait before the question is patient enough.
        let wait = self.shell.config.sync_after * 4;
        self.shell.schedule(TimerId::Sync, wait);
    }

    pub(super) fn on_sync_request(&mut self, peer: PublicKey, first: u64, count: u32) {
        let (now, rate) = (self.shell.now.monotonic, self.shell.config.serve_rate);
        let wanted = count.min(MAX_SYNC_BLOCKS as u32);
        let granted = self.shell.peers.grant(peer, wanted, rate, now);
        let mut bytes = 0;
        let blocks: Vec<Decided> = (0..u64::from(granted))
            .map_while(|at| self.decided(first.checked_add(at)?))
            .take_while(|decided| {
                bytes += decided
                    .block()
                    .encode()
                    .map_or(RESPONSE_BYTES, |bytes| bytes.len());
                bytes <= RESPONSE_BYTES
            })
            .map(|decided| Decided::clone(decided))
            .collect();
        if !blocks.is_empty() {
            self.send(peer, Message::SyncResponse(blocks));
        } else if granted > 0 && first <= self.height() {
            self.shell.emit(Effect::ServeOld {
                to: peer,
                first,
                count: granted,
            });
        }
    }

    pub(super) fn on_sync_response(&mut self, from: PublicKey, blocks: Vec<Decided>) {
        let asked = self.shell.peers.asked.is_some_and(|asked| asked.peer == from);
        let bounded = blocks.iter().all(|decided| decided.certificate.is_bounded());
        if !asked || !bounded || !self.synced.is_empty() {
            self.shell.counters.dropped += 1;
            return;
        }
        let own = self.height();
        let next = blocks.iter().position(|decided| decided.height() > own);
        self.synced = blocks.into_iter().skip(next.unwrap_or(usize::MAX)).collect();
        if self.synced.is_empty() {
            self.shell.peers.blame_sync();
        }
    }

    /// Gives the next block from a peer to the core; `false` when there is none.
    pub(super) fn next_synced(&mut self) -> bool {
        let (Some(decided), Some(SyncRequest { peer, .. })) =
            (self.synced.pop_front(), self.shell.peers.asked)
        else {
            self.synced.clear();
            return false;
        };
        if decided.height() != self.shell.height() {
            // An earlier one was refused, or the height was decided by votes meanwhile.
            self.synced.clear();
            return false;
        }
        self.start_height();
        self.shell.judge(&decided.named);
        if is_planted(Bug::UncheckedSyncCertificate) {
            self.decide_unchecked(&decided);
        } else {
            let certificate = decided.certificate.to_extended(decided.height(), decided.id());
            let response = ValueResponse::<ChainContext>::new(
                peer_id(&peer),
                decided.id().0.0.to_vec().into(),
                certificate,
            );
            self.shell.inbox.push_back(Input::SyncValueResponse(response));
        }
        if self.synced.is_empty() {
            self.more_to_sync = true;
        }
        true
    }

    /// More may be missing than one response holds. Only now is it known what the core makes of the last block: a peer whose
    /// certificate did not hold is blamed before somebody is asked again.
    pub(super) fn sync_on(&mut self) {
        if std::mem::take(&mut self.more_to_sync) {
            self.shell.peers.asked = None;
            self.shell.cancel(TimerId::Sync);
            self.ask_for_blocks();
        }
    }

    /// What a careless programmer would write; see [`Bug`].
    fn decide_unchecked(&mut self, decided: &Decided) {
        let certificate = decided.certificate.to_commit(decided.height(), decided.id());
        self.shell.decide(&certificate);
    }
}

/// The name of a peer as the core carries it through: the multihash that libp2p derives from its key.
fn peer_id(key: &PublicKey) -> PeerId {
    const ED25519_KEY: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
    let bytes = [ED25519_KEY.as_slice(), &key.0].concat();
    PeerId::from_bytes(&bytes).expect("an identity multihash of 36 bytes is well-formed")
}
