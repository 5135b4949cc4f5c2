//! The records that agents, tasks and results are made of.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;

/// How an agent looks for solutions.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub enum CognitivePattern {
    /// Exploits the best solution found so far.
    Convergent,
    /// Explores broadly.
    Divergent,
    /// Recombines and jumps.
    Lateral,
    /// Weighs several parts together.
    Systems,
    /// Evaluates candidates and drops the weak early.
    Critical,
    /// Chooses among the other five by what the task shows.
    Adaptive,
}

/// How urgent a task is.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Can wait.
    Low,
    /// The usual.
    Medium,
    /// Before the usual.
    High,
    /// Before everything.
    Critical,
}

/// A judgement of one task, from whoever looked at its result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Feedback {
    /// Who judges.
    pub source: String,
    /// The task that is judged.
    pub task_id: String,
    /// Score, 0 (useless) to 1 (perfect).
    pub performance_score: f64,
    /// What to try instead, as free text.
    pub suggestions: Vec<String>,
    /// Further facts by name.
    pub context: HashMap<String, Value>,
    /// When it was given.
    pub timestamp: DateTime<Utc>,
}

/// Work for an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    /// Identifier, chosen by the caller.
    pub id: String,
    /// What the task is, as free text, which also names the kind of task in learning records.
    pub description: String,
    /// What the task needs.
    pub requirements: Vec<String>,
    /// Urgency.
    pub priority: Priority,
    /// The time after which the result is worthless.
    pub deadline: Option<DateTime<Utc>>,
    /// What to do and with which numbers, in the form that the crate's README lists.
    pub context: HashMap<String, Value>,
}

/// What came of a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskResult {
    /// The task's identifier.
    pub task_id: String,
    /// Whether the task's own success criterion was met.
    pub success: bool,
    /// The outcome as JSON.
    pub output: Value,
    /// Measured values by name.
    pub performance_metrics: HashMap<String, f64>,
    /// Names of what was learned on the way.
    pub learned_patterns: Vec<String>,
    /// Measured time in milliseconds, rounded up, at least 1.
    pub execution_time_ms: u64,
}

/// What came of talking to peers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CoordinationResult {
    /// Whether at least one peer took part.
    pub success: bool,
    /// The peers that took part.
    pub coordinated_agents: Vec<String>,
    /// The knowledge that changed hands, in either direction.
    pub shared_knowledge: Vec<Knowledge>,
    /// Whether a vote was held and reached a quorum.
    pub consensus_reached: bool,
    /// Measured time in milliseconds, rounded up, at least 1.
    pub coordination_time_ms: u64,
}

/// One thing an agent knows and can pass on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Knowledge {
    /// Identifier.
    pub id: String,
    /// What it is about.
    pub domain: String,
    /// The content as JSON.
    pub content: Value,
    /// Confidence, 0 to 1.
    pub confidence: f64,
    /// The agent it comes from.
    pub source_agent: String,
    /// When it was written down.
    pub created_at: DateTime<Utc>,
}

/// A task, its result and what was said about it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Experience {
    /// The task.
    pub task: Task,
    /// Its result.
    pub result: TaskResult,
    /// Feedback, where some was given.
    pub feedback: Option<Feedback>,
    /// Further facts by name, among them `domain`.
    pub context: HashMap<String, Value>,
}

/// A field of work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Domain {
    /// Name.
    pub name: String,
    /// Facts that describe it.
    pub characteristics: HashMap<String, Value>,
    /// What an agent must be able to do in it.
    pub required_capabilities: Vec<String>,
    /// What is to be learned in it.
    pub learning_objectives: Vec<String>,
}

/// How far an agent has come in one domain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LearningProgress {
    /// The agent.
    pub agent_id: String,
    /// The domain, `general` where none was chosen.
    pub domain: String,
    /// Proficiency, 0 to 1.
    pub proficiency: f64,
    /// Tasks processed so far, in all domains.
    pub tasks_completed: u32,
    /// Number of experiences stored.
    pub knowledge_gained: u32,
    /// Adaptations per experience.
    pub adaptation_rate: f64,
    /// When this was computed.
    pub last_updated: DateTime<Utc>,
}

/// The description of a network to create.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NeuralConfig {
    /// Kind of network.
    pub network_type: String,
    /// Units of each layer, input first.
    pub layers: Vec<u32>,
    /// Activation function of the hidden layers.
    pub activation: String,
    /// Step size of the optimizer.
    pub learning_rate: f64,
    /// Name of the optimizer.
    pub optimizer: String,
    /// Whether vector instructions may be used.
    pub use_simd: bool,
}

/// Examples to train on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrainingData {
    /// One input vector per example.
    pub inputs: Vec<Vec<f32>>,
    /// One target vector per example.
    pub targets: Vec<Vec<f32>>,
    /// Further facts by name.
    pub metadata: HashMap<String, Value>,
}

/// What came of a training.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrainingResult {
    /// The network.
    pub network_id: String,
    /// Epochs run.
    pub epochs_completed: u32,
    /// Loss at the end.
    pub final_loss: f64,
    /// Share of examples answered correctly, 0 to 1.
    pub accuracy: f64,
    /// Measured time in milliseconds.
    pub training_time_ms: u64,
    /// Whether the stopping criterion was met.
    pub convergence_achieved: bool,
}

/// Measured figures of one agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentMetrics {
    /// The agent.
    pub agent_id: String,
    /// Tasks processed.
    pub tasks_completed: u32,
    /// Share of them that succeeded, 0 to 1.
    pub success_rate: f64,
    /// Mean time per task in milliseconds.
    pub average_response_time_ms: f64,
    /// Mean proficiency over the agent's domains, 0 to 1.
    pub learning_efficiency: f64,
    /// Share of the peers asked that took part, 0 to 1.
    pub coordination_score: f64,
    /// Size of what the agent remembers, in MiB of its JSON form.
    pub memory_usage_mb: f64,
    /// When a task was last processed, or when the agent was made.
    pub last_updated: DateTime<Utc>,
}
