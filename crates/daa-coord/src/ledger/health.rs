//! Agents that are gone: what validators report, when it counts, and how an agent comes back.
//!
//! A report counts for `health_window` of agreed time. When validators that together reach the quorum have reported an
//! agent within that window, it is gone: its leases return to the pool at once (whoever gets the memory next gets a larger
//! token, so a late holder cannot use its own any more), its waiting requests are refused, its claims are free. Fewer
//! validators can do nothing, so a minority that lies or is cut off takes nothing away.
//!
//! A gone agent stays registered and its commands are still carried out, but for requests. It comes back with
//! [`Command::Present`](crate::Command::Present), which repeats a digest that did not exist before it was seen gone:
//! commands it had signed earlier, delivered late, do not bring it back.

use super::event::LedgerEvent;
use super::reason::{RefuseReason, Rejection, ReleaseReason, WithdrawReason};
use super::snapshot;
use super::state::State;
use crate::command::{Said, Statement};
use crate::genesis::{ChainId, OPERATOR};
use crate::keys::{Digest, PublicKey};
use daa_base::{AgentId, Millis, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What validators say about agents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Health {
    /// Who reported an agent, and for which agreed time; the latest of each.
    pub(super) reports: BTreeMap<AgentId, BTreeMap<PublicKey, Timestamp>>,
    /// Agents that a quorum sees gone.
    pub(super) gone: BTreeMap<AgentId, Gone>,
    /// When an agent came back, as long as older reports would still count.
    back: BTreeMap<AgentId, Timestamp>,
}

/// An agent that a quorum sees gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// Agreed time of the report that made the quorum.
    pub since: Timestamp,
    /// What the agent repeats to come back.
    pub challenge: Digest,
}

impl Health {
    /// Forgets what is older than `from`.
    fn prune(&mut self, from: Timestamp) {
        for reports in self.reports.values_mut() {
            reports.retain(|_, at| *at >= from);
        }
        self.reports.retain(|_, reports| !reports.is_empty());
        self.back.retain(|_, at| *at >= from);
    }

    fn is_stale(&self, from: Timestamp) -> bool {
        let mut reports = self.reports.values().flat_map(BTreeMap::values);
        reports.any(|at| *at < from) || self.back.values().any(|at| *at < from)
    }

    pub(super) fn forget(&mut self, agent: AgentId) {
        self.reports.remove(&agent);
        self.gone.remove(&agent);
        self.back.remove(&agent);
    }
}

impl State {
    /// The earliest agreed time whose reports still count.
    fn reports_from(&self) -> Timestamp {
        let window = self.config().health_window;
        Timestamp(self.time.get().saturating_sub(window.get()))
    }

    pub(super) fn prune_reports(&mut self) {
        let from = self.reports_from();
        if self.health.is_stale(from) {
            self.health.prune(from);
        }
    }

    /// Takes a validator's statement in; its signatures hold.
    pub(super) fn hear(
        &mut self,
        chain: ChainId,
        who: (AgentId, u64),
        statement: &Statement,
        events: &mut Vec<LedgerEvent>,
    ) -> Result<(), Rejection> {
        match statement.said {
            Said::Gone { agent, at } => {
                let event = self.report(who, statement.validator, (agent, at))?;
                events.push(event);
                self.count_reports(chain, agent, events);
            }
            Said::Leave { .. } | Said::Rotate { .. } => {
                let event = self.change_by_statement(who, statement)?;
                events.push(event);
            }
        }
        Ok(())
    }

