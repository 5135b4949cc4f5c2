//! The commit log of validators on several machines: Malachite's own engine, with libp2p, write-ahead log and value sync.
//!
//! A node is a validator of its genesis, or an agent of the ledger that follows the chain until the ledger makes it a validator.
//! It judges and applies blocks by the same code as the validators in one process ([`bft`](super::bft)).
//!
//! # What is otherwise than by the engine's defaults
//! - The network is ours: authenticated connections on which messages follow each other, in place of a stream per message.
//! - The write-ahead log is ours: written over in place, holding undecided blocks whole, flushed once per own message.
//! - Blocks are durable before the engine is told that they are.
//! - Waits for a proposal follow the measured pace, anew at each height, and are short for a proposer that is not connected, so
//!   that a validator that is down costs little.
//! - No blocks without need: the next height begins when there is something to decide.
//! - Contradictions are found also when they come some heights late.
//! - Everything on the wire and in the log is in this crate's bounded canonical form.
//!
//! # Limits
//! The engine decides by two thirds of the weight and cannot be told otherwise, so a genesis that asks for more is refused.
//! Validators must be able to reach each other: nothing is relayed. A node that was away for longer than its peers keep blocks
//! ([`FileStorage::KEPT`] files of [`FileStorage::SEGMENT`] blocks) cannot catch up by itself.

mod app;
mod codec;
mod config;
#[cfg(any(test, fuzzing))]
pub mod doors;
mod links;
mod parts;
mod signer;
#[cfg(test)]
mod tests;
mod wal;
mod witness;

pub use codec::EngineCodecError;
pub use config::EngineConfig;

use self::app::{App, Rest, Tamper};
use self::codec::{EngineCodec, Undecided};
use self::links::{Links, LinksConfig};
use self::signer::EngineSigner;
use self::witness::Witness;
use crate::command::{MAX_PAYLOAD, SignedCommand};
use crate::consensus::storage::{FileStorage, StorageError};
use crate::consensus::{
    Application, ChainContext, Decided, Evidence, Height, HostCounters, HostError, WalRecord,
};
use crate::genesis::Genesis;
use crate::keys::{AgentKey, Ed25519, PublicKey};
use crate::ledger::Ledger;
use crate::log::published::Publisher;
use crate::log::{BlockStream, CommitLog, LogSnapshot, SubmitError, SubscribeError};
use arc_malachitebft_app_channel::app::types::SignedConsensusMsg;
use arc_malachitebft_app_channel::{
    Channels, ConsensusContext, EngineBuilder, EngineHandle, NetworkRequest, RequestContext, SyncContext,
};
use arc_malachitebft_core_types::ThresholdParams;
use arc_malachitebft_signing::Verifier;
use daa_base::Clock;
use libp2p::Multiaddr;
use ractor::Actor;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How long a node that stops waits for its parts to stop.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A field of the configuration is outside its range.
    #[error("{field} is {value}, allowed are {min} to {max}")]
    OutOfRange {
        /// The field's name.
        field: &'static str,
        /// Its value.
        value: u64,
        /// Smallest allowed value.
        min: u64,
        /// Largest allowed value.
        max: u64,
    },
    /// The genesis, the configuration or stored blocks are refused.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The genesis asks for more than two thirds plus one of the weight, which the engine cannot.
    #[error("the genesis asks for {numerator}/{denominator} of the weight, the engine decides by 2/3")]
    Quorum {
        /// Of the fraction that a decision must exceed.
        numerator: u64,
        /// Of the fraction that a decision must exceed.
        denominator: u64,
    },
    /// The node's files cannot be used.
    #[error(transparent)]
    Storage(#[from] Box<StorageError>),
    /// The runtime or the engine does not start.
    #[error("{part} does not start: {reason}")]
    Start {
        /// Which.
        part: &'static str,
        /// What it said.
        reason: String,
    },
}

