//! The networks of one agent.

use super::NeuralNetworkWrapper;
use crate::error::DAAResult;
use crate::neural::check_config;
use crate::records::NeuralConfig;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, HashMap};

/// The networks of one agent, as descriptions; training them is not built yet.
#[derive(Debug, Default)]
pub struct AgentNeuralCoordinator {
    networks: BTreeMap<String, NeuralNetworkWrapper>,
}

impl AgentNeuralCoordinator {
    /// A coordinator without networks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The networks, by identifier.
    pub fn networks(&self) -> impl Iterator<Item = &NeuralNetworkWrapper> {
        self.networks.values()
    }

    pub(crate) fn describe(&mut self, config: NeuralConfig, created_at: DateTime<Utc>) -> DAAResult<()> {
        check_config(&config)?;
        let id = uuid::Uuid::new_v4().to_string();
        let network = NeuralNetworkWrapper {
            id: id.clone(),
            config,
            created_at,
            last_trained: None,
            performance_metrics: HashMap::new(),
        };
        self.networks.insert(id, network);
        Ok(())
    }
}
