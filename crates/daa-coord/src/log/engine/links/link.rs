//! The tasks that connect, shake hands, read and write.

use super::frame::{Frame, Kind};
use super::hub::{Hub, Outbox, Side};
use crate::keys::PublicKey;
use futures::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _};
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, PortUse, TransportEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade as _, OutboundConnectionUpgrade as _};
use libp2p::core::{Endpoint, Transport as _};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, identity::Keypair, noise, tcp};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{interval, sleep, timeout};

type Socket = tcp::tokio::TcpStream;
type Secured = noise::Output<Socket>;

/// How long connecting, and how long shaking hands, may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// The first and the longest wait before an address is tried again.
const REDIAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Pings per connection.
const PING: Duration = Duration::from_secs(1);

/// After how many pings without any sign of the other side a connection is given up.
const SILENCE: usize = 5;

/// How long one write may take.
const WRITE: Duration = Duration::from_secs(5);

/// Frames that go into one write.
const BATCH: usize = 64;

/// Peers that may be shaking hands at one time.
const MAX_SHAKING: usize = 64;

/// What a node needs to prove who it is, and to whom: peers of another chain do not understand each other.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) keypair: Keypair,
    pub(super) prologue: Vec<u8>,
}

impl Identity {
    fn noise(&self) -> io::Result<noise::Config> {
        let config = noise::Config::new(&self.keypair).map_err(io::Error::other)?;
        Ok(config.with_prologue(self.prologue.clone()))
    }

    async fn shake(&self, socket: Socket, side: Side) -> io::Result<(PublicKey, Secured)> {
        let noise = self.noise()?;
        let shaken = timeout(HANDSHAKE, async {
            match side {
                Side::Dialed => noise.upgrade_outbound(socket, "/noise").await,
                Side::Accepted => noise.upgrade_inbound(socket, "/noise").await,
            }
        });
        let (peer, secured) = shaken.await?.map_err(io::Error::other)?;
        let key = crate::discovery::peer_of(&peer).ok_or(io::ErrorKind::Unsupported)?;
        Ok((key, secured))
    }
}

fn transport() -> Boxed<Socket> {
    tcp::tokio::Transport::new(tcp::Config::new().nodelay(true)).boxed()
}

/// Listens at `address` and gives what takes connections in.
///
/// # Errors
/// When the address cannot be listened at.
pub(super) async fn listen(
    hub: Arc<Hub>,
    identity: Identity,
    address: Multiaddr,
) -> io::Result<impl Future<Output = ()> + Send> {
    let mut transport = transport();
    transport
        .listen_on(ListenerId::next(), address)
        .map_err(io::Error::other)?;
    let listening = async {
        loop {
            match transport.next().await {
                Some(TransportEvent::NewAddress { listen_addr, .. }) => return Ok(listen_addr),
                Some(TransportEvent::ListenerClosed { reason, .. }) => {
                    return reason.and(Err(io::ErrorKind::NotConnected.into()));
                }
                Some(TransportEvent::ListenerError { error, .. }) => return Err(error),
                Some(_) => {}
                None => return Err(io::ErrorKind::NotConnected.into()),
            }
        }
    };
    let at = timeout(HANDSHAKE, listening).await??;
    hub.listens(at);
    Ok(accept(hub, identity, transport))
}

async fn accept(hub: Arc<Hub>, identity: Identity, mut transport: Boxed<Socket>) {
    let shaking = Arc::new(Semaphore::new(MAX_SHAKING));
    while let Some(event) = transport.next().await {
        let TransportEvent::Incoming {
            upgrade,
            send_back_addr,
            ..
        } = event
        else {
            continue;
        };
        let ip = ip_of(&send_back_addr);
        let Ok(permit) = Arc::clone(&shaking).try_acquire_owned() else {
            continue;
        };
        if !hub.arrive(ip) {
            continue;
        }
        let (hub, identity) = (Arc::clone(&hub), identity.clone());
        tokio::spawn(async move {
            let _arrived = Arrived { hub: &hub, ip };
            let shaken = async { identity.shake(upgrade.await?, Side::Accepted).await };
            match shaken.await {
                Ok((key, socket)) => {
                    drop(permit);
                    run(&hub, key, Side::Accepted, socket).await;
                }
                Err(error) => tracing::debug!(%ip, %error, "no handshake"),
            }
        });
    }
}

/// A connection that is counted as long as it lasts.
struct Arrived<'a> {
    hub: &'a Hub,
    ip: IpAddr,
}

impl Drop for Arrived<'_> {
    fn drop(&mut self) {
        self.hub.depart(self.ip);
    }
}

fn ip_of(address: &Multiaddr) -> IpAddr {
    let ip = address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip)),
        _ => None,
    });
    ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// Connects to `address` as long as the task lives, and again whenever the connection is lost.
pub(super) async fn dial(hub: Arc<Hub>, identity: Identity, address: Multiaddr) {
    let mut place = address.clone();
    let named = match place.pop() {
        Some(Protocol::P2p(peer)) => Some(peer),
        Some(other) => {
            place.push(other);
            None
        }
        None => return,
    };
    let mut wait = REDIAL.0;
    loop {
        match connect(&identity, &place, named).await {
            Ok((key, _)) if key == hub.me => return,
            Ok((key, socket)) => {
                if run(&hub, key, Side::Dialed, socket).await {
                    wait = REDIAL.0;
                }
            }
            Err(error) => tracing::debug!(%address, %error, "not connected"),
        }
        sleep(wait).await;
        wait = (wait * 2).min(REDIAL.1);
    }
}

