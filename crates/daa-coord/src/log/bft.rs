//! The commit log of several validators in one process: threads that share nothing but channels.
//!
//! Each validator is a [`Host`] on a thread of its own, with its own ledger, its own keys and, where
//! wanted, its own folder. Messages are lost when a channel is full, as on any network. One validator's log is what
//! [`BftCluster::log`] gives; all of them give the same blocks.

mod validator;

#[cfg(test)]
mod tests;

use self::validator::{Envelope, Validator};
use crate::command::{MAX_PAYLOAD, SignedCommand};
use crate::consensus::storage::{FileStorage, NoStorage, Storage, StorageError};
use crate::consensus::{Decided, Effect, Host, HostConfig, HostCounters, HostError, Now, Recovered};
use crate::genesis::Genesis;
use crate::keys::{AgentKey, Ed25519, PublicKey, Signer};
use crate::ledger::Ledger;
use crate::log::published::{PublishLimits, Publisher};
use crate::log::{BlockStream, CommitLog, LogSnapshot, SubmitError, SubscribeError};
use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use daa_base::Clock;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Sizes of a [`BftCluster`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BftConfig {
    /// Sizes and times of each validator.
    pub host: HostConfig,
    /// Messages and submissions that may wait for one validator; 64 to 1 048 576.
    pub queue: usize,
    /// Blocks kept for subscribers that come late; 1 to 1 048 576.
    pub history: usize,
    /// Blocks buffered for one subscriber before it is cut off; 1 to 65 536.
    pub subscriber_buffer: usize,
    /// Subscribers of one validator at one time; 1 to 65 536.
    pub max_subscribers: usize,
    /// A folder in which each validator keeps its files; `None`: nothing is kept.
    pub folder: Option<PathBuf>,
}

impl Default for BftConfig {
    fn default() -> Self {
        Self {
            host: HostConfig::default(),
            queue: 16_384,
            history: 4096,
            subscriber_buffer: 1024,
            max_subscribers: 256,
            folder: None,
        }
    }
}

/// Why a cluster does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BftError {
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
    /// A validator does not start.
    #[error("validator {validator}: {source}")]
    Host {
        /// Which.
        validator: PublicKey,
        /// Why.
        source: HostError,
    },
    /// A validator's files cannot be used.
    #[error("validator {validator}: {source}")]
    Storage {
        /// Which.
        validator: PublicKey,
        /// Why.
        source: Box<StorageError>,
    },
    /// The system gives no thread.
    #[error("no thread for a validator: {reason}")]
    Thread {
        /// What the system said.
        reason: String,
    },
    /// No key was given.
    #[error("there are no validators to run")]
    NoValidators,
}

impl BftConfig {
    const fn limits(&self) -> PublishLimits {
        PublishLimits {
            history: self.history,
            subscriber_buffer: self.subscriber_buffer,
            max_subscribers: self.max_subscribers,
        }
    }

    /// Whether every field is within its range.
    ///
    /// # Errors
    /// [`BftError::OutOfRange`] for the first field that is not; the host's fields are checked by the host.
    pub fn validate(&self) -> Result<(), BftError> {
        for (field, value, min, max) in [
            ("queue", self.queue as u64, 64, 1 << 20),
            ("history", self.history as u64, 1, 1 << 20),
            ("subscriber_buffer", self.subscriber_buffer as u64, 1, 1 << 16),
            ("max_subscribers", self.max_subscribers as u64, 1, 1 << 16),
        ] {
            if !(min..=max).contains(&value) {
                return Err(BftError::OutOfRange {
                    field,
                    value,
                    min,
                    max,
                });
            }
        }
        Ok(())
    }
}

/// The part of a validator that others may touch.
#[derive(Debug)]
struct Shared {
    key: PublicKey,
    queue: Sender<Envelope>,
    published: Publisher,
    counters: Mutex<HostCounters>,
}