    fn report(
        &mut self,
        (agent, seq): (AgentId, u64),
        validator: PublicKey,
        (about, at): (AgentId, Timestamp),
    ) -> Result<LedgerEvent, Rejection> {
        if self.members.next().get(&validator).is_none() {
            return Err(Rejection::NotValidator { key: validator });
        }
        if about == OPERATOR {
            return Err(Rejection::OperatorStays);
        }
        if self.active(about).is_none() {
            return Err(Rejection::NoSuchAgent { agent: about });
        }
        let reports = self.health.reports.get(&about);
        let last = reports.and_then(|reports| reports.get(&validator)).copied();
        let back = self.health.back.get(&about).copied();
        let after = last.max(back).map(|at| at.after(Millis(1)));
        let (from, to) = (self.reports_from().max(after.unwrap_or_default()), self.time);
        if !(from..=to).contains(&at) {
            return Err(Rejection::ReportTime { at, from, to });
        }
        let set = self.members.next().clone();
        let reports = self.health.reports.entry(about).or_default();
        reports.retain(|key, _| set.get(key).is_some());
        reports.insert(validator, at);
        let (weight, total) = self.reported_weight(about);
        Ok(LedgerEvent::AgentReported {
            agent,
            seq,
            validator,
            about,
            weight,
            total,
        })
    }

    /// The weight of those whose reports on `agent` count now, and that of all.
    fn reported_weight(&self, agent: AgentId) -> (u64, u64) {
        let (set, from) = (self.members.next(), self.reports_from());
        let reports = self.health.reports.get(&agent).into_iter().flatten();
        let weight = reports
            .filter(|&(_, at)| *at >= from)
            .filter_map(|(key, _)| set.get(key))
            .map(|validator| validator.power)
            .sum();
        (weight, set.total_power())
    }

    fn count_reports(&mut self, chain: ChainId, agent: AgentId, events: &mut Vec<LedgerEvent>) {
        let (weight, total) = self.reported_weight(agent);
        if self.health.gone.contains_key(&agent) || !self.genesis.quorum().is_reached(weight, total) {
            return;
        }
        let mut challenge = blake3::Hasher::new_derive_key("daa-coord 2026 sign of life");
        challenge.update(&agent.get().to_le_bytes());
        challenge.update(&snapshot::hash(chain, self).0);
        let gone = Gone {
            since: self.time,
            challenge: Digest(*challenge.finalize().as_bytes()),
        };
        self.health.gone.insert(agent, gone);
        events.push(LedgerEvent::AgentGone {
            about: agent,
            weight,
            total,
        });
        self.strip(
            agent,
            (&WithdrawReason::HolderGone, &RefuseReason::AgentGone),
            events,
        );
    }

    /// Takes everything an agent has: leases, waiting requests and claims.
    pub(super) fn strip(
        &mut self,
        agent: AgentId,
        (withdrawn, refused): (&WithdrawReason, &RefuseReason),
        events: &mut Vec<LedgerEvent>,
    ) {
        let leases = self.live_leases().filter(|lease| lease.agent == agent);
        for id in leases.map(|lease| lease.id).collect::<Vec<_>>() {
            if let Some(lease) = self.end_lease(id) {
                let reason = withdrawn.clone();
                events.push(LedgerEvent::LeaseWithdrawn { lease, reason });
            }
        }
        let waiting = self.queue.iter().filter(|(_, waiting)| waiting.id.agent == agent);
        for arrival in waiting.map(|(&arrival, _)| arrival).collect::<Vec<_>>() {
            if let Some(waiting) = self.drop_waiting(arrival) {
                let reason = refused.clone();
                events.push(LedgerEvent::RequestRefused {
                    request: waiting.id,
                    reason,
                });
            }
        }
        let claims = self
            .trials
            .claims
            .iter()
            .filter(|(_, claim)| claim.agent == agent);
        for trial in claims.map(|(&trial, _)| trial).collect::<Vec<_>>() {
            self.trials.claims.remove(&trial);
            self.trials.released.insert(trial);
            events.push(LedgerEvent::TrialReleased {
                trial,
                agent,
                seq: None,
                reason: ReleaseReason::WorkerGone,
            });
        }
        self.allocate(events);
    }

    pub(super) fn come_back(
        &mut self,
        (agent, seq): (AgentId, u64),
        challenge: Digest,
    ) -> Result<LedgerEvent, Rejection> {
        let gone = self.health.gone.get(&agent).ok_or(Rejection::NotGone)?;
        if gone.challenge != challenge {
            return Err(Rejection::StaleSign);
        }
        self.health.forget(agent);
        self.health.back.insert(agent, self.time);
        Ok(LedgerEvent::AgentBack { agent, seq })
    }
}
