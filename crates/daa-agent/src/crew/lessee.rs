//! The run's side at the ledger of its nodes: it asks for leases on their devices, prolongs them, and gives them back.
//!
//! Who gets a device when not everybody can is decided there, by all validators, between the runs of all owners.

use super::{internal, lock};
use crate::chain::{ChainClient, Signal};
use crate::error::AgentError;
use crate::events::LeaseEnd;
use crate::work::Grant;
use daa_base::{Bytes, DeviceId, LeaseId, Millis, Permille};
use daa_coord::{
    Command, Lease, Ledger, LedgerEvent, LedgerNode, PublicKey, RequestId, ResourceRequest, ShortText,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Length of a lease, where the ledger allows it: what others wait at most when a run vanishes.
const HOLD: Millis = Millis(5_000);

/// Longest wait for the answers of the ledger when the run leaves.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// What a lease is to be.
#[derive(Debug, Clone)]
pub(super) struct Want {
    pub(super) device: DeviceId,
    pub(super) bytes: Bytes,
    pub(super) share: Permille,
    /// For people.
    pub(super) purpose: String,
}

/// How it stands with a request and with the lease that it became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing is known of it yet.
    Asked,
    Waiting {
        ahead: u32,
        reason: String,
    },
    Refused {
        reason: String,
    },
    Held(Lease),
    /// Held, and not to be prolonged: its holder is to leave.
    Leaving {
        reason: String,
    },
    Over {
        end: LeaseEnd,
        reason: String,
    },
}

/// A request, and then its lease. Given back when dropped.
#[derive(Debug)]
pub(super) struct Tenure {
    standing: watch::Receiver<Standing>,
    dropped: Arc<Notify>,
}

impl Drop for Tenure {
    fn drop(&mut self) {
        // Closed before it is told of, so that who is told finds it closed.
        self.standing = watch::channel(Standing::Asked).1;
        self.dropped.notify_one();
    }
}

impl Tenure {
    pub(super) fn standing(&mut self) -> Standing {
        self.standing.borrow_and_update().clone()
    }

    /// Whether its holder is to leave.
    pub(super) fn is_ending(&self) -> bool {
        let standing = self.standing.borrow();
        matches!(*standing, Standing::Leaving { .. } | Standing::Over { .. })
    }

    /// Ends when the standing has changed since it was last read.
    ///
    /// # Errors
    /// When the run's part at the ledger has ended.
    ///
    /// # Cancel safety
    /// Nothing is lost when the wait is dropped.
    pub(super) async fn changed(&mut self) -> Result<(), AgentError> {
        self.standing.changed().await.map_err(|_| AgentError::LogClosed)
    }
}

type Wish = (Want, watch::Sender<Standing>);

/// The run at the ledger of its nodes.
#[derive(Debug)]
pub(super) struct Lessee {
    ledger: Arc<LedgerNode>,
    /// None when the run has left.
    wishes: Mutex<Option<mpsc::UnboundedSender<Wish>>>,
    dropped: Arc<Notify>,
    failure: Arc<OnceLock<String>>,
    task: Mutex<Option<JoinHandle<()>>>,
    /// When it began.
    height: u64,
}

impl Lessee {
    /// Starts with `client`, on a ledger with this longest hold. What an earlier process of the same agent left is given back.
    pub(super) fn start(client: ChainClient, max_hold: Millis) -> Result<Self, AgentError> {
        let ledger = Arc::clone(client.node());
        let (wishes, inbox) = mpsc::unbounded_channel();
        let (dropped, failure) = (Arc::new(Notify::new()), Arc::new(OnceLock::new()));
        let mut desk = Desk {
            client,
            hold: HOLD.min(max_hold),
            asked: BTreeMap::new(),
            held: BTreeMap::new(),
            renewals: BTreeMap::new(),
            leaving: BTreeMap::new(),
        };
        desk.sweep()?;
        let (told, why) = (Arc::clone(&dropped), Arc::clone(&failure));
        let task = tokio::spawn(async move {
            if let Err(error) = desk.run(inbox, &told).await {
                tracing::error!(%error, "the run has no part in the ledger any more");
                let _first = why.set(error.to_string());
            }
        });
        let height = ledger.view(Ledger::height);
        Ok(Self {
            ledger,
            wishes: Mutex::new(Some(wishes)),
            dropped,
            failure,
            task: Mutex::new(Some(task)),
            height,
        })
    }

