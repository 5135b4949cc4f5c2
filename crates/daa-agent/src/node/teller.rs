//! Sends the node's own insights to the other nodes: each to every member that is connected, once for every time that it is.
//!
//! Nobody passes on what others said. Who was away gets everything when it is back; what it has already it refuses at the
//! cost of a look.

use super::lore::Lore;
use daa_base::Clock;
use daa_coord::discovery::{Network, Refusal, Request, RequestError, Response};
use daa_coord::knowledge::SignedInsight;
use daa_coord::{PublicKey, ShortText};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Time between two looks at who is connected.
const ROUND: Duration = Duration::from_secs(1);

/// Time after which a peer that did not take something is told again.
const AGAIN: Duration = Duration::from_secs(30);

/// Insights that one peer is told in one round.
const MAX_AT_ONCE: usize = 8;

/// What one connected peer was told.
#[derive(Debug, Default)]
struct Listener {
    told: BTreeMap<ShortText, u64>,
    not_before: Duration,
}

impl Listener {
    fn wants(&self, signed: &SignedInsight) -> bool {
        let told = self.told.get(&signed.insight.topic);
        told.is_none_or(|version| *version < signed.insight.version)
    }
}

pub(super) struct Teller {
    lore: Arc<Lore>,
    network: Network,
    clock: Arc<dyn Clock>,
}

impl Teller {
    pub(super) fn new(lore: &Arc<Lore>, network: &Network, clock: Arc<dyn Clock>) -> Self {
        Self {
            lore: Arc::clone(lore),
            network: network.clone(),
            clock,
        }
    }

    pub(super) async fn run(self) {
        let mut listeners: BTreeMap<PublicKey, Listener> = BTreeMap::new();
        loop {
            tokio::time::sleep(ROUND).await;
            let lore = Arc::clone(&self.lore);
            let own = match tokio::task::spawn_blocking(move || lore.to_tell()).await {
                Ok(Ok(own)) => own,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "what was found is not told yet");
                    continue;
                }
                Err(_) => return,
            };
            let connected = self.network.view().connected;
            listeners.retain(|peer, _| connected.contains(peer));
            for peer in connected.into_iter().filter(|peer| self.lore.listens_to(peer)) {
                listeners.entry(peer).or_default();
            }
            self.tell(&mut listeners, &own).await;
        }
    }

    /// One round: every peer is told at once, and each one thing after the other.
    async fn tell(&self, listeners: &mut BTreeMap<PublicKey, Listener>, own: &[Arc<SignedInsight>]) {
        let now = self.clock.monotonic();
        let mut telling = JoinSet::new();
        for (&peer, listener) in listeners
            .iter()
            .filter(|(_, listener)| listener.not_before <= now)
        {
            let wanted = own.iter().filter(|signed| listener.wants(signed));
            let wanted: Vec<_> = wanted.take(MAX_AT_ONCE).cloned().collect();
            let network = self.network.clone();
            telling.spawn(async move {
                let (mut taken, mut failed) = (Vec::new(), false);
                for signed in wanted {
                    if !tell_one(&network, peer, &signed).await {
                        failed = true;
                        break;
                    }
                    taken.push((signed.insight.topic.clone(), signed.insight.version));
                }
                (peer, taken, failed)
            });
        }
        while let Some(told) = telling.join_next().await {
            let Ok((peer, taken, failed)) = told else {
                continue;
            };
            if let Some(listener) = listeners.get_mut(&peer) {
                listener.told.extend(taken);
                if failed {
                    listener.not_before = now + AGAIN;
                }
            }
        }
    }
}

/// Whether `peer` has it, or will not have it.
async fn tell_one(network: &Network, peer: PublicKey, signed: &SignedInsight) -> bool {
    match network.request(peer, Request::Insight(signed.clone())).await {
        Ok(Response::Taken) => true,
        Err(RequestError::Refused { refusal, .. }) => refusal == Refusal::Invalid,
        Ok(_) | Err(_) => false,
    }
}
