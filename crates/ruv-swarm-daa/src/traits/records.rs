//! Health, recovery and resource records.

use serde::{Deserialize, Serialize};

/// Resources given to an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResourceAllocation {
    /// Memory in MB.
    pub memory_mb: f64,
    /// CPU cores.
    pub cpu_cores: f64,
    /// Network bandwidth.
    pub network_bandwidth: f64,
    /// Storage in GB.
    pub storage_gb: f64,
    /// Priority, 0 to 1.
    pub priority: f64,
}

/// A finding about an agent's health.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HealthDiagnostic {
    /// Overall score, 0 to 1.
    pub health_score: f64,
    /// What is wrong.
    pub issues: Vec<HealthIssue>,
    /// What to do.
    pub recommendations: Vec<String>,
    /// The worst severity.
    pub severity: Severity,
}

/// One thing that is wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HealthIssue {
    /// Kind.
    pub issue_type: IssueType,
    /// In words.
    pub description: String,
    /// Severity.
    pub severity: Severity,
    /// What would help.
    pub suggested_fix: Option<String>,
}

/// Kinds of health issues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum IssueType {
    /// Memory.
    Memory,
    /// Speed.
    Performance,
    /// Network.
    Network,
    /// A wrong program.
    Logic,
    /// Missing resources.
    Resources,
    /// Failed communication.
    Communication,
}

/// How bad an issue is, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// Watch it.
    Low,
    /// Fix it at some point.
    Medium,
    /// Fix it soon.
    High,
    /// Fix it now.
    Critical,
}

/// What came of an attempt to heal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HealingResult {
    /// Whether it worked.
    pub success: bool,
    /// What is repaired.
    pub resolved_issues: Vec<IssueType>,
    /// What is not.
    pub unresolved_issues: Vec<IssueType>,
    /// Overall score after it, 0 to 1.
    pub new_health_score: f64,
    /// What was done.
    pub actions_taken: Vec<String>,
}

/// Ways to recover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecoveryStrategy {
    /// Start the agent again.
    Restart,
    /// Go back to the first state.
    Reset,
    /// Go back to an earlier state.
    Rollback,
    /// Change the resources.
    Reallocate,
    /// Change the settings.
    Reconfigure,
    /// Ask others.
    RequestHelp,
}

/// Resources in use.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResourceUsage {
    /// Share of memory, 0 to 1.
    pub memory_usage: f64,
    /// Share of CPU, 0 to 1.
    pub cpu_usage: f64,
    /// Share of network bandwidth, 0 to 1.
    pub network_usage: f64,
    /// Tasks running.
    pub active_tasks: usize,
    /// Tasks waiting.
    pub queue_length: usize,
}

/// Resources that will be needed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResourcePrediction {
    /// Memory.
    pub memory_needs: f64,
    /// CPU.
    pub cpu_needs: f64,
    /// Network.
    pub network_needs: f64,
    /// Confidence, 0 to 1.
    pub confidence: f64,
    /// How far ahead it looks.
    pub time_horizon: u32,
}

impl HealthDiagnostic {
    /// Whether the score is below 0.7 or the severity high or critical.
    #[must_use]
    pub fn needs_healing(&self) -> bool {
        self.health_score < 0.7 || self.severity >= Severity::High
    }

    /// The issues of high or critical severity, in order.
    #[must_use]
    pub fn priority_issues(&self) -> Vec<&HealthIssue> {
        self.issues
            .iter()
            .filter(|issue| issue.severity >= Severity::High)
            .collect()
    }
}
