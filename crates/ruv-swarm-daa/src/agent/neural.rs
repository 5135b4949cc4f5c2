//! The networks of one agent.

use super::NeuralNetworkWrapper;
use crate::error::DAAResult;
use crate::neural::net;
use crate::records::NeuralConfig;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, HashMap};

/// The networks of one agent, as descriptions. Tasks train networks, see the crate's README; [`NeuralManager`](crate::NeuralManager) keeps trained ones.
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
        net::describe(&config)?;
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
