//! Networks as they are described and tracked.

use crate::records::{Priority, TrainingData};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;

/// The networks of all agents.
#[derive(Debug)]
pub struct NeuralManager {
    /// Networks by identifier.
    pub networks: HashMap<String, NeuralNetworkInfo>,
    /// Trainings asked for, oldest first.
    pub training_queue: Vec<TrainingRequest>,
    /// Measured values per network.
    pub performance_history: HashMap<String, Vec<PerformanceMetric>>,
}

/// One network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NeuralNetworkInfo {
    /// Identifier.
    pub id: String,
    /// Its agent.
    pub agent_id: String,
    /// Kind of network.
    pub network_type: String,
    /// Its shape.
    pub architecture: NeuralArchitecture,
    /// What it is doing.
    pub status: NetworkStatus,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// The shape of a network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NeuralArchitecture {
    /// Layers, input first.
    pub layers: Vec<LayerConfig>,
    /// Connections between layers.
    pub connections: Vec<ConnectionConfig>,
    /// Settings by name.
    pub parameters: HashMap<String, f64>,
}

/// One layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LayerConfig {
    /// Kind of layer.
    pub layer_type: String,
    /// Number of units.
    pub size: u32,
    /// Activation function.
    pub activation: String,
    /// Settings by name.
    pub parameters: HashMap<String, f64>,
}

/// A connection between two layers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectionConfig {
    /// Index of the layer it leaves.
    pub from_layer: u32,
    /// Index of the layer it enters.
    pub to_layer: u32,
    /// Kind of connection.
    pub connection_type: String,
    /// How weights begin.
    pub weight_initialization: String,
}

/// What a network is doing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum NetworkStatus {
    /// Described, without trained weights.
    Initializing,
    /// Ready to answer.
    Ready,
    /// Learning.
    Training,
    /// Answering.
    Inference,
    /// Broken, with the reason.
    Error(String),
}

/// A training that was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrainingRequest {
    /// The network.
    pub network_id: String,
    /// What to train on.
    pub data: TrainingData,
    /// Settings by name.
    pub parameters: HashMap<String, f64>,
    /// Urgency.
    pub priority: Priority,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
}

/// One measured value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PerformanceMetric {
    /// When it was measured.
    pub timestamp: DateTime<Utc>,
    /// What was measured.
    pub metric_type: String,
    /// The value.
    pub value: f64,
    /// Further facts by name.
    pub context: HashMap<String, Value>,
}
