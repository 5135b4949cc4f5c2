//! Memory and compute of one device, leased to agents of this process through a `daa-coord` ledger.

mod member;

use crate::error::{DAAError, DAAResult};
use daa_base::{AgentId, Bytes, Clock, DeviceId, Millis, OwnerId, Permille, SystemClock};
use daa_coord::{
    AgentKey, BlockingClient, Command, CommitLog, Genesis, LedgerConfig, LedgerEvent, LedgerNode, OPERATOR,
    OutboxConfig, Sequencer, SequencerConfig, ShortText,
};
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(super) use member::{Grant, Member, Wish};

/// The one device of a ledger.
const DEVICE: DeviceId = DeviceId(0);
/// Longest wait for the log's answer to a command.
const ANSWER: Duration = Duration::from_secs(10);
/// Leases end after a day: holders live in this process and give back what they hold when they go.
const HOLD: Millis = Millis(86_400_000);

/// Memory and compute units of one device, shared by agents of this process. Grants are leases of a replicated ledger
/// behind an in-process log: signed, ordered, and never more than the device has. Clones are the same ledger.
///
/// A compute share is counted in thousandths of the device. Where the units do not go into 1000 evenly enough, a share
/// is rounded up, so that the last few units of a device of more than 31 may stay unused; there is never more given
/// out than there is.
#[derive(Debug, Clone)]
pub struct ResourceLedger {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    admin: Mutex<Admin>,
    node: Arc<LedgerNode>,
    sequencer: Arc<Sequencer>,
    clock: Arc<dyn Clock>,
    memory_mb: u64,
    compute_units: u32,
}

#[derive(Debug)]
struct Admin {
    client: BlockingClient,
    next: u32,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.sequencer.shutdown();
        self.node.shutdown();
    }
}

/// What a ledger says now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerStatus {
    /// MiB under lease.
    pub leased_memory_mb: u64,
    /// Live leases.
    pub leases: usize,
    /// Requests that wait.
    pub waiting: usize,
}

fn failed(what: &str, error: impl Display) -> DAAError {
    DAAError::coordination(format!("{what}: {error}"))
}

/// A key from the system's random source.
fn fresh_key() -> AgentKey {
    let mut secret = [0; 32];
    for half in secret.chunks_exact_mut(16) {
        half.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    }
    AgentKey::from_secret(&secret)
}

