//! The task that owns the connections.

mod rounds;

use super::address::{is_plain, named_peer, peer_of};
use super::behaviour::{Protocols, ProtocolsEvent};
use super::budget::{Excess, Verdict};
use super::config::{DiscoveryConfig, RequestError};
use super::counters::{Counters, Traffic};
use super::network::{Served, View};
use super::queue::{FairQueue, Full};
use super::wire::{Refusal, Request, Response, Status};
use super::{Multiaddr, Policy};
use crate::health::{Monitor, Opinion, Opinions, OpinionsConfig};
use crate::keys::PublicKey;
use daa_base::Clock;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{
    Event as Exchange, InboundFailure, Message, OutboundFailure, OutboundRequestId, ResponseChannel,
};
use libp2p::swarm::SwarmEvent;
use libp2p::{PeerId, Swarm, identify, mdns};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

/// Addresses of one peer that are kept, of those that it says it has.
const ADDRESSES: usize = 8;

type Reply = oneshot::Sender<Result<Response, RequestError>>;
type Channel = ResponseChannel<Vec<u8>>;

/// What handles ask of the task.
#[derive(Debug)]
pub(super) enum Ask {
    Request {
        peer: PublicKey,
        id: PeerId,
        bytes: Vec<u8>,
        reply: Reply,
    },
    Members(Vec<(PublicKey, u64)>),
    Suspicions(oneshot::Sender<Vec<Opinion>>),
    Stop,
}

struct Answered {
    peer: PublicKey,
    channel: Channel,
    /// `None`: nobody answered in time.
    response: Option<Response>,
}

/// The state of the task.
pub(super) struct Task {
    config: DiscoveryConfig,
    me: PublicKey,
    swarm: Swarm<Protocols>,
    policy: Arc<dyn Policy>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    status: Arc<Mutex<Option<Status>>>,
    view: View,
    /// Who answered at each bootstrap address.
    bootstrap: Vec<(Multiaddr, Option<PeerId>)>,
    queue: FairQueue<(Request, Channel)>,
    /// How many requests of each peer are given out and not answered.
    given: BTreeMap<PublicKey, usize>,
    answers: FuturesUnordered<BoxFuture<'static, Answered>>,
    /// Own requests under way; those about health await no answer.
    outbound: BTreeMap<OutboundRequestId, (PublicKey, Option<Reply>)>,
    monitor: Monitor,
    opinions: Opinions,
    members: Vec<PublicKey>,
}

impl Task {
    pub(super) fn new(
        config: DiscoveryConfig,
        me: PublicKey,
        swarm: Swarm<Protocols>,
        policy: Arc<dyn Policy>,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
        status: Arc<Mutex<Option<Status>>>,
    ) -> Self {
        let peers = config.max_peers as usize;
        let heard = OpinionsConfig {
            threshold_milli: config.detector.threshold_milli,
            valid_for: config.round * 5,
        };
        let named = |address: &Multiaddr| (address.clone(), named_peer(address));
        Self {
            me,
            swarm,
            policy,
            clock,
            counters,
            status,
            view: View::default(),
            bootstrap: config.bootstrap.iter().map(named).collect(),
            queue: FairQueue::new(peers, config.queue_per_peer),
            given: BTreeMap::new(),
            answers: FuturesUnordered::new(),
            outbound: BTreeMap::new(),
            // Connected peers and as many members that are not.
            monitor: Monitor::new(config.detector, 2 * peers).expect("the configuration was validated"),
            opinions: Opinions::new(heard, []),
            members: Vec::new(),
            config,
        }
    }