    /// Asks for a lease. It is given back when what is returned is dropped.
    ///
    /// # Errors
    /// When the run's part at the ledger has ended.
    pub(super) fn ask(&self, want: Want) -> Result<Tenure, AgentError> {
        let (sender, standing) = watch::channel(Standing::Asked);
        let sent = lock(&self.wishes)
            .as_ref()
            .is_some_and(|wishes| wishes.send((want, sender)).is_ok());
        if !sent {
            return Err(self.failure.get().map_or(AgentError::LogClosed, internal));
        }
        let dropped = Arc::clone(&self.dropped);
        Ok(Tenure { standing, dropped })
    }

    /// The device of `node` with the most room among those that are large enough for `bytes`.
    ///
    /// # Errors
    /// What the ledger knows of the node's devices.
    pub(super) fn device(&self, node: &PublicKey, bytes: Bytes) -> Result<DeviceId, String> {
        self.ledger.view(|ledger| device_of(ledger, node, bytes))
    }

    /// Devices of `node` that the ledger knows.
    pub(super) fn devices(&self, node: &PublicKey) -> usize {
        self.ledger.view(|ledger| {
            let node = ledger.agent_of(node);
            node.map_or(0, |node| ledger.devices_of(node).count())
        })
    }

    /// The replica.
    pub(super) const fn ledger(&self) -> &Arc<LedgerNode> {
        &self.ledger
    }

    /// Blocks since the run began.
    pub(super) fn blocks(&self) -> u64 {
        self.ledger.view(Ledger::height).saturating_sub(self.height)
    }

    /// Validators of the ledger.
    pub(super) fn validators(&self) -> usize {
        self.ledger.view(|ledger| ledger.validators().len())
    }

    /// Gives everything back.
    pub(super) async fn leave(&self) {
        drop(lock(&self.wishes).take());
        let task = lock(&self.task).take();
        if let Some(task) = task
            && task.await.is_err()
        {
            tracing::error!("the run's part at the ledger did not end in order");
        }
    }
}

/// What `node` may be asked for.
fn device_of(ledger: &Ledger, node: &PublicKey, bytes: Bytes) -> Result<DeviceId, String> {
    let Some(agent) = ledger.agent_of(node) else {
        return Err("the ledger does not know it".to_owned());
    };
    let fitting = ledger.devices_of(agent).filter(|device| device.capacity >= bytes);
    let roomy = fitting.max_by_key(|device| {
        let free = Bytes(device.capacity.get().saturating_sub(device.used.get()));
        // One that has room for it now; then the one with the most.
        (free >= bytes, std::cmp::Reverse(device.used_share), free)
    });
    roomy.map(|device| device.device).ok_or_else(|| {
        let largest = ledger.devices_of(agent).map(|device| device.capacity).max();
        let largest = largest.unwrap_or(Bytes::ZERO);
        format!("its largest device leases {largest}, the work needs {bytes}")
    })
}

/// A lease, and who wants to know of its end.
struct Holding {
    lease: Lease,
    told: watch::Sender<Standing>,
    /// It is not asked for more time any more.
    is_leaving: bool,
}

/// What the run has asked for and holds.
struct Desk {
    client: ChainClient,
    hold: Millis,
    asked: BTreeMap<u64, watch::Sender<Standing>>,
    held: BTreeMap<LeaseId, Holding>,
    /// Renewals without an answer.
    renewals: BTreeMap<u64, LeaseId>,
    /// What is being given back or withdrawn, by the command that does it.
    leaving: BTreeMap<u64, Leaving>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    Request(u64),
    Lease(LeaseId),
}

