//! Reading a replica.

use super::Ledger;
use super::event::{Lease, TrialRecord};
use super::health::Gone;
use super::reason::DropReason;
use super::rules::{Credit, PolicyChoice};
use super::state::{AgentState, DeviceState};
use crate::command::{RequestId, ResourceRequest, SignedCommand};
use crate::consensus::evidence::{Evidence, Offence};
use crate::genesis::{ChainId, Genesis, OPERATOR};
use crate::keys::{Digest, PublicKey};
use crate::policy::{self, Quota};
use crate::validators::ValidatorSet;
use daa_base::{AgentId, Bytes, DeviceId, LeaseId, OwnerId, Permille, Timestamp, TrialId};

/// A device and how much of it is leased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceStatus {
    /// The device.
    pub device: DeviceId,
    /// Memory that leases may use.
    pub capacity: Bytes,
    /// Memory under lease.
    pub used: Bytes,
    /// Compute share under lease.
    pub used_share: Permille,
    /// The agent that registered it; `None`: the operator did.
    pub sponsor: Option<AgentId>,
}

/// A registered agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentStatus {
    /// The agent.
    pub agent: AgentId,
    /// Its owner.
    pub owner: OwnerId,
    /// Its key.
    pub key: PublicKey,
    /// The number of its next command.
    pub next_seq: u64,
    /// Its waiting requests and live leases together.
    pub open: u32,
    /// The agent that registered it; `None`: the operator did, or the genesis.
    pub sponsor: Option<AgentId>,
}

/// A request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingRequest<'a> {
    /// The request.
    pub id: RequestId,
    /// What it asks for.
    pub wanted: &'a ResourceRequest,
    /// How many grants went past it.
    pub overtaken: u32,
    /// Whether the operator keeps it from being granted.
    pub on_hold: bool,
}

/// A trial in work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimStatus {
    /// The trial.
    pub trial: TrialId,
    /// Its worker.
    pub agent: AgentId,
    /// The decision it runs.
    pub digest: Digest,
    /// The claim lasts until here unless touched.
    pub until: Timestamp,
}

impl Ledger {
    /// Who votes on the next block.
    #[must_use]
    pub fn validators(&self) -> &ValidatorSet {
        self.state.members.next()
    }

    /// Who votes on the block at `height`: known for the last block, the next one and the one after that.
    #[must_use]
    pub fn validators_at(&self, height: u64) -> Option<&ValidatorSet> {
        self.state.members.set(height.checked_sub(self.state.height)?)
    }

    /// Changes of the set of validators so far, those included that are not yet in force.
    #[must_use]
    pub fn membership_epoch(&self) -> u64 {
        self.state.members.epoch
    }

    /// What validators were proven to have done, by their keys at that time.
    pub fn offences(&self) -> impl Iterator<Item = &Offence> + Clone {
        self.state.offences.all()
    }

    /// Whether the next block would record the evidence if its signatures hold: what is known already, or about no
    /// validator, is not worth a place in it.
    #[must_use]
    pub fn wants_evidence(&self, evidence: &Evidence) -> bool {
        let next = self.state.height + 1;
        self.state.check_evidence(evidence, next).is_ok()
    }

    /// Since when a quorum of validators sees `agent` gone, and what it repeats to come back; `None` when none does.
    #[must_use]
    pub fn gone(&self, agent: AgentId) -> Option<Gone> {
        self.state.health.gone.get(&agent).copied()
    }

    /// The agreed time for which `validator` last reported `agent` gone, if that report is still kept.
    #[must_use]
    pub fn reported(&self, agent: AgentId, validator: &PublicKey) -> Option<Timestamp> {
        let reports = self.state.health.reports.get(&agent)?;
        reports.get(validator).copied()
    }

