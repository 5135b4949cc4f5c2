//! Decision, feedback and request records.

use crate::records::Priority;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;

/// Something an agent can do on its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum AutonomousCapability {
    /// Watch its own state.
    SelfMonitoring,
    /// Decide.
    DecisionMaking,
    /// Make better use of resources.
    ResourceOptimization,
    /// Recover from faults.
    SelfHealing,
    /// Learn.
    Learning,
    /// Show behaviour that no single agent was given.
    EmergentBehavior,
    /// Predict.
    Prediction,
    /// Plan towards goals.
    GoalPlanning,
    /// Work with others.
    Coordination,
    /// Manage its memory.
    MemoryManagement,
    /// Anything else, by name.
    Custom(String),
}

/// What a decision is made from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DecisionContext {
    /// Actions to choose from.
    pub available_actions: Vec<String>,
    /// Bounds by name.
    pub constraints: HashMap<String, f64>,
    /// What is wanted.
    pub objectives: Vec<String>,
    /// The present state.
    pub current_state: HashMap<String, Value>,
    /// Earlier states.
    pub historical_data: Vec<Value>,
}

/// A judgement that steers adaptation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AdaptationFeedback {
    /// How good the result was, 0 to 1.
    pub performance_score: f64,
    /// How little it cost, 0 to 1.
    pub efficiency_score: f64,
    /// Factor for the learning rate.
    pub learning_rate_adjustment: f64,
    /// When it was given, in milliseconds since 1970 UTC.
    pub timestamp: u64,
}

/// What an agent is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum AgentType {
    /// Finds things out.
    Researcher,
    /// Writes programs.
    Coder,
    /// Evaluates.
    Analyst,
    /// Directs others.
    Coordinator,
    /// Does one thing well.
    Specialist,
}

/// A task as a coordinator hands it to an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskRequest {
    /// Identifier, chosen by the caller.
    pub id: String,
    /// Kind of task.
    pub task_type: String,
    /// What to do, where an object becomes the task's context.
    pub payload: Value,
    /// Urgency.
    pub priority: Priority,
    /// The time after which the result is worthless.
    pub deadline: Option<DateTime<Utc>>,
    /// What the task needs.
    pub requirements: Vec<String>,
}

impl Default for DecisionContext {
    fn default() -> Self {
        Self::new()
    }
}

impl DecisionContext {
    /// A context without actions, bounds or states.
    #[must_use]
    pub fn new() -> Self {
        Self {
            available_actions: Vec::new(),
            constraints: HashMap::new(),
            objectives: Vec::new(),
            current_state: HashMap::new(),
            historical_data: Vec::new(),
        }
    }
}

impl AdaptationFeedback {
    /// Feedback with both scores at `score`, that asks for a tenth more learning rate.
    #[must_use]
    pub fn positive(score: f64) -> Self {
        Self::with_adjustment(score, 1.1)
    }

    /// Feedback with both scores at `score`, that asks for a tenth less learning rate.
    #[must_use]
    pub fn negative(score: f64) -> Self {
        Self::with_adjustment(score, 0.9)
    }

    /// Whether both scores are above one half.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.performance_score.min(self.efficiency_score) > 0.5
    }

    fn with_adjustment(score: f64, learning_rate_adjustment: f64) -> Self {
        Self {
            performance_score: score,
            efficiency_score: score,
            learning_rate_adjustment,
            timestamp: crate::time::wall_millis(),
        }
    }
}
