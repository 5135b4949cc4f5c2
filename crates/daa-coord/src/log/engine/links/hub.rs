//! Who is connected, what is sent to whom, and what comes of what they send.

use super::frame::{Frame, Kind};
use crate::consensus::{ChainContext, Part};
use crate::keys::PublicKey;
use crate::log::engine::codec::EngineCodec;
use arc_malachitebft_app_channel::app::engine::network::{NetworkEvent, Subscriber};
use arc_malachitebft_app_channel::app::streaming::{StreamContent, StreamMessage};
use arc_malachitebft_app_channel::app::types::{PeerId, SignedConsensusMsg};
use arc_malachitebft_codec::Codec;
use arc_malachitebft_core_consensus::LivenessMsg;
use arc_malachitebft_sync::{
    InboundRequestId, OutboundFailureReason, OutboundRequestId, Request, Response, Status,
};
use bytes::Bytes;
use libp2p::Multiaddr;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Frames, and bytes, that may wait to be sent over one connection.
const QUEUE_FRAMES: usize = 2048;
const QUEUE_BYTES: usize = 32 << 20;

/// Requests of one peer that wait for an answer.
const MAX_ASKING: usize = 16;

type Event = NetworkEvent<ChainContext>;

/// What the ledger says of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Validator,
    /// The key of an agent: it may hand in commands and follow the chain.
    Agent,
    /// Unknown here; perhaps this node is behind. Blocks that it serves prove themselves, the rest is not for it to send.
    Stranger,
}

/// Says what the ledger says of a key.
pub(super) type Members = Box<dyn Fn(&PublicKey) -> Standing + Send + Sync>;

/// Sees what validators sign.
pub(super) type Observer = Box<dyn Fn(&SignedConsensusMsg<ChainContext>) + Send + Sync>;

/// Which side connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Dialed,
    Accepted,
}

/// The sending end of a connection.
#[derive(Debug, Clone)]
struct Outlet {
    serial: u64,
    queue: mpsc::Sender<Frame>,
    waiting: Arc<AtomicUsize>,
}

impl Outlet {
    /// A peer that does not keep up misses frames; what matters is sent again.
    fn send(&self, frame: &Frame) -> bool {
        let size = frame.size();
        if self.waiting.fetch_add(size, Ordering::Relaxed) + size <= QUEUE_BYTES
            && self.queue.try_send(frame.clone()).is_ok()
        {
            return true;
        }
        self.waiting.fetch_sub(size, Ordering::Relaxed);
        false
    }
}

/// The receiving end of what is to be sent, for the task that writes.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) serial: u64,
    pub(super) queue: mpsc::Receiver<Frame>,
    pub(super) waiting: Arc<AtomicUsize>,
}

/// A peer has at most one connection that it made and one that was made to it.
#[derive(Debug)]
struct Peer {
    id: PeerId,
    dialed: Option<Outlet>,
    accepted: Option<Outlet>,
}

impl Peer {
    fn slot(&mut self, side: Side) -> &mut Option<Outlet> {
        match side {
            Side::Dialed => &mut self.dialed,
            Side::Accepted => &mut self.accepted,
        }
    }

    fn send(&self, frame: &Frame) -> bool {
        let outlet = self.dialed.as_ref().or(self.accepted.as_ref());
        outlet.is_some_and(|outlet| outlet.send(frame))
    }
}

#[derive(Default)]
struct State {
    subscribers: Vec<Box<dyn Subscriber<Event>>>,
    listening: Option<Multiaddr>,
    peers: BTreeMap<PublicKey, Peer>,
    /// Peers that connected since [`Hub::newcomers`] was last asked.
    new: BTreeSet<PublicKey>,
    /// Connections from each address, those included that nobody is known to be behind yet.
    from: BTreeMap<IpAddr, usize>,
    /// What this node last said about what it can serve; whoever connects hears it at once.
    status: Option<Frame>,
    /// Own requests by number.
    asked: BTreeMap<u64, PublicKey>,
    /// Requests of others by the number under which the engine knows them: who asked, and its own number.
    asking: BTreeMap<u64, (PublicKey, u64)>,
    dials: BTreeMap<Multiaddr, AbortHandle>,
    tasks: Vec<AbortHandle>,
    next: u64,
    ended: bool,
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn emit(&self, event: Event) {
        let Some((last, others)) = self.subscribers.split_last() else {
            return;
        };
        for subscriber in others {
            subscriber.send(event.clone());
        }
        last.send(event);
    }
}

/// What is wrong with a frame, so that its connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("it does not decode")]
    Malformed,
    #[error("it is not this peer's to send")]
    NotAllowed,
}

