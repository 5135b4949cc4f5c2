//! The replicated state itself: plain data in ordered maps, integers only.

use crate::command::{RequestId, ResourceRequest};
use crate::genesis::{Genesis, LedgerConfig, OPERATOR};
use crate::keys::{Digest, PublicKey};
use crate::ledger::chunked::{Chunked, Part};
use crate::ledger::contracts::Contracts;
use crate::ledger::event::{Lease, TrialRecord};
use crate::ledger::fair::Desk;
use crate::ledger::health::Health;
use crate::ledger::members::Members;
use crate::ledger::offences::Offences;
use crate::ledger::rules::Rulebook;
use daa_base::{AgentId, Bytes, DeviceId, FencingToken, LeaseId, OwnerId, Permille, Timestamp, TrialId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// All that replicas agree on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) genesis: Genesis,
    pub(super) height: u64,
    pub(super) time: Timestamp,
    pub(super) agents: Chunked<AgentId, AgentState>,
    pub(super) devices: Chunked<DeviceId, DeviceState>,
    /// Waiting requests by arrival number.
    pub(super) queue: Chunked<u64, Waiting>,
    pub(super) next_arrival: u64,
    pub(super) leases: Chunked<LeaseId, Granted>,
    pub(super) next_lease: u64,
    pub(super) trials: Part<Trials>,
    pub(super) rules: Part<Rulebook>,
    pub(super) contracts: Part<Contracts>,
    pub(super) members: Part<Members>,
    pub(super) offences: Part<Offences>,
    pub(super) health: Part<Health>,
    /// Results of trials: by far the largest part, and never changed.
    pub(super) records: Chunked<TrialId, TrialRecord>,
    #[serde(skip)]
    pub(super) desk: Desk,
}

/// One registered agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AgentState {
    pub(super) owner: OwnerId,
    pub(super) key: PublicKey,
    /// The number of its next command.
    pub(super) next_seq: u64,
    /// Verified payloads that wait for a predecessor, by number.
    pub(super) held: BTreeMap<u64, Vec<u8>>,
    /// Its waiting requests and live leases together.
    pub(super) open: u32,
    /// False once it was unregistered. Its number stays taken and goes on where it ended when the id is registered again,
    /// so that old commands can never come again.
    pub(super) active: bool,
    /// The agent that registered it; nobody if it was the operator or the genesis.
    pub(super) sponsor: Option<AgentId>,
}

/// A live lease, and what of its request still counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Granted {
    pub(super) lease: Lease,
    /// The request's arrival number.
    pub(super) arrival: u64,
    /// The request's priority.
    pub(super) priority: u8,
}

/// One registered device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DeviceState {
    pub(super) capacity: Bytes,
    /// Sum over its live leases.
    pub(super) used: Bytes,
    /// Sum over its live leases, in thousandths.
    pub(super) used_share: u16,
    /// The token of its next lease.
    pub(super) next_token: u64,
    /// The agent that registered it; nobody if it was the operator.
    pub(super) sponsor: Option<AgentId>,
}

/// One waiting request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) id: RequestId,
    pub(super) wanted: ResourceRequest,
    /// Grants that went past it, at most the configured number.
    pub(super) overtaken: u32,
    /// Whether the operator keeps it from being granted.
    pub(super) on_hold: bool,
}

/// The trials of the search: recorded, claimed and released ones make up all numbers below `next`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trials {
    pub(super) next: u32,
    pub(super) released: BTreeSet<TrialId>,
    pub(super) claims: BTreeMap<TrialId, Claim>,
    /// How many trials from number 0 on have a result without a gap.
    pub(super) recorded_prefix: u32,
}

/// A trial in work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    pub(super) agent: AgentId,
    pub(super) digest: Digest,
    pub(super) until: Timestamp,
}

impl DeviceState {
    pub(super) const fn new(capacity: Bytes, sponsor: Option<AgentId>) -> Self {
        Self {
            capacity,
            used: Bytes::ZERO,
            used_share: 0,
            next_token: 1,
            sponsor,
        }
    }

    pub(super) const fn free(&self) -> Bytes {
        self.capacity.saturating_sub(self.used)
    }

    pub(super) fn free_share(&self) -> Permille {
        Permille::new(Permille::WHOLE.get().saturating_sub(self.used_share)).unwrap_or_default()
    }

