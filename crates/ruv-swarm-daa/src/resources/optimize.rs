//! Making better use of resources.

use super::monitor::PerformanceMetrics;
use serde::{Deserialize, Serialize};

/// What an optimization did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OptimizationResult {
    /// Whether it worked.
    pub success: bool,
    /// Change in efficiency.
    pub efficiency_improvement: f64,
    /// Change in cost.
    pub cost_reduction: f64,
    /// What was done.
    pub optimizations_applied: Vec<String>,
    /// Time it took in milliseconds.
    pub optimization_time: u64,
    /// Change in performance.
    pub performance_impact: f64,
}

/// What an optimization did for performance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PerformanceResult {
    /// Whether it worked.
    pub success: bool,
    /// Change in performance.
    pub improvement: f64,
    /// What was done.
    pub optimizations: Vec<String>,
    /// Time it took in milliseconds.
    pub optimization_time: u64,
}

/// What holds performance back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BottleneckAnalysis {
    /// The bottlenecks.
    pub bottlenecks: Vec<Bottleneck>,
    /// Confidence, 0 to 1.
    pub confidence: f64,
    /// Time it took in milliseconds.
    pub analysis_time: u64,
}

/// One thing that holds performance back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bottleneck {
    /// Kind.
    pub bottleneck_type: BottleneckType,
    /// Severity, 0 to 1.
    pub severity: f64,
    /// In words.
    pub description: String,
    /// What would help.
    pub remedies: Vec<String>,
}

/// Kinds of bottlenecks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BottleneckType {
    /// CPU.
    Cpu,
    /// Memory.
    Memory,
    /// Input and output.
    Io,
    /// Network.
    Network,
    /// The algorithm.
    Algorithm,
    /// Waiting for each other.
    Concurrency,
}

/// Advice on one parameter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TuningRecommendation {
    /// The parameter.
    pub parameter: String,
    /// The value to set.
    pub recommended_value: f64,
    /// Expected gain.
    pub expected_improvement: f64,
    /// Confidence, 0 to 1.
    pub confidence: f64,
}

/// What tuning did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TuningResult {
    /// Whether it worked.
    pub success: bool,
    /// Parameters that were set.
    pub parameters_tuned: Vec<String>,
    /// Change in performance.
    pub improvement: f64,
    /// Time it took in milliseconds.
    pub tuning_time: u64,
}

/// Performance to compare with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PerformanceBaseline {
    /// Figures.
    pub metrics: PerformanceMetrics,
    /// When they were measured.
    pub timestamp: u64,
    /// Under which conditions.
    pub conditions: Vec<String>,
}

/// A change compared to a baseline.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PerformanceImpact {
    /// Performance.
    pub performance_change: f64,
    /// Response time.
    pub response_time_change: f64,
    /// Throughput.
    pub throughput_change: f64,
    /// Overall.
    pub impact_score: f64,
}

/// One optimization of the past.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OptimizationRecord {
    /// When.
    pub timestamp: u64,
    /// Kind.
    pub optimization_type: String,
    /// What was changed.
    pub parameters_changed: Vec<String>,
    /// What it gained.
    pub improvement: f64,
    /// How long it took.
    pub duration: u64,
}