async fn connect(
    identity: &Identity,
    place: &Multiaddr,
    named: Option<PeerId>,
) -> io::Result<(PublicKey, Secured)> {
    let options = DialOpts {
        role: Endpoint::Dialer,
        port_use: PortUse::New,
    };
    let dialing = transport()
        .dial(place.clone(), options)
        .map_err(io::Error::other)?;
    let socket = timeout(HANDSHAKE, dialing).await??;
    let (key, secured) = identity.shake(socket, Side::Dialed).await?;
    if named.is_some_and(|named| crate::discovery::peer_id(&key) != Some(named)) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok((key, secured))
}

/// What the tasks of one connection know of each other.
struct Signs {
    /// Something came since the last ping.
    heard: AtomicBool,
    /// What may still be read until the next ping; the rest waits in the sender's network.
    frames: AtomicUsize,
    bytes: AtomicUsize,
    renewed: Notify,
}

/// Reads and writes until the connection ends. `false`: it was not wanted.
async fn run(hub: &Arc<Hub>, key: PublicKey, side: Side, socket: Secured) -> bool {
    let Some(outbox) = hub.admit(key, side) else {
        return false;
    };
    let _known = Known {
        hub,
        key,
        side,
        serial: outbox.serial,
    };
    let signs = Signs {
        heard: AtomicBool::new(true),
        frames: AtomicUsize::new(0),
        bytes: AtomicUsize::new(0),
        renewed: Notify::new(),
    };
    let (input, output) = socket.split();
    let (pings, to_send) = tokio::sync::mpsc::channel(4);
    let why = tokio::select! {
        why = read(hub, key, input, &signs, &pings) => why,
        why = write(output, outbox, to_send) => why,
        why = watch(hub, (key, side), &signs, &pings) => why,
    };
    if let Err(error) = why {
        tracing::debug!(peer = %key, ?side, %error, "connection lost");
    }
    true
}

/// A connection that the hub knows of as long as it lasts.
struct Known<'a> {
    hub: &'a Hub,
    key: PublicKey,
    side: Side,
    serial: u64,
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        self.hub.lost(&self.key, self.side, self.serial);
    }
}

type Pings = tokio::sync::mpsc::Sender<Kind>;

async fn read(
    hub: &Hub,
    key: PublicKey,
    mut input: impl futures::AsyncRead + Unpin,
    signs: &Signs,
    pings: &Pings,
) -> io::Result<()> {
    loop {
        let frame = Frame::read(&mut input).await?;
        signs.heard.store(true, Ordering::Relaxed);
        if frame.kind == Kind::Ping {
            // Whoever sends more pings than are answered gets fewer answers.
            let _full = pings.try_send(Kind::Pong);
        }
        signs.spend(frame.size()).await;
        hub.deliver(&key, frame).map_err(io::Error::other)?;
    }
}

impl Signs {
    /// Waits while the allowance is used up. One frame may overdraw it.
    async fn spend(&self, size: usize) {
        loop {
            let renewed = self.renewed.notified();
            let (frames, bytes) = (
                self.frames.load(Ordering::Relaxed),
                self.bytes.load(Ordering::Relaxed),
            );
            if frames > 0 && bytes > 0 {
                // Only this task spends.
                self.frames.store(frames - 1, Ordering::Relaxed);
                self.bytes.store(bytes.saturating_sub(size), Ordering::Relaxed);
                return;
            }
            renewed.await;
        }
    }

    fn renew(&self, (frames, bytes): (usize, usize)) {
        self.frames.store(frames, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        self.renewed.notify_waiters();
    }
}

async fn write(
    mut output: impl AsyncWrite + Unpin,
    mut outbox: Outbox,
    mut pings: tokio::sync::mpsc::Receiver<Kind>,
) -> io::Result<()> {
    let mut frames = Vec::new();
    let mut bytes = Vec::new();
    loop {
        tokio::select! {
            count = outbox.queue.recv_many(&mut frames, BATCH) => if count == 0 {
                return Ok(());
            },
            Some(kind) = pings.recv() => Frame::new(kind, bytes::Bytes::new()).put(&mut bytes),
        }
        for frame in frames.drain(..) {
            outbox.waiting.fetch_sub(frame.size(), Ordering::Relaxed);
            frame.put(&mut bytes);
        }
        let written = timeout(WRITE, async {
            output.write_all(&bytes).await?;
            output.flush().await
        });
        written.await??;
        bytes.clear();
    }
}

/// Pings, and ends when nothing comes back or the peer is no longer a member.
async fn watch(hub: &Hub, (key, side): (PublicKey, Side), signs: &Signs, pings: &Pings) -> io::Result<()> {
    let mut ticks = interval(PING);
    let mut silent = 0;
    loop {
        ticks.tick().await;
        signs.renew(hub.allowance(&key, side).ok_or(io::ErrorKind::PermissionDenied)?);
        if side == Side::Dialed {
            let _full = pings.try_send(Kind::Ping);
        }
        silent = if signs.heard.swap(false, Ordering::Relaxed) {
            0
        } else {
            silent + 1
        };
        if silent > SILENCE {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}
