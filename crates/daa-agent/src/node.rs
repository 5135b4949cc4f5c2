//! A node: one process on one machine that takes part in a ledger, and lends its devices to the runs of its members.
//!
//! It agrees with the other nodes on the order of commands, registers its devices and its agents under its own number,
//! and works for whoever leads a run. On the network it is its key. It listens twice: for validators at the port it is
//! given, for agents at the next one.

mod config;
mod duties;
mod joining;
mod lore;
mod reception;
mod status;
mod teller;
mod worker;

pub use config::{MAX_DEVICES, MAX_SLOTS, NodeConfig, NodeError, agents_address, reaches};
pub use lore::{AuthorStatus, KnowledgeStatus};
pub use status::{CoordinationStatus, NodeStatus, SCHEMA};

use crate::agent::blocking;
use crate::device::SharedDevice;
use crate::error::{AgentError, FolderError};
use crate::folder::{write_json, write_whole};
use crate::library::Library;
use crate::work::MAX_PEERS;
use daa_base::{AgentId, Clock, DeviceId, Millis};
use daa_coord::coordination::CoordinationWatch;
use daa_coord::discovery::{Multiaddr, Network, Policy};
use daa_coord::genesis::OPERATOR;
use daa_coord::log::engine::{EngineConfig, EngineNode};
use daa_coord::{AgentKey, CommitLog, Ledger, LedgerNode, PublicKey, Sequencer, SequencerConfig, sponsored};
use duties::{Counters, Duties};
use joining::Joining;
use lore::Lore;
use reception::Reception;
use std::collections::BTreeSet;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use teller::Teller;
use tokio::task::JoinSet;
use worker::{Jobs, NodeDevice, Worker};

/// Records of the coordination that are kept.
const HISTORY: usize = 4096;

/// Runs that are led at one time with the key of one node.
pub const GUESTS: u16 = 8;

/// The first number in a node's block of the agents that such runs are: the last ones of the block.
const FIRST_GUEST: u16 = 1024 - GUESTS;

/// The key by which the run in seat `seat`, 0 to below [`GUESTS`], is known that is started with the key of a node: no two
/// processes may have one name.
#[must_use]
pub fn guest_key(node: &AgentKey, seat: u16) -> AgentKey {
    node.derive("guest", seat.into())
}

/// Peers are the agents and validators of the ledger, as it stands.
#[derive(Debug)]
struct Members {
    ledger: Arc<LedgerNode>,
    /// Who they are, and the height at which they were looked up.
    known: Mutex<(u64, BTreeSet<PublicKey>)>,
}

impl Members {
    fn new(ledger: Arc<LedgerNode>) -> Self {
        let known = Mutex::new((0, ledger.view(Self::of)));
        Self { ledger, known }
    }

    fn of(ledger: &Ledger) -> BTreeSet<PublicKey> {
        let validators = ledger
            .validators()
            .as_slice()
            .iter()
            .map(|validator| validator.key);
        ledger.agents().map(|agent| agent.key).chain(validators).collect()
    }
}

impl Policy for Members {
    fn allows(&self, peer: &PublicKey) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.ledger.view(|ledger| {
            if known.0 != ledger.height() {
                *known = (ledger.height(), Self::of(ledger));
            }
        });
        known.1.contains(peer)
    }
}

/// What puts commands into order.
enum NodeLog {
    Engine(Box<EngineNode>),
    Sequencer(Arc<Sequencer>),
}

impl NodeLog {
    /// Reads what this node's validator counts; a sequencer counts nothing.
    fn counters(&self) -> Counters {
        match self {
            Self::Engine(engine) => {
                let log = engine.log();
                Box::new(move || Some(log.counters()))
            }
            Self::Sequencer(_) => Box::new(|| None),
        }
    }
}