impl Desk {
    async fn run(
        &mut self,
        mut inbox: mpsc::UnboundedReceiver<Wish>,
        dropped: &Notify,
    ) -> Result<(), AgentError> {
        let third = Duration::from_millis((self.hold.get() / 3).max(1));
        let mut renew = interval_at(Instant::now() + third, third);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                wish = inbox.recv() => match wish {
                    Some((want, told)) => self.ask(&want, told)?,
                    None => break,
                },
                () = dropped.notified() => self.give_back_dropped()?,
                _ = renew.tick() => {
                    self.renew()?;
                    self.sweep()?;
                }
                signals = self.client.turn() => for signal in signals? {
                    self.on(signal)?;
                },
            }
        }
        self.close().await
    }

    /// Gives back what the ledger has for this agent and nobody here knows of: another process of it left that behind.
    fn sweep(&mut self) -> Result<(), AgentError> {
        let me = self.client.agent();
        let known = |request: RequestId| request.agent != me || self.asked.contains_key(&request.seq);
        let (leases, requests) = self.client.node().view(|ledger| {
            let leases = ledger.leases().filter(|lease| lease.agent == me);
            let strange = leases.filter(|lease| !self.held.contains_key(&lease.id) && !known(lease.request));
            let leases: Vec<Lease> = strange.cloned().collect();
            let requests = ledger.queue().map(|waiting| waiting.id);
            let requests: Vec<RequestId> = requests.filter(|request| !known(*request)).collect();
            (leases, requests)
        });
        for request in requests {
            self.cancel(request)?;
        }
        for lease in &leases {
            self.release(lease)?;
        }
        Ok(())
    }

    fn cancel(&mut self, request: RequestId) -> Result<(), AgentError> {
        if !self
            .leaving
            .values()
            .any(|&under_way| under_way == Leaving::Request(request.seq))
        {
            let seq = self.client.submit(&Command::Cancel { request })?;
            self.leaving.insert(seq, Leaving::Request(request.seq));
        }
        Ok(())
    }

    fn release(&mut self, lease: &Lease) -> Result<(), AgentError> {
        let (lease, token) = (lease.id, lease.token);
        if !self
            .leaving
            .values()
            .any(|&under_way| under_way == Leaving::Lease(lease))
        {
            let seq = self.client.submit(&Command::Release { lease, token })?;
            self.leaving.insert(seq, Leaving::Lease(lease));
        }
        Ok(())
    }

    fn ask(&mut self, want: &Want, told: watch::Sender<Standing>) -> Result<(), AgentError> {
        let agent = self.client.agent();
        if let Some(gone) = self.client.node().view(|ledger| ledger.gone(agent)) {
            let challenge = gone.challenge;
            self.client.submit(&Command::Present { challenge })?;
        }
        let seq = self.client.submit(&Command::Request(ResourceRequest {
            device: Some(want.device),
            bytes: want.bytes,
            share: want.share,
            priority: 0,
            hold: self.hold,
            deadline: None,
            purpose: ShortText::fitted(&want.purpose),
        }))?;
        self.asked.insert(seq, told);
        Ok(())
    }

    /// Withdraws requests that nobody waits for, and releases leases that nobody uses.
    fn give_back_dropped(&mut self) -> Result<(), AgentError> {
        let agent = self.client.agent();
        let asked = self.asked.iter().filter(|(_, told)| told.is_closed());
        let asked: Vec<u64> = asked.map(|(&seq, _)| seq).collect();
        for seq in asked {
            // Granted in the meantime, it is released.
            self.cancel(RequestId { agent, seq })?;
        }
        let unused = self.held.extract_if(.., |_, holding| holding.told.is_closed());
        let unused: Vec<Holding> = unused.map(|(_, holding)| holding).collect();
        for holding in unused {
            self.release(&holding.lease)?;
        }
        Ok(())
    }

    fn renew(&mut self) -> Result<(), AgentError> {
        let hold = self.hold;
        for holding in self.held.values().filter(|holding| !holding.is_leaving) {
            let (lease, token) = (holding.lease.id, holding.lease.token);
            if !self.renewals.values().any(|&under_way| under_way == lease) {
                let seq = self.client.submit(&Command::Renew { lease, token, hold })?;
                self.renewals.insert(seq, lease);
            }
        }
        Ok(())
    }

    fn on(&mut self, signal: Signal) -> Result<(), AgentError> {
        match signal {
            Signal::Waiting { seq, ahead, reason } => {
                if let Some(told) = self.asked.get(&seq) {
                    told.send_replace(Standing::Waiting { ahead, reason });
                }
            }
            Signal::Answered { seq, event } => self.answered(seq, event.map(|event| *event))?,
            Signal::Event(LedgerEvent::LeaseExpired { lease }) => {
                self.over(lease.id, LeaseEnd::Expired, "the lease has run out".to_owned());
            }
            Signal::Event(LedgerEvent::LeaseRevoked { lease, reason, .. }) => {
                self.over(
                    lease.id,
                    LeaseEnd::Revoked,
                    format!("the lease was revoked: {reason}"),
                );
            }
            Signal::Event(LedgerEvent::LeaseWithdrawn { lease, reason }) => {
                self.over(
                    lease.id,
                    LeaseEnd::Revoked,
                    format!("the ledger ended the lease: {reason}"),
                );
            }
            Signal::Event(_) => {}
            Signal::Resynced => {
                let gone = self.client.node().view(|ledger| {
                    let gone = self.held.keys().filter(|&&id| ledger.lease(id).is_none());
                    gone.copied().collect::<Vec<_>>()
                });
                for id in gone {
                    self.over(id, LeaseEnd::Expired, "the lease has ended".to_owned());
                }
            }
        }
        Ok(())
    }

    fn over(&mut self, id: LeaseId, end: LeaseEnd, reason: String) {
        if let Some(holding) = self.held.remove(&id) {
            holding.told.send_replace(Standing::Over { end, reason });
        }
    }

    fn answered(&mut self, seq: u64, event: Option<LedgerEvent>) -> Result<(), AgentError> {
        if let Some(told) = self.asked.remove(&seq) {
            return self.answered_request(seq, told, event);
        }
        self.leaving.remove(&seq);
        if let Some(id) = self.renewals.remove(&seq)
            && let Some(holding) = self.held.get_mut(&id)
        {
            match event {
                Some(LedgerEvent::LeaseRenewed { until, .. }) => holding.lease.expires = until,
                Some(LedgerEvent::RenewRefused { reason, .. }) => {
                    holding.is_leaving = true;
                    let reason = reason.to_string();
                    holding.told.send_replace(Standing::Leaving { reason });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn answered_request(
        &mut self,
        seq: u64,
        told: watch::Sender<Standing>,
        event: Option<LedgerEvent>,
    ) -> Result<(), AgentError> {
        let request = RequestId {
            agent: self.client.agent(),
            seq,
        };
        let lease = match event {
            Some(LedgerEvent::LeaseGranted(lease)) => lease,
            Some(other) => {
                let reason = other.to_string();
                told.send_replace(Standing::Refused { reason });
                return Ok(());
            }
            None => {
                let find = |ledger: &Ledger| ledger.leases().find(|lease| lease.request == request).cloned();
                match self.client.node().view(find) {
                    Some(lease) => lease,
                    None => {
                        let (end, reason) = (LeaseEnd::Expired, "the lease has ended".to_owned());
                        told.send_replace(Standing::Over { end, reason });
                        return Ok(());
                    }
                }
            }
        };
        if told.is_closed() {
            return self.release(&lease);
        }
        told.send_replace(Standing::Held(lease.clone()));
        let holding = Holding {
            lease,
            told,
            is_leaving: false,
        };
        self.held.insert(holding.lease.id, holding);
        Ok(())
    }

    /// Gives everything back, and waits for the answers.
    async fn close(&mut self) -> Result<(), AgentError> {
        for told in self.asked.values_mut() {
            *told = watch::Sender::new(Standing::Asked);
        }
        for holding in self.held.values_mut() {
            holding.told = watch::Sender::new(Standing::Asked);
        }
        self.give_back_dropped()?;
        self.sweep()?;
        let answered = async {
            while !self.leaving.is_empty() || !self.asked.is_empty() {
                for signal in self.client.turn().await? {
                    self.on(signal)?;
                }
                if self.leaving.is_empty() {
                    self.sweep()?;
                }
            }
            Ok(())
        };
        match tokio::time::timeout(LEAVE_WITHIN, answered).await {
            Ok(done) => done,
            // What is not given back runs out.
            Err(_) => Err(AgentError::LogTimeout {
                patience: LEAVE_WITHIN,
            }),
        }
    }
}

/// How a node is told of a lease.
pub(super) const fn grant(lease: &Lease) -> Grant {
    Grant {
        lease: lease.id,
        token: lease.token,
    }
}

#[cfg(test)]
mod tests;