/// What reaches a node from its own process.
#[derive(Debug)]
enum Request {
    Submit(SignedCommand),
    Ask,
    /// A proof against a validator that was found outside the engine.
    Accuse(Box<Evidence>),
    Stop,
}

/// The part of a node that others may touch.
#[derive(Debug)]
struct Shared {
    published: Publisher,
    counters: Mutex<HostCounters>,
    /// The largest height that a connected validator has told.
    told: watch::Sender<Option<u64>>,
}

impl Shared {
    fn new(published: Publisher) -> Self {
        Self {
            published,
            counters: Mutex::default(),
            told: watch::Sender::default(),
        }
    }

    fn publish(&self, decided: &Decided, ledger: Arc<Ledger>, counters: HostCounters) {
        *self.lock_counters() = counters;
        self.published.publish(decided, ledger);
    }

    fn lock_counters(&self) -> MutexGuard<'_, HostCounters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log as one node sees it. It ends with the node.
#[derive(Debug, Clone)]
pub struct EngineLog {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
    queue: usize,
}

impl EngineLog {
    /// The ledger after the last block of this node.
    #[must_use]
    pub fn ledger(&self) -> Arc<Ledger> {
        self.shared.published.ledger()
    }

    /// Why this node has stopped, if it has.
    #[must_use]
    pub fn end(&self) -> Option<String> {
        self.shared.published.ended()
    }

    /// What this node has counted up to its last block. It does not sign through the counters, and spares no votes.
    #[must_use]
    pub fn counters(&self) -> HostCounters {
        *self.shared.lock_counters()
    }

    /// The largest height that a connected validator has told; none until one has. Whoever is connected to liars only can
    /// be told anything.
    #[must_use]
    pub fn told(&self) -> watch::Receiver<Option<u64>> {
        self.shared.told.subscribe()
    }

    /// Has the validators decide on a block even though nothing waits for one.
    pub fn ask(&self) {
        let _full = self.requests.try_send(Request::Ask);
    }
}

impl CommitLog for EngineLog {
    /// Offers a command to this node, which hands it on to the validators that it is connected to.
    fn submit(&self, command: SignedCommand) -> Result<(), SubmitError> {
        if command.check_size().is_err() {
            return Err(SubmitError::TooLarge {
                size: command.payload.len(),
                limit: MAX_PAYLOAD,
            });
        }
        if self.shared.published.has_ended() {
            return Err(SubmitError::Closed);
        }
        self.requests
            .try_send(Request::Submit(command))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => SubmitError::Full { limit: self.queue },
                mpsc::error::TrySendError::Closed(_) => SubmitError::Closed,
            })
    }

    fn subscribe(&self, from_height: u64) -> Result<BlockStream, SubscribeError> {
        self.shared.published.subscribe(from_height)
    }

    fn snapshot(&self) -> Result<LogSnapshot, SubscribeError> {
        self.shared.published.snapshot()
    }
}

struct Running {
    runtime: Runtime,
    engine: EngineHandle,
    app: JoinHandle<()>,
}

/// A validator, or a follower, with its own threads and connections. Dropping it stops it.
pub struct EngineNode {
    key: PublicKey,
    log: EngineLog,
    network: mpsc::Sender<NetworkRequest>,
    folder: std::path::PathBuf,
    running: Option<Running>,
}

impl fmt::Debug for EngineNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineNode")
            .field("key", &self.key)
            .field("height", &self.log.ledger().height())
            .finish_non_exhaustive()
    }
}

