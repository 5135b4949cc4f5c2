//! What the operator sets on the ledger: the allocation policy in force, quotas of owners; and what is owed to agents
//! whose leases were taken for others.

use super::dispatch::operator_only;
use super::event::LedgerEvent;
use super::reason::{RefuseReason, Rejection};
use super::state::{Granted, State};
use crate::genesis::{LedgerConfig, POLICY_FAIR_SHARES, POLICY_ROTATING_QUEUE};
use crate::policy::{Quota, Rules};
use daa_base::{AgentId, Bytes, OwnerId, Permille, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Places in the queue kept for one agent.
const MAX_CREDITS: usize = 8;

/// A policy with its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyChoice {
    /// [`POLICY_ROTATING_QUEUE`] or [`POLICY_FAIR_SHARES`].
    pub version: u16,
    /// Which preemptions are allowed; the rotating queue has none.
    pub rules: Rules,
}

/// The place in the queue that an agent keeps because its lease was taken for somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// Most memory of a request that may use it.
    pub bytes: Bytes,
    /// Most compute of a request that may use it.
    pub share: Permille,
    /// The arrival of the request that had been granted.
    pub(super) arrival: u64,
    /// From this agreed time on it is void.
    pub until: Timestamp,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rulebook {
    pub(super) policy: PolicyChoice,
    /// The policy that comes into force at a height.
    coming: Option<(u64, PolicyChoice)>,
    pub(super) quotas: BTreeMap<OwnerId, Quota>,
    credits: BTreeMap<AgentId, Vec<Credit>>,
}

impl Rulebook {
    pub(super) fn new(config: &LedgerConfig) -> Self {
        Self {
            policy: PolicyChoice {
                version: config.policy,
                rules: Rules::default(),
            },
            coming: None,
            quotas: BTreeMap::new(),
            credits: BTreeMap::new(),
        }
    }

    pub(super) const fn is_fair(&self) -> bool {
        self.policy.version == POLICY_FAIR_SHARES
    }

    pub(super) fn credits(&self, agent: AgentId) -> &[Credit] {
        self.credits.get(&agent).map_or(&[], Vec::as_slice)
    }

    pub(super) fn is_sound(&self, config: &LedgerConfig) -> bool {
        let known =
            |policy: &PolicyChoice| (POLICY_ROTATING_QUEUE..=POLICY_FAIR_SHARES).contains(&policy.version);
        known(&self.policy)
            && self.coming.iter().all(|(_, policy)| known(policy))
            && self.quotas.len() <= config.max_agents as usize
            && self
                .credits
                .values()
                .all(|all| (1..=MAX_CREDITS).contains(&all.len()))
    }
}

impl State {
    /// Brings the announced policy into force at its height, and forgets credits that are over.
    pub(super) fn advance_rules(&mut self, events: &mut Vec<LedgerEvent>) {
        let now = self.time;
        let mut credits = self.rules.credits.values().flatten();
        if credits.any(|credit| credit.until <= now) {
            let credits = &mut self.rules.credits;
            credits
                .values_mut()
                .for_each(|all| all.retain(|credit| credit.until > now));
            credits.retain(|_, all| !all.is_empty());
        }
        let due = self.rules.coming.filter(|(from, _)| *from <= self.height);
        if let Some((_, policy)) = due {
            self.rules.coming = None;
            self.rules.policy = policy;
            events.push(LedgerEvent::PolicyInForce { policy });
            self.refuse_inadmissible(events);
            self.allocate(events);
        }
    }

    pub(super) fn set_policy(
        &mut self,
        (agent, seq): (AgentId, u64),
        policy: PolicyChoice,
        from: u64,
    ) -> Result<LedgerEvent, Rejection> {
        operator_only(agent)?;
        let version = policy.version;
        if !(POLICY_ROTATING_QUEUE..=POLICY_FAIR_SHARES).contains(&version) {
            return Err(Rejection::UnknownPolicy { version });
        }
        let from = from.max(self.height + 1);
        self.rules.coming = Some((from, policy));
        Ok(LedgerEvent::PolicyAnnounced {
            agent,
            seq,
            policy,
            from,
        })
    }

