//! Managing, watching and saving resources, as traits and records.
//!
//! The acting methods are plain functions; with the feature `async` they are async functions.

mod memory;
mod monitor;
mod optimize;
mod request;

use crate::acting::acting_trait;
use crate::error::DAAResult;
use crate::traits::ResourceAllocation;

pub use memory::{
    CompactionResult, GcResult, MemoryAllocation, MemoryLimits, MemoryPressure, MemoryPriority,
    MemoryStatistics,
};
pub use monitor::{
    AlertSeverity, AlertThresholds, AlertType, AvailabilityMetrics, AvailabilityTrend, CostMetrics,
    CostTrend, MetricType, MonitoringParameters, PerformanceMetrics, PerformanceTrend, QualityMetrics,
    QualityTrend, ResourceAlert, ResourceMetrics, ResourceReport, ResourceSnapshot, ResourceUtilization,
    TrendsAnalysis,
};
pub use optimize::{
    Bottleneck, BottleneckAnalysis, BottleneckType, OptimizationRecord, OptimizationResult,
    PerformanceBaseline, PerformanceImpact, PerformanceResult, TuningRecommendation, TuningResult,
};
pub use request::{
    PredictionMethodology, QosRequirements, ResourceAlternative, ResourceAvailability, ResourceConstraint,
    ResourceHealth, ResourcePrediction, ResourcePriority, ResourceRequest, ResourceStatus, ResourceType,
    SecurityLevel,
};

acting_trait! {
    /// Gives out resources and takes them back.
    pub trait DynamicResourceManager {
        /// What it manages.
        type Resource: Send + Sync;

        /// What is in use now.
        fn monitor_utilization(&self) -> ResourceUtilization;

        /// What will be needed.
        ///
        /// # Errors
        /// Whatever the implementation cannot predict.
        fn predict_needs(&self, horizon: u32) -> DAAResult<ResourcePrediction>;

        /// Whether a request could be met.
        fn check_availability(&self, request: &ResourceRequest) -> ResourceAvailability;

        /// What there is.
        fn resource_status(&self) -> ResourceStatus;
    }
    acting {
        /// Gives resources.
        fn allocate_resources(&mut self, request: &ResourceRequest) -> ResourceAllocation;
        /// Takes them back.
        fn deallocate_resources(&mut self, allocation_id: &str) -> ();
        /// Improves what is given.
        fn optimize_usage(&mut self) -> OptimizationResult;
    }
}

acting_trait! {
    /// Watches resources.
    pub trait ResourceMonitor {
        /// Measured figures now.
        fn get_metrics(&self) -> ResourceMetrics;

        /// Samples of the last `duration`.
        fn get_history(&self, duration: u64) -> Vec<ResourceSnapshot>;

        /// Replaces the settings.
        fn set_parameters(&mut self, parameters: MonitoringParameters);

        /// Warnings that hold now.
        fn check_alerts(&self) -> Vec<ResourceAlert>;

        /// A report.
        fn generate_report(&self) -> ResourceReport;
    }
    acting {
        /// Begins to watch.
        fn start_monitoring(&mut self) -> ();
        /// Stops watching.
        fn stop_monitoring(&mut self) -> ();
    }
}

acting_trait! {
    /// Finds and removes what slows things down.
    pub trait PerformanceOptimizer {
        /// The change since `baseline`.
        fn measure_impact(&self, baseline: &PerformanceBaseline) -> PerformanceImpact;

        /// What was done so far.
        fn optimization_history(&self) -> Vec<OptimizationRecord>;
    }
    acting {
        /// Improves performance.
        fn optimize_performance(&mut self) -> PerformanceResult;
        /// Looks for what slows things down.
        fn analyze_bottlenecks(&self) -> BottleneckAnalysis;
        /// Follows advice.
        fn tune_performance(&mut self, recommendations: &[TuningRecommendation]) -> TuningResult;
    }
}

acting_trait! {
    /// Gives out memory and takes it back.
    pub trait MemoryManager {
        /// Figures in bytes.
        fn memory_statistics(&self) -> MemoryStatistics;

        /// How scarce memory is.
        fn memory_pressure(&self) -> MemoryPressure;

        /// Replaces the bounds.
        fn set_memory_limits(&mut self, limits: MemoryLimits);
    }
    acting {
        /// Gives memory of `size` bytes.
        fn allocate_memory(&mut self, size: usize, priority: MemoryPriority) -> MemoryAllocation;
        /// Takes it back.
        fn deallocate_memory(&mut self, allocation: &MemoryAllocation) -> ();
        /// Frees what nobody uses.
        fn garbage_collect(&mut self) -> GcResult;
        /// Moves what is used together.
        fn compact_memory(&mut self) -> CompactionResult;
    }
}