/// A running node. It must be ended by [`Node::stop`]; dropped, its leases run out by themselves.
pub struct Node {
    log: Option<NodeLog>,
    ledger: Arc<LedgerNode>,
    network: Network,
    worker: Arc<Worker>,
    lore: Arc<Lore>,
    history: CoordinationWatch,
    tasks: JoinSet<()>,
    status_file: PathBuf,
    /// Held as long as the node runs.
    _lock: File,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("key", &self.network.me())
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Starts a node. It takes part as soon as enough others do; until then it has no places.
    ///
    /// Must be called within a tokio runtime with time and I/O enabled.
    ///
    /// # Errors
    /// [`NodeError`]; nothing runs then.
    pub async fn start(config: NodeConfig, clock: Arc<dyn Clock>) -> Result<Self, NodeError> {
        config.validate()?;
        let (agent, owner) = config.member()?;
        let lock = claim(&config.folder, &config.key.public())?;
        for address in [&config.listen, &agents_address(&config.listen)?] {
            probe(address)?;
        }
        let devices = open_devices(&config, agent).await?;
        let (log, commits) = start_log(&config, &clock).await?;
        let genesis = config.genesis.clone();
        let ledger =
            LedgerNode::start(genesis, commits).map_err(|error| AgentError::internal("the ledger", error))?;
        let ledger = Arc::new(ledger);
        let policy = Arc::new(Members::new(Arc::clone(&ledger)));
        let chain = config.genesis.chain_id();
        let (network, incoming) = Network::start(
            config.discovery()?,
            &config.key,
            chain,
            policy,
            Arc::clone(&clock),
        )
        .map_err(AgentError::from)?;
        let library = Arc::new(Library::new(network.clone(), Arc::clone(&clock))?);
        let worker = Arc::new(worker_of(&config, &ledger, (library, devices), &clock));
        let lore = open_lore(&config, clock.as_ref())?;
        let mut tasks = JoinSet::new();
        let reception = Reception {
            worker: Arc::clone(&worker),
            lore: Arc::clone(&lore),
            owner,
        };
        tasks.spawn(reception.serve(incoming));
        tasks.spawn(Teller::new(&lore, &network, clock).run());
        let history = CoordinationWatch::start(&ledger, config.folder.join("history"), HISTORY)
            .map_err(|error| AgentError::internal("the history", error))?;
        let joining = Joining {
            worker: Arc::clone(&worker),
            network: network.clone(),
            key: config.key.clone(),
            agent,
            owner,
            slots: config.slots,
        };
        tasks.spawn(joining.run());
        let counters = log.counters();
        let status_file = config.folder.join("status.json");
        let node = Self {
            log: Some(log),
            ledger,
            network,
            worker,
            lore,
            history,
            tasks,
            status_file,
            _lock: lock,
        };
        Ok(node.at_work(counters))
    }

    /// The node, with its duties under way.
    fn at_work(mut self, counters: Counters) -> Self {
        let duties = Duties {
            network: self.network.clone(),
            worker: Arc::clone(&self.worker),
            lore: Arc::clone(&self.lore),
            history: self.history.clone(),
            counters,
            file: self.status_file.clone(),
        };
        self.tasks.spawn(duties.run());
        self
    }

    /// How the node is.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        status::of(&self.network, &self.worker, &self.lore, &self.history)
    }

    /// Why the node's log has ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<String> {
        self.ledger.end().map(|end| end.to_string())
    }

    /// Gives all leases back and stops. How the node was then; `status.json` says the same.
    pub async fn stop(mut self) -> NodeStatus {
        self.worker.close().await;
        self.tasks.shutdown().await;
        let status = self.status();
        if let Err(error) = write_json(&self.status_file, &status) {
            tracing::warn!(%error, "the status is not written");
        }
        self.network.stop().await;
        if let Err(error) = self.lore.tend(self.worker.clock.wall()) {
            tracing::warn!(%error, "what others said last is not kept");
        }
        if let Err(error) = self.history.sync() {
            tracing::warn!(%error, "the history may lack its last records");
        }
        let (log, ledger) = (self.log.take(), Arc::clone(&self.ledger));
        let stopped = tokio::task::spawn_blocking(move || {
            match log {
                Some(NodeLog::Engine(mut engine)) => engine.stop(),
                Some(NodeLog::Sequencer(sequencer)) => sequencer.shutdown(),
                None => {}
            }
            ledger.shutdown();
        });
        if stopped.await.is_err() {
            tracing::error!("the node's log did not stop in order");
        }
        status
    }
}

/// The part of the node that works for runs.
fn worker_of(
    config: &NodeConfig,
    ledger: &Arc<LedgerNode>,
    (library, devices): (Arc<Library>, Vec<NodeDevice>),
    clock: &Arc<dyn Clock>,
) -> Worker {
    let peers = config.peers.iter().take(MAX_PEERS);
    Worker {
        ledger: Arc::clone(ledger),
        library,
        clock: Arc::clone(clock),
        is_agreed: !config.is_local(),
        peers: peers.map(ToString::to_string).collect(),
        folder: config.folder.join("jobs"),
        devices,
        hold: config.lease,
        patience: config.patience,
        places: Mutex::default(),
        jobs: Mutex::new(Jobs::default()),
    }
}

