//! Several agents under one roof.

mod join;
mod stats;
mod table;

use crate::contract::DAAAgent;
use crate::coordination::{CoordinationEvent, CoordinationEventType, CoordinationMemory};
use crate::error::{DAAError, DAAResult};
use crate::learning::LearningEngine;
use crate::neural::NeuralManager;
use crate::records::{Experience, Knowledge, Task, TaskResult};
use crate::time;
use crate::types::TaskRequest;
use daa_base::{Clock, SystemClock};
use join::join_all;
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use table::AgentTable;
use tokio::sync::RwLock;

pub use stats::CoordinationStats;

/// The domain that orchestrated tasks are learned in, unless their context names another.
const DOMAIN: &str = "orchestration";

/// Keeps agents, hands them tasks and learns from how those went.
pub struct DAACoordinator {
    agents: AgentTable,
    memory: RwLock<CoordinationMemory>,
    neural: RwLock<NeuralManager>,
    learning: RwLock<LearningEngine>,
    clock: Arc<dyn Clock>,
    active: AtomicU32,
    finished: AtomicU32,
    succeeded: AtomicU32,
    shared: AtomicU32,
}

impl fmt::Debug for DAACoordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DAACoordinator")
            .field("agents", &self.agents.len())
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

impl Default for DAACoordinator {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts one running task for as long as it lives, also when the caller gives up waiting.
struct Active<'a>(&'a AtomicU32);

