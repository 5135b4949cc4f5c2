//! Follows a ledger of several machines without a vote, and gives commands to it.
//!
//! Blocks count for what their certificates prove, so nobody has to be trusted but the genesis. Whom a follower is connected
//! to can keep news from it, and nothing more.

use crate::chain::ChainClient;
use crate::error::AgentError;
use crate::node::NodeError;
use daa_base::{Clock, Millis};
use daa_coord::discovery::Multiaddr;
use daa_coord::log::engine::{EngineConfig, EngineLog, EngineNode};
use daa_coord::{AgentKey, Command, Genesis, Ledger, LedgerEvent, LedgerNode, OPERATOR};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Where a follower listens: nobody calls it.
const NOWHERE: &str = "/ip4/127.0.0.1/tcp/0";

/// What a follower is started with.
#[derive(Debug, Clone)]
pub struct FollowerConfig {
    /// The ledger; it has validators.
    pub genesis: Genesis,
    /// The key of an agent of the ledger or of its operator; no other process may be connected by it.
    pub key: AgentKey,
    /// Where nodes listen for validators.
    pub peers: Vec<Multiaddr>,
    /// Where blocks are kept.
    pub folder: PathBuf,
    /// Longest wait for an answer.
    pub patience: Duration,
}

/// A replica that is up to date, and the side of one agent. Dropping it stops it, which blocks for a moment.
#[derive(Debug)]
pub struct Follower {
    client: ChainClient,
    /// Behind the client: what it follows ends last.
    engine: EngineNode,
}

impl Follower {
    /// Starts one, and waits until it has the blocks that those have whom it is connected to.
    ///
    /// # Errors
    /// [`NodeError`]; nothing runs then.
    pub async fn start(config: FollowerConfig, clock: Arc<dyn Clock>) -> Result<Self, NodeError> {
        let FollowerConfig {
            genesis,
            key,
            peers,
            folder,
            patience,
        } = config;
        if genesis.validators().is_empty() {
            return Err(NodeError::NoValidators);
        }
        // A constant that parses.
        let listen = NOWHERE
            .parse()
            .map_err(|error| AgentError::internal("an address", error))?;
        let engine = EngineConfig::new(listen, peers, folder);
        let (of, signer, wall) = (genesis.clone(), key.clone(), Arc::clone(&clock));
        let started = tokio::task::spawn_blocking(move || EngineNode::start(&of, signer, engine, wall));
        let engine = started
            .await
            .map_err(|error| AgentError::internal("the engine", error))??;
        let log = engine.log();
        let operator = genesis.operator();
        let ledger = LedgerNode::start(genesis, Arc::new(log.clone()))
            .map_err(|error| AgentError::internal("the ledger", error))?;
        let ledger = Arc::new(ledger);
        match tokio::time::timeout(patience, caught_up(&ledger, &log)).await {
            Ok(done) => done?,
            Err(_) => return Err(NodeError::Silent { patience }),
        }
        let public = key.public();
        let agent = if public == operator {
            Some(OPERATOR)
        } else {
            ledger.view(|ledger| ledger.agent_of(&public))
        };
        let agent = agent.ok_or_else(|| NodeError::Stranger { key: public.to_hex() })?;
        let client = ChainClient::new(&ledger, &clock, (agent, key), patience, Millis(500))?;
        Ok(Self { client, engine })
    }

    /// The side of the agent, and what the replica follows: it must live as long.
    pub(crate) fn into_parts(self) -> (ChainClient, EngineNode) {
        (self.client, self.engine)
    }

    /// Reads the replica. Blocks wait meanwhile.
    pub fn view<R>(&self, look: impl FnOnce(&Ledger) -> R) -> R {
        self.client.node().view(look)
    }

    /// Has the ledger carry out `command`; what came of it, refusals included. `None`: the answer was missed.
    ///
    /// # Errors
    /// [`AgentError`] when no answer comes in time; the command may be carried out all the same.
    pub async fn call(&mut self, command: &Command) -> Result<Option<LedgerEvent>, AgentError> {
        self.client.call(command).await
    }

    /// Stops it, and waits until its folder is free.
    pub async fn stop(self) {
        let Self { client, mut engine } = self;
        client.node().shutdown();
        if tokio::task::spawn_blocking(move || engine.stop()).await.is_err() {
            tracing::error!("a follower did not stop in order");
        }
    }
}

/// Waits until the replica is as far as a connected validator has told.
async fn caught_up(ledger: &LedgerNode, log: &EngineLog) -> Result<(), AgentError> {
    let news = Arc::new(Notify::new());
    let bell = Arc::downgrade(&news);
    ledger
        .attach(move |_| bell.upgrade().inspect(|bell| bell.notify_one()).is_some())
        .map_err(|error| AgentError::internal("the ledger", error))?;
    let mut told = log.told();
    loop {
        let height = ledger.view(Ledger::height);
        if told.borrow_and_update().is_some_and(|told| told <= height) {
            return Ok(());
        }
        tokio::select! {
            changed = told.changed() => changed.map_err(|_| AgentError::LogClosed)?,
            () = news.notified() => {}
        }
    }
}
