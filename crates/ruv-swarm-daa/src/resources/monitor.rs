//! Watching resources.

use super::request::ResourceType;
use serde::{Deserialize, Serialize};

/// Shares of resources in use.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResourceUtilization {
    /// CPU, 0 to 1.
    pub cpu_utilization: f64,
    /// Memory, 0 to 1.
    pub memory_utilization: f64,
    /// Network, 0 to 1.
    pub network_utilization: f64,
    /// Storage, 0 to 1.
    pub storage_utilization: f64,
    /// Energy.
    pub energy_consumption: f64,
    /// Useful share, 0 to 1.
    pub efficiency_score: f64,
    /// When it was measured.
    pub timestamp: u64,
}

/// Measured figures of resources.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResourceMetrics {
    /// Utilization.
    pub utilization: ResourceUtilization,
    /// Performance.
    pub performance: PerformanceMetrics,
    /// Cost.
    pub cost: CostMetrics,
    /// Availability.
    pub availability: AvailabilityMetrics,
    /// Quality.
    pub quality: QualityMetrics,
}

/// Measured performance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PerformanceMetrics {
    /// Mean response time.
    pub avg_response_time: f64,
    /// Throughput.
    pub throughput: f64,
    /// Share of errors, 0 to 1.
    pub error_rate: f64,
    /// Evenness, 0 to 1.
    pub stability: f64,
    /// Where it is going.
    pub trend: PerformanceTrend,
}

/// Where performance is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PerformanceTrend {
    /// Up.
    Improving,
    /// Nowhere.
    Stable,
    /// Down.
    Declining,
    /// Up and down.
    Fluctuating,
    /// Not known.
    Unknown,
}

/// Measured cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CostMetrics {
    /// In all.
    pub total_cost: f64,
    /// Per unit of time.
    pub cost_per_time: f64,
    /// Use per cost.
    pub cost_efficiency: f64,
    /// Share of the budget, 0 to 1.
    pub budget_utilization: f64,
    /// Where it is going.
    pub cost_trend: CostTrend,
}

/// Where cost is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CostTrend {
    /// Down.
    Decreasing,
    /// Nowhere.
    Stable,
    /// Up.
    Increasing,
    /// Up and down.
    Fluctuating,
    /// Not known.
    Unknown,
}

/// Measured availability.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AvailabilityMetrics {
    /// Share of time up, 0 to 1.
    pub uptime: f64,
    /// Mean time between failures.
    pub mtbf: f64,
    /// Mean time to recovery.
    pub mttr: f64,
    /// Share of promises kept, 0 to 1.
    pub sla_compliance: f64,
    /// Where it is going.
    pub availability_trend: AvailabilityTrend,
}

/// Where availability is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AvailabilityTrend {
    /// Up.
    Improving,
    /// Nowhere.
    Stable,
    /// Down.
    Declining,
    /// Up and down.
    Fluctuating,
    /// Not known.
    Unknown,
}

/// Measured quality.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QualityMetrics {
    /// Overall, 0 to 1.
    pub quality_score: f64,
    /// Reliability, 0 to 1.
    pub reliability: f64,
    /// Evenness, 0 to 1.
    pub consistency: f64,
    /// Satisfaction of users, 0 to 1.
    pub satisfaction: f64,
    /// Where it is going.
    pub quality_trend: QualityTrend,
}

/// Where quality is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum QualityTrend {
    /// Up.
    Improving,
    /// Nowhere.
    Stable,
    /// Down.
    Declining,
    /// Up and down.
    Fluctuating,
    /// Not known.
    Unknown,
}

/// Resources at one time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResourceSnapshot {
    /// When.
    pub timestamp: u64,
    /// Utilization.
    pub utilization: ResourceUtilization,
    /// Allocations held.
    pub active_allocations: usize,
    /// Load of the system.
    pub system_load: f64,
}