    /// The genesis.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.state.genesis
    }

    /// The chain, for signing.
    #[must_use]
    pub const fn chain_id(&self) -> ChainId {
        self.chain
    }

    /// Height of the last applied block; 0 before the first.
    #[must_use]
    pub const fn height(&self) -> u64 {
        self.state.height
    }

    /// Agreed time of the last applied block.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.state.time
    }

    /// All agents that take part, the operator included, by id.
    pub fn agents(&self) -> impl Iterator<Item = AgentStatus> + '_ {
        let agents = self.state.agents.iter().filter(|(_, state)| state.active);
        agents.map(|(&agent, state)| agent_status(agent, state))
    }

    /// One agent.
    #[must_use]
    pub fn agent(&self, agent: AgentId) -> Option<AgentStatus> {
        let state = self.state.active(agent)?;
        Some(agent_status(agent, state))
    }

    /// The agent behind a key, not the operator: the node, which the genesis or the operator registered, or else, if the
    /// key is none of a node, an agent that a sponsor registered with a key of its own. The lowest number of several.
    #[must_use]
    pub fn agent_of(&self, key: &PublicKey) -> Option<AgentId> {
        let theirs = self
            .agents()
            .filter(|agent| agent.key == *key && agent.agent != OPERATOR);
        let first = theirs.min_by_key(|agent| (agent.sponsor.is_some(), agent.agent));
        first.map(|agent| agent.agent)
    }

    /// The agents that `sponsor` registered and that take part, by id.
    pub fn agents_of(&self, sponsor: AgentId) -> impl Iterator<Item = AgentStatus> + '_ {
        self.agents().filter(move |agent| agent.sponsor == Some(sponsor))
    }

    /// The devices that `sponsor` registered, by id.
    pub fn devices_of(&self, sponsor: AgentId) -> impl Iterator<Item = DeviceStatus> + '_ {
        self.devices()
            .filter(move |device| device.sponsor == Some(sponsor))
    }

    /// The key that an agent signs with; `None` when it is not registered.
    #[must_use]
    pub fn agent_key(&self, agent: AgentId) -> Option<PublicKey> {
        self.state.active(agent).map(|state| state.key)
    }

    /// What the ledger would say about an entry if it came now, its signature left aside: the cheap part of the
    /// checks, for whoever keeps entries until they are agreed on.
    ///
    /// # Errors
    /// The [`DropReason`] with which the entry would be dropped.
    pub fn check_entry(&self, entry: &SignedCommand) -> Result<(), DropReason> {
        self.state.check_entry(entry).map(|_| ())
    }

    /// The earliest agreed time at which something ends without a command: a lease, a request's deadline, a claim.
    /// Until then an empty block changes nothing but height and time, and
    /// brings into force what was decided for its height.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.state.next_deadline()
    }

    /// The number of an agent's next command; `None` when it is not registered.
    #[must_use]
    pub fn next_seq(&self, agent: AgentId) -> Option<u64> {
        self.state.active(agent).map(|state| state.next_seq)
    }

    /// All devices by id.
    pub fn devices(&self) -> impl Iterator<Item = DeviceStatus> + '_ {
        let devices = self.state.devices.iter();
        devices.map(|(&device, state)| device_status(device, state))
    }

    /// One device.
    #[must_use]
    pub fn device(&self, device: DeviceId) -> Option<DeviceStatus> {
        let state = self.state.devices.get(&device)?;
        Some(device_status(device, state))
    }

    /// Live leases by id.
    pub fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.state.live_leases()
    }

    /// One live lease.
    #[must_use]
    pub fn lease(&self, lease: LeaseId) -> Option<&Lease> {
        self.state.leases.get(&lease).map(|granted| &granted.lease)
    }

    /// The allocation policy in force.
    #[must_use]
    pub fn policy(&self) -> PolicyChoice {
        self.state.rules.policy
    }

    /// Quotas by owner.
    pub fn quotas(&self) -> impl Iterator<Item = (OwnerId, Quota)> + '_ {
        self.state
            .rules
            .quotas
            .iter()
            .map(|(&owner, &quota)| (owner, quota))
    }

    /// Places in the queue that an agent keeps because its leases were taken for others.
    #[must_use]
    pub fn credits(&self, agent: AgentId) -> &[Credit] {
        self.state.rules.credits(agent)
    }

    /// Everything the fair policy looks at, as it is now, for forecasts and for negotiations.
    #[must_use]
    pub fn policy_snapshot(&self) -> policy::Snapshot {
        self.state.policy_snapshot()
    }

    /// Waiting requests, first to be served first; those on hold last. Under policy 2 the order is that of the rotating
    /// queue and only a hint.
    pub fn queue(&self) -> impl Iterator<Item = WaitingRequest<'_>> {
        let mut order = self.state.service_order();
        let held = self.state.queue.iter().filter(|(_, waiting)| waiting.on_hold);
        order.extend(held.map(|(&arrival, _)| arrival));
        order
            .into_iter()
            .filter_map(|arrival| self.state.queue.get(&arrival))
            .map(|waiting| WaitingRequest {
                id: waiting.id,
                wanted: &waiting.wanted,
                overtaken: waiting.overtaken,
                on_hold: waiting.on_hold,
            })
    }

    /// Whether `request` waits.
    #[must_use]
    pub fn is_waiting(&self, request: RequestId) -> bool {
        self.state.arrival_of(request).is_some()
    }

    /// The waiting request because of which a renewal of `lease` would be refused now.
    #[must_use]
    pub fn contender(&self, lease: LeaseId) -> Option<RequestId> {
        self.state.contender(self.lease(lease)?)
    }

    /// The next trial number that nobody has claimed yet.
    #[must_use]
    pub fn next_trial(&self) -> TrialId {
        TrialId(self.state.trials.next)
    }

    /// The lowest trial that could be claimed now: a released one, or the next; `None` while the window is closed or
    /// the trials are used up.
    #[must_use]
    pub fn claimable_trial(&self) -> Option<TrialId> {
        let next = self.next_trial();
        let released = self.state.trials.released.first().copied();
        released
            .or_else(|| (next.get() < self.state.config().max_trials).then_some(next))
            .filter(|&trial| self.state.decision_ready(trial))
    }

    /// Whether every result that the decision on `trial` may see is recorded.
    #[must_use]
    pub fn decision_ready(&self, trial: TrialId) -> bool {
        self.state.decision_ready(trial)
    }

    /// The results that the decision on `trial` may see: those of trials numbered below `trial` − W, by number.
    /// Complete only when [`Ledger::decision_ready`].
    pub fn visible_records(&self, trial: TrialId) -> impl Iterator<Item = (TrialId, &TrialRecord)> {
        let end = TrialId(trial.get().saturating_sub(self.state.config().trial_window));
        self.state
            .records
            .iter()
            .map(|(&id, record)| (id, record))
            .take_while(move |(id, _)| *id < end)
    }

    /// All results by trial number.
    pub fn records(&self) -> impl Iterator<Item = (TrialId, &TrialRecord)> {
        self.state.records.iter().map(|(&id, record)| (id, record))
    }

    /// The result of one trial.
    #[must_use]
    pub fn record(&self, trial: TrialId) -> Option<&TrialRecord> {
        self.state.records.get(&trial)
    }

    /// Trials in work, by number.
    pub fn claims(&self) -> impl Iterator<Item = ClaimStatus> + '_ {
        self.state
            .trials
            .claims
            .iter()
            .map(|(&trial, claim)| ClaimStatus {
                trial,
                agent: claim.agent,
                digest: claim.digest,
                until: claim.until,
            })
    }
}

fn device_status(device: DeviceId, state: &DeviceState) -> DeviceStatus {
    DeviceStatus {
        device,
        capacity: state.capacity,
        used: state.used,
        used_share: Permille::new(state.used_share).unwrap_or(Permille::WHOLE),
        sponsor: state.sponsor,
    }
}

const fn agent_status(agent: AgentId, state: &AgentState) -> AgentStatus {
    AgentStatus {
        agent,
        owner: state.owner,
        key: state.key,
        next_seq: state.next_seq,
        open: state.open,
        sponsor: state.sponsor,
    }
}