impl EngineNode {
    /// Starts a node of `genesis` that signs, and is known to its peers, by `key`.
    ///
    /// # Errors
    /// [`EngineError`]; nothing runs then.
    ///
    /// # Panics
    /// Within an asynchronous runtime: a node has its own, and starting it waits.
    pub fn start(
        genesis: &Genesis,
        key: AgentKey,
        config: EngineConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, EngineError> {
        Self::start_as(genesis, key, config, clock, None)
    }

    fn start_as(
        genesis: &Genesis,
        key: AgentKey,
        config: EngineConfig,
        clock: Arc<dyn Clock>,
        tamper: Tamper,
    ) -> Result<Self, EngineError> {
        config.validate()?;
        let (storage, mut recovered) = FileStorage::open(&config.folder, genesis).map_err(Box::new)?;
        let found = std::mem::take(&mut recovered.wal);
        let history = recovered.ledger_blocks();
        let chain = Application::recover(
            genesis.clone(),
            key.public(),
            Arc::new(Ed25519),
            config.host.limits(),
            (recovered.base, recovered.blocks),
        )?;
        Self::accepts(genesis)?;
        check_log(&chain.ledger, &found)?;
        let runtime = runtime(config.workers)?;
        let published = Publisher::new(Arc::clone(&chain.ledger), history, config.publish_limits());
        let shared = Arc::new(Shared::new(published));
        let undecided = Undecided::default();
        let (storage, file) = storage.split();
        let public = key.public();
        let log = wal::Log {
            file,
            found,
            undecided: undecided.clone(),
            me: public,
            height: Height(0),
            own_waits: false,
        };
        let folder = config.folder.clone();
        let (sender, receiver) = mpsc::channel(config.queue);
        let queue = config.queue;
        let starting = start(&chain, key, &config, log, (&shared, &sender));
        let (channels, engine, links) = runtime.block_on(starting)?;
        let Channels {
            consensus,
            events,
            net_requests,
            ..
        } = channels;
        let app = App {
            chain,
            storage,
            shared: Arc::clone(&shared),
            undecided,
            clock,
            me: public,
            links,
            events,
            rest: Rest::new(),
            tamper,
            config,
        };
        let ended = Arc::clone(&shared);
        let app = runtime.spawn(async move {
            let app::End(why) = app.run(consensus, receiver).await;
            tracing::debug!(%why, "node ends");
            ended.published.end(why);
        });
        Ok(Self {
            key: public,
            log: EngineLog {
                shared,
                requests: sender,
                queue,
            },
            network: net_requests,
            folder,
            running: Some(Running { runtime, engine, app }),
        })
    }

    /// Whether nodes can run `genesis`: the engine decides by two thirds of the weight, neither less nor more.
    ///
    /// # Errors
    /// [`EngineError::Quorum`].
    pub fn accepts(genesis: &Genesis) -> Result<(), EngineError> {
        let wanted = genesis.quorum();
        let given = ThresholdParams::default().quorum;
        if wanted.numerator * given.denominator > given.numerator * wanted.denominator {
            return Err(EngineError::Quorum {
                numerator: wanted.numerator,
                denominator: wanted.denominator,
            });
        }
        Ok(())
    }

    /// The log as this node sees it.
    #[must_use]
    pub fn log(&self) -> EngineLog {
        self.log.clone()
    }

    /// The node's key.
    #[must_use]
    pub const fn key(&self) -> PublicKey {
        self.key
    }

    /// Connects to `address`, now and whenever the connection is lost. `false`: it is known already, or the node has ended.
    ///
    /// # Panics
    /// Within an asynchronous runtime.
    #[must_use]
    pub fn add_peer(&self, address: Multiaddr) -> bool {
        self.running.as_ref().is_some_and(|running| {
            let added = NetworkRequest::add_persistent_peer(&self.network, address);
            matches!(running.runtime.block_on(added), Ok(Ok(())))
        })
    }

    /// Stops the node and waits until its files are free, which blocks the thread. Idempotent.
    pub fn stop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        // Within a runtime nobody may wait for another one.
        std::thread::scope(|scope| scope.spawn(|| self.end(running)).join().ok());
    }

