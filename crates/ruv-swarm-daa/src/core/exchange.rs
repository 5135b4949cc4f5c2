//! Knowledge that goes from one agent to another.

use super::Core;
use crate::error::{DAAError, DAAResult};
use crate::records::{CoordinationResult, Knowledge};
use crate::time;
use serde_json::json;
use std::collections::BTreeSet;

/// Most pieces of knowledge that one agent hands over at a time, the ones it is surest of.
const MAX_SHARED: usize = 64;
/// Most peers of one exchange.
const MAX_PEERS: usize = 10_000;

impl Core {
    /// Exchanges knowledge with every listed peer that can be found and takes part.
    ///
    /// No vote is held, so `consensus_reached` is false.
    pub(crate) fn coordinate(&self, peers: &[String]) -> DAAResult<CoordinationResult> {
        self.check_alive()?;
        if peers.len() > MAX_PEERS {
            return Err(DAAError::coordination(format!(
                "`peers` has {} entries, allowed are 0 to {MAX_PEERS}",
                peers.len()
            )));
        }
        let start = self.clock().monotonic();
        let mut seen = BTreeSet::from([self.id()]);
        let asked: Vec<&String> = peers.iter().filter(|id| seen.insert(id)).collect();
        let mut shared = self.shareable();
        let mine = shared.clone();
        let mut coordinated = Vec::new();
        for &id in asked.iter().filter(|_| self.cooperates()) {
            let Some(peer) = self.directory.find(id).filter(|peer| peer.cooperates()) else {
                continue;
            };
            let theirs = peer.shareable();
            peer.receive(&mine)?;
            self.receive(&theirs)?;
            shared.extend(theirs);
            coordinated.push(id.clone());
        }
        if coordinated.is_empty() {
            shared.clear();
        }
        let mut state = self.state();
        state.peers_asked += asked.len() as u64;
        state.peers_reached += coordinated.len() as u64;
        drop(state);
        Ok(CoordinationResult {
            success: !coordinated.is_empty(),
            coordinated_agents: coordinated,
            shared_knowledge: shared,
            consensus_reached: false,
            coordination_time_ms: time::millis_since(self.clock(), start),
        })
    }

    /// Hands `knowledge` to `target` and remembers that.
    pub(crate) fn share(&self, target: &str, knowledge: &Knowledge) -> DAAResult<()> {
        self.check_alive()?;
        if !self.cooperates() {
            return Err(DAAError::coordination(format!(
                "coordination is switched off for agent `{}`",
                self.id()
            )));
        }
        let not_found = || DAAError::AgentNotFound {
            id: target.to_owned(),
        };
        let peer = self
            .directory
            .find(target)
            .filter(|peer| peer.cooperates())
            .ok_or_else(not_found)?;
        peer.receive(std::slice::from_ref(knowledge))?;
        self.state().memory.note_sharing(target, knowledge, self.now())
    }

    fn receive(&self, knowledge: &[Knowledge]) -> DAAResult<()> {
        let mut state = self.state();
        knowledge.iter().try_for_each(|piece| state.memory.receive(piece))
    }

    /// What this agent tells others: how it does, then what it knows best.
    fn shareable(&self) -> Vec<Knowledge> {
        let metrics = self.metrics();
        let profile = Knowledge {
            id: format!("{}/profile", self.id()),
            domain: "coordination".to_owned(),
            content: json!({
                "agent_id": self.id(),
                "pattern": self.pattern(),
                "tasks_completed": metrics.tasks_completed,
                "success_rate": metrics.success_rate,
                "learning_efficiency": metrics.learning_efficiency,
            }),
            confidence: 1.0,
            source_agent: self.id().to_owned(),
            created_at: self.now(),
        };
        let mut known: Vec<Knowledge> = Vec::new();
        for model in self.state().engine.models() {
            known.extend(model.knowledge_base.iter().map(|item| Knowledge {
                id: item.id.clone(),
                domain: model.domain.clone(),
                content: item.content.clone(),
                confidence: item.confidence,
                source_agent: self.id().to_owned(),
                created_at: item.created_at,
            }));
        }
        known.sort_by(|a, b| {
            b.confidence
                .total_cmp(&a.confidence)
                .then_with(|| a.id.cmp(&b.id))
        });
        known.truncate(MAX_SHARED - 1);
        known.insert(0, profile);
        known
    }
}
