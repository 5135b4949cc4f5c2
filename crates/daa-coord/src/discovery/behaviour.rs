//! The protocols of a node, put together.

use super::config::{DiscoveryConfig, DiscoveryError};
use super::counters::Counters;
use super::frame::Frames;
use super::gate::Gate;
use super::{Budgets, Policy, address};
use crate::genesis::ChainId;
use crate::keys::{AgentKey, Digest};
use daa_base::Clock;
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::identity::Keypair;
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{StreamProtocol, Swarm, SwarmBuilder, identify, kad, mdns, noise, ping, tcp, yamux};
use std::sync::Arc;
use std::time::Duration;

/// Longest life of a connection on which nothing is said: peers stay connected, and limits bound their number.
const IDLE: Duration = Duration::from_secs(86_400);

/// Connections of one peer: both ends may dial at the same time.
const PER_PEER: u32 = 2;

/// Connections being made, in each direction.
const PENDING: u32 = 64;

#[derive(NetworkBehaviour)]
pub(super) struct Protocols {
    // The first two may refuse a connection: before the others hear of it.
    pub(super) gate: Gate,
    limits: connection_limits::Behaviour,
    pub(super) identify: identify::Behaviour,
    pub(super) kad: kad::Behaviour<MemoryStore>,
    pub(super) mdns: Toggle<mdns::tokio::Behaviour>,
    pub(super) ping: ping::Behaviour,
    pub(super) exchange: request_response::Behaviour<Frames>,
}

/// The protocol's name with the chain in it.
fn name(chain: ChainId, part: &str) -> Result<StreamProtocol, DiscoveryError> {
    StreamProtocol::try_from_owned(format!("/daa/{}/{part}/1", Digest(chain.0))).map_err(|error| {
        DiscoveryError::Setup {
            part: "the protocol's name",
            reason: error.to_string(),
        }
    })
}

pub(super) fn swarm(
    config: &DiscoveryConfig,
    key: &AgentKey,
    chain: ChainId,
    policy: Arc<dyn Policy>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
) -> Result<Swarm<Protocols>, DiscoveryError> {
    let fault = |part| move |reason: String| DiscoveryError::Setup { part, reason };
    let keypair = address::keypair(key.secret()).map_err(fault("the identity"))?;
    let gate = Gate::new(
        policy,
        clock,
        counters,
        Budgets::new(config.budget),
        config.max_pending_per_ip,
    );
    let protocols = protocols(config, &keypair, chain, gate)?;
    let streams = config.streams_per_peer;
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            move || {
                let mut multiplexer = yamux::Config::default();
                // Requests in both directions, and as many again for the small protocols.
                multiplexer.set_max_num_streams(4 * streams + 16);
                multiplexer
            },
        )
        .map_err(|error| fault("encryption")(error.to_string()))?
        .with_behaviour(|_| protocols)
        .map_err(|error| fault("the protocols")(error.to_string()))?
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(IDLE))
        .build();
    Ok(swarm)
}

fn protocols(
    config: &DiscoveryConfig,
    keypair: &Keypair,
    chain: ChainId,
    gate: Gate,
) -> Result<Protocols, DiscoveryError> {
    let peer = keypair.public().to_peer_id();
    let limits = ConnectionLimits::default()
        .with_max_pending_incoming(Some(PENDING))
        .with_max_pending_outgoing(Some(PENDING))
        .with_max_established(Some(PER_PEER * config.max_peers))
        .with_max_established_per_peer(Some(PER_PEER));
    let identify = identify::Config::new(format!("daa/{}", Digest(chain.0)), keypair.public())
        .with_agent_version("daa".to_owned())
        .with_cache_size(0);
    let mdns = if config.mdns {
        let made = mdns::tokio::Behaviour::new(mdns::Config::default(), peer);
        Some(made.map_err(|error| DiscoveryError::Setup {
            part: "the search on the local network",
            reason: error.to_string(),
        })?)
    } else {
        None
    };
    let exchange = request_response::Config::default()
        .with_request_timeout(config.request_timeout)
        .with_max_concurrent_streams(config.streams_per_peer);
    let ping = ping::Config::new()
        .with_interval(config.ping_interval)
        .with_timeout(config.request_timeout);
    Ok(Protocols {
        gate,
        limits: connection_limits::Behaviour::new(limits),
        identify: identify::Behaviour::new(identify),
        kad: table(config, peer, chain)?,
        mdns: Toggle::from(mdns),
        ping: ping::Behaviour::new(ping),
        exchange: request_response::Behaviour::new(
            [(name(chain, "exchange")?, ProtocolSupport::Full)],
            exchange,
        ),
    })
}

/// The table of peers. It keeps no records for others: it is for addresses only.
fn table(
    config: &DiscoveryConfig,
    peer: libp2p::PeerId,
    chain: ChainId,
) -> Result<kad::Behaviour<MemoryStore>, DiscoveryError> {
    let mut settings = kad::Config::new(name(chain, "kad")?);
    settings
        .set_query_timeout(config.request_timeout)
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_provider_publication_interval(None)
        .set_replication_interval(None)
        .set_publication_interval(None)
        // By hand, once identify has told the addresses and the policy was asked.
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_periodic_bootstrap_interval(None)
        .set_max_packet_size(16 << 10);
    let store = MemoryStoreConfig {
        max_records: 0,
        max_provided_keys: 0,
        ..MemoryStoreConfig::default()
    };
    let mut table = kad::Behaviour::with_config(peer, MemoryStore::with_config(peer, store), settings);
    table.set_mode(Some(kad::Mode::Server));
    Ok(table)
}
