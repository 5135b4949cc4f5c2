//! A node's handle on the network, and what comes in.

use super::address::peer_id;
use super::behaviour;
use super::config::{DiscoveryConfig, DiscoveryError, RequestError};
use super::counters::{Counters, Traffic};
use super::task::{Ask, Task};
use super::wire::{Request, Response, Status};
use super::{Multiaddr, Policy};
use crate::genesis::ChainId;
use crate::health::Opinion;
use crate::keys::{AgentKey, PublicKey};
use daa_base::Clock;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Questions to the task that wait at most.
const ASKS: usize = 64;

/// Whom a node sees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The addresses that it listens on.
    pub listening: Vec<Multiaddr>,
    /// The peers that it is connected to.
    pub connected: BTreeSet<PublicKey>,
    /// The members that more than a third of the members' weight suspects, as of the last round. A hint: what follows from
    /// it is for the ledger to decide.
    pub suspected: BTreeSet<PublicKey>,
}

/// A request that waits for an answer. Dropped without one, the peer is told that nobody could serve it.
#[derive(Debug)]
pub struct Served {
    /// Who asks: authenticated, and allowed by the policy when the request came.
    pub from: PublicKey,
    /// What.
    pub request: Request,
    pub(super) reply: oneshot::Sender<Response>,
}

impl Served {
    /// Answers. Returns whether the peer still waits.
    pub fn answer(self, response: Response) -> bool {
        self.reply.send(response).is_ok()
    }
}

/// What peers ask, one peer's after another's.
#[derive(Debug)]
pub struct Incoming {
    receiver: mpsc::Receiver<Served>,
}

impl Incoming {
    /// The next request whose sender still waits; `None` once the node is stopped.
    pub async fn next(&mut self) -> Option<Served> {
        loop {
            let served = self.receiver.recv().await?;
            if !served.reply.is_closed() {
                return Some(served);
            }
        }
    }
}

/// A node on the network. Clones share it; it stops when the last is dropped, or on [`Network::stop`].
#[derive(Debug, Clone)]
pub struct Network {
    me: PublicKey,
    asks: mpsc::Sender<Ask>,
    view: watch::Receiver<View>,
    traffic: watch::Receiver<Traffic>,
    status: Arc<Mutex<Option<Status>>>,
    deadline: Duration,
}

impl Network {
    /// Starts a node for the holder of `key` on `chain`, on the current tokio runtime.
    ///
    /// # Errors
    /// [`DiscoveryError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with time and I/O.
    pub fn start(
        config: DiscoveryConfig,
        key: &AgentKey,
        chain: ChainId,
        policy: Arc<dyn Policy>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Incoming), DiscoveryError> {
        config.validate()?;
        let counters = Arc::<Counters>::default();
        let status = Arc::<Mutex<Option<Status>>>::default();
        let (asks, asked) = mpsc::channel(ASKS);
        let (out, receiver) = mpsc::channel(config.serving);
        let (viewer, view) = watch::channel(View::default());
        let (counted, traffic) = watch::channel(Traffic::default());
        let mut swarm = behaviour::swarm(
            &config,
            key,
            chain,
            policy.clone(),
            clock.clone(),
            counters.clone(),
        )?;
        for address in &config.listen {
            let listening = swarm.listen_on(address.clone());
            listening.map_err(|error| DiscoveryError::Listen {
                address: address.clone(),
                reason: error.to_string(),
            })?;
        }
        let network = Self {
            me: key.public(),
            asks,
            view,
            traffic,
            status: status.clone(),
            // Reaching the peer and waiting for its answer.
            deadline: config.request_timeout * 3,
        };
        let task = Task::new(config, key.public(), swarm, policy, clock, counters, status);
        tokio::spawn(task.run(asked, out, viewer, counted));
        Ok((network, Incoming { receiver }))
    }

    /// This node's own key.
    #[must_use]
    pub const fn me(&self) -> PublicKey {
        self.me
    }

    /// Asks `peer`, reaching it first if need be.
    ///
    /// # Errors
    /// [`RequestError`]; [`RequestError::Refused`] when the peer answered that it would not.
    pub async fn request(&self, peer: PublicKey, request: Request) -> Result<Response, RequestError> {
        let bytes = request.encode()?;
        let id = peer_id(&peer).ok_or(RequestError::NoPeer { peer })?;
        let (reply, answer) = oneshot::channel();
        let ask = Ask::Request {
            peer,
            id,
            bytes,
            reply,
        };
        let exchange = async {
            self.asks.send(ask).await.map_err(|_| RequestError::Stopped)?;
            answer.await.map_err(|_| RequestError::Stopped)?
        };
        let answered = tokio::time::timeout(self.deadline, exchange).await;
        match answered.map_err(|_| RequestError::Timeout { peer })?? {
            Response::Refused(refusal) => Err(RequestError::Refused { peer, refusal }),
            response => Ok(response),
        }
    }

    /// Says how far this node is, to whoever asks.
    pub fn set_status(&self, status: Status) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }

    /// Says whose opinions about health count, with their weights: the ledger's validators. They are followed from now
    /// on, connected or not.
    ///
    /// # Errors
    /// [`RequestError::Stopped`].
    pub async fn set_members(&self, members: Vec<(PublicKey, u64)>) -> Result<(), RequestError> {
        let ask = Ask::Members(members);
        self.asks.send(ask).await.map_err(|_| RequestError::Stopped)
    }

    /// This node's own suspicion of each peer that it follows.
    ///
    /// # Errors
    /// [`RequestError::Stopped`].
    pub async fn suspicions(&self) -> Result<Vec<Opinion>, RequestError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.asks.send(Ask::Suspicions(reply)).await;
        sent.map_err(|_| RequestError::Stopped)?;
        answer.await.map_err(|_| RequestError::Stopped)
    }

    /// Whom this node sees now.
    #[must_use]
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// The view once `wanted` holds for it, or `None` if it does not within `wait`, or the node was stopped.
    pub async fn wait_for(&self, wait: Duration, mut wanted: impl FnMut(&View) -> bool) -> Option<View> {
        let mut view = self.view.clone();
        let held = tokio::time::timeout(wait, view.wait_for(|view| wanted(view))).await;
        Some(held.ok()?.ok()?.clone())
    }

    /// What came in and went out.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        *self.traffic.borrow()
    }

    /// The counts once `wanted` holds for them, or `None` if it does not within `wait`, or the node was stopped.
    pub async fn wait_for_traffic(
        &self,
        wait: Duration,
        mut wanted: impl FnMut(&Traffic) -> bool,
    ) -> Option<Traffic> {
        let mut traffic = self.traffic.clone();
        let held = tokio::time::timeout(wait, traffic.wait_for(|traffic| wanted(traffic))).await;
        Some(*held.ok()?.ok()?)
    }

    /// Stops the node, for all clones: connections are closed, and requests under way fail.
    pub async fn stop(&self) {
        // If it fails, it is stopped already.
        let _ = self.asks.send(Ask::Stop).await;
        self.asks.closed().await;
    }
}
