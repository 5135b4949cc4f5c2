//! Everything a run did, folded from its events: what reports and summaries are made of.

use crate::config::MAX_AGENTS;
use crate::events::{EpochMetrics, Event, EventKind, LeaseEnd, MemorySample, RanOn, Work};
use daa_base::{AgentId, Bytes, LeaseId, TrialId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One piece of work: a trial of the search or the final training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkRecord {
    /// Who did it last.
    pub agent: AgentId,
    /// The network in short.
    pub architecture: String,
    /// Epochs that the network had been trained before.
    pub from_epoch: u32,
    /// Epochs after which it stops.
    pub to_epoch: u32,
    /// The epochs trained.
    pub epochs: Vec<EpochMetrics>,
    /// Validation score at the end; higher is better.
    pub score: Option<f64>,
    /// Trained parameters of the network.
    pub parameters: u64,
    /// The plan's peak in bytes, which is what was leased.
    pub plan_peak: Bytes,
    /// What it ran on last; absent while it runs, and when a crash left no record of it.
    pub ran_on: Option<RanOn>,
    /// `done`, `diverged`, …; empty while it runs.
    pub outcome: String,
    /// How often it stopped at a step boundary to go on later.
    pub yields: u32,
    /// When it was claimed, in milliseconds of the run.
    pub claimed_ms: u64,
    /// When it was done.
    pub done_ms: Option<u64>,
}

/// One lease from request to end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// The lease.
    pub lease: LeaseId,
    /// Who held it.
    pub agent: AgentId,
    /// What for.
    pub work: Work,
    /// Leased bytes.
    pub bytes: Bytes,
    /// When it was asked for, in milliseconds of the run.
    pub requested_ms: u64,
    /// When it was granted.
    pub granted_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// How it ended.
    pub end: Option<LeaseEnd>,
    /// What was reserved at most under it.
    pub high_water: Option<Bytes>,
}

/// How many requests there were and what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseCounts {
    /// Requests submitted.
    pub requested: u64,
    /// Leases granted.
    pub granted: u64,
    /// Requests refused.
    pub refused: u64,
    /// The most bytes leased at one time.
    pub peak_bytes: Bytes,
}

/// How useful the recipes of one author were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsefulnessRecord {
    /// Its key.
    pub author: String,
    /// The version of what it said.
    pub version: u64,
    /// −1000, all candidates of the search's own were better, to 1000, none was.
    pub thousandths: i16,
    /// Whether it changed the trust in the author; it does so once.
    pub counted: bool,
}

/// What a run told others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldRecord {
    /// The node that tells it, by key.
    pub node: String,
    /// The version under which it is told.
    pub version: u64,
    /// How many recipes.
    pub recipes: usize,
}

/// Everything a run did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Pieces of work by kind and number.
    pub trials: BTreeMap<TrialId, WorkRecord>,
    /// The final training.
    pub final_work: Option<WorkRecord>,
    /// Leases in the order they were granted.
    pub leases: Vec<LeaseRecord>,
    /// Counts over all leases.
    pub lease_counts: LeaseCounts,
    /// Memory in use over time, in milliseconds of the run.
    pub memory: Vec<(u64, MemorySample)>,
    /// Tasks done per agent.
    pub agent_tasks: BTreeMap<AgentId, u64>,
    /// The trial that the search chose, with its score.
    pub chosen: Option<(TrialId, f64)>,
    /// Lines about what went wrong and was survived.
    pub notices: Vec<String>,
    /// How useful the recipes of others were, by author and version.
    #[serde(default)]
    pub measured: Vec<UsefulnessRecord>,
    /// What was told to others at last.
    #[serde(default)]
    pub told: Option<ToldRecord>,
    /// What was not shared, and why.
    #[serde(default)]
    pub not_shared: Vec<String>,
    /// The leases that count at present.
    leased_now: BTreeMap<LeaseId, Bytes>,
    /// Leases that the ledger ended before their holders reported them as granted.
    lapsed: BTreeSet<LeaseId>,
    asked_ms: BTreeMap<AgentId, u64>,
}