    pub(super) fn fits(&self, bytes: Bytes, share: Permille) -> bool {
        bytes <= self.free() && share <= self.free_share()
    }

    pub(super) fn occupy(&mut self, bytes: Bytes, share: Permille) -> FencingToken {
        self.used = self.used + bytes;
        self.used_share += share.get();
        let token = FencingToken(self.next_token);
        self.next_token += 1;
        token
    }

    /// Takes a lease's part back; also used on a copy to ask "what if this lease ended".
    pub(super) fn vacate(&mut self, lease: &Lease) {
        self.used = self.used.saturating_sub(lease.bytes);
        self.used_share = self.used_share.saturating_sub(lease.share.get());
    }
}

impl State {
    pub(super) fn new(genesis: Genesis) -> Self {
        let rules = Part::new(Rulebook::new(genesis.config()));
        let operator = (OPERATOR, AgentState::new(OwnerId(0), genesis.operator()));
        let members = genesis.members().iter();
        let agents = members.map(|member| (member.agent, AgentState::new(member.owner, member.key)));
        let agents = Chunked::from_iter(agents.chain([operator]));
        Self {
            members: Part::new(Members::new(genesis.validators())),
            genesis,
            height: 0,
            time: Timestamp(0),
            agents,
            devices: Chunked::new(),
            queue: Chunked::new(),
            next_arrival: 0,
            leases: Chunked::new(),
            next_lease: 1,
            trials: Part::default(),
            offences: Part::default(),
            health: Part::default(),
            records: Chunked::new(),
            rules,
            contracts: Part::default(),
            desk: Desk::default(),
        }
    }

    pub(super) const fn config(&self) -> &LedgerConfig {
        self.genesis.config()
    }

    pub(super) fn live_leases(&self) -> impl DoubleEndedIterator<Item = &Lease> {
        self.leases.values().map(|granted| &granted.lease)
    }

    /// An agent that takes part.
    pub(super) fn active(&self, agent: AgentId) -> Option<&AgentState> {
        self.agents.get(&agent).filter(|state| state.active)
    }

    /// The number of an agent's waiting requests and leases went up or down by one.
    pub(super) fn count_open(&mut self, agent: AgentId, up: bool) {
        if let Some(agent) = self.agents.get_mut(&agent) {
            agent.open = if up {
                agent.open.saturating_add(1)
            } else {
                agent.open.saturating_sub(1)
            };
        }
    }

    /// Turns a request that left the queue into a lease of `device`, which must have room.
    pub(super) fn start_lease(
        &mut self,
        (arrival, waiting): (u64, &Waiting),
        device: DeviceId,
    ) -> Option<Lease> {
        let (bytes, share) = (waiting.wanted.bytes, waiting.wanted.share);
        let token = self.devices.get_mut(&device)?.occupy(bytes, share);
        let lease = Lease {
            id: LeaseId(self.next_lease),
            device,
            agent: waiting.id.agent,
            request: waiting.id,
            bytes,
            share,
            granted: self.time,
            expires: self.time.after(waiting.wanted.hold),
            token,
        };
        self.next_lease += 1;
        let granted = Granted {
            lease: lease.clone(),
            arrival,
            priority: waiting.wanted.priority,
        };
        self.leases.insert(lease.id, granted);
        Some(lease)
    }

    pub(super) fn end_lease(&mut self, id: LeaseId) -> Option<Lease> {
        let lease = self.leases.remove(&id)?.lease;
        if let Some(device) = self.devices.get_mut(&lease.device) {
            device.vacate(&lease);
        }
        self.count_open(lease.agent, false);
        Some(lease)
    }

    /// Takes a request out of the queue without granting it.
    pub(super) fn drop_waiting(&mut self, arrival: u64) -> Option<Waiting> {
        let waiting = self.queue.remove(&arrival)?;
        self.count_open(waiting.id.agent, false);
        Some(waiting)
    }

    pub(super) fn arrival_of(&self, request: RequestId) -> Option<u64> {
        self.queue
            .iter()
            .find(|(_, waiting)| waiting.id == request)
            .map(|(&arrival, _)| arrival)
    }
}

impl AgentState {
    pub(super) const fn new(owner: OwnerId, key: PublicKey) -> Self {
        Self {
            owner,
            key,
            next_seq: 0,
            held: BTreeMap::new(),
            open: 0,
            active: true,
            sponsor: None,
        }
    }
}