    fn end(&self, Running { runtime, engine, app }: Running) {
        let requests = self.log.requests.clone();
        let lock = self.folder.join("lock");
        runtime.block_on(async move {
            let stop = async {
                let _ended = requests.send(Request::Stop).await;
                let _joined = app.await;
                let cell = engine.actor.get_cell();
                cell.stop_children_and_wait(None, Some(STOP_WAIT)).await;
                engine.actor.stop(None);
                let _joined = engine.handle.await;
                // Whoever may still write holds the lock.
                let free = tokio::task::spawn_blocking(move || {
                    std::fs::File::open(lock).and_then(|file| file.lock()).is_ok()
                });
                free.await.unwrap_or(false)
            };
            if tokio::time::timeout(STOP_WAIT * 2, stop).await != Ok(true) {
                tracing::warn!("a node did not stop in time");
            }
        });
        self.log.shared.published.end("the node was stopped".to_owned());
        runtime.shutdown_timeout(STOP_WAIT);
    }
}

impl Drop for EngineNode {
    fn drop(&mut self) {
        self.stop();
    }
}

fn start_error(part: &'static str, error: &dyn fmt::Display) -> EngineError {
    EngineError::Start {
        part,
        reason: error.to_string(),
    }
}

fn runtime(workers: usize) -> Result<Runtime, EngineError> {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("daa-engine")
        .enable_all()
        .build()
        .map_err(|error| start_error("the runtime", &error))
}

/// A log of a height that the stored blocks do not reach: blocks that were acknowledged are gone.
fn check_log(ledger: &Ledger, found: &[WalRecord]) -> Result<(), HostError> {
    let stored = ledger.height();
    match found.iter().map(WalRecord::height).max() {
        Some(wal) if wal > stored + 1 => Err(HostError::WalAhead { wal, stored }),
        _ => Ok(()),
    }
}

async fn start(
    chain: &Application,
    key: AgentKey,
    config: &EngineConfig,
    log: wal::Log,
    (shared, requests): (&Arc<Shared>, &mpsc::Sender<Request>),
) -> Result<(Channels<ChainContext>, EngineHandle, Links), EngineError> {
    let public = key.public();
    let keypair = crate::discovery::keypair(key.secret())
        .map_err(|error| start_error("the node's identity", &error))?;
    let links = LinksConfig {
        me: public,
        keypair,
        chain: chain.ledger.chain_id(),
        listen: config.listen.clone(),
        peers: config.peers.clone(),
        max_per_ip: config.max_connections_per_ip,
        max_guests: config.max_guests,
    };
    let signer = EngineSigner {
        key,
        chain: chain.ledger.chain_id(),
        signatures: Arc::clone(&chain.signatures),
    };
    let witness = Witness::new(Arc::clone(&chain.signatures));
    let (ledger, seen, requests) = (Arc::clone(shared), Arc::clone(shared), requests.clone());
    let observer = move |message: &SignedConsensusMsg<ChainContext>| {
        let current = seen.published.height() + 1;
        if let Some(proof) = witness.hear(message, current) {
            // Where there is no room, others have heard it too.
            let _full = requests.try_send(Request::Accuse(Box::new(proof)));
        }
    };
    let started = links::start(links, move || ledger.published.ledger(), observer).await;
    let (links, network) = started.map_err(|error| start_error("the network", &error))?;
    let (wal, _) = Actor::spawn(None, wal::Wal, log)
        .await
        .map_err(|error| start_error("the write-ahead log", &error))?;
    let verifier: Arc<dyn Verifier<ChainContext>> = Arc::clone(&chain.signatures) as _;
    // Parts go to the connections directly.
    let (unused, _) = mpsc::channel(1);
    let built = EngineBuilder::new(ChainContext, config.engine(public.to_string()))
        .with_custom_wal(wal.clone())
        .with_custom_network(network.clone(), unused)
        .with_default_sync(SyncContext::new(EngineCodec))
        .with_default_consensus(ConsensusContext::new_validator(
            public,
            Box::new(verifier),
            Box::new(signer),
        ))
        .with_default_request(RequestContext::new(64))
        .build()
        .await;
    match built {
        Ok((channels, engine)) => Ok((channels, engine, links)),
        Err(error) => {
            wal.stop(None);
            network.stop(None);
            Err(start_error("the engine", &error))
        }
    }
}
