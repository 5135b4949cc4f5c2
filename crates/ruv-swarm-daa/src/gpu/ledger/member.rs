//! One agent's side of a ledger: asking, waiting in line, giving back.

use super::{ANSWER, DEVICE, HOLD, ResourceLedger, failed};
use crate::error::{DAAError, DAAResult};
use daa_base::{AgentId, Bytes, FencingToken, LeaseId, Timestamp};
use daa_coord::client::CallError;
use daa_coord::{
    AgentKey, BlockingClient, Command, LedgerEvent, OutboxConfig, RequestId, ResourceRequest, ShortText,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

/// How long a waiting request leaves what is given back meanwhile alone.
const SLICE: Duration = Duration::from_millis(5);

/// What an agent wants.
#[derive(Debug, Clone)]
pub(in crate::gpu) struct Wish {
    pub(in crate::gpu) memory_mb: u64,
    pub(in crate::gpu) compute_units: u32,
    pub(in crate::gpu) priority: u8,
    pub(in crate::gpu) deadline: Option<Timestamp>,
    pub(in crate::gpu) purpose: String,
    /// How long to wait in line; none refuses at once what is not free.
    pub(in crate::gpu) patience: Duration,
}

/// An agent of a ledger.
#[derive(Debug)]
pub(in crate::gpu) struct Member {
    ledger: ResourceLedger,
    agent: AgentId,
    client: Mutex<Client>,
    /// Leases to give back by whoever has the client.
    leaving: Mutex<Vec<(LeaseId, FencingToken)>>,
}

#[derive(Debug)]
struct Client {
    calls: BlockingClient,
    /// Releases that nobody waits for.
    releasing: Vec<u64>,
}

/// A lease. Dropping it gives it back; nobody waits for that.
#[derive(Debug)]
pub(in crate::gpu) struct Grant {
    member: Arc<Member>,
    lease: Option<(LeaseId, FencingToken)>,
}

impl Drop for Grant {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.member.leaving().push(lease);
            self.member.pump();
        }
    }
}

impl Grant {
    /// Gives the lease back and waits for the log's answer.
    pub(in crate::gpu) fn give_back(mut self) -> DAAResult<()> {
        let Some((lease, token)) = self.lease.take() else {
            return Ok(());
        };
        let release = Command::Release { lease, token };
        let answer = self
            .member
            .with(|client| client.calls.call(&release, ANSWER))
            .map_err(|error| failed("giving a lease back", error))?;
        match answer {
            LedgerEvent::LeaseReleased { .. } => Ok(()),
            other => Err(DAAError::memory(format!("{lease} was not given back: {other}"))),
        }
    }
}

impl Client {
    /// Starts the releases in `leaving`; whether all could be started.
    fn flush(&mut self, leaving: &Mutex<Vec<(LeaseId, FencingToken)>>) -> bool {
        let calls = &mut self.calls;
        self.releasing.retain(|&seq| {
            let end = calls.wait(seq, Duration::ZERO);
            matches!(end, Err(CallError::Timeout { .. }))
        });
        loop {
            let next = leaving.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((lease, token)) = next else {
                return true;
            };
            match self.calls.start(&Command::Release { lease, token }) {
                Ok(seq) => self.releasing.push(seq),
                Err(error) => {
                    tracing::warn!(%lease, %error, "a lease cannot be given back yet");
                    let mut leaving = leaving.lock().unwrap_or_else(PoisonError::into_inner);
                    leaving.push((lease, token));
                    return false;
                }
            }
        }
    }
}

impl Member {
    pub(super) fn open(ledger: ResourceLedger, agent: AgentId, key: AgentKey) -> DAAResult<Arc<Self>> {
        let inner = &ledger.inner;
        let (node, clock) = (Arc::clone(&inner.node), Arc::clone(&inner.clock));
        let calls = BlockingClient::new(node, clock, key, agent, OutboxConfig::default())
            .map_err(|error| failed("joining the ledger", error))?;
        Ok(Arc::new(Self {
            ledger,
            agent,
            client: Mutex::new(Client {
                calls,
                releasing: Vec::new(),
            }),
            leaving: Mutex::default(),
        }))
    }

