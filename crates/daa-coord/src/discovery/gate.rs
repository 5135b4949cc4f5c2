//! Who gets a connection at all.

use super::address::peer_of;
use super::counters::Counters;
use super::{Budgets, Policy};
use daa_base::Clock;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Why a connection was closed before anything was said on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Denied {
    #[error("the policy does not allow this peer")]
    Policy,
    #[error("the peer is cut off")]
    CutOff,
    #[error("too many connections are being made from this address")]
    Crowded,
}

/// Closes connections of peers that the policy does not allow or that are cut off, and bounds what one address may have
/// under way before it has shown a key: such an address can neither be trusted nor blamed.
pub(super) struct Gate {
    policy: Arc<dyn Policy>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    pub(super) budgets: Budgets,
    most_per_ip: u32,
    pending: BTreeMap<usize, (ConnectionId, IpAddr)>,
    next: usize,
}

impl Gate {
    pub(super) fn new(
        policy: Arc<dyn Policy>,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
        budgets: Budgets,
        most_per_ip: u32,
    ) -> Self {
        Self {
            policy,
            clock,
            counters,
            budgets,
            most_per_ip,
            pending: BTreeMap::new(),
            next: 0,
        }
    }

    fn judge(&self, peer: &PeerId) -> Result<(), ConnectionDenied> {
        let denied = match peer_of(peer) {
            Some(key) if self.budgets.is_cut_off(&key, self.clock.monotonic()) => Denied::CutOff,
            Some(key) if self.policy.allows(&key) => return Ok(()),
            _ => Denied::Policy,
        };
        Counters::count(&self.counters.refused_connections);
        Err(ConnectionDenied::new(denied))
    }

    fn settled(&mut self, connection: ConnectionId) {
        self.pending.retain(|_, (pending, _)| *pending != connection);
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let address = match remote.iter().next() {
            Some(Protocol::Ip4(ip)) => IpAddr::from(ip),
            Some(Protocol::Ip6(ip)) => IpAddr::from(ip),
            _ => return Err(ConnectionDenied::new(Denied::Crowded)),
        };
        let same = self.pending.values().filter(|(_, ip)| *ip == address).count();
        if same >= self.most_per_ip as usize {
            Counters::count(&self.counters.crowded);
            return Err(ConnectionDenied::new(Denied::Crowded));
        }
        self.pending.insert(self.next, (connection, address));
        self.next = self.next.wrapping_add(1);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.settled(connection);
        self.judge(&peer).map(|()| dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.judge(&peer).map(|()| dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ListenFailure(failure) = event {
            self.settled(failure.connection_id);
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}
