//! The way of a run into the network of nodes, and to those of its own owner.

use super::{Join, MUSTER_EVERY, ask, internal};
use crate::error::AgentError;
use crate::work::{Ask, Tell};
use daa_base::{Clock, SystemClock};
use daa_coord::discovery::{DiscoveryConfig, Incoming, Network};
use daa_coord::genesis::ChainId;
use daa_coord::{Genesis, PublicKey};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A run that has entered the network and asked for nothing yet.
#[derive(Debug)]
pub(crate) struct Line {
    pub(super) network: Network,
    pub(super) incoming: Incoming,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) join: Join,
    pub(super) home: Home,
}

impl Line {
    /// Enters the network.
    pub(crate) async fn open(join: Join) -> Result<Self, AgentError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let members: BTreeSet<PublicKey> = members(&join.genesis);
        let mut config = DiscoveryConfig::default();
        config.bootstrap.clone_from(&join.addresses);
        config.round = MUSTER_EVERY;
        let policy = Arc::new(members.clone());
        let chain = join.genesis.chain_id();
        let (network, incoming) =
            Network::start(config, &join.key, chain, policy, Arc::clone(&clock)).map_err(AgentError::from)?;
        let me = network.me();
        let others = members.into_iter().filter(|key| *key != me);
        let followed = network.set_members(others.map(|key| (key, 1)).collect());
        followed.await.map_err(internal)?;
        let home = Home {
            network: network.clone(),
            chain,
            authors: join.genesis.members().iter().map(|member| member.key).collect(),
            nodes: nodes_of(&join.genesis, &join.member, &me),
        };
        Ok(Self {
            network,
            incoming,
            clock,
            join,
            home,
        })
    }

    /// The way to the nodes of the run's owner.
    pub(crate) const fn home(&self) -> &Home {
        &self.home
    }
}

/// The nodes that are the run's owner's, which share what they know with it.
#[derive(Debug)]
pub(crate) struct Home {
    network: Network,
    pub(crate) chain: ChainId,
    /// Who may be an author of insights.
    pub(crate) authors: BTreeSet<PublicKey>,
    /// Members that may be nodes of the owner, the one that the run joined with first.
    nodes: Vec<PublicKey>,
}

impl Home {
    /// The first node of the owner that can be reached within `wait`.
    pub(crate) async fn node(&self, wait: Duration) -> Option<PublicKey> {
        let reached = |connected: &BTreeSet<PublicKey>| {
            let mut nodes = self.nodes.iter().copied();
            nodes.find(|node| connected.contains(node))
        };
        if self.nodes.is_empty() {
            return None;
        }
        let view = self
            .network
            .wait_for(wait, |view| reached(&view.connected).is_some());
        reached(&view.await?.connected)
    }

    /// Asks a node.
    pub(crate) async fn ask(&self, node: PublicKey, question: &Ask) -> Result<Tell, AgentError> {
        ask(&self.network, node, question).await
    }
}

/// The members that may be nodes of the owner of `member`, itself first; not `me`.
fn nodes_of(genesis: &Genesis, member: &PublicKey, me: &PublicKey) -> Vec<PublicKey> {
    let members = genesis.members();
    let Some(own) = members.iter().find(|one| one.key == *member) else {
        return Vec::new();
    };
    let mut nodes: Vec<PublicKey> = members
        .iter()
        .filter(|one| one.owner == own.owner && one.key != *me)
        .map(|one| one.key)
        .collect();
    nodes.sort_by_key(|key| key != member);
    nodes
}

/// Who may be a node of `genesis`, or lead a run.
fn members(genesis: &Genesis) -> BTreeSet<PublicKey> {
    let validators = genesis
        .validators()
        .as_slice()
        .iter()
        .map(|validator| validator.key);
    let members = genesis.members().iter().map(|member| member.key);
    validators.chain(members).collect()
}