    pub(super) async fn run(
        mut self,
        mut asks: mpsc::Receiver<Ask>,
        out: mpsc::Sender<Served>,
        view: watch::Sender<View>,
        traffic: watch::Sender<Traffic>,
    ) {
        let mut rounds = tokio::time::interval(self.config.round);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Whoever is ready is taken at random: none of them starves the others.
            tokio::select! {
                event = self.swarm.select_next_some() => self.happened(event),
                ask = asks.recv() => match ask {
                    None | Some(Ask::Stop) => return,
                    Some(ask) => self.asked(ask),
                },
                Some(answered) = self.answers.next(), if !self.answers.is_empty() => self.answered(answered),
                _ = rounds.tick() => self.round(),
            }
            self.give_out(&out);
            if *view.borrow() != self.view {
                view.send_replace(self.view.clone());
            }
            let counted = self.counters.read();
            if *traffic.borrow() != counted {
                traffic.send_replace(counted);
            }
        }
    }

    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Request {
                peer,
                id,
                bytes,
                reply,
            } => {
                let max = self.config.max_outbound;
                if self.outbound.len() >= max {
                    // If nobody waits any more, nobody is told.
                    let _ = reply.send(Err(RequestError::TooMany { max }));
                    return;
                }
                self.send(peer, &id, bytes, Some(reply));
            }
            Ask::Members(members) => {
                let now = self.now();
                self.members = members.iter().map(|(member, _)| *member).collect();
                for member in members
                    .iter()
                    .map(|(member, _)| *member)
                    .filter(|member| *member != self.me)
                {
                    self.monitor.follow(member, now);
                }
                self.opinions.set_members(members);
            }
            Ask::Suspicions(reply) => {
                // If nobody waits any more, nobody is told.
                let _ = reply.send(self.suspicions());
            }
            Ask::Stop => {}
        }
    }

    fn send(&mut self, peer: PublicKey, id: &PeerId, bytes: Vec<u8>, reply: Option<Reply>) {
        Counters::count(&self.counters.sent);
        let request = self.swarm.behaviour_mut().exchange.send_request(id, bytes);
        self.outbound.insert(request, (peer, reply));
    }

    /// Gives waiting requests out, in turn, as long as someone may take them.
    fn give_out(&mut self, out: &mpsc::Sender<Served>) {
        // No single peer gets all of those who serve, unless there is only one.
        let most = (self.config.serving / 2).max(1);
        while self.answers.len() < self.config.serving {
            let given = &self.given;
            let may = |peer: &PublicKey| given.get(peer).copied().unwrap_or(0) < most;
            let Some((from, (request, channel))) = self.queue.pop_of(may) else {
                return;
            };
            if !channel.is_open() {
                Counters::count(&self.counters.unanswered);
                continue;
            }
            let (reply, answer) = oneshot::channel();
            match out.try_send(Served { from, request, reply }) {
                Ok(()) => self.await_answer(from, channel, answer),
                Err(mpsc::error::TrySendError::Full(_)) => self.refuse(channel, Refusal::Busy),
                Err(mpsc::error::TrySendError::Closed(_)) => self.refuse(channel, Refusal::NotHere),
            }
        }
    }

    fn await_answer(&mut self, peer: PublicKey, channel: Channel, answer: oneshot::Receiver<Response>) {
        Counters::count(&self.counters.served);
        *self.given.entry(peer).or_default() += 1;
        let wait = self.config.request_timeout;
        self.answers.push(Box::pin(async move {
            let response = tokio::time::timeout(wait, answer).await;
            Answered {
                peer,
                channel,
                response: response.ok().and_then(Result::ok),
            }
        }));
    }

    fn answered(&mut self, answered: Answered) {
        if let Some(given) = self.given.get_mut(&answered.peer) {
            *given -= 1;
            if *given == 0 {
                self.given.remove(&answered.peer);
            }
        }
        if let Some(response) = answered.response {
            self.respond(answered.channel, &response);
        } else {
            Counters::count(&self.counters.unanswered);
            self.refuse(answered.channel, Refusal::Busy);
        }
    }

    fn refuse(&mut self, channel: Channel, refusal: Refusal) {
        self.respond(channel, &Response::Refused(refusal));
    }

    fn respond(&mut self, channel: Channel, response: &Response) {
        let bytes = response.encode().or_else(|error| {
            tracing::warn!(%error, "an answer was larger than allowed");
            Response::Refused(Refusal::Busy).encode()
        });
        if let Ok(bytes) = bytes {
            // If the peer has gone or waited too long, there is nobody to tell.
            let _ = self.swarm.behaviour_mut().exchange.send_response(channel, bytes);
        }
    }

    fn happened(&mut self, event: SwarmEvent<ProtocolsEvent>) {
        match event {
            SwarmEvent::NewListenAddr { address, .. } => self.view.listening.push(address),
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.view.listening.retain(|known| *known != address)
            }
            SwarmEvent::ConnectionEstablished {
                peer_id, endpoint, ..
            } => self.connected(peer_id, &endpoint),
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established: 0,
                ..
            } => self.disconnected(&peer_id),
            SwarmEvent::Behaviour(ProtocolsEvent::Exchange(event)) => self.exchanged(event),
            SwarmEvent::Behaviour(ProtocolsEvent::Identify(identify::Event::Received {
                peer_id,
                info,
                ..
            })) => {
                self.learn(peer_id, info.listen_addrs);
            }
            SwarmEvent::Behaviour(ProtocolsEvent::Mdns(mdns::Event::Discovered(found))) => {
                for (peer, address) in found {
                    self.learn(peer, vec![address]);
                }
            }
            SwarmEvent::Behaviour(ProtocolsEvent::Ping(event)) if event.result.is_ok() => {
                self.alive(&event.peer)
            }
            other => tracing::trace!(event = ?other, "nothing to do"),
        }
    }

    fn connected(&mut self, peer: PeerId, endpoint: &ConnectedPoint) {
        if let ConnectedPoint::Dialer { address, .. } = endpoint {
            let bare = without_name(address);
            for (known, answered) in &mut self.bootstrap {
                if without_name(known) == bare {
                    *answered = Some(peer);
                }
            }
        }
        if let Some(key) = peer_of(&peer) {
            let now = self.now();
            self.view.connected.insert(key);
            self.monitor.follow(key, now);
            self.monitor.alive(&key, now);
        }
    }

    fn disconnected(&mut self, peer: &PeerId) {
        let Some(key) = peer_of(peer) else { return };
        self.view.connected.remove(&key);
        self.queue.remove(&key);
        if !self.members.contains(&key) {
            self.monitor.forget(&key);
        }
    }

    fn alive(&mut self, peer: &PeerId) {
        if let Some(key) = peer_of(peer) {
            let now = self.now();
            self.monitor.alive(&key, now);
        }
    }

    /// Keeps addresses of a peer that the policy allows. Whatever they are, only the holder of its key is connected.
    fn learn(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        if !peer_of(&peer).is_some_and(|key| key != self.me && self.policy.allows(&key)) {
            return;
        }
        let table = &mut self.swarm.behaviour_mut().kad;
        for address in addresses.into_iter().filter(is_plain).take(ADDRESSES) {
            table.add_address(&peer, without_name(&address));
        }
        // It fails when nobody is known, and somebody is.
        let _ = table.bootstrap();
    }

    fn exchanged(&mut self, event: Exchange<Vec<u8>, Vec<u8>>) {
        match event {
            Exchange::Message { peer, message, .. } => match message {
                Message::Request { request, channel, .. } => self.requested(peer, &request, channel),
                Message::Response { request_id, response } => {
                    self.alive(&peer);
                    let read = Response::decode(&response).map_err(|error| error.to_string());
                    self.replied(request_id, |peer| {
                        read.map_err(|reason| RequestError::Malformed { peer, reason })
                    });
                }
            },
            Exchange::OutboundFailure {
                request_id, error, ..
            } => {
                Counters::count(&self.counters.failed);
                self.replied(request_id, |peer| Err(failure(peer, &error)));
            }
            Exchange::InboundFailure { peer, error, .. } => {
                if matches!(&error, InboundFailure::Io(error) if is_nonsense(error.kind())) {
                    self.nonsense(&peer);
                }
            }
            Exchange::ResponseSent { .. } => {}
        }
    }

    fn replied(
        &mut self,
        request: OutboundRequestId,
        result: impl FnOnce(PublicKey) -> Result<Response, RequestError>,
    ) {
        let Some((peer, reply)) = self.outbound.remove(&request) else {
            return;
        };
        let result = result(peer);
        if matches!(result, Err(RequestError::Malformed { .. })) {
            Counters::count(&self.counters.malformed);
        }
        if let Some(reply) = reply {
            // If nobody waits any more, nobody is told.
            let _ = reply.send(result);
        }
    }

    fn requested(&mut self, id: PeerId, bytes: &[u8], channel: Channel) {
        Counters::count(&self.counters.requests);
        Counters::add(&self.counters.request_bytes, bytes.len() as u64);
        let Some(peer) = peer_of(&id).filter(|peer| self.policy.allows(peer)) else {
            Counters::count(&self.counters.not_allowed);
            self.refuse(channel, Refusal::NotAllowed);
            return self.disconnect(id);
        };
        let now = self.now();
        match self
            .swarm
            .behaviour_mut()
            .gate
            .budgets
            .admit(&peer, bytes.len(), now)
        {
            Verdict::Admit => {}
            Verdict::Refuse(excess) => {
                Counters::count(match excess {
                    Excess::Requests => &self.counters.over_requests,
                    Excess::Bytes => &self.counters.over_bytes,
                    Excess::CutOff | Excess::Peers => &self.counters.cut_off,
                });
                return self.refuse(channel, Refusal::TooMuch);
            }
            Verdict::CutOff => {
                Counters::count(&self.counters.cut_off);
                return self.disconnect(id);
            }
        }
        match Request::decode(bytes) {
            Ok(request) => {
                self.monitor.alive(&peer, now);
                self.take(peer, request, channel);
            }
            Err(error) => {
                tracing::debug!(%peer, %error, "a request cannot be read");
                self.refuse(channel, Refusal::Malformed);
                self.nonsense(&id);
            }
        }
    }

    fn take(&mut self, peer: PublicKey, request: Request, channel: Channel) {
        match request {
            Request::Status => {
                let status = *self.status.lock().unwrap_or_else(PoisonError::into_inner);
                Counters::count(&self.counters.served);
                self.respond(
                    channel,
                    &status.map_or(Response::Refused(Refusal::NotHere), Response::Status),
                );
            }
            Request::Health(opinions) => {
                let now = self.now();
                if self.opinions.hear(peer, &opinions, now).is_ok() {
                    Counters::count(&self.counters.served);
                    self.respond(channel, &Response::Taken);
                } else {
                    Counters::count(&self.counters.opinions_refused);
                    self.refuse(channel, Refusal::Invalid);
                }
            }
            request => {
                if let Err(Full((_, channel))) = self.queue.push(peer, (request, channel)) {
                    Counters::count(&self.counters.queue_full);
                    self.refuse(channel, Refusal::TooMuch);
                }
            }
        }
    }

    fn nonsense(&mut self, id: &PeerId) {
        Counters::count(&self.counters.malformed);
        let now = self.now();
        let last =
            peer_of(id).is_some_and(|peer| self.swarm.behaviour_mut().gate.budgets.nonsense(&peer, now));
        if last {
            self.disconnect(*id);
        }
    }

    fn disconnect(&mut self, peer: PeerId) {
        // It fails when the peer has gone by itself.
        let _ = self.swarm.disconnect_peer_id(peer);
    }
}

fn without_name(address: &Multiaddr) -> Multiaddr {
    address
        .iter()
        .filter(|part| !matches!(part, Protocol::P2p(_)))
        .collect()
}

/// Faults of a stream that an honest peer does not cause.
const fn is_nonsense(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::InvalidData)
}

fn failure(peer: PublicKey, error: &OutboundFailure) -> RequestError {
    match error {
        OutboundFailure::Timeout => RequestError::Timeout { peer },
        OutboundFailure::Io(error) if is_nonsense(error.kind()) => RequestError::Malformed {
            peer,
            reason: error.to_string(),
        },
        other => RequestError::Unreachable {
            peer,
            reason: other.to_string(),
        },
    }
}
