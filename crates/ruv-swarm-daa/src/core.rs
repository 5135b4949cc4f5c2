//! The one implementation behind both kinds of agents. Everything works through `&self`; locks are never held
//! across an await, and never two of different agents at once.

mod exchange;

use crate::agent::{
    AdaptationEvent, AgentConfiguration, AgentLearningEngine, AgentMemory, AgentNeuralCoordinator,
};
use crate::directory::PeerDirectory;
use crate::error::{DAAError, DAAResult};
use crate::gpu::compute::Opened;
use crate::records::{
    AgentMetrics, CognitivePattern, Domain, Experience, Feedback, LearningProgress, Task, TaskResult,
};
use crate::time;
use crate::types::TaskRequest;
use crate::work::{self, Outcome};
use chrono::{DateTime, TimeDelta, Utc};
use daa_base::Clock;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// All patterns, so that a pattern fits into an atomic and can still be lent out.
static PATTERNS: [CognitivePattern; 6] = [
    CognitivePattern::Convergent,
    CognitivePattern::Divergent,
    CognitivePattern::Lateral,
    CognitivePattern::Systems,
    CognitivePattern::Critical,
    CognitivePattern::Adaptive,
];

/// What a new agent is made from.
pub(crate) struct CoreSpec {
    pub(crate) id: String,
    pub(crate) pattern: CognitivePattern,
    pub(crate) config: AgentConfiguration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) directory: PeerDirectory,
    /// Whether the agent takes part in exchanges at all.
    pub(crate) cooperates: bool,
    /// Bound on what it remembers, in bytes of the JSON form.
    pub(crate) memory_bytes: usize,
}

pub(crate) struct Core {
    id: String,
    pattern: AtomicU8,
    config: AgentConfiguration,
    clock: Arc<dyn Clock>,
    directory: PeerDirectory,
    cooperates: bool,
    learning: AtomicBool,
    ended: AtomicBool,
    state: Mutex<State>,
}

/// What changes while the agent works.
pub(crate) struct State {
    pub(crate) engine: AgentLearningEngine,
    pub(crate) memory: AgentMemory,
    pub(crate) neural: AgentNeuralCoordinator,
    tasks: u32,
    success_rate: f64,
    response_ms: f64,
    peers_asked: u64,
    peers_reached: u64,
    updated: DateTime<Utc>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("id", &self.id)
            .field("pattern", self.pattern())
            .finish_non_exhaustive()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.directory.leave(self);
    }
}

