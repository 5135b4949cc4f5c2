//! The types of `resources`, field by field and variant by variant.

use super::pin;
use ruv_swarm_daa::resources::{
    AlertSeverity, AlertThresholds, AlertType, AvailabilityMetrics, AvailabilityTrend, Bottleneck,
    BottleneckAnalysis, BottleneckType, CompactionResult, CostMetrics, CostTrend, GcResult, MemoryAllocation,
    MemoryLimits, MemoryPressure, MemoryPriority, MemoryStatistics, MetricType, MonitoringParameters,
    OptimizationRecord, OptimizationResult, PerformanceBaseline, PerformanceImpact, PerformanceMetrics,
    PerformanceResult, PerformanceTrend, PredictionMethodology, QosRequirements, QualityMetrics,
    QualityTrend, ResourceAlert, ResourceAlternative, ResourceAvailability, ResourceConstraint,
    ResourceHealth, ResourceMetrics, ResourcePrediction, ResourcePriority, ResourceReport, ResourceRequest,
    ResourceSnapshot, ResourceStatus, ResourceType, ResourceUtilization, SecurityLevel, TrendsAnalysis,
    TuningRecommendation, TuningResult,
};

#[test]
fn resources_types_are_the_older_ones() {
    pin(|v: ResourceRequest| {
        let ResourceRequest {
            id,
            resource_type,
            amount,
            priority,
            duration,
            qos_requirements,
            constraints,
        } = v;
        let _: (
            String,
            ResourceType,
            f64,
            ResourcePriority,
            Option<u64>,
            QosRequirements,
            Vec<ResourceConstraint>,
        ) = (
            id,
            resource_type,
            amount,
            priority,
            duration,
            qos_requirements,
            constraints,
        );
    });
    pin(|v: ResourceType| match v {
        ResourceType::Cpu => (),
        ResourceType::Memory => (),
        ResourceType::Network => (),
        ResourceType::Storage => (),
        ResourceType::Gpu => (),
        ResourceType::Energy => (),
        ResourceType::Custom => (),
    });
    pin(|v: ResourcePriority| match v {
        ResourcePriority::Low => (),
        ResourcePriority::Normal => (),
        ResourcePriority::High => (),
        ResourcePriority::Critical => (),
        ResourcePriority::Emergency => (),
    });
    pin(|v: QosRequirements| {
        let QosRequirements {
            max_latency,
            min_throughput,
            reliability,
            availability,
            consistency,
        } = v;
        let _: (Option<u64>, Option<f64>, f64, f64, bool) = (
            max_latency,
            min_throughput,
            reliability,
            availability,
            consistency,
        );
    });
    pin(|v: ResourceConstraint| match v {
        ResourceConstraint::MaxCost(inner) => {
            let _: f64 = inner;
        }
        ResourceConstraint::Location(inner) => {
            let _: String = inner;
        }
        ResourceConstraint::MinPerformance(inner) => {
            let _: f64 = inner;
        }
        ResourceConstraint::MaxEnergy(inner) => {
            let _: f64 = inner;
        }
        ResourceConstraint::Compatibility(inner) => {
            let _: String = inner;
        }
        ResourceConstraint::SecurityLevel(inner) => {
            let _: SecurityLevel = inner;
        }
    });
    pin(|v: SecurityLevel| match v {
        SecurityLevel::None => (),
        SecurityLevel::Basic => (),
        SecurityLevel::Standard => (),
        SecurityLevel::High => (),
        SecurityLevel::Maximum => (),
    });
    pin(|v: ResourceUtilization| {
        let ResourceUtilization {
            cpu_utilization,
            memory_utilization,
            network_utilization,
            storage_utilization,
            energy_consumption,
            efficiency_score,
            timestamp,
        } = v;
        let _: (f64, f64, f64, f64, f64, f64, u64) = (
            cpu_utilization,
            memory_utilization,
            network_utilization,
            storage_utilization,
            energy_consumption,
            efficiency_score,
            timestamp,
        );
    });
    pin(|v: ResourcePrediction| {
        let ResourcePrediction {
            cpu_needs,
            memory_needs,
            network_needs,
            storage_needs,
            confidence,
            time_horizon,
            methodology,
        } = v;
        let _: (f64, f64, f64, f64, f64, u64, PredictionMethodology) = (
            cpu_needs,
            memory_needs,
            network_needs,
            storage_needs,
            confidence,
            time_horizon,
            methodology,
        );
    });
    pin(|v: PredictionMethodology| match v {
        PredictionMethodology::Linear => (),
        PredictionMethodology::MovingAverage => (),
        PredictionMethodology::ExponentialSmoothing => (),
        PredictionMethodology::MachineLearning => (),
        PredictionMethodology::Hybrid => (),
    });
    pin(|v: ResourceAvailability| {
        let ResourceAvailability {
            available,
            available_amounts,
            estimated_wait_time,
            alternatives,
            confidence,
        } = v;
        let _: (
            bool,
            Vec<(ResourceType, f64)>,
            Option<u64>,
            Vec<ResourceAlternative>,
            f64,
        ) = (
            available,
            available_amounts,
            estimated_wait_time,
            alternatives,
            confidence,
        );
    });
    pin(|v: ResourceAlternative| {
        let ResourceAlternative {
            resource_type,
            amount,
            quality_difference,
            cost_difference,
            availability_time,
        } = v;
        let _: (ResourceType, f64, f64, f64, u64) = (
            resource_type,
            amount,
            quality_difference,
            cost_difference,
            availability_time,
        );
    });
    pin(|v: ResourceStatus| {
        let ResourceStatus {
            total_capacity,
            allocated,
            available,
            reserved,
            health_status,
            active_allocations,
        } = v;
        let _: (
            Vec<(ResourceType, f64)>,
            Vec<(ResourceType, f64)>,
            Vec<(ResourceType, f64)>,
            Vec<(ResourceType, f64)>,
            ResourceHealth,
            usize,
        ) = (
            total_capacity,
            allocated,
            available,
            reserved,
            health_status,
            active_allocations,
        );
    });
    pin(|v: ResourceHealth| match v {
        ResourceHealth::Healthy => (),
        ResourceHealth::Degraded => (),
        ResourceHealth::Unhealthy => (),
        ResourceHealth::Critical => (),
        ResourceHealth::Unavailable => (),
    });
    pin(|v: OptimizationResult| {
        let OptimizationResult {
            success,
            efficiency_improvement,
            cost_reduction,
            optimizations_applied,
            optimization_time,
            performance_impact,
        } = v;
        let _: (bool, f64, f64, Vec<String>, u64, f64) = (
            success,
            efficiency_improvement,
            cost_reduction,
            optimizations_applied,
            optimization_time,
            performance_impact,
        );
    });
    pin(|v: ResourceMetrics| {
        let ResourceMetrics {
            utilization,
            performance,
            cost,
            availability,
            quality,
        } = v;
        let _: (
            ResourceUtilization,
            PerformanceMetrics,
            CostMetrics,
            AvailabilityMetrics,
            QualityMetrics,
        ) = (utilization, performance, cost, availability, quality);
    });
    pin(|v: PerformanceMetrics| {
        let PerformanceMetrics {
            avg_response_time,
            throughput,
            error_rate,
            stability,
            trend,
        } = v;
        let _: (f64, f64, f64, f64, PerformanceTrend) =
            (avg_response_time, throughput, error_rate, stability, trend);
    });
    pin(|v: PerformanceTrend| match v {
        PerformanceTrend::Improving => (),
        PerformanceTrend::Stable => (),
        PerformanceTrend::Declining => (),
        PerformanceTrend::Fluctuating => (),
        PerformanceTrend::Unknown => (),
    });
    pin(|v: CostMetrics| {
        let CostMetrics {
            total_cost,
            cost_per_time,
            cost_efficiency,
            budget_utilization,
            cost_trend,
        } = v;
        let _: (f64, f64, f64, f64, CostTrend) = (
            total_cost,
            cost_per_time,
            cost_efficiency,
            budget_utilization,
            cost_trend,
        );
    });
    pin(|v: CostTrend| match v {
        CostTrend::Decreasing => (),
        CostTrend::Stable => (),
        CostTrend::Increasing => (),
        CostTrend::Fluctuating => (),
        CostTrend::Unknown => (),
    });
    pin(|v: AvailabilityMetrics| {
        let AvailabilityMetrics {
            uptime,
            mtbf,
            mttr,
            sla_compliance,
            availability_trend,
        } = v;
        let _: (f64, f64, f64, f64, AvailabilityTrend) =
            (uptime, mtbf, mttr, sla_compliance, availability_trend);
    });
    pin(|v: AvailabilityTrend| match v {
        AvailabilityTrend::Improving => (),
        AvailabilityTrend::Stable => (),
        AvailabilityTrend::Declining => (),
        AvailabilityTrend::Fluctuating => (),
        AvailabilityTrend::Unknown => (),
    });
    pin(|v: QualityMetrics| {
        let QualityMetrics {
            quality_score,
            reliability,
            consistency,
            satisfaction,
            quality_trend,
        } = v;
        let _: (f64, f64, f64, f64, QualityTrend) = (
            quality_score,
            reliability,
            consistency,
            satisfaction,
            quality_trend,
        );
    });
    pin(|v: QualityTrend| match v {
        QualityTrend::Improving => (),
        QualityTrend::Stable => (),
        QualityTrend::Declining => (),
        QualityTrend::Fluctuating => (),
        QualityTrend::Unknown => (),
    });
    pin(|v: ResourceSnapshot| {
        let ResourceSnapshot {
            timestamp,
            utilization,
            active_allocations,
            system_load,
        } = v;
        let _: (u64, ResourceUtilization, usize, f64) =
            (timestamp, utilization, active_allocations, system_load);
    });
    pin(|v: MonitoringParameters| {
        let MonitoringParameters {
            frequency,
            retention_period,
            alert_thresholds,
            metrics_to_collect,
            enabled,
        } = v;
        let _: (u64, u64, AlertThresholds, Vec<MetricType>, bool) = (
            frequency,
            retention_period,
            alert_thresholds,
            metrics_to_collect,
            enabled,
        );
    });
    pin(|v: AlertThresholds| {
        let AlertThresholds {
            cpu_threshold,
            memory_threshold,
            network_threshold,
            response_time_threshold,
            error_rate_threshold,
        } = v;
        let _: (f64, f64, f64, f64, f64) = (
            cpu_threshold,
            memory_threshold,
            network_threshold,
            response_time_threshold,
            error_rate_threshold,
        );
    });
    pin(|v: MetricType| match v {
        MetricType::Cpu => (),
        MetricType::Memory => (),
        MetricType::Network => (),
        MetricType::Storage => (),
        MetricType::Performance => (),
        MetricType::Cost => (),
        MetricType::Availability => (),
        MetricType::Quality => (),
    });
    pin(|v: ResourceAlert| {
        let ResourceAlert {
            id,
            alert_type,
            severity,
            message,
            resource_type,
            current_value,
            threshold,
            timestamp,
        } = v;
        let _: (
            String,
            AlertType,
            AlertSeverity,
            String,
            ResourceType,
            f64,
            f64,
            u64,
        ) = (
            id,
            alert_type,
            severity,
            message,
            resource_type,
            current_value,
            threshold,
            timestamp,
        );
    });
    pin(|v: AlertType| match v {
        AlertType::HighUtilization => (),
        AlertType::PerformanceDegradation => (),
        AlertType::ResourceExhaustion => (),
        AlertType::AvailabilityIssue => (),
        AlertType::CostOverrun => (),
        AlertType::QualityDegradation => (),
    });
    pin(|v: AlertSeverity| match v {
        AlertSeverity::Info => (),
        AlertSeverity::Warning => (),
        AlertSeverity::Error => (),
        AlertSeverity::Critical => (),
        AlertSeverity::Emergency => (),
    });
    pin(|v: ResourceReport| {
        let ResourceReport {
            id,
            period_start,
            period_end,
            summary,
            trends,
            recommendations,
            alerts_count,
            generated_at,
        } = v;
        let _: (
            String,
            u64,
            u64,
            ResourceMetrics,
            TrendsAnalysis,
            Vec<String>,
            usize,
            u64,
        ) = (
            id,
            period_start,
            period_end,
            summary,
            trends,
            recommendations,
            alerts_count,
            generated_at,
        );
    });
    pin(|v: TrendsAnalysis| {
        let TrendsAnalysis {
            utilization_trend,
            cost_trend,
            performance_trend,
            quality_trend,
            predicted_issues,
        } = v;
        let _: (
            PerformanceTrend,
            CostTrend,
            PerformanceTrend,
            QualityTrend,
            Vec<String>,
        ) = (
            utilization_trend,
            cost_trend,
            performance_trend,
            quality_trend,
            predicted_issues,
        );
    });
    pin(|v: PerformanceResult| {
        let PerformanceResult {
            success,
            improvement,
            optimizations,
            optimization_time,
        } = v;
        let _: (bool, f64, Vec<String>, u64) = (success, improvement, optimizations, optimization_time);
    });
    pin(|v: BottleneckAnalysis| {
        let BottleneckAnalysis {
            bottlenecks,
            confidence,
            analysis_time,
        } = v;
        let _: (Vec<Bottleneck>, f64, u64) = (bottlenecks, confidence, analysis_time);
    });
    pin(|v: Bottleneck| {
        let Bottleneck {
            bottleneck_type,
            severity,
            description,
            remedies,
        } = v;
        let _: (BottleneckType, f64, String, Vec<String>) =
            (bottleneck_type, severity, description, remedies);
    });
    pin(|v: BottleneckType| match v {
        BottleneckType::Cpu => (),
        BottleneckType::Memory => (),
        BottleneckType::Io => (),
        BottleneckType::Network => (),
        BottleneckType::Algorithm => (),
        BottleneckType::Concurrency => (),
    });
    pin(|v: MemoryPriority| match v {
        MemoryPriority::Low => (),
        MemoryPriority::Normal => (),
        MemoryPriority::High => (),
        MemoryPriority::Critical => (),
    });
    pin(|v: MemoryAllocation| {
        let MemoryAllocation {
            id,
            size,
            address,
            priority,
            allocated_at,
        } = v;
        let _: (String, usize, Option<usize>, MemoryPriority, u64) =
            (id, size, address, priority, allocated_at);
    });
    pin(|v: MemoryStatistics| {
        let MemoryStatistics {
            total_memory,
            allocated_memory,
            free_memory,
            fragmentation,
            allocation_count,
        } = v;
        let _: (usize, usize, usize, f64, usize) = (
            total_memory,
            allocated_memory,
            free_memory,
            fragmentation,
            allocation_count,
        );
    });
    pin(|v: MemoryPressure| match v {
        MemoryPressure::None => (),
        MemoryPressure::Low => (),
        MemoryPressure::Medium => (),
        MemoryPressure::High => (),
        MemoryPressure::Critical => (),
    });
    pin(|v: MemoryLimits| {
        let MemoryLimits {
            max_memory,
            warning_threshold,
            emergency_threshold,
            max_allocation_size,
        } = v;
        let _: (usize, usize, usize, usize) = (
            max_memory,
            warning_threshold,
            emergency_threshold,
            max_allocation_size,
        );
    });
    pin(|v: GcResult| {
        let GcResult {
            memory_freed,
            objects_collected,
            gc_time,
            efficiency,
        } = v;
        let _: (usize, usize, u64, f64) = (memory_freed, objects_collected, gc_time, efficiency);
    });
    pin(|v: CompactionResult| {
        let CompactionResult {
            memory_compacted,
            fragmentation_reduced,
            compaction_time,
        } = v;
        let _: (usize, f64, u64) = (memory_compacted, fragmentation_reduced, compaction_time);
    });
    pin(|v: TuningRecommendation| {
        let TuningRecommendation {
            parameter,
            recommended_value,
            expected_improvement,
            confidence,
        } = v;
        let _: (String, f64, f64, f64) = (parameter, recommended_value, expected_improvement, confidence);
    });
    pin(|v: TuningResult| {
        let TuningResult {
            success,
            parameters_tuned,
            improvement,
            tuning_time,
        } = v;
        let _: (bool, Vec<String>, f64, u64) = (success, parameters_tuned, improvement, tuning_time);
    });
    pin(|v: PerformanceBaseline| {
        let PerformanceBaseline {
            metrics,
            timestamp,
            conditions,
        } = v;
        let _: (PerformanceMetrics, u64, Vec<String>) = (metrics, timestamp, conditions);
    });
    pin(|v: PerformanceImpact| {
        let PerformanceImpact {
            performance_change,
            response_time_change,
            throughput_change,
            impact_score,
        } = v;
        let _: (f64, f64, f64, f64) = (
            performance_change,
            response_time_change,
            throughput_change,
            impact_score,
        );
    });
    pin(|v: OptimizationRecord| {
        let OptimizationRecord {
            timestamp,
            optimization_type,
            parameters_changed,
            improvement,
            duration,
        } = v;
        let _: (u64, String, Vec<String>, f64, u64) = (
            timestamp,
            optimization_type,
            parameters_changed,
            improvement,
            duration,
        );
    });
}