/// Makes the node's folder its own, and removes what an earlier process left of jobs.
fn claim(folder: &Path, key: &PublicKey) -> Result<File, NodeError> {
    let io = |doing, source| {
        let path = folder.to_owned();
        AgentError::from(FolderError::Io { path, doing, source })
    };
    std::fs::create_dir_all(folder).map_err(|source| io("make the folder", source))?;
    let lock = File::create(folder.join("lock")).map_err(|source| io("lock", source))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            let path = folder.to_owned();
            return Err(AgentError::from(FolderError::InUse { path }).into());
        }
        Err(std::fs::TryLockError::Error(source)) => return Err(io("lock", source).into()),
    }
    let (whose, key) = (folder.join("node"), key.to_hex());
    match std::fs::read_to_string(&whose) {
        Ok(owner) if owner.trim() == key => {}
        Ok(owner) => {
            let (path, owner) = (folder.to_owned(), owner.trim().chars().take(64).collect());
            return Err(NodeError::Folder { path, owner });
        }
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
            write_whole(&whose, key.as_bytes()).map_err(AgentError::from)?;
        }
        Err(source) => return Err(io("read whose it is", source).into()),
    }
    let jobs = folder.join("jobs");
    match std::fs::remove_dir_all(&jobs) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(io("empty", source).into()),
        _ => Ok(lock),
    }
}

/// Whether nobody listens there: the networks would share the address with another process without a word.
fn probe(address: &Multiaddr) -> Result<(), NodeError> {
    let Some(address) = config::socket(address) else {
        return Ok(());
    };
    let listened = TcpListener::bind(address).map(drop);
    listened.map_err(|source| NodeError::Listen { address, source })
}

async fn open_devices(config: &NodeConfig, agent: AgentId) -> Result<Vec<NodeDevice>, NodeError> {
    let mut devices = Vec::new();
    for (schedule, k) in config.schedules().into_iter().zip(0_u16..) {
        let number = sponsored(agent.get(), k).ok_or(NodeError::Number { agent })?;
        let shared = blocking("a device", move || SharedDevice::open(&schedule)).await?;
        devices.push(NodeDevice {
            id: DeviceId(number),
            shared: Arc::new(shared),
        });
    }
    Ok(devices)
}

async fn start_log(
    config: &NodeConfig,
    clock: &Arc<dyn Clock>,
) -> Result<(NodeLog, Arc<dyn CommitLog>), NodeError> {
    let clock = Arc::clone(clock);
    let genesis = config.genesis.clone();
    if config.is_local() {
        let config = SequencerConfig {
            tick: Millis(500),
            ..SequencerConfig::default()
        };
        let sequencer = Sequencer::start(genesis, config, clock);
        let sequencer = Arc::new(sequencer.map_err(|error| AgentError::internal("the log", error))?);
        return Ok((NodeLog::Sequencer(Arc::clone(&sequencer)), sequencer));
    }
    let engine = EngineConfig::new(
        config.listen.clone(),
        config.peers.clone(),
        config.folder.join("chain"),
    );
    let key = config.key.clone();
    let started = tokio::task::spawn_blocking(move || EngineNode::start(&genesis, key, engine, clock));
    let engine = started
        .await
        .map_err(|error| AgentError::internal("the engine", error))??;
    let log = Arc::new(engine.log());
    Ok((NodeLog::Engine(Box::new(engine)), log))
}

/// What the node knows, from its folder.
fn open_lore(config: &NodeConfig, clock: &dyn Clock) -> Result<Arc<Lore>, NodeError> {
    let path = config.folder.join("knowledge");
    let chain = config.genesis.chain_id();
    let lore = Lore::open(config.key.clone(), chain, path, clock.wall())?;
    lore.listen_to(
        &config.genesis.members().iter().map(|member| member.key).collect(),
        false,
    );
    Ok(Arc::new(lore))
}

/// Who may be an author: members in their own right. Agents that a member registered are none, or it could give itself as
/// many names as it has agents.
fn authors(ledger: &Ledger) -> BTreeSet<PublicKey> {
    let members = ledger
        .agents()
        .filter(|agent| agent.sponsor.is_none() && agent.agent != OPERATOR);
    members.map(|agent| agent.key).collect()
}