impl Core {
    pub(crate) fn open(spec: CoreSpec) -> DAAResult<Arc<Self>> {
        let threshold = spec.config.adaptation_threshold;
        if !threshold.is_finite() {
            return Err(DAAError::config(format!(
                "the adaptation threshold is {threshold}, it must be finite"
            )));
        }
        let now = time::at(&*spec.clock);
        let mut neural = AgentNeuralCoordinator::new();
        if let Some(network) = &spec.config.neural_network_config {
            neural.describe(network.clone(), now)?;
        }
        let limit = spec.config.max_memory_size;
        let engine = AgentLearningEngine::bounded(limit, spec.memory_bytes, spec.config.learning_rate)?;
        let core = Arc::new(Self {
            id: spec.id,
            pattern: AtomicU8::new(index_of(&spec.pattern)),
            state: Mutex::new(State {
                engine,
                memory: AgentMemory::bounded(limit, spec.memory_bytes),
                neural,
                tasks: 0,
                success_rate: 0.0,
                response_ms: 0.0,
                peers_asked: 0,
                peers_reached: 0,
                updated: now,
            }),
            config: spec.config,
            clock: spec.clock,
            directory: spec.directory,
            cooperates: spec.cooperates,
            learning: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        core.directory.enter(&core);
        Ok(core)
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn pattern(&self) -> &'static CognitivePattern {
        &PATTERNS[usize::from(self.pattern.load(Ordering::Relaxed)) % PATTERNS.len()]
    }

    fn set_pattern(&self, pattern: &CognitivePattern) {
        self.pattern.store(index_of(pattern), Ordering::Relaxed);
    }

    pub(crate) fn config(&self) -> &AgentConfiguration {
        &self.config
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        time::at(&*self.clock)
    }

    pub(crate) fn cooperates(&self) -> bool {
        self.cooperates
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_learning(&self) -> bool {
        self.learning.load(Ordering::Relaxed)
    }

    pub(crate) fn start_learning(&self) -> DAAResult<()> {
        self.check_alive()?;
        self.learning.store(true, Ordering::Relaxed);
        self.state().engine.begin(self.now());
        tracing::info!(agent = %self.id, "learning begins");
        Ok(())
    }

    pub(crate) fn stop_learning(&self) {
        self.learning.store(false, Ordering::Relaxed);
        self.state().engine.end();
        tracing::info!(agent = %self.id, "learning ends");
    }

    pub(crate) fn check_alive(&self) -> DAAResult<()> {
        if self.ended.load(Ordering::Relaxed) {
            return Err(DAAError::coordination(format!(
                "agent `{}` was shut down",
                self.id
            )));
        }
        Ok(())
    }

    pub(crate) fn shutdown(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.directory.leave(self);
        self.stop_learning();
    }

    /// An error an hour after the last sign of life.
    pub(crate) fn check_health(&self) -> DAAResult<()> {
        let silent = self.now() - self.state().updated;
        if silent > TimeDelta::hours(1) {
            let minutes = silent.num_minutes();
            return Err(DAAError::AgentNotFound {
                id: format!("{} (no task for {minutes} minutes)", self.id),
            });
        }
        Ok(())
    }

    /// Does the task, counts it, and learns from it while learning is on.
    pub(crate) fn process(&self, task: &Task) -> DAAResult<TaskResult> {
        self.process_on(task, None)
    }

    /// As [`process`](Self::process); networks are trained on `device`.
    pub(crate) fn process_on(&self, task: &Task, device: Option<&dyn Opened>) -> DAAResult<TaskResult> {
        self.check_alive()?;
        let start = self.clock.monotonic();
        let outcome = work::perform_on(self.pattern(), task, self.now(), device);
        let mut result = self.result(&task.id, outcome, start, "autonomous_processing", Map::new());
        let mut state = self.state();
        state.count(&result, self.now());
        if self.is_learning() {
            let experience = Experience {
                task: task.clone(),
                result: result.clone(),
                feedback: None,
                context: HashMap::new(),
            };
            // The work is done: what cannot be remembered must not take its result away.
            if let Err(error) = state.engine.absorb(experience, self.now()) {
                result.output["not_learned"] = Value::String(error.to_string());
            }
        }
        Ok(result)
    }

    /// Does a coordinator's task; no metric of this agent changes.
    pub(crate) fn execute(&self, request: TaskRequest) -> DAAResult<TaskResult> {
        self.check_alive()?;
        let start = self.clock.monotonic();
        let mut context: HashMap<String, Value> = match request.payload {
            Value::Object(fields) => fields.into_iter().collect(),
            _ => HashMap::new(),
        };
        context
            .entry("operation".to_owned())
            .or_insert_with(|| Value::String(request.task_type.clone()));
        let task = Task {
            id: request.id,
            description: request.task_type.clone(),
            requirements: request.requirements,
            priority: request.priority,
            deadline: request.deadline,
            context,
        };
        let outcome = work::perform(self.pattern(), &task, self.now());
        let extra = Map::from_iter([("task_type".to_owned(), Value::String(request.task_type))]);
        Ok(self.result(&task.id, outcome, start, "coordinator_task_execution", extra))
    }

    fn result(
        &self,
        task_id: &str,
        outcome: Outcome,
        start: Duration,
        learned: &str,
        mut output: Map<String, Value>,
    ) -> TaskResult {
        let execution_time_ms = time::millis_since(&*self.clock, start);
        output.insert("agent_id".to_owned(), json!(self.id));
        output.insert("cognitive_pattern".to_owned(), json!(self.pattern()));
        output.insert("execution_time_ms".to_owned(), json!(execution_time_ms));
        output.insert("result".to_owned(), outcome.result);
        if let Some(reason) = outcome.reason {
            output.insert("reason".to_owned(), Value::String(reason));
        }
        TaskResult {
            task_id: task_id.to_owned(),
            success: outcome.success,
            output: Value::Object(output),
            performance_metrics: outcome
                .metrics
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            learned_patterns: vec![learned.to_owned()],
            execution_time_ms,
        }
    }

    pub(crate) fn metrics(&self) -> AgentMetrics {
        let state = self.state();
        let bytes = state.engine.bytes() + state.memory.bytes();
        AgentMetrics {
            agent_id: self.id.clone(),
            tasks_completed: state.tasks,
            success_rate: state.success_rate,
            average_response_time_ms: state.response_ms,
            learning_efficiency: state.engine.mean_proficiency(),
            coordination_score: state.peers_reached as f64 / state.peers_asked.max(1) as f64,
            memory_usage_mb: bytes as f64 / f64::from(1 << 20),
            last_updated: state.updated,
        }
    }

    /// Acts only on a score below the threshold.
    pub(crate) fn adapt(&self, feedback: &Feedback) -> Option<AdaptationEvent> {
        if feedback.performance_score >= self.config.adaptation_threshold
            || feedback.performance_score.is_nan()
        {
            return None;
        }
        let old = self.pattern();
        let new = pattern_for(feedback, old);
        self.set_pattern(&new);
        tracing::info!(agent = %self.id, ?old, ?new, "the pattern follows the feedback");
        let event = AdaptationEvent {
            timestamp: self.now(),
            trigger: format!(
                "score {} is below the threshold {}",
                feedback.performance_score, self.config.adaptation_threshold
            ),
            old_pattern: old.clone(),
            new_pattern: new,
            success_rate: feedback.performance_score,
        };
        self.state().engine.note_adaptation(event.clone());
        Some(event)
    }

    /// What the scores of all adaptations speak for; nothing is changed.
    pub(crate) fn evolved(&self) -> CognitivePattern {
        let now = self.pattern();
        match self.state().engine.mean_adaptation_score() {
            None => now.clone(),
            Some(mean) if mean > 0.8 => now.clone(),
            Some(mean) if mean > 0.6 => match now {
                CognitivePattern::Convergent => CognitivePattern::Adaptive,
                CognitivePattern::Divergent => CognitivePattern::Lateral,
                _ => CognitivePattern::Systems,
            },
            Some(_) => CognitivePattern::Adaptive,
        }
    }

    pub(crate) fn learn(&self, experience: &Experience) -> DAAResult<()> {
        self.state().engine.absorb(experience.clone(), self.now())
    }

    pub(crate) fn enter_domain(&self, domain: &Domain) -> DAAResult<()> {
        self.state().engine.enter_domain(&domain.name, self.now())
    }

    pub(crate) fn transfer(&self, source: &str, target: &str) -> DAAResult<()> {
        self.state().engine.transfer(source, target, self.now())
    }

    pub(crate) fn progress(&self) -> LearningProgress {
        let state = self.state();
        let experiences = state.engine.experience_count();
        let adaptations = state.engine.adaptations().len();
        let domain = state.engine.domain().to_owned();
        LearningProgress {
            agent_id: self.id.clone(),
            proficiency: state.engine.model(&domain).map_or(0.0, |model| model.proficiency),
            domain,
            tasks_completed: state.tasks,
            knowledge_gained: u32::try_from(experiences).unwrap_or(u32::MAX),
            adaptation_rate: adaptations as f64 / experiences.max(1) as f64,
            last_updated: self.now(),
        }
    }
}

impl State {
    fn count(&mut self, result: &TaskResult, now: DateTime<Utc>) {
        let before = f64::from(self.tasks);
        self.tasks = self.tasks.saturating_add(1);
        let mean = |old: f64, new: f64| (old * before + new) / (before + 1.0);
        self.success_rate = mean(self.success_rate, f64::from(u8::from(result.success)));
        self.response_ms = mean(self.response_ms, result.execution_time_ms as f64);
        self.updated = now;
    }
}

fn index_of(pattern: &CognitivePattern) -> u8 {
    match pattern {
        CognitivePattern::Convergent => 0,
        CognitivePattern::Divergent => 1,
        CognitivePattern::Lateral => 2,
        CognitivePattern::Systems => 3,
        CognitivePattern::Critical => 4,
        CognitivePattern::Adaptive => 5,
    }
}

fn pattern_for(feedback: &Feedback, now: &CognitivePattern) -> CognitivePattern {
    let suggests = |word: &str| {
        feedback
            .suggestions
            .iter()
            .any(|suggestion| suggestion.contains(word))
    };
    if feedback.performance_score > 0.9 {
        now.clone()
    } else if suggests("creative") {
        CognitivePattern::Divergent
    } else if suggests("systematic") {
        CognitivePattern::Systems
    } else if suggests("analysis") {
        CognitivePattern::Critical
    } else {
        CognitivePattern::Adaptive
    }
}