impl<'a> Active<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl DAACoordinator {
    /// A coordinator without agents.
    #[must_use]
    pub fn new() -> Self {
        Self {
            agents: AgentTable::default(),
            memory: RwLock::new(CoordinationMemory::new()),
            neural: RwLock::new(NeuralManager::new()),
            learning: RwLock::new(LearningEngine::new()),
            clock: Arc::new(SystemClock::new()),
            active: AtomicU32::new(0),
            finished: AtomicU32::new(0),
            succeeded: AtomicU32::new(0),
            shared: AtomicU32::new(0),
        }
    }

    /// Takes an agent in. An agent of the same identifier is replaced; references to it that
    /// [`get_agent`](Self::get_agent) gave out stay valid.
    ///
    /// # Errors
    /// [`DAAError::CoordinationError`] after 2^20 registrations.
    pub async fn register_agent(&self, agent: Box<dyn DAAAgent>) -> DAAResult<()> {
        self.agents.insert(agent)
    }

    /// The agent of that identifier, or `None`.
    ///
    /// # Errors
    /// None today; the older signature returns a result.
    pub async fn get_agent(&self, agent_id: &str) -> DAAResult<Option<&dyn DAAAgent>> {
        Ok(self.agents.get(agent_id))
    }

    /// Lets each of the agents do the task, at the same time, and returns their results in the order of `agent_ids`.
    ///
    /// An agent that fails yields a result with `success` false and the reason in its output; so does one that has
    /// not finished at the task's deadline (waiting for a deadline needs a tokio runtime with time enabled). The first
    /// success is passed on as knowledge to the other agents.
    ///
    /// # Errors
    /// [`DAAError::NoAgentsAvailable`] for no identifiers, [`DAAError::AgentNotFound`] before anything runs if one of
    /// them is unknown.
    pub async fn orchestrate_task(&self, task: &Task, agent_ids: &[String]) -> DAAResult<Vec<TaskResult>> {
        if agent_ids.is_empty() {
            return Err(DAAError::NoAgentsAvailable);
        }
        let find = |id: &String| {
            self.agents
                .get(id)
                .ok_or_else(|| DAAError::AgentNotFound { id: id.clone() })
        };
        let agents = agent_ids.iter().map(find).collect::<DAAResult<Vec<_>>>()?;
        let results = join_all(agents.iter().map(|agent| self.run_on(*agent, task))).await;
        self.remember(task, agent_ids, &results).await?;
        self.pass_on(task, &agents, &results).await?;
        Ok(results)
    }

    async fn run_on(&self, agent: &dyn DAAAgent, task: &Task) -> TaskResult {
        let _active = Active::new(&self.active);
        let start = self.clock.monotonic();
        let running = agent.execute_task(request(task));
        let outcome = match task.deadline {
            None => running.await,
            Some(deadline) => {
                let left = (deadline - time::at(&*self.clock)).to_std().unwrap_or_default();
                tokio::time::timeout(left, running).await.unwrap_or_else(|_| {
                    Err(DAAError::coordination(
                        "the agent had not finished at the task's deadline",
                    ))
                })
            }
        };
        let result = outcome.unwrap_or_else(|error| TaskResult {
            task_id: task.id.clone(),
            success: false,
            output: json!({ "agent_id": agent.id(), "error": error.to_string() }),
            performance_metrics: HashMap::new(),
            learned_patterns: Vec::new(),
            execution_time_ms: time::millis_since(&*self.clock, start),
        });
        self.finished.fetch_add(1, Ordering::Relaxed);
        self.succeeded
            .fetch_add(u32::from(result.success), Ordering::Relaxed);
        result
    }

    async fn remember(&self, task: &Task, agent_ids: &[String], results: &[TaskResult]) -> DAAResult<()> {
        let domain = task
            .context
            .get("domain")
            .and_then(|domain| domain.as_str())
            .unwrap_or(DOMAIN);
        let mut learning = self.learning.write().await;
        for (id, result) in agent_ids.iter().zip(results) {
            let experience = Experience {
                task: task.clone(),
                result: result.clone(),
                feedback: None,
                context: HashMap::new(),
            };
            learning.add_learning_experience(id, domain, &experience).await?;
        }
        drop(learning);
        let successes = results.iter().filter(|result| result.success).count();
        self.record(
            CoordinationEventType::TaskAssignment,
            agent_ids.to_vec(),
            json!({ "task_id": task.id, "score": successes as f64 / results.len().max(1) as f64 }),
        )
        .await
    }

    /// The first success becomes knowledge of every other agent that takes it.
    async fn pass_on(&self, task: &Task, agents: &[&dyn DAAAgent], results: &[TaskResult]) -> DAAResult<()> {
        let Some(first) = results.iter().position(|result| result.success) else {
            return Ok(());
        };
        let source = agents[first];
        let knowledge = Knowledge {
            id: format!("{}/{}", task.id, source.id()),
            domain: DOMAIN.to_owned(),
            content: json!({ "task": task.description, "output": results[first].output }),
            confidence: 1.0,
            source_agent: source.id().to_owned(),
            created_at: time::at(&*self.clock),
        };
        let mut told = BTreeSet::from([source.id()]);
        for target in agents {
            if told.insert(target.id()) && source.share_knowledge(target.id(), &knowledge).await.is_ok() {
                self.shared.fetch_add(1, Ordering::Relaxed);
                let participants = vec![source.id().to_owned(), target.id().to_owned()];
                self.record(
                    CoordinationEventType::KnowledgeSharing,
                    participants,
                    json!({ "success": true }),
                )
                .await?;
            }
        }
        Ok(())
    }

    async fn record(
        &self,
        event_type: CoordinationEventType,
        participants: Vec<String>,
        outcome: serde_json::Value,
    ) -> DAAResult<()> {
        let event = CoordinationEvent {
            timestamp: time::at(&*self.clock),
            event_type,
            participants,
            outcome,
        };
        self.memory.write().await.store_event(event).await
    }

    /// Measured figures.
    ///
    /// # Errors
    /// None today; the older signature returns a result.
    pub async fn get_coordination_stats(&self) -> DAAResult<CoordinationStats> {
        let finished = self.finished.load(Ordering::Relaxed);
        let succeeded = self.succeeded.load(Ordering::Relaxed);
        Ok(CoordinationStats {
            total_agents: u32::try_from(self.agents.len()).unwrap_or(u32::MAX),
            active_tasks: self.active.load(Ordering::Relaxed),
            coordination_efficiency: f64::from(succeeded) / f64::from(finished.max(1)),
            knowledge_sharing_events: self.shared.load(Ordering::Relaxed),
            last_updated: time::at(&*self.clock),
        })
    }

    /// What the agents did together.
    #[must_use]
    pub fn coordination_memory(&self) -> &RwLock<CoordinationMemory> {
        &self.memory
    }

    /// What was learned from orchestrated tasks.
    #[must_use]
    pub fn learning_engine(&self) -> &RwLock<LearningEngine> {
        &self.learning
    }

    /// The networks of the agents.
    #[must_use]
    pub fn neural_manager(&self) -> &RwLock<NeuralManager> {
        &self.neural
    }
}

/// The task as a request: its kind is the context's `operation`, else its description.
fn request(task: &Task) -> TaskRequest {
    let kind = task
        .context
        .get("operation")
        .and_then(|kind| kind.as_str())
        .unwrap_or(&task.description);
    TaskRequest {
        id: task.id.clone(),
        task_type: kind.to_owned(),
        payload: task
            .context
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        priority: task.priority.clone(),
        deadline: task.deadline,
        requirements: task.requirements.clone(),
    }
}

/// A new coordinator.
///
/// # Errors
/// None today; the older signature returns a result.
pub async fn initialize_daa() -> DAAResult<DAACoordinator> {
    tracing::info!(version = crate::VERSION, "a coordinator is ready");
    Ok(DAACoordinator::new())
}