/// See the [module documentation](self).
pub(super) struct Hub {
    pub(super) me: PublicKey,
    members: Members,
    observer: Observer,
    max_guests: usize,
    max_per_ip: usize,
    dropped: AtomicU64,
    state: Mutex<State>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peers: Vec<_> = self.lock().peers.keys().copied().collect();
        f.debug_struct("Hub")
            .field("me", &self.me)
            .field("peers", &peers)
            .finish_non_exhaustive()
    }
}

impl Hub {
    pub(super) fn new(
        me: PublicKey,
        (members, observer): (Members, Observer),
        max_guests: usize,
        max_per_ip: usize,
    ) -> Self {
        Self {
            me,
            members,
            observer,
            max_guests,
            max_per_ip,
            dropped: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn subscribe(&self, subscriber: Box<dyn Subscriber<Event>>) {
        let mut state = self.lock();
        if let Some(address) = &state.listening {
            subscriber.send(NetworkEvent::Listening(address.clone()));
        }
        for peer in state.peers.values() {
            subscriber.send(NetworkEvent::PeerConnected(peer.id));
        }
        state.subscribers.push(subscriber);
    }

    pub(super) fn listens(&self, address: Multiaddr) {
        let mut state = self.lock();
        state.emit(NetworkEvent::Listening(address.clone()));
        state.listening = Some(address);
    }

    /// Whether `key` is connected.
    pub(super) fn is_connected(&self, key: &PublicKey) -> bool {
        self.lock().peers.contains_key(key)
    }

    /// Frames that were refused, or not for whoever sent them to send.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Frames and bytes that are read of `key` per second and connection; `None`: it is no longer a member.
    pub(super) fn allowance(&self, key: &PublicKey, side: Side) -> Option<(usize, usize)> {
        match ((self.members)(key), side) {
            (Standing::Validator, _) => Some((1 << 15, 64 << 20)),
            (Standing::Agent, _) | (Standing::Stranger, Side::Dialed) => Some((1 << 10, 16 << 20)),
            (Standing::Stranger, Side::Accepted) => None,
        }
    }

    /// Counts a connection from `address`, unless there are too many.
    pub(super) fn arrive(&self, address: IpAddr) -> bool {
        let mut state = self.lock();
        let from = state.from.entry(address).or_default();
        let room = *from < self.max_per_ip;
        *from += usize::from(room);
        room
    }

    pub(super) fn depart(&self, address: IpAddr) {
        let mut state = self.lock();
        if let Some(from) = state.from.get_mut(&address) {
            *from -= 1;
            if *from == 0 {
                state.from.remove(&address);
            }
        }
    }

    /// Takes in a connection with `key`, unless it may not or need not be.
    pub(super) fn admit(&self, key: PublicKey, side: Side) -> Option<Outbox> {
        let standing = (self.members)(&key);
        let id = peer_id(&key)?;
        let mut state = self.lock();
        if state.ended || key == self.me {
            return None;
        }
        let known = state.peers.contains_key(&key);
        let guests = |state: &State| {
            let others = state.peers.keys();
            let guests = others.filter(|other| (self.members)(other) != Standing::Validator);
            guests.count()
        };
        let may = match (side, standing) {
            (_, Standing::Validator) | (Side::Dialed, _) => true,
            (Side::Accepted, Standing::Agent) => known || guests(&state) < self.max_guests,
            (Side::Accepted, Standing::Stranger) => false,
        };
        if !may {
            return None;
        }
        let serial = state.number();
        let (sender, queue) = mpsc::channel(QUEUE_FRAMES);
        let waiting = Arc::new(AtomicUsize::new(0));
        let outlet = Outlet {
            serial,
            queue: sender,
            waiting: Arc::clone(&waiting),
        };
        if let Some(status) = &state.status {
            outlet.send(status);
        }
        let peer = state.peers.entry(key).or_insert(Peer {
            id,
            dialed: None,
            accepted: None,
        });
        // A second address of the same peer is of no use; a second connection from it means that the first is dead.
        if side == Side::Dialed && peer.dialed.is_some() {
            return None;
        }
        *peer.slot(side) = Some(outlet);
        if !known {
            state.new.insert(key);
            state.emit(NetworkEvent::PeerConnected(id));
        }
        Some(Outbox {
            serial,
            queue,
            waiting,
        })
    }

    /// A connection has ended.
    pub(super) fn lost(&self, key: &PublicKey, side: Side, serial: u64) {
        let mut state = self.lock();
        let Some(peer) = state.peers.get_mut(key) else {
            return;
        };
        let slot = peer.slot(side);
        if slot.as_ref().is_some_and(|outlet| outlet.serial == serial) {
            *slot = None;
        }
        if peer.dialed.is_some() || peer.accepted.is_some() {
            return;
        }
        let id = peer.id;
        state.peers.remove(key);
        state.new.remove(key);
        let asked: Vec<_> = state.asked.extract_if(.., |_, of| of == key).collect();
        for (number, _) in asked {
            let number = OutboundRequestId::new(number);
            let reason = OutboundFailureReason::ConnectionClosed;
            state.emit(NetworkEvent::SyncRequestFailed(number, id, reason));
        }
        let asking: Vec<_> = state.asking.extract_if(.., |_, (of, _)| of == key).collect();
        for (number, _) in asking {
            let number = InboundRequestId::new(number);
            state.emit(NetworkEvent::SyncInboundRequestFailed(number, id));
        }
        state.emit(NetworkEvent::PeerDisconnected(id));
    }

    /// Peers that have connected since this was last asked and are still there.
    pub(super) fn newcomers(&self) -> BTreeSet<PublicKey> {
        std::mem::take(&mut self.lock().new)
    }

    /// Sends to one peer, if it is connected and keeps up.
    pub(super) fn tell<T>(&self, key: &PublicKey, kind: Kind, value: &T)
    where
        EngineCodec: Codec<T>,
    {
        if let Some(body) = Self::encode(value)
            && let Some(peer) = self.lock().peers.get(key)
        {
            peer.send(&Frame::new(kind, body));
        }
    }

    fn broadcast(&self, frame: &Frame) {
        let missed = self
            .lock()
            .peers
            .values()
            .filter(|peer| !peer.send(frame))
            .count();
        if missed > 0 {
            tracing::debug!(missed, kind = ?frame.kind, "peers do not keep up");
        }
    }

    fn encode<T>(value: &T) -> Option<Bytes>
    where
        EngineCodec: Codec<T>,
    {
        let encoded = EngineCodec.encode(value);
        encoded
            .inspect_err(|error| tracing::error!(%error, "not sent"))
            .ok()
    }

    /// Sends to everybody who is connected.
    pub(super) fn publish<T>(&self, kind: Kind, value: &T)
    where
        EngineCodec: Codec<T>,
    {
        if let Some(body) = Self::encode(value) {
            self.broadcast(&Frame::new(kind, body));
        }
    }

    pub(super) fn publish_status(&self, tip: &Status<ChainContext>) {
        if let Some(body) = Self::encode(tip) {
            let frame = Frame::new(Kind::Status, body);
            self.lock().status = Some(frame.clone());
            self.broadcast(&frame);
        }
    }

    /// Asks `peer` for decided blocks; the number of the request.
    pub(super) fn ask(&self, peer: PeerId, request: &Request<ChainContext>) -> OutboundRequestId {
        let mut state = self.lock();
        let number = state.number();
        let name = OutboundRequestId::new(number);
        let key = key_of(peer);
        let sent = key.zip(Self::encode(request)).is_some_and(|(key, body)| {
            let frame = Frame::numbered(Kind::Request, number, &body);
            state.asked.insert(number, key);
            state.peers.get(&key).is_some_and(|peer| peer.send(&frame))
        });
        if !sent {
            state.asked.remove(&number);
            let reason = OutboundFailureReason::DialFailure;
            state.emit(NetworkEvent::SyncRequestFailed(name.clone(), peer, reason));
        }
        name
    }

    pub(super) fn forget(&self, request: &OutboundRequestId) {
        let wanted = request.to_string();
        self.lock().asked.retain(|number, _| number.to_string() != wanted);
    }

    /// Answers a request, or gives it up.
    pub(super) fn answer(&self, request: &InboundRequestId, response: Option<&Response<ChainContext>>) {
        let wanted = request.to_string();
        let mut state = self.lock();
        let Some((key, number)) = wanted
            .parse()
            .ok()
            .and_then(|ours: u64| state.asking.remove(&ours))
        else {
            return;
        };
        if let Some(body) = response.and_then(Self::encode)
            && let Some(peer) = state.peers.get(&key)
        {
            peer.send(&Frame::numbered(Kind::Response, number, &body));
        }
    }

    /// What a frame of a connected peer means.
    ///
    /// # Errors
    /// [`Fault`]: whoever sends such things is not listened to any longer.
    pub(super) fn deliver(&self, key: &PublicKey, frame: Frame) -> Result<(), Fault> {
        let done = self.hear(key, frame);
        if done.is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        done
    }

    fn hear(&self, key: &PublicKey, frame: Frame) -> Result<(), Fault> {
        let standing = (self.members)(key);
        let Some(from) = peer_id(key) else {
            return Ok(());
        };
        let event = match (frame.kind, standing) {
            (Kind::Ping | Kind::Pong, _) => return Ok(()),
            (Kind::Consensus, Standing::Validator) => self.observed(from, decode(frame.body)?),
            (Kind::Liveness, Standing::Validator) => match decode(frame.body)? {
                LivenessMsg::Vote(vote) => self.observed(from, SignedConsensusMsg::Vote(vote)),
                LivenessMsg::PolkaCertificate(polka) => NetworkEvent::PolkaCertificate(from, polka),
                LivenessMsg::SkipRoundCertificate(proof) => NetworkEvent::RoundCertificate(from, proof),
            },
            (Kind::Part, Standing::Validator | Standing::Agent) => {
                let part: StreamMessage<Part> = decode(frame.body)?;
                if standing == Standing::Agent && matches!(part.content, StreamContent::Data(Part::Block(_)))
                {
                    return Err(Fault::NotAllowed);
                }
                NetworkEvent::ProposalPart(from, None, part)
            }
            (Kind::Status, _) => {
                let status: Status<ChainContext> = decode(frame.body)?;
                let (tip, oldest) = (status.tip_height, status.history_min_height);
                let status = arc_malachitebft_app_channel::app::engine::network::Status::new(tip, oldest);
                NetworkEvent::Status(from, status)
            }
            (Kind::Request, Standing::Validator | Standing::Agent) => {
                return self.take_request(key, from, &frame);
            }
            (Kind::Response, _) => return self.take_response(key, from, &frame),
            // A node that is behind does not know all who may speak. What it drops comes again when it does.
            (_, Standing::Stranger | Standing::Agent) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        };
        self.lock().emit(event);
        Ok(())
    }

    fn observed(&self, from: PeerId, message: SignedConsensusMsg<ChainContext>) -> Event {
        (self.observer)(&message);
        match message {
            SignedConsensusMsg::Vote(vote) => NetworkEvent::Vote(from, vote),
            SignedConsensusMsg::Proposal(proposal) => NetworkEvent::Proposal(from, proposal),
        }
    }

    fn take_request(&self, key: &PublicKey, from: PeerId, frame: &Frame) -> Result<(), Fault> {
        let (theirs, body) = frame.number().ok_or(Fault::Malformed)?;
        let request: Request<ChainContext> = decode(body)?;
        let mut state = self.lock();
        if state.asking.values().filter(|(of, _)| of == key).count() >= MAX_ASKING {
            return Err(Fault::NotAllowed);
        }
        let number = state.number();
        state.asking.insert(number, (*key, theirs));
        state.emit(NetworkEvent::SyncRequest(
            InboundRequestId::new(number),
            from,
            request,
        ));
        Ok(())
    }

    fn take_response(&self, key: &PublicKey, from: PeerId, frame: &Frame) -> Result<(), Fault> {
        let (number, body) = frame.number().ok_or(Fault::Malformed)?;
        let mut state = self.lock();
        if state.asked.get(&number) != Some(key) {
            // It came too late.
            return Ok(());
        }
        state.asked.remove(&number);
        let response = decode(body).ok();
        let number = OutboundRequestId::new(number);
        state.emit(NetworkEvent::SyncResponse(number, from, response));
        Ok(())
    }

    /// Notes the task that keeps connecting to `address`. `false`, and the task is stopped: there is one already.
    pub(super) fn add_dial(&self, address: Multiaddr, task: AbortHandle) -> bool {
        let mut state = self.lock();
        if state.ended || state.dials.contains_key(&address) {
            task.abort();
            return false;
        }
        state.dials.insert(address, task);
        true
    }

    /// Does not connect to `address` any longer. `false`: it did not before.
    pub(super) fn remove_dial(&self, address: &Multiaddr) -> bool {
        let task = self.lock().dials.remove(address);
        task.inspect(AbortHandle::abort).is_some()
    }

    pub(super) fn add_task(&self, task: AbortHandle) {
        self.lock().tasks.push(task);
    }

    /// Closes all connections and takes in no more.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let dials = std::mem::take(&mut state.dials);
        let tasks = std::mem::take(&mut state.tasks);
        for task in dials.values().chain(&tasks) {
            task.abort();
        }
        state.peers.clear();
        state.subscribers.clear();
    }
}

fn decode<T>(body: Bytes) -> Result<T, Fault>
where
    EngineCodec: Codec<T>,
{
    EngineCodec.decode(body).map_err(|_| Fault::Malformed)
}

/// The engine's name of whoever authenticates with `key`.
pub(super) fn peer_id(key: &PublicKey) -> Option<PeerId> {
    let peer = crate::discovery::peer_id(key)?;
    PeerId::from_bytes(&peer.to_bytes()).ok()
}

/// The key that authenticates a peer's connections; `None` for other kinds of keys.
pub(in crate::log::engine) fn key_of(peer: PeerId) -> Option<PublicKey> {
    let peer = libp2p::PeerId::from_bytes(&peer.to_bytes()).ok()?;
    crate::discovery::peer_of(&peer)
}