    fn leaving(&self) -> MutexGuard<'_, Vec<(LeaseId, FencingToken)>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses the client, and before and after it gives back what was left meanwhile.
    fn with<R>(&self, act: impl FnOnce(&mut Client) -> R) -> R {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        client.flush(&self.leaving);
        let result = act(&mut client);
        drop(client);
        self.pump();
        result
    }

    /// Gives back what was left, unless somebody has the client: who has it pumps after letting go of it.
    fn pump(&self) {
        while !self.leaving().is_empty() {
            let mut client = match self.client.try_lock() {
                Ok(client) => client,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            if !client.flush(&self.leaving) {
                return;
            }
        }
    }

    /// Asks for a lease and waits in line as long as the wish allows, or until `leave` rises.
    pub(in crate::gpu) fn acquire(self: &Arc<Self>, wish: &Wish, leave: &AtomicBool) -> DAAResult<Grant> {
        let request = Command::Request(ResourceRequest {
            device: Some(DEVICE),
            bytes: Bytes::mib(wish.memory_mb),
            share: self.ledger.share(wish.compute_units)?,
            priority: wish.priority,
            hold: HOLD,
            deadline: wish.deadline,
            purpose: ShortText::fitted(&wish.purpose),
        });
        let lost = |error: CallError| failed("asking for a lease", error);
        let seq = self.with(|client| client.calls.start(&request)).map_err(lost)?;
        let event = match self.wait_in_line(seq, wish.patience, leave) {
            Some(event) => event.map_err(lost)?,
            None => self.withdraw(seq).map_err(lost)?,
        };
        match event {
            LedgerEvent::LeaseGranted(lease) => Ok(Grant {
                member: Arc::clone(self),
                lease: Some((lease.id, lease.token)),
            }),
            LedgerEvent::RequestCancelled { .. } => {
                let status = self.ledger.status();
                Err(DAAError::memory(format!(
                    "`{}` waited {:?} for {} MiB and {} compute units: {} of {} MiB are leased and {} requests wait",
                    wish.purpose,
                    wish.patience,
                    wish.memory_mb,
                    wish.compute_units,
                    status.leased_memory_mb,
                    self.ledger.capacity().0,
                    status.waiting
                )))
            }
            LedgerEvent::RequestRefused { reason, .. } => {
                Err(DAAError::memory(format!("`{}`: {reason}", wish.purpose)))
            }
            other => Err(failed("asking for a lease", other)),
        }
    }

    /// The end of request `seq`; none once it has waited in line for too long, or `leave` is up.
    fn wait_in_line(
        &self,
        seq: u64,
        patience: Duration,
        leave: &AtomicBool,
    ) -> Option<Result<LedgerEvent, CallError>> {
        let inner = &self.ledger.inner;
        let begin = inner.clock.monotonic();
        let request = RequestId {
            agent: self.agent,
            seq,
        };
        loop {
            match self.with(|client| client.calls.wait(seq, SLICE)) {
                Err(CallError::Timeout { .. }) => {}
                end => return Some(end),
            }
            let waited = inner.clock.monotonic().saturating_sub(begin);
            let is_waiting = inner.node.view(|ledger| ledger.is_waiting(request));
            // A request that the log has not carried out yet is not late: only the line is limited by patience.
            let is_late = waited >= if is_waiting { patience } else { patience + ANSWER };
            if is_late || leave.load(Ordering::Acquire) {
                return None;
            }
        }
    }

    /// Withdraws request `seq`. It may be granted just then; its own end says which came first.
    fn withdraw(&self, seq: u64) -> Result<LedgerEvent, CallError> {
        let cancel = Command::Cancel {
            request: RequestId {
                agent: self.agent,
                seq,
            },
        };
        self.with(|client| {
            let withdrawal = client.calls.start(&cancel)?;
            let end = client.calls.wait(seq, ANSWER);
            client.calls.wait(withdrawal, ANSWER)?;
            end
        })
    }
}
