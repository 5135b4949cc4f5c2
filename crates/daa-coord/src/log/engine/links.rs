//! Connections between nodes: the engine's network, in place of its own.
//!
//! The engine's own network opens a stream for every message to every peer and agrees on the stream's protocol first: three
//! ways through the network instead of one, and most of a node's processor time. Here each pair of nodes has a TCP connection per
//! direction, authenticated and encrypted by Noise under the nodes' Ed25519 keys as everywhere in libp2p, on which bounded
//! frames follow each other.
//!
//! - Who connects must be a validator or an agent of the ledger. Only validators are heard on the agreement; agents may hand in
//!   commands and follow the chain. Whom this node itself connects to may also be unknown here, because this node may be
//!   behind: it may serve decided blocks, which prove themselves.
//! - Everything is bounded: frames by kind, what is read per second and connection, what waits to be sent, connections per address,
//!   guests, handshakes at one time.
//! - A connection is given up when nothing comes for some seconds, and made again as long as its address is known.
//! - Nothing is relayed: validators must reach each other.

mod frame;
mod hub;
mod link;
#[cfg(test)]
mod tests;

use self::frame::Kind;
pub(super) use self::hub::key_of;
use self::hub::{Hub, Standing};
use self::link::Identity;
use crate::consensus::{ChainContext, Part};
use crate::genesis::ChainId;
use crate::keys::PublicKey;
use crate::ledger::Ledger;
use arc_malachitebft_app_channel::app::engine::network::{Msg, PersistentPeerError, PersistentPeersOp};
use arc_malachitebft_app_channel::app::streaming::StreamMessage;
use arc_malachitebft_app_channel::app::types::SignedConsensusMsg;
use arc_malachitebft_sync::Status;
use libp2p::Multiaddr;
use libp2p::identity::Keypair;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// The frames at the beginning of `bytes`: the number of the kind, the body, and the body without a request's number.
#[cfg(any(test, fuzzing))]
pub(super) fn read_all(mut bytes: &[u8]) -> Vec<(u8, bytes::Bytes, bytes::Bytes)> {
    use futures::FutureExt as _;
    let mut frames = Vec::new();
    while let Some(Ok(frame)) = frame::Frame::read(&mut bytes).now_or_never() {
        let is_numbered = matches!(frame.kind, Kind::Request | Kind::Response);
        let numbered = is_numbered.then(|| frame.number()).flatten();
        let message = numbered.map_or_else(|| frame.body.clone(), |(_, message)| message);
        frames.push((frame.kind as u8, frame.body, message));
    }
    frames
}

/// What a node's connections need.
pub(super) struct LinksConfig {
    pub(super) me: PublicKey,
    pub(super) keypair: Keypair,
    pub(super) chain: ChainId,
    pub(super) listen: Multiaddr,
    pub(super) peers: Vec<Multiaddr>,
    pub(super) max_per_ip: usize,
    /// Peers that are not validators.
    pub(super) max_guests: usize,
}

/// The node's side of its connections.
#[derive(Debug, Clone)]
pub(super) struct Links(Arc<Hub>);

impl Links {
    /// Sends a part to everybody who is connected.
    pub(super) fn publish(&self, part: &StreamMessage<Part>) {
        self.0.publish(Kind::Part, part);
    }

    /// Peers that have connected since this was last asked.
    pub(super) fn newcomers(&self) -> BTreeSet<PublicKey> {
        self.0.newcomers()
    }

    /// Sends a part to one peer.
    pub(super) fn tell(&self, key: &PublicKey, part: &StreamMessage<Part>) {
        self.0.tell(key, Kind::Part, part);
    }

    /// What was refused of what peers sent.
    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped()
    }

    /// Whether `key` is connected.
    pub(super) fn is_connected(&self, key: &PublicKey) -> bool {
        self.0.is_connected(key)
    }
}

/// The actor by which the engine uses the connections.
#[derive(Debug)]
pub(super) struct Network;

/// What the actor has.
pub(super) struct Wires {
    hub: Arc<Hub>,
    identity: Identity,
}

fn standing(ledger: &Ledger, key: &PublicKey) -> Standing {
    if ledger.validators().get(key).is_some() {
        return Standing::Validator;
    }
    let agent = ledger
        .agents()
        .any(|agent| ledger.agent_key(agent.agent) == Some(*key));
    if agent {
        Standing::Agent
    } else {
        Standing::Stranger
    }
}