impl Shared {
    fn publish(&self, decided: &Decided, ledger: Arc<Ledger>, counters: HostCounters) {
        *self.lock_counters() = counters;
        self.published.publish(decided, ledger);
    }

    fn lock_counters(&self) -> MutexGuard<'_, HostCounters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All validators of a genesis, or some of them, in this process. Dropping it stops and joins their threads.
#[derive(Debug)]
pub struct BftCluster {
    validators: Vec<Arc<Shared>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    config: BftConfig,
}

impl BftCluster {
    /// Starts a validator of `genesis` for each of `keys`.
    ///
    /// # Errors
    /// [`BftError`]; nothing runs then.
    pub fn start(
        genesis: &Genesis,
        keys: Vec<AgentKey>,
        config: BftConfig,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, BftError> {
        config.validate()?;
        if keys.is_empty() {
            return Err(BftError::NoValidators);
        }
        let queues: Vec<_> = keys.iter().map(|_| bounded(config.queue)).collect();
        let peers: Vec<_> = keys
            .iter()
            .zip(&queues)
            .map(|(key, (sender, _))| (key.public(), sender.clone()))
            .collect();
        let mut ready = Vec::new();
        for (key, (sender, receiver)) in keys.into_iter().zip(queues) {
            let others = peers
                .iter()
                .filter(|(peer, _)| *peer != key.public())
                .cloned()
                .collect();
            let channels = Channels {
                own: sender,
                receiver,
                others,
            };
            ready.push(prepare(genesis, key, &config, channels, clock)?);
        }
        let mut cluster = Self {
            validators: Vec::new(),
            threads: Mutex::default(),
            config,
        };
        for (at, (shared, run, effects)) in ready.into_iter().enumerate() {
            let thread = std::thread::Builder::new()
                .name(format!("daa-validator-{at}"))
                .spawn(move || run.run(effects))
                .map_err(|error| BftError::Thread {
                    reason: error.to_string(),
                })?;
            cluster.validators.push(shared);
            cluster.lock_threads().push(thread);
        }
        Ok(cluster)
    }

    /// How many validators run here.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.validators.len()
    }

    /// Never: a cluster has at least one validator.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.validators.is_empty()
    }

    /// The log as validator number `at` sees it; it ends when the cluster is dropped.
    #[must_use]
    pub fn log(&self, at: usize) -> Option<BftLog> {
        self.validators.get(at)?;
        Some(BftLog {
            validators: self.validators.clone(),
            own: at,
            config: self.config.clone(),
        })
    }

    /// What validator number `at` has counted up to its last block.
    #[must_use]
    pub fn counters(&self, at: usize) -> Option<HostCounters> {
        Some(*self.validators.get(at)?.lock_counters())
    }

    /// Stops validator number `at` as a crash would: without a word to the others. Idempotent.
    pub fn stop(&self, at: usize) {
        if let Some(shared) = self.validators.get(at) {
            shared.published.end("the validator was stopped".to_owned());
            // A full queue is being read: the validator looks at `end` before each input.
            let _wake = shared.queue.try_send(Envelope::Stop);
        }
    }

    /// Stops all validators and joins their threads. Idempotent.
    pub fn shutdown(&self) {
        (0..self.validators.len()).for_each(|at| self.stop(at));
        let threads = std::mem::take(&mut *self.lock_threads());
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a validator's thread panicked");
            }
        }
    }

    fn lock_threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for BftCluster {
    fn drop(&mut self) {
        self.shutdown();
    }
}

struct Channels {
    own: Sender<Envelope>,
    receiver: Receiver<Envelope>,
    others: Vec<(PublicKey, Sender<Envelope>)>,
}

type Prepared = (Arc<Shared>, Validator, Vec<Effect>);

