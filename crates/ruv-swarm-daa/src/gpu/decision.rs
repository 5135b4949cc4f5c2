//! Decisions of a GPU agent, with what was expected of them and what came of them.

use crate::records::{Feedback, Task};
use crate::store::json_bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Most decisions remembered; the oldest goes first.
const MAX_DECISIONS: usize = 10_000;
/// Most kinds of task remembered by the predictor.
const MAX_KINDS: usize = 10_000;

/// What can be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AutonomousDecisionType {
    /// Change the pattern.
    AdaptCognitivePattern,
    /// Change the memory or compute that tasks get.
    OptimizeGpuAllocation,
    /// Talk to the peers again.
    RenegotiateCoordination,
    /// Look for another architecture.
    EvolveArchitecture,
    /// Go on as before.
    NoAction,
}

/// One decision.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AutonomousDecision {
    /// When it was made.
    pub timestamp: DateTime<Utc>,
    /// What was decided.
    pub decision_type: AutonomousDecisionType,
    /// The score it was made from, 0 to 1.
    pub score: f64,
    /// Why.
    pub reason: String,
}

/// Feedback below the threshold leads to action.
#[derive(Debug, Clone, Copy)]
pub struct AutonomousDecisionTree {
    /// The threshold, 0 to 1.
    pub threshold: f64,
}

impl AutonomousDecisionTree {
    /// What `feedback` calls for: nothing at or above the threshold; below it, what its suggestions name
    /// (`memory`, `peers` or `coordination`, `architecture`), else another pattern.
    #[must_use]
    pub fn decide(&self, feedback: &Feedback) -> (AutonomousDecisionType, String) {
        let score = feedback.performance_score;
        if score >= self.threshold || score.is_nan() {
            return (
                AutonomousDecisionType::NoAction,
                format!("score {score} is not below {}", self.threshold),
            );
        }
        let names = |word: &str| {
            feedback
                .suggestions
                .iter()
                .any(|text| text.to_lowercase().contains(word))
        };
        let decision = if names("memory") {
            AutonomousDecisionType::OptimizeGpuAllocation
        } else if names("peers") || names("coordination") {
            AutonomousDecisionType::RenegotiateCoordination
        } else if names("architecture") {
            AutonomousDecisionType::EvolveArchitecture
        } else {
            AutonomousDecisionType::AdaptCognitivePattern
        };
        (decision, format!("score {score} is below {}", self.threshold))
    }
}

/// What a task looks like before it runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct ContextAnalyzer;

impl ContextAnalyzer {
    /// Size of the task's JSON form in bytes.
    #[must_use]
    pub fn task_bytes(&self, task: &Task) -> u64 {
        json_bytes(task) as u64
    }
}

/// Predicts success by the rule of succession, per kind of task.
#[derive(Debug, Default)]
pub struct OutcomePredictor {
    seen: BTreeMap<String, (u64, u64)>,
}

impl OutcomePredictor {
    /// How likely a task of this description succeeds, 0 to 1; one half where none was seen.
    #[must_use]
    pub fn predict(&self, description: &str) -> f64 {
        let (tries, successes) = self.seen.get(description).copied().unwrap_or_default();
        (successes as f64 + 1.0) / (tries as f64 + 2.0)
    }

    /// Takes in one task. Above 10 000 descriptions, new ones are not remembered.
    pub fn record(&mut self, description: &str, success: bool) {
        if self.seen.len() >= MAX_KINDS && !self.seen.contains_key(description) {
            return;
        }
        let (tries, successes) = self.seen.entry(description.to_owned()).or_default();
        *tries += 1;
        *successes += u64::from(success);
    }
}

/// How good predictions were.
#[derive(Debug, Clone, Copy, Default)]
pub struct FeedbackLoop {
    squared_error: f64,
    count: u64,
}

impl FeedbackLoop {
    /// Compares a predicted probability with the outcome.
    pub fn close(&mut self, predicted: f64, success: bool) {
        self.squared_error += (predicted - f64::from(u8::from(success))).powi(2);
        self.count += 1;
    }

    /// Mean squared error of the predictions (Brier score), 0 to 1; none before the first.
    #[must_use]
    pub fn brier_score(&self) -> Option<f64> {
        (self.count > 0).then(|| self.squared_error / self.count as f64)
    }
}

/// Decides, predicts and learns how good its predictions were.
#[derive(Debug)]
pub struct AutonomousDecisionEngine {
    /// How decisions are made.
    pub decision_tree: AutonomousDecisionTree,
    /// What is looked at.
    pub context_analyzer: ContextAnalyzer,
    /// What is expected.
    pub outcome_predictor: OutcomePredictor,
    /// How good the expectations were.
    pub learning_feedback_loop: FeedbackLoop,
    history: VecDeque<AutonomousDecision>,
}

impl AutonomousDecisionEngine {
    /// An engine that acts on scores below `threshold`.
    #[must_use]
    pub fn new(threshold: f64) -> Self {
        Self {
            decision_tree: AutonomousDecisionTree { threshold },
            context_analyzer: ContextAnalyzer,
            outcome_predictor: OutcomePredictor::default(),
            learning_feedback_loop: FeedbackLoop::default(),
            history: VecDeque::new(),
        }
    }

    /// Decides on feedback and remembers the decision.
    pub fn decide(&mut self, feedback: &Feedback, now: DateTime<Utc>) -> AutonomousDecision {
        let (decision_type, reason) = self.decision_tree.decide(feedback);
        let decision = AutonomousDecision {
            timestamp: now,
            decision_type,
            score: feedback.performance_score,
            reason,
        };
        if self.history.len() == MAX_DECISIONS {
            self.history.pop_front();
        }
        self.history.push_back(decision.clone());
        decision
    }

    /// Learns from a task that was done.
    pub fn observe(&mut self, task: &Task, success: bool) {
        let predicted = self.outcome_predictor.predict(&task.description);
        self.learning_feedback_loop.close(predicted, success);
        self.outcome_predictor.record(&task.description, success);
    }

    /// The decisions so far, oldest first.
    pub fn history(&self) -> impl Iterator<Item = &AutonomousDecision> {
        self.history.iter()
    }
}
