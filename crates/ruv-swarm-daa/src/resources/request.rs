//! Asking for resources.

use serde::{Deserialize, Serialize};

/// Resources an agent asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResourceRequest {
    /// Identifier.
    pub id: String,
    /// Kind of resource.
    pub resource_type: ResourceType,
    /// Amount.
    pub amount: f64,
    /// Urgency.
    pub priority: ResourcePriority,
    /// How long, in milliseconds.
    pub duration: Option<u64>,
    /// Quality asked for.
    pub qos_requirements: QosRequirements,
    /// Bounds.
    pub constraints: Vec<ResourceConstraint>,
}

/// Kinds of resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResourceType {
    /// CPU.
    Cpu,
    /// Memory.
    Memory,
    /// Network.
    Network,
    /// Storage.
    Storage,
    /// GPU.
    Gpu,
    /// Energy.
    Energy,
    /// Anything else.
    Custom,
}

/// Urgency, the highest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ResourcePriority {
    /// Can wait.
    Low,
    /// The usual.
    Normal,
    /// Before the usual.
    High,
    /// Before most.
    Critical,
    /// Before everything.
    Emergency,
}

/// Quality asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QosRequirements {
    /// Bound on latency in milliseconds.
    pub max_latency: Option<u64>,
    /// Bound on throughput from below.
    pub min_throughput: Option<f64>,
    /// Reliability, 0 to 1.
    pub reliability: f64,
    /// Availability, 0 to 1.
    pub availability: f64,
    /// Whether performance must be even.
    pub consistency: bool,
}

/// A bound on a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ResourceConstraint {
    /// Cost at most.
    MaxCost(f64),
    /// In this place.
    Location(String),
    /// Performance at least.
    MinPerformance(f64),
    /// Energy at most.
    MaxEnergy(f64),
    /// Compatible with this.
    Compatibility(String),
    /// Security at least.
    SecurityLevel(SecurityLevel),
}

/// Levels of security.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecurityLevel {
    /// None.
    None,
    /// Basic.
    Basic,
    /// Standard.
    Standard,
    /// High.
    High,
    /// The highest.
    Maximum,
}

/// Whether a request can be met.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResourceAvailability {
    /// Whether now.
    pub available: bool,
    /// What is free, by kind.
    pub available_amounts: Vec<(ResourceType, f64)>,
    /// Expected wait in milliseconds.
    pub estimated_wait_time: Option<u64>,
    /// What else would do.
    pub alternatives: Vec<ResourceAlternative>,
    /// Confidence, 0 to 1.
    pub confidence: f64,
}

/// Another resource that would do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResourceAlternative {
    /// Kind.
    pub resource_type: ResourceType,
    /// Amount.
    pub amount: f64,
    /// Quality compared to the request, -1 to 1.
    pub quality_difference: f64,
    /// Cost compared to the request.
    pub cost_difference: f64,
    /// When it is free.
    pub availability_time: u64,
}

/// Resources there are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResourceStatus {
    /// All, by kind.
    pub total_capacity: Vec<(ResourceType, f64)>,
    /// Given, by kind.
    pub allocated: Vec<(ResourceType, f64)>,
    /// Free, by kind.
    pub available: Vec<(ResourceType, f64)>,
    /// Kept back, by kind.
    pub reserved: Vec<(ResourceType, f64)>,
    /// Health.
    pub health_status: ResourceHealth,
    /// Allocations held now.
    pub active_allocations: usize,
}

/// Health of resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResourceHealth {
    /// All well.
    Healthy,
    /// Some slow.
    Degraded,
    /// Some failing.
    Unhealthy,
    /// Most failing.
    Critical,
    /// None to be had.
    Unavailable,
}

/// Resources that will be needed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResourcePrediction {
    /// CPU.
    pub cpu_needs: f64,
    /// Memory.
    pub memory_needs: f64,
    /// Network.
    pub network_needs: f64,
    /// Storage.
    pub storage_needs: f64,
    /// Confidence, 0 to 1.
    pub confidence: f64,
    /// How far ahead it looks.
    pub time_horizon: u64,
    /// How it was made.
    pub methodology: PredictionMethodology,
}

/// Ways to predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PredictionMethodology {
    /// A straight line.
    Linear,
    /// A moving average.
    MovingAverage,
    /// Exponential smoothing.
    ExponentialSmoothing,
    /// A learned model.
    MachineLearning,
    /// Several of them.
    Hybrid,
}

impl Default for QosRequirements {
    fn default() -> Self {
        Self {
            max_latency: None,
            min_throughput: None,
            reliability: 0.95,
            availability: 0.99,
            consistency: false,
        }
    }
}