impl ResourceLedger {
    /// Starts a ledger over a device of so many MiB and compute units; it ends with its last clone and member.
    ///
    /// # Errors
    /// [`DAAError::ConfigError`] for a device without memory or compute units, or of more than 2^40 MiB,
    /// [`DAAError::CoordinationError`] where the log cannot start.
    pub fn start(memory_mb: u64, compute_units: u32) -> DAAResult<Self> {
        if memory_mb == 0 || memory_mb > 1 << 40 || compute_units == 0 {
            return Err(DAAError::config(format!(
                "a device of {memory_mb} MiB and {compute_units} compute units: allowed are 1 to 2^40 MiB and at least \
                 1 unit"
            )));
        }
        let operator = fresh_key();
        let config = LedgerConfig {
            max_hold: HOLD,
            max_agents: 4096,
            max_open: 65_536,
            max_open_per_agent: 65_536,
            ..LedgerConfig::default()
        };
        let genesis = Genesis::new(ShortText::fitted("resources"), operator.public(), config)
            .map_err(|error| failed("the ledger", error))?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let log_config = SequencerConfig {
            tick: Millis(250),
            ..SequencerConfig::default()
        };
        let sequencer = Sequencer::start(genesis.clone(), log_config, Arc::clone(&clock))
            .map_err(|error| failed("the log", error))?;
        let sequencer = Arc::new(sequencer);
        let log: Arc<dyn CommitLog> = Arc::clone(&sequencer) as Arc<dyn CommitLog>;
        let node = Arc::new(LedgerNode::start(genesis, log).map_err(|error| failed("the ledger", error))?);
        let client = BlockingClient::new(
            Arc::clone(&node),
            Arc::clone(&clock),
            operator,
            OPERATOR,
            OutboxConfig::default(),
        );
        let mut client = client.map_err(|error| failed("the ledger", error))?;
        let register = Command::RegisterDevice {
            device: DEVICE,
            capacity: Bytes::mib(memory_mb),
        };
        match client
            .call(&register, ANSWER)
            .map_err(|error| failed("the ledger", error))?
        {
            LedgerEvent::DeviceRegistered { .. } => {}
            other => return Err(failed("the device was not registered", other)),
        }
        let inner = Inner {
            admin: Mutex::new(Admin { client, next: 1 }),
            node,
            sequencer,
            clock,
            memory_mb,
            compute_units,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// MiB and compute units of the device.
    #[must_use]
    pub fn capacity(&self) -> (u64, u32) {
        (self.inner.memory_mb, self.inner.compute_units)
    }

    /// What the ledger says now.
    #[must_use]
    pub fn status(&self) -> LedgerStatus {
        self.inner.node.view(|ledger| LedgerStatus {
            leased_memory_mb: ledger.leases().map(|lease| lease.bytes.get()).sum::<u64>() >> 20,
            leases: ledger.leases().count(),
            waiting: ledger.queue().count(),
        })
    }

    /// Registers a new agent with a key of its own. Blocks until the log answers.
    pub(super) fn join(&self) -> DAAResult<Arc<Member>> {
        let key = fresh_key();
        let mut admin = self.inner.admin.lock().unwrap_or_else(PoisonError::into_inner);
        let agent = AgentId(admin.next);
        let register = Command::RegisterAgent {
            agent,
            owner: OwnerId(agent.get()),
            key: key.public(),
        };
        let answer = admin.client.call(&register, ANSWER);
        match answer.map_err(|error| failed("joining the ledger", error))? {
            LedgerEvent::AgentRegistered { .. } => admin.next += 1,
            other => return Err(failed("joining the ledger", other)),
        }
        drop(admin);
        Member::open(self.clone(), agent, key)
    }

    /// The share of the device that `units` are.
    fn share(&self, units: u32) -> DAAResult<Permille> {
        let thousandths = thousandths(units, self.inner.compute_units);
        u16::try_from(thousandths)
            .ok()
            .and_then(|share| Permille::new(share).ok())
            .ok_or_else(|| {
                DAAError::coordination(format!(
                    "{units} compute units were asked for, the device has {}",
                    self.inner.compute_units
                ))
            })
    }
}

/// `units` of `total` in thousandths: rounded down where even so no more than `total` fit into the whole, else up.
///
/// Rounding down loses most on single units, so it is safe if `total + 1` of them do not fit.
fn thousandths(units: u32, total: u32) -> u64 {
    let (units, total) = (u64::from(units), u64::from(total));
    if (total + 1) * (1000 / total) > 1000 {
        units * 1000 / total
    } else {
        (units * 1000).div_ceil(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_give_out_more_than_there_is() {
        for total in (1..=130_u32).chain([255, 256, 1000, 1001]) {
            // The least that units handed out one after the other, in any portions, can take of the whole.
            let mut least = vec![0_u64];
            for sum in 1..=total + 1 {
                let last = (1..=sum.min(total)).map(|units| {
                    let share = thousandths(units, total);
                    assert!((1..=1000).contains(&share), "{units} of {total}");
                    least[(sum - units) as usize] + share
                });
                least.push(last.min().expect("at least one unit"));
            }
            assert!(least[total as usize + 1] > 1000, "{total} units, one more fits");
            assert_eq!(thousandths(total, total), 1000);
        }
        assert_eq!(
            (thousandths(8, 32), thousandths(1, 3), thousandths(1, 64)),
            (250, 333, 16)
        );
    }
}
