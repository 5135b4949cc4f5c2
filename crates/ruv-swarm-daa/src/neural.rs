//! Networks as agents describe and track them. Training them is not built yet.

mod records;

use crate::contract::NeuralCoordination;
use crate::error::{DAAError, DAAResult};
use crate::records::{NeuralConfig, TrainingData, TrainingResult};
use async_trait::async_trait;
use std::collections::HashMap;

pub use records::{
    ConnectionConfig, LayerConfig, NetworkStatus, NeuralArchitecture, NeuralManager, NeuralNetworkInfo,
    PerformanceMetric, TrainingRequest,
};

/// Most networks one manager keeps.
const MAX_NETWORKS: usize = 10_000;

impl Default for NeuralManager {
    fn default() -> Self {
        Self::new()
    }
}

impl NeuralManager {
    /// A manager without networks.
    #[must_use]
    pub fn new() -> Self {
        Self {
            networks: HashMap::new(),
            training_queue: Vec::new(),
            performance_history: HashMap::new(),
        }
    }

    fn network(&self, id: &str) -> DAAResult<&NeuralNetworkInfo> {
        self.networks
            .get(id)
            .ok_or_else(|| DAAError::neural(format!("there is no network `{id}`; create it first")))
    }
}

/// Refuses descriptions that no network can have.
pub(crate) fn check_config(config: &NeuralConfig) -> DAAResult<()> {
    if config.layers.len() < 2 {
        return Err(DAAError::neural(format!(
            "`layers` has {} entries, at least 2 (input and output) are needed",
            config.layers.len()
        )));
    }
    if let Some(index) = config.layers.iter().position(|&units| units == 0) {
        return Err(DAAError::neural(format!(
            "`layers[{index}]` is 0, at least 1 unit is needed"
        )));
    }
    if !(config.learning_rate.is_finite() && config.learning_rate > 0.0) {
        return Err(DAAError::neural(format!(
            "`learning_rate` is {}, allowed are finite numbers above 0",
            config.learning_rate
        )));
    }
    Ok(())
}

fn architecture(config: &NeuralConfig) -> NeuralArchitecture {
    let layer = |&size: &u32| LayerConfig {
        layer_type: "dense".to_owned(),
        size,
        activation: config.activation.clone(),
        parameters: HashMap::new(),
    };
    let connection = |from_layer: u32| ConnectionConfig {
        from_layer,
        to_layer: from_layer + 1,
        connection_type: "full".to_owned(),
        weight_initialization: "none".to_owned(),
    };
    let last = u32::try_from(config.layers.len().saturating_sub(1)).unwrap_or(u32::MAX);
    NeuralArchitecture {
        layers: config.layers.iter().map(layer).collect(),
        connections: (0..last).map(connection).collect(),
        parameters: HashMap::from([("learning_rate".to_owned(), config.learning_rate)]),
    }
}

fn check_data(network: &NeuralNetworkInfo, data: &TrainingData) -> DAAResult<()> {
    if data.inputs.is_empty() || data.inputs.len() != data.targets.len() {
        return Err(DAAError::neural(format!(
            "{} inputs and {} targets were given, allowed is the same number, at least 1",
            data.inputs.len(),
            data.targets.len()
        )));
    }
    let layers = &network.architecture.layers;
    let width = |index: Option<&LayerConfig>| index.map_or(0, |layer| layer.size as usize);
    for (name, rows, wanted) in [
        ("inputs", &data.inputs, width(layers.first())),
        ("targets", &data.targets, width(layers.last())),
    ] {
        if let Some(row) = rows
            .iter()
            .position(|row| row.len() != wanted || row.iter().any(|x| !x.is_finite()))
        {
            return Err(DAAError::neural(format!(
                "`{name}[{row}]` must be {wanted} finite numbers"
            )));
        }
    }
    Ok(())
}

/// Networks can be described and looked up; training, asking and evolving them return a typed error.
#[async_trait]
impl NeuralCoordination for NeuralManager {
    async fn create_neural_network(&mut self, config: &NeuralConfig) -> DAAResult<String> {
        check_config(config)?;
        if self.networks.len() >= MAX_NETWORKS {
            return Err(DAAError::neural(format!(
                "{MAX_NETWORKS} networks exist, no more are allowed"
            )));
        }
        let id = uuid::Uuid::new_v4().to_string();
        let info = NeuralNetworkInfo {
            id: id.clone(),
            agent_id: String::new(),
            network_type: config.network_type.clone(),
            architecture: architecture(config),
            status: NetworkStatus::Initializing,
            created_at: crate::time::now(),
        };
        self.networks.insert(id.clone(), info);
        Ok(id)
    }

    async fn train_network(&mut self, network_id: &str, data: &TrainingData) -> DAAResult<TrainingResult> {
        check_data(self.network(network_id)?, data)?;
        Err(DAAError::neural("training is not built yet in this crate"))
    }

    async fn predict(&self, network_id: &str, _input: &[f32]) -> DAAResult<Vec<f32>> {
        self.network(network_id)?;
        Err(DAAError::neural(format!(
            "network `{network_id}` has no trained weights: training is not built yet"
        )))
    }

    async fn evolve_architecture(&mut self, network_id: &str) -> DAAResult<()> {
        self.network(network_id)?;
        Err(DAAError::neural(
            "architecture search is not built yet in this crate",
        ))
    }
}