/// Listens, connects to the peers of `config` and starts the actor. `ledger` gives the last one; `observer` sees what
/// validators sign.
///
/// # Errors
/// When the address cannot be listened at.
pub(super) async fn start(
    config: LinksConfig,
    ledger: impl Fn() -> Arc<Ledger> + Send + Sync + 'static,
    observer: impl Fn(&SignedConsensusMsg<ChainContext>) + Send + Sync + 'static,
) -> io::Result<(Links, ActorRef<Msg<ChainContext>>)> {
    let members = Box::new(move |key: &PublicKey| standing(&ledger(), key));
    let judges: (hub::Members, hub::Observer) = (members, Box::new(observer));
    let hub = Arc::new(Hub::new(config.me, judges, config.max_guests, config.max_per_ip));
    let prologue = [b"daa engine 1 ".as_slice(), &config.chain.0].concat();
    let identity = Identity {
        keypair: config.keypair,
        prologue,
    };
    let accepting = link::listen(Arc::clone(&hub), identity.clone(), config.listen).await?;
    hub.add_task(tokio::spawn(accepting).abort_handle());
    let wires = Wires {
        hub: Arc::clone(&hub),
        identity,
    };
    for address in config.peers {
        wires.dial(address);
    }
    let started = Actor::spawn(None, Network, wires).await;
    let (actor, _) = started.map_err(|error| io::Error::other(error.to_string()))?;
    Ok((Links(hub), actor))
}

impl Wires {
    fn dial(&self, address: Multiaddr) -> bool {
        let dialing = link::dial(Arc::clone(&self.hub), self.identity.clone(), address.clone());
        self.hub.add_dial(address, tokio::spawn(dialing).abort_handle())
    }

    fn update(&self, operation: PersistentPeersOp) -> Result<(), PersistentPeerError> {
        match operation {
            PersistentPeersOp::Add(address) if self.dial(address.clone()) => Ok(()),
            PersistentPeersOp::Add(_) => Err(PersistentPeerError::AlreadyExists),
            PersistentPeersOp::Remove(address) if self.hub.remove_dial(&address) => Ok(()),
            PersistentPeersOp::Remove(_) => Err(PersistentPeerError::NotFound),
        }
    }

    fn handle(&self, message: Msg<ChainContext>) {
        let hub = &self.hub;
        // Whoever asked may be gone: the node is ending then.
        match message {
            Msg::Subscribe(subscriber) => hub.subscribe(subscriber),
            Msg::PublishConsensusMsg(message) => hub.publish(Kind::Consensus, &message),
            Msg::PublishLivenessMsg(message) => hub.publish(Kind::Liveness, &message),
            Msg::PublishProposalPart(part) => hub.publish(Kind::Part, &part),
            Msg::BroadcastStatus(status) => {
                if let Some(peer_id) = hub::peer_id(&hub.me) {
                    hub.publish_status(&Status {
                        peer_id,
                        tip_height: status.tip_height,
                        history_min_height: status.history_min_height,
                    });
                }
            }
            Msg::OutgoingRequest(peer, request, reply) => {
                let _gone = reply.send(hub.ask(peer, &request));
            }
            Msg::CancelRequest(request) => hub.forget(&request),
            Msg::OutgoingResponse(request, response) => hub.answer(&request, Some(&response)),
            Msg::CancelInboundRequest(request) => hub.answer(&request, None),
            Msg::DumpState(reply) => {
                let _gone = reply.send(None);
            }
            Msg::UpdatePersistentPeers(operation, reply) => {
                let _gone = reply.send(self.update(operation));
            }
            // The ledger says who is a validator, and each connection is authenticated by its node's key.
            Msg::UpdateValidatorSet(_) | Msg::ValidatorProofVerified { .. } | Msg::NewEvent(_) => {}
        }
    }
}

#[async_trait::async_trait]
impl Actor for Network {
    type Msg = Msg<ChainContext>;
    type State = Wires;
    type Arguments = Wires;

    async fn pre_start(&self, _me: ActorRef<Self::Msg>, wires: Wires) -> Result<Wires, ActorProcessingErr> {
        Ok(wires)
    }

    async fn handle(
        &self,
        _me: ActorRef<Self::Msg>,
        message: Self::Msg,
        wires: &mut Wires,
    ) -> Result<(), ActorProcessingErr> {
        wires.handle(message);
        Ok(())
    }

    async fn post_stop(&self, _me: ActorRef<Self::Msg>, wires: &mut Wires) -> Result<(), ActorProcessingErr> {
        wires.hub.end();
        Ok(())
    }
}
