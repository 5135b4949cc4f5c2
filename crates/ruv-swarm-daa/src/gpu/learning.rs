//! What a GPU agent learns from its own runs.

use super::monitor::{PerformanceMonitor, RunningMean};
use crate::error::{DAAError, DAAResult};
use crate::records::{CognitivePattern, TaskResult};
use std::collections::BTreeMap;

/// Learns from every task: time and success per pattern, and memory.
#[derive(Debug)]
pub struct DAALearningIntegrator {
    /// The pattern the agent began with.
    pub cognitive_pattern: CognitivePattern,
    /// Time and success of all tasks.
    pub performance_learner: PerformanceLearner,
    /// Success per pattern.
    pub pattern_optimizer: CognitivePatternOptimizer,
    /// Memory per task.
    pub memory_pattern_analyzer: MemoryPatternAnalyzer,
    /// Architecture search.
    pub neural_architecture_searcher: AutonomousNeuralArchitectureSearcher,
}

impl DAALearningIntegrator {
    /// An integrator that has seen nothing.
    #[must_use]
    pub fn new(cognitive_pattern: CognitivePattern) -> Self {
        Self {
            cognitive_pattern,
            performance_learner: PerformanceLearner::default(),
            pattern_optimizer: CognitivePatternOptimizer::default(),
            memory_pattern_analyzer: MemoryPatternAnalyzer::default(),
            neural_architecture_searcher: AutonomousNeuralArchitectureSearcher::default(),
        }
    }

    /// Takes in one task that `pattern` did with `bytes` of memory.
    pub fn learn_from_task(&mut self, pattern: &CognitivePattern, result: &TaskResult, bytes: u64) {
        self.performance_learner
            .monitor
            .record(result.execution_time_ms, result.success);
        self.pattern_optimizer.record(pattern, result.success);
        self.memory_pattern_analyzer.record(bytes);
    }
}

/// Time and success of all tasks.
#[derive(Debug, Default)]
pub struct PerformanceLearner {
    /// The measured figures.
    pub monitor: PerformanceMonitor,
}

/// Success per pattern.
#[derive(Debug, Default)]
pub struct CognitivePatternOptimizer {
    scores: BTreeMap<String, (CognitivePattern, RunningMean)>,
}

impl CognitivePatternOptimizer {
    /// Takes in one task.
    pub fn record(&mut self, pattern: &CognitivePattern, success: bool) {
        let entry = self
            .scores
            .entry(format!("{pattern:?}"))
            .or_insert_with(|| (pattern.clone(), RunningMean::default()));
        entry.1.add(f64::from(u8::from(success)));
    }

    /// The pattern with the highest share of successes, and that share; none before the first task.
    #[must_use]
    pub fn best(&self) -> Option<(&CognitivePattern, f64)> {
        self.scores
            .values()
            .map(|(pattern, score)| (pattern, score.mean()))
            .rev()
            .max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// Memory per task.
#[derive(Debug, Default)]
pub struct MemoryPatternAnalyzer {
    sizes: RunningMean,
    peak: u64,
}

impl MemoryPatternAnalyzer {
    /// Takes in one task.
    pub fn record(&mut self, bytes: u64) {
        self.sizes.add(bytes as f64);
        self.peak = self.peak.max(bytes);
    }

    /// Mean bytes per task; 0 before the first.
    #[must_use]
    pub fn mean_bytes(&self) -> f64 {
        self.sizes.mean()
    }

    /// Most bytes of one task.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        self.peak
    }
}

/// Architecture search; not built yet in this crate.
#[derive(Debug, Default)]
pub struct AutonomousNeuralArchitectureSearcher {
    requests: u64,
}

impl AutonomousNeuralArchitectureSearcher {
    /// Would search an architecture.
    ///
    /// # Errors
    /// Always [`DAAError::NeuralError`]: it is not built yet.
    pub async fn search(&mut self) -> DAAResult<()> {
        self.requests += 1;
        Err(DAAError::neural(
            "architecture search is not built yet in this crate",
        ))
    }

    /// How often it was asked.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests
    }
}