/// Settings of a monitor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MonitoringParameters {
    /// Time between samples in milliseconds.
    pub frequency: u64,
    /// How long samples are kept, in seconds.
    pub retention_period: u64,
    /// When to warn.
    pub alert_thresholds: AlertThresholds,
    /// What to sample.
    pub metrics_to_collect: Vec<MetricType>,
    /// Whether to sample at all.
    pub enabled: bool,
}

/// When to warn.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AlertThresholds {
    /// Share of CPU, 0 to 1.
    pub cpu_threshold: f64,
    /// Share of memory, 0 to 1.
    pub memory_threshold: f64,
    /// Share of network, 0 to 1.
    pub network_threshold: f64,
    /// Response time in milliseconds.
    pub response_time_threshold: f64,
    /// Share of errors, 0 to 1.
    pub error_rate_threshold: f64,
}

/// Things to sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetricType {
    /// CPU.
    Cpu,
    /// Memory.
    Memory,
    /// Network.
    Network,
    /// Storage.
    Storage,
    /// Performance.
    Performance,
    /// Cost.
    Cost,
    /// Availability.
    Availability,
    /// Quality.
    Quality,
}

/// A warning.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResourceAlert {
    /// Identifier.
    pub id: String,
    /// Kind.
    pub alert_type: AlertType,
    /// Severity.
    pub severity: AlertSeverity,
    /// In words.
    pub message: String,
    /// The resource.
    pub resource_type: ResourceType,
    /// The value.
    pub current_value: f64,
    /// The bound it crossed.
    pub threshold: f64,
    /// When.
    pub timestamp: u64,
}

/// Kinds of warnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlertType {
    /// Too much in use.
    HighUtilization,
    /// Slower than before.
    PerformanceDegradation,
    /// Nothing left.
    ResourceExhaustion,
    /// Not reachable.
    AvailabilityIssue,
    /// Too expensive.
    CostOverrun,
    /// Worse than before.
    QualityDegradation,
}

/// Severity of a warning, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AlertSeverity {
    /// Good to know.
    Info,
    /// Take care.
    Warning,
    /// Something failed.
    Error,
    /// Something important failed.
    Critical,
    /// Act now.
    Emergency,
}

/// A report over a period.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResourceReport {
    /// Identifier.
    pub id: String,
    /// When the period begins.
    pub period_start: u64,
    /// When it ends.
    pub period_end: u64,
    /// Figures.
    pub summary: ResourceMetrics,
    /// Where things are going.
    pub trends: TrendsAnalysis,
    /// What to do.
    pub recommendations: Vec<String>,
    /// Warnings in the period.
    pub alerts_count: usize,
    /// When the report was made.
    pub generated_at: u64,
}

/// Where things are going.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrendsAnalysis {
    /// Utilization.
    pub utilization_trend: PerformanceTrend,
    /// Cost.
    pub cost_trend: CostTrend,
    /// Performance.
    pub performance_trend: PerformanceTrend,
    /// Quality.
    pub quality_trend: QualityTrend,
    /// What may go wrong.
    pub predicted_issues: Vec<String>,
}

impl Default for AlertThresholds {
    fn default() -> Self {
        Self {
            cpu_threshold: 0.8,
            memory_threshold: 0.85,
            network_threshold: 0.9,
            response_time_threshold: 1000.0,
            error_rate_threshold: 0.05,
        }
    }
}

impl ResourceUtilization {
    fn shares(&self) -> [f64; 4] {
        [
            self.cpu_utilization,
            self.memory_utilization,
            self.network_utilization,
            self.storage_utilization,
        ]
    }

    /// Whether any of the four shares is above `threshold`.
    #[must_use]
    pub fn is_over_utilized(&self, threshold: f64) -> bool {
        self.shares().iter().any(|&share| share > threshold)
    }

    /// The mean of the four shares.
    #[must_use]
    pub fn overall_utilization(&self) -> f64 {
        self.shares().iter().sum::<f64>() / 4.0
    }
}