    pub(super) fn set_quota(
        &mut self,
        (agent, seq): (AgentId, u64),
        owner: OwnerId,
        quota: Option<Quota>,
        events: &mut Vec<LedgerEvent>,
    ) -> Result<(), Rejection> {
        operator_only(agent)?;
        let limit = self.config().max_agents;
        match quota {
            None if !self.rules.quotas.contains_key(&owner) => return Err(Rejection::NoQuota { owner }),
            None => {
                self.rules.quotas.remove(&owner);
            }
            Some(_)
                if !self.rules.quotas.contains_key(&owner) && self.rules.quotas.len() >= limit as usize =>
            {
                return Err(Rejection::QuotaLimit { limit });
            }
            Some(quota) => {
                self.rules.quotas.insert(owner, quota);
            }
        }
        events.push(LedgerEvent::QuotaSet {
            agent,
            seq,
            owner,
            quota,
        });
        self.refuse_inadmissible(events);
        self.allocate(events);
        Ok(())
    }

    /// Requests that the rules now in force can never grant end.
    pub(super) fn refuse_inadmissible(&mut self, events: &mut Vec<LedgerEvent>) {
        if !self.rules.is_fair() {
            return;
        }
        let check = |(&arrival, waiting): (&u64, &super::state::Waiting)| {
            let reason = self.check_quota(waiting.id.agent, &waiting.wanted).err()?;
            Some((arrival, reason))
        };
        let refused: Vec<(u64, RefuseReason)> = self.queue.iter().filter_map(check).collect();
        for (arrival, reason) in refused {
            if let Some(waiting) = self.drop_waiting(arrival) {
                let request = waiting.id;
                events.push(LedgerEvent::RequestRefused { request, reason });
            }
        }
    }

    /// Records what is owed for a lease that was ended before its time: its place in the queue, for the longest hold of
    /// agreed time, to one later request of the same agent that is not larger.
    pub(super) fn compensate(&mut self, ended: &Granted, events: &mut Vec<LedgerEvent>) {
        let lease = &ended.lease;
        let credit = Credit {
            bytes: lease.bytes,
            share: lease.share,
            arrival: ended.arrival,
            until: self.time.after(self.config().max_hold),
        };
        let credits = self.rules.credits.entry(lease.agent).or_default();
        credits.push(credit);
        if credits.len() > MAX_CREDITS {
            credits.remove(0);
        }
        events.push(LedgerEvent::CompensationOwed {
            agent: lease.agent,
            credit,
            left: lease.left(self.time),
        });
    }

    /// The arrival number of a new request: that of a credit which it uses up, or the next.
    pub(super) fn arrival_for(&mut self, agent: AgentId, bytes: Bytes, share: Permille) -> u64 {
        let fits = |credit: &Credit| bytes <= credit.bytes && share <= credit.share;
        let usable = self.rules.credits(agent).iter().enumerate();
        let best = usable
            .filter(|(_, credit)| fits(credit) && !self.queue.contains_key(&credit.arrival))
            .min_by_key(|(_, credit)| credit.arrival)
            .map(|(at, _)| at);
        if let Some(at) = best
            && let Some(credits) = self.rules.credits.get_mut(&agent)
        {
            let credit = credits.remove(at);
            if credits.is_empty() {
                self.rules.credits.remove(&agent);
            }
            return credit.arrival;
        }
        let arrival = self.next_arrival;
        self.next_arrival += 1;
        arrival
    }

    pub(super) fn forget_credits(&mut self, agent: AgentId) {
        if self.rules.credits.contains_key(&agent) {
            self.rules.credits.remove(&agent);
        }
    }
}
