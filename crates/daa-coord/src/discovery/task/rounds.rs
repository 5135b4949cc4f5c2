//! What a node does from time to time: it reaches those that should be connected, and says who seems gone.

use super::{Task, without_name};
use crate::discovery::address::{peer_id, peer_of};
use crate::discovery::wire::Request;
use crate::health::{MAX_OPINIONS, Opinion};
use crate::keys::PublicKey;
use libp2p::PeerId;
use libp2p::swarm::dial_opts::DialOpts;

impl Task {
    /// One round.
    pub(super) fn round(&mut self) {
        self.drop_strangers();
        let own = *self.swarm.local_peer_id();
        for (address, peer) in self.bootstrap.clone() {
            let dial = match peer {
                Some(peer) if peer == own || self.swarm.is_connected(&peer) => continue,
                Some(peer) => DialOpts::peer_id(peer)
                    .addresses(vec![without_name(&address)])
                    .build(),
                None => DialOpts::unknown_peer_id().address(address).build(),
            };
            self.dial(dial);
        }
        for peer in self.known() {
            if self.view.connected.len() < self.config.max_peers as usize && !self.swarm.is_connected(&peer) {
                self.dial(DialOpts::peer_id(peer).build());
            }
        }
        self.tell_health();
        let now = self.now();
        let suspected = self.members.iter().copied();
        self.view.suspected = suspected
            .filter(|member| self.opinions.worth_a_vote(member, now))
            .collect();
    }

    fn dial(&mut self, opts: DialOpts) {
        if let Err(error) = self.swarm.dial(opts) {
            tracing::debug!(%error, "not dialled");
        }
    }

    /// The peers in the table that the policy allows.
    fn known(&mut self) -> Vec<PeerId> {
        let policy = self.policy.clone();
        let table = &mut self.swarm.behaviour_mut().kad;
        let peers = table.kbuckets().flat_map(|bucket| {
            bucket
                .iter()
                .map(|entry| *entry.node.key.preimage())
                .collect::<Vec<_>>()
        });
        peers
            .filter(|peer| peer_of(peer).is_some_and(|key| policy.allows(&key)))
            .collect()
    }

    /// Disconnects those that the policy no longer allows.
    fn drop_strangers(&mut self) {
        let connected: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in connected {
            if !peer_of(&peer).is_some_and(|key| self.policy.allows(&key)) {
                self.disconnect(peer);
            }
        }
    }

    fn tell_health(&mut self) {
        let now = self.now();
        let own = self.own_opinions();
        if self.members.contains(&self.me) {
            // The own opinion counts like any other; it is a member's, and short enough.
            let _ = self.opinions.hear(self.me, &own, now);
        }
        let Ok(bytes) = Request::Health(own).encode() else {
            return;
        };
        let connected = |peer: &&PublicKey| self.view.connected.contains(*peer);
        let members: Vec<PublicKey> = self.members.iter().filter(connected).copied().collect();
        for peer in members {
            if self.outbound.len() < self.config.max_outbound
                && let Some(id) = peer_id(&peer)
            {
                self.send(peer, &id, bytes.clone(), None);
            }
        }
    }

    fn own_opinions(&self) -> Vec<Opinion> {
        let all = self.monitor.all(self.now());
        all.filter(|(peer, _)| self.members.contains(peer))
            .take(MAX_OPINIONS)
            .map(|(about, phi_milli)| Opinion { about, phi_milli })
            .collect()
    }

    pub(super) fn suspicions(&self) -> Vec<Opinion> {
        let all = self.monitor.all(self.now());
        all.map(|(about, phi_milli)| Opinion { about, phi_milli })
            .collect()
    }
}