/// Everything of one validator but its thread.
fn prepare(
    genesis: &Genesis,
    key: AgentKey,
    config: &BftConfig,
    channels: Channels,
    clock: &Arc<dyn Clock>,
) -> Result<Prepared, BftError> {
    let validator = key.public();
    let (storage, recovered) = open_storage(config, genesis, validator)?;
    let now = Now {
        monotonic: clock.monotonic(),
        wall: clock.wall(),
    };
    let history = recovered.ledger_blocks();
    let (host, effects) = Host::new(
        genesis.clone(),
        Box::new(key),
        Arc::new(Ed25519),
        config.host.clone(),
        recovered,
        now,
    )
    .map_err(|source| BftError::Host { validator, source })?;
    let shared = Arc::new(Shared {
        key: validator,
        queue: channels.own,
        published: Publisher::new(Arc::clone(host.ledger()), history, config.limits()),
        counters: Mutex::default(),
    });
    let run = Validator::new(
        host,
        storage,
        Arc::clone(&shared),
        channels.others,
        channels.receiver,
        Arc::clone(clock),
    );
    Ok((shared, run, effects))
}

type Opened = (Box<dyn Storage>, Recovered);

fn open_storage(config: &BftConfig, genesis: &Genesis, validator: PublicKey) -> Result<Opened, BftError> {
    let Some(folder) = &config.folder else {
        return Ok((Box::new(NoStorage), Recovered::default()));
    };
    let folder = folder.join(format!("validator-{validator}"));
    let (storage, recovered) = FileStorage::open(&folder, genesis).map_err(|source| BftError::Storage {
        validator,
        source: Box::new(source),
    })?;
    Ok((Box::new(storage), recovered))
}

/// The log as one validator sees it. Submissions go to all validators of the process.
#[derive(Debug, Clone)]
pub struct BftLog {
    validators: Vec<Arc<Shared>>,
    own: usize,
    config: BftConfig,
}

impl BftLog {
    fn own(&self) -> &Shared {
        &self.validators[self.own]
    }

    /// The ledger after the last block of this validator.
    #[must_use]
    pub fn ledger(&self) -> Arc<Ledger> {
        self.own().published.ledger()
    }

    /// Why this validator has stopped, if it has.
    #[must_use]
    pub fn end(&self) -> Option<String> {
        self.own().published.ended()
    }

    /// Has the validators decide on a block even though nothing waits for one.
    pub fn ask(&self) {
        for validator in &self.validators {
            let _full = validator.queue.try_send(Envelope::Ask);
        }
    }
}

impl CommitLog for BftLog {
    /// Offers a command to every validator of the process; one that takes it is enough.
    fn submit(&self, command: SignedCommand) -> Result<(), SubmitError> {
        if command.check_size().is_err() {
            return Err(SubmitError::TooLarge {
                size: command.payload.len(),
                limit: MAX_PAYLOAD,
            });
        }
        let (mut taken, mut closed) = (0, 0);
        for validator in &self.validators {
            match validator.queue.try_send(Envelope::Command(command.clone())) {
                Ok(()) => taken += 1,
                Err(TrySendError::Full(_)) => {}
                Err(TrySendError::Disconnected(_)) => closed += 1,
            }
        }
        if taken > 0 {
            Ok(())
        } else if closed == self.validators.len() {
            Err(SubmitError::Closed)
        } else {
            Err(SubmitError::Full {
                limit: self.config.queue,
            })
        }
    }

    fn subscribe(&self, from_height: u64) -> Result<BlockStream, SubscribeError> {
        self.own().published.subscribe(from_height)
    }

    fn snapshot(&self) -> Result<LogSnapshot, SubscribeError> {
        self.own().published.snapshot()
    }
}

/// The keys of `count` validators that belong to one run: derived from its seed, known to nobody else only as long as the
/// seed is.
#[must_use]
pub fn validator_keys(stream: &daa_base::Stream, count: usize) -> Vec<AgentKey> {
    (0..count as u64)
        .map(|index| AgentKey::from_stream(&stream.child(index)))
        .collect()
}

/// What a validator's own key says about itself.
#[must_use]
pub fn public_keys(keys: &[AgentKey]) -> Vec<PublicKey> {
    keys.iter().map(Signer::public).collect()
}
