//! The types of `traits`, field by field and variant by variant.

use super::pin;
use ruv_swarm_daa::traits::{
    HealingResult, HealthDiagnostic, HealthIssue, IssueType, RecoveryStrategy, ResourceAllocation,
    ResourcePrediction, ResourceUsage, Severity,
};

#[test]
fn traits_types_are_the_older_ones() {
    pin(|v: ResourceAllocation| {
        let ResourceAllocation {
            memory_mb,
            cpu_cores,
            network_bandwidth,
            storage_gb,
            priority,
        } = v;
        let _: (f64, f64, f64, f64, f64) = (memory_mb, cpu_cores, network_bandwidth, storage_gb, priority);
    });
    pin(|v: HealthDiagnostic| {
        let HealthDiagnostic {
            health_score,
            issues,
            recommendations,
            severity,
        } = v;
        let _: (f64, Vec<HealthIssue>, Vec<String>, Severity) =
            (health_score, issues, recommendations, severity);
    });
    pin(|v: HealthIssue| {
        let HealthIssue {
            issue_type,
            description,
            severity,
            suggested_fix,
        } = v;
        let _: (IssueType, String, Severity, Option<String>) =
            (issue_type, description, severity, suggested_fix);
    });
    pin(|v: IssueType| match v {
        IssueType::Memory => (),
        IssueType::Performance => (),
        IssueType::Network => (),
        IssueType::Logic => (),
        IssueType::Resources => (),
        IssueType::Communication => (),
    });
    pin(|v: Severity| match v {
        Severity::Low => (),
        Severity::Medium => (),
        Severity::High => (),
        Severity::Critical => (),
    });
    pin(|v: HealingResult| {
        let HealingResult {
            success,
            resolved_issues,
            unresolved_issues,
            new_health_score,
            actions_taken,
        } = v;
        let _: (bool, Vec<IssueType>, Vec<IssueType>, f64, Vec<String>) = (
            success,
            resolved_issues,
            unresolved_issues,
            new_health_score,
            actions_taken,
        );
    });
    pin(|v: RecoveryStrategy| match v {
        RecoveryStrategy::Restart => (),
        RecoveryStrategy::Reset => (),
        RecoveryStrategy::Rollback => (),
        RecoveryStrategy::Reallocate => (),
        RecoveryStrategy::Reconfigure => (),
        RecoveryStrategy::RequestHelp => (),
    });
    pin(|v: ResourceUsage| {
        let ResourceUsage {
            memory_usage,
            cpu_usage,
            network_usage,
            active_tasks,
            queue_length,
        } = v;
        let _: (f64, f64, f64, usize, usize) =
            (memory_usage, cpu_usage, network_usage, active_tasks, queue_length);
    });
    pin(|v: ResourcePrediction| {
        let ResourcePrediction {
            memory_needs,
            cpu_needs,
            network_needs,
            confidence,
            time_horizon,
        } = v;
        let _: (f64, f64, f64, f64, u32) = (memory_needs, cpu_needs, network_needs, confidence, time_horizon);
    });
}
