//! What must hold after every block. Checked in tests, and on every snapshot that is restored.

use super::state::State;
use crate::ledger::event::Lease;
use crate::ledger::fair::Desk;
use daa_base::{AgentId, DeviceId, FencingToken, TrialId};
use std::collections::{BTreeMap, BTreeSet};

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ledger invariant broken: {what}")]
pub struct InvariantError {
    /// What is wrong.
    pub what: String,
}

fn require(holds: bool, what: impl FnOnce() -> String) -> Result<(), InvariantError> {
    if holds {
        Ok(())
    } else {
        Err(InvariantError { what: what() })
    }
}

impl State {
    pub(super) fn check_invariants(&self) -> Result<(), InvariantError> {
        self.check_devices()?;
        self.check_open()?;
        self.check_agents()?;
        require(self.rules.is_sound(self.config()), || {
            "the rules are of an unknown policy or beyond their bounds".to_owned()
        })?;
        require(self.contracts.is_sound(), || {
            "too many contracts are remembered".to_owned()
        })?;
        require(self.desk == Desk::default(), || {
            "the last block is unfinished".to_owned()
        })?;
        require(self.offences.is_sound(), || {
            "more offences are kept than allowed".to_owned()
        })?;
        require(self.sponsors_are_sound(), || {
            "an agent or a device lies outside its sponsor's block or bound".to_owned()
        })?;
        require(self.members.is_sound(self.genesis.validators()), || {
            "there are validators where there should be none, or none where there should be some".to_owned()
        })?;
        self.check_trials()
    }

    fn leases_of(&self, device: DeviceId) -> impl Iterator<Item = &Lease> {
        self.live_leases().filter(move |lease| lease.device == device)
    }

    fn check_devices(&self) -> Result<(), InvariantError> {
        let limit = self.config().max_devices as usize;
        require(self.devices.len() <= limit, || "too many devices".to_owned())?;
        for (&id, device) in self.devices.iter() {
            let bytes: u128 = self.leases_of(id).map(|l| u128::from(l.bytes.get())).sum();
            let share: u64 = self.leases_of(id).map(|l| u64::from(l.share.get())).sum();
            let capacity = u128::from(device.capacity.get());
            require(bytes <= capacity && share <= 1000, || {
                format!("{id} is leased beyond its capacity: {bytes} of {capacity} bytes, {share} of 1000")
            })?;
            require(
                u128::from(device.used.get()) == bytes && u64::from(device.used_share) == share,
                || format!("{id} counts {} and {} as used", device.used, device.used_share),
            )?;
            let tokens: BTreeSet<FencingToken> = self.leases_of(id).map(|lease| lease.token).collect();
            require(
                tokens.len() == self.leases_of(id).count()
                    && tokens
                        .iter()
                        .all(|token| (1..device.next_token).contains(&token.get())),
                || format!("{id} has a token twice or a token from the future"),
            )?;
        }
        Ok(())
    }

    fn check_open(&self) -> Result<(), InvariantError> {
        let config = self.config();
        let mut open: BTreeMap<AgentId, u32> = BTreeMap::new();
        let mut requests = BTreeSet::new();
        for (&id, granted) in self.leases.iter() {
            let lease = &granted.lease;
            require(
                lease.id == id && id.get() < self.next_lease && self.devices.contains_key(&lease.device),
                || format!("{id} is filed wrongly"),
            )?;
            require(lease.is_live(self.time), || format!("{id} is live after its end"))?;
            require(lease.agent == lease.request.agent, || {
                format!("{id} is not its requester's")
            })?;
            *open.entry(lease.agent).or_default() += 1;
            requests.insert(lease.request);
        }
        for (&arrival, waiting) in self.queue.iter() {
            let id = waiting.id;
            require(
                arrival < self.next_arrival && waiting.overtaken <= config.max_overtakes,
                || format!("{id} was overtaken {} times or filed wrongly", waiting.overtaken),
            )?;
            require(waiting.wanted.deadline.is_none_or(|end| self.time <= end), || {
                format!("{id} waits past its deadline")
            })?;
            *open.entry(id.agent).or_default() += 1;
            requests.insert(id);
        }
        require(requests.len() == self.queue.len() + self.leases.len(), || {
            "a request waits or is granted twice".to_owned()
        })?;
        require(requests.len() <= config.max_open as usize, || {
            "too many requests and leases".to_owned()
        })?;
        for (id, agent) in self.agents.iter() {
            let counted = open.remove(id).unwrap_or(0);
            require(
                agent.open == counted && counted <= config.max_open_per_agent,
                || format!("{id} has {counted} open, counted {}", agent.open),
            )?;
        }
        require(open.is_empty(), || "an unknown agent holds or waits".to_owned())
    }

    fn check_agents(&self) -> Result<(), InvariantError> {
        let config = self.config();
        require(self.agents.len() <= config.max_agents as usize, || {
            "too many agents".to_owned()
        })?;
        let operator = self.agents.get(&crate::genesis::OPERATOR);
        require(
            operator.is_some_and(|agent| agent.key == self.genesis.operator()),
            || "the operator's key is not the genesis' one".to_owned(),
        )?;
        for (id, agent) in self.agents.iter() {
            require(agent.active || agent.held.is_empty() && agent.open == 0, || {
                format!("{id} is not registered any more and has commands, requests or leases")
            })?;
            let end = agent.next_seq.saturating_add(u64::from(config.seq_window));
            require(
                agent.held.keys().all(|&seq| agent.next_seq < seq && seq < end)
                    && agent
                        .held
                        .values()
                        .all(|payload| payload.len() <= crate::command::MAX_PAYLOAD),
                || format!("{id} has commands held outside its window"),
            )?;
        }
        Ok(())
    }

    fn check_trials(&self) -> Result<(), InvariantError> {
        let trials = &self.trials;
        let mut all: BTreeSet<TrialId> = trials.released.clone();
        all.extend(trials.claims.keys());
        all.extend(self.records.keys());
        let parts = trials.released.len() + trials.claims.len() + self.records.len();
        let next = trials.next as usize;
        require(
            parts == next
                && all.len() == next
                && all.last().is_none_or(|last| last.get() < trials.next)
                && trials.next <= self.config().max_trials,
            || "the trials are not each recorded, claimed or released once".to_owned(),
        )?;
        let prefix = trials.recorded_prefix;
        let gap = (0..trials.next).find(|&trial| !self.records.contains_key(&TrialId(trial)));
        require(prefix == gap.unwrap_or(trials.next), || {
            format!("{prefix} trials are counted as recorded without a gap")
        })?;
        let ready = trials.claims.keys().all(|&trial| self.decision_ready(trial));
        require(ready, || "a trial is claimed outside the window".to_owned())
    }
}