/// Most memory samples kept; beyond it every second one is dropped.
const MEMORY_SAMPLES: usize = 4_000;

impl RunRecord {
    /// The record after `events`.
    #[must_use]
    pub fn from_events<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut record = Self::default();
        for event in events {
            record.apply(event);
        }
        record
    }

    /// Adds one event.
    pub fn apply(&mut self, event: &Event) {
        let at = event.at_ms;
        match &event.kind {
            EventKind::RunStarted { agents, .. } => {
                // Leases of an earlier process ended with it.
                self.leased_now.clear();
                self.lapsed.clear();
                self.close_leases(at);
                for id in crate::chain::agent_ids((*agents).min(MAX_AGENTS)) {
                    self.agent_tasks.entry(id).or_default();
                }
            }
            EventKind::WorkClaimed { .. }
            | EventKind::WorkYielded { .. }
            | EventKind::EpochEnded { .. }
            | EventKind::WorkDone { .. } => self.apply_work(at, &event.kind),
            EventKind::LeaseRequested { .. }
            | EventKind::LeaseGranted { .. }
            | EventKind::LeaseRefused { .. }
            | EventKind::LeaseLapsed { .. }
            | EventKind::LeaseEnded { .. } => self.apply_lease(at, &event.kind),
            EventKind::Memory { sample } => self.add_memory(at, *sample),
            EventKind::Chosen { trial, score, .. } => self.chosen = Some((*trial, *score)),
            EventKind::SuggestionsMeasured { .. }
            | EventKind::RecipesTold { .. }
            | EventKind::NotShared { .. } => self.apply_knowledge(&event.kind),
            EventKind::DataWarning { .. }
            | EventKind::DeviceFailed { .. }
            | EventKind::DeviceReturned { .. }
            | EventKind::NodeJoined { .. }
            | EventKind::NodeFull { .. }
            | EventKind::NodeLost { .. }
            | EventKind::OrderLost { .. }
            | EventKind::DivergenceDoubted { .. }
            | EventKind::StopRequested { .. } => {
                self.notices.push(event.message.clone());
            }
            _ => {}
        }
    }

    fn apply_knowledge(&mut self, kind: &EventKind) {
        match kind {
            EventKind::SuggestionsMeasured {
                author,
                version,
                thousandths,
                counted,
            } => {
                let known = |one: &&mut UsefulnessRecord| (&one.author, one.version) == (author, *version);
                if let Some(known) = self.measured.iter_mut().find(known) {
                    // A run that goes on reports again, which changes nothing.
                    known.counted |= counted;
                    return;
                }
                self.measured.push(UsefulnessRecord {
                    author: author.clone(),
                    version: *version,
                    thousandths: *thousandths,
                    counted: *counted,
                });
            }
            EventKind::RecipesTold {
                node,
                version,
                recipes,
                ..
            } => {
                self.told = Some(ToldRecord {
                    node: node.clone(),
                    version: *version,
                    recipes: *recipes,
                });
            }
            EventKind::NotShared { reason } => {
                self.not_shared.push(reason.clone());
            }
            _ => {}
        }
    }

    fn apply_work(&mut self, at: u64, kind: &EventKind) {
        match kind {
            EventKind::WorkClaimed {
                agent,
                work,
                architecture,
                from_epoch,
                to_epoch,
            } => {
                let fresh = WorkRecord {
                    agent: *agent,
                    architecture: architecture.clone(),
                    from_epoch: *from_epoch,
                    to_epoch: *to_epoch,
                    epochs: Vec::new(),
                    score: None,
                    parameters: 0,
                    plan_peak: Bytes::ZERO,
                    outcome: String::new(),
                    ran_on: None,
                    yields: 0,
                    claimed_ms: at,
                    done_ms: None,
                };
                let record = match work {
                    Work::Trial(trial) => self.trials.entry(*trial).or_insert(fresh),
                    Work::Final => self.final_work.get_or_insert(fresh),
                    Work::Test => return,
                };
                if record.done_ms.is_none() {
                    record.agent = *agent;
                    record.claimed_ms = at;
                }
            }
            EventKind::WorkYielded { work, .. } => {
                if let Some(record) = self.work(*work) {
                    record.yields += 1;
                }
            }
            EventKind::EpochEnded { work, metrics, .. } => {
                if let Some(record) = self.work(*work) {
                    // An epoch that was cut off and done again counts once.
                    record.epochs.retain(|epoch| epoch.epoch < metrics.epoch);
                    record.epochs.push(*metrics);
                }
            }
            EventKind::WorkDone { .. } => self.finish_work(at, kind),
            _ => {}
        }
    }

    fn finish_work(&mut self, at: u64, kind: &EventKind) {
        let EventKind::WorkDone {
            agent,
            work,
            score,
            parameters,
            plan_peak,
            outcome,
            ran_on,
        } = kind
        else {
            return;
        };
        let Some(record) = self.work(*work) else { return };
        let before = record.done_ms.map(|_| record.agent);
        if before.is_some() && ran_on.is_none() {
            // Found done when the run was resumed: who did it, when and where stays as it was told first.
            return;
        }
        record.agent = *agent;
        record.score = *score;
        record.parameters = *parameters;
        record.plan_peak = *plan_peak;
        record.outcome.clone_from(outcome);
        record.ran_on.clone_from(ran_on);
        record.done_ms = Some(at);
        if let Some(tasks) = before.and_then(|before| self.agent_tasks.get_mut(&before)) {
            *tasks -= 1;
        }
        *self.agent_tasks.entry(*agent).or_default() += 1;
    }

    fn apply_lease(&mut self, at: u64, kind: &EventKind) {
        match kind {
            EventKind::LeaseRequested { agent, .. } => {
                self.lease_counts.requested += 1;
                self.asked_ms.insert(*agent, at);
            }
            EventKind::LeaseRefused { .. } => self.lease_counts.refused += 1,
            EventKind::LeaseGranted {
                agent,
                work,
                lease,
                bytes,
                waited_ms,
                ..
            } => {
                let asked = match waited_ms {
                    Some(waited) => Some(at.saturating_sub(*waited)),
                    None => self.asked_ms.get(agent).copied(),
                };
                self.lease_counts.granted += 1;
                if !self.lapsed.remove(lease) {
                    self.leased_now.insert(*lease, *bytes);
                    // Nodes of others say how much they granted.
                    let leased = self.leased_now.values().map(|bytes| bytes.get());
                    let leased = Bytes(leased.fold(0, u64::saturating_add));
                    self.lease_counts.peak_bytes = self.lease_counts.peak_bytes.max(leased);
                }
                self.leases.push(LeaseRecord {
                    lease: *lease,
                    agent: *agent,
                    work: *work,
                    bytes: *bytes,
                    requested_ms: asked.unwrap_or(at),
                    granted_ms: at,
                    ended_ms: None,
                    end: None,
                    high_water: None,
                });
            }
            EventKind::LeaseLapsed { lease, .. } => {
                // Ended, held, or not yet reported: agents learn of what the ledger did one after the other.
                if !self.leases.iter().any(|record| record.lease == *lease) {
                    self.lapsed.insert(*lease);
                }
                self.leased_now.remove(lease);
            }
            EventKind::LeaseEnded {
                lease,
                end,
                high_water,
                ..
            } => {
                self.leased_now.remove(lease);
                if let Some(record) = self.leases.iter_mut().rev().find(|record| record.lease == *lease) {
                    record.ended_ms = Some(at);
                    record.end = Some(*end);
                    record.high_water = Some(*high_water);
                }
            }
            _ => {}
        }
    }

    fn close_leases(&mut self, at: u64) {
        for lease in self.leases.iter_mut().filter(|lease| lease.ended_ms.is_none()) {
            lease.ended_ms = Some(at);
        }
    }

    fn work(&mut self, work: Work) -> Option<&mut WorkRecord> {
        match work {
            Work::Trial(trial) => self.trials.get_mut(&trial),
            Work::Final => self.final_work.as_mut(),
            Work::Test => None,
        }
    }

    fn add_memory(&mut self, at: u64, sample: MemorySample) {
        if self.memory.len() >= MEMORY_SAMPLES {
            let mut keep = false;
            self.memory.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.memory.push((at, sample));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(record: &mut RunRecord, at_ms: u64, kind: EventKind) {
        record.apply(&Event {
            at_ms,
            time: String::new(),
            message: kind.to_string(),
            kind,
        });
    }

    #[test]
    fn leases_of_nodes_were_asked_for_when_the_nodes_say() {
        let mut record = RunRecord::default();
        for (waited_ms, asked) in [(Some(150), 50), (None, 200), (Some(900), 0)] {
            let (agent, work, bytes) = (AgentId(1), Work::Final, Bytes(5));
            let share = daa_base::Permille::new(1000).expect("the whole");
            let requested = EventKind::LeaseRequested {
                agent,
                work,
                bytes,
                share,
            };
            tell(&mut record, 200, requested);
            let granted = EventKind::LeaseGranted {
                agent,
                work,
                lease: LeaseId(1),
                bytes,
                token: daa_base::FencingToken(1),
                waited_ms,
            };
            tell(&mut record, 200, granted);
            let lease = record.leases.last().expect("granted");
            assert_eq!((lease.requested_ms, lease.granted_ms), (asked, 200));
        }
    }

    #[test]
    fn a_damaged_number_of_agents_and_grants_beyond_all_memory_are_cut() {
        let mut record = RunRecord::default();
        let started = EventKind::RunStarted {
            seed: 1,
            agents: usize::MAX,
            resumed: false,
        };
        tell(&mut record, 0, started);
        assert_eq!(record.agent_tasks.len(), MAX_AGENTS);
        for lease in [1, 2] {
            let granted = EventKind::LeaseGranted {
                agent: AgentId(1),
                work: Work::Final,
                lease: LeaseId(lease),
                bytes: Bytes(u64::MAX),
                token: daa_base::FencingToken(lease),
                waited_ms: None,
            };
            tell(&mut record, 1, granted);
        }
        assert_eq!(record.lease_counts.peak_bytes, Bytes(u64::MAX));
    }

    fn claim(record: &mut RunRecord, at_ms: u64, agent: u32) {
        let kind = EventKind::WorkClaimed {
            agent: AgentId(agent),
            work: Work::Final,
            architecture: "10".to_owned(),
            from_epoch: 0,
            to_epoch: 3,
        };
        tell(record, at_ms, kind);
    }

    fn done(record: &mut RunRecord, at_ms: u64, agent: u32, backend: Option<&str>) {
        let ran_on = backend.map(|backend| RanOn {
            backend: backend.to_owned(),
            device: "a device".to_owned(),
        });
        let kind = EventKind::WorkDone {
            agent: AgentId(agent),
            work: Work::Final,
            score: None,
            parameters: 1,
            plan_peak: Bytes(1),
            outcome: "done".to_owned(),
            ran_on,
        };
        tell(record, at_ms, kind);
    }

    #[test]
    fn work_that_is_found_done_stays_with_who_did_it_and_counts_once() {
        let mut record = RunRecord::default();
        claim(&mut record, 10, 1);
        done(&mut record, 20, 1, Some("host"));
        let told = record.final_work.clone();
        claim(&mut record, 90, 2);
        done(&mut record, 95, 2, None);
        assert_eq!(
            record.final_work, told,
            "agent, times and backend are the first ones"
        );
        assert_eq!(record.agent_tasks.values().sum::<u64>(), 1);
    }

    #[test]
    fn work_that_is_done_again_belongs_to_who_did_it_last() {
        let mut record = RunRecord::default();
        claim(&mut record, 10, 1);
        done(&mut record, 20, 1, Some("host"));
        claim(&mut record, 90, 2);
        done(&mut record, 95, 2, Some("vulkan"));
        let work = record.final_work.as_ref().expect("recorded");
        assert_eq!((work.agent, work.done_ms), (AgentId(2), Some(95)));
        assert_eq!(work.ran_on.as_ref().map(|on| on.backend.as_str()), Some("vulkan"));
        let tasks: Vec<_> = record.agent_tasks.into_iter().collect();
        assert_eq!(tasks, [(AgentId(1), 0), (AgentId(2), 1)]);
    }
}
