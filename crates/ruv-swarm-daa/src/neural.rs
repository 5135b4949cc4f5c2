//! Networks as agents describe them, trained and asked with `daa-learn`.
//!
//! A network's last layer says what it predicts: one unit is a number (mean squared error), several are the
//! probabilities of classes (cross entropy). The activation is that of the hidden layers. Trained weights are kept in
//! the `parameters` of the layers ([`LayerConfig`]), so they go where the description goes.

pub(crate) mod net;
mod records;
mod weights;

use crate::contract::NeuralCoordination;
use crate::elsewhere::elsewhere;
use crate::error::{DAAError, DAAResult};
use crate::gpu::ComputeContext;
use crate::gpu::compute::Opened;
use crate::records::{NeuralConfig, TrainingData, TrainingResult};
use async_trait::async_trait;
use daa_base::{Clock, SystemClock};
use net::{Job, Trained};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;

pub use records::{
    ConnectionConfig, LayerConfig, NetworkStatus, NeuralArchitecture, NeuralManager, NeuralNetworkInfo,
    PerformanceMetric, TrainingRequest,
};

/// Most networks one manager keeps.
const MAX_NETWORKS: usize = 10_000;
/// Most measured values kept per network.
const MAX_METRICS: usize = 1000;

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

    /// As [`train_network`](NeuralCoordination::train_network), on the device of `context`, within its limit.
    ///
    /// # Errors
    /// As [`train_network`](NeuralCoordination::train_network), and what opening the device refuses.
    pub async fn train_network_on(
        &mut self,
        context: &mut ComputeContext<f32>,
        network_id: &str,
        data: &TrainingData,
    ) -> DAAResult<TrainingResult> {
        let device = context.device()?;
        self.train_with(device, network_id, data).await
    }

    /// As [`predict`](NeuralCoordination::predict), on the device of `context`, within its limit.
    ///
    /// # Errors
    /// As [`predict`](NeuralCoordination::predict), and what opening the device refuses.
    pub async fn predict_on(
        &self,
        context: &mut ComputeContext<f32>,
        network_id: &str,
        input: &[f32],
    ) -> DAAResult<Vec<f32>> {
        let device = context.device()?;
        self.predict_with(device, network_id, input).await
    }

    async fn train_with(
        &mut self,
        device: Arc<dyn Opened>,
        network_id: &str,
        data: &TrainingData,
    ) -> DAAResult<TrainingResult> {
        let net = weights::net_of(&self.network(network_id)?.architecture)?;
        let job = Job::new(net, data)?;
        let clock = SystemClock::new();
        let start = clock.monotonic();
        let target_loss = job.target_loss;
        let done = elsewhere("daa-train", move |leave| device.train(&job, leave)).await?;
        let training_time_ms = crate::time::millis_since(&clock, start);
        let Some(network) = self.networks.get_mut(network_id) else {
            return Err(DAAError::neural(format!("network `{network_id}` is gone")));
        };
        let trained = match done {
            Ok(trained) => trained,
            Err(error) => {
                // Weights of an earlier training are still there and still work.
                if !weights::are_there(&network.architecture) {
                    network.status = NetworkStatus::Error(error.to_string());
                }
                return Err(error);
            }
        };
        weights::store(&mut network.architecture, &trained.parameters)?;
        network.status = NetworkStatus::Ready;
        self.note(network_id, &trained, training_time_ms);
        Ok(TrainingResult {
            network_id: network_id.to_owned(),
            epochs_completed: trained.epochs,
            final_loss: trained.loss,
            accuracy: trained.accuracy,
            training_time_ms,
            convergence_achieved: trained.loss <= target_loss,
        })
    }

    /// Keeps what was measured, the newest values only.
    fn note(&mut self, network_id: &str, trained: &Trained, training_time_ms: u64) {
        let history = self.performance_history.entry(network_id.to_owned()).or_default();
        let timestamp = crate::time::now();
        for (metric_type, value) in [
            ("final_loss", trained.loss),
            ("accuracy", trained.accuracy),
            ("training_time_ms", training_time_ms as f64),
        ] {
            history.push(PerformanceMetric {
                timestamp,
                metric_type: metric_type.to_owned(),
                value,
                context: HashMap::from([("epochs".to_owned(), json!(trained.epochs))]),
            });
        }
        let surplus = history.len().saturating_sub(MAX_METRICS);
        history.drain(..surplus);
    }

    async fn predict_with(
        &self,
        device: Arc<dyn Opened>,
        network_id: &str,
        input: &[f32],
    ) -> DAAResult<Vec<f32>> {
        let network = &self.network(network_id)?.architecture;
        let architecture = weights::net_of(network)?.architecture;
        let row = input.to_vec();
        net::check_rows("input", std::slice::from_ref(&row), architecture.input.values())?;
        let parameters = weights::read(network, &architecture)?.ok_or_else(|| {
            DAAError::neural(format!(
                "network `{network_id}` has no trained weights; train it first"
            ))
        })?;
        let said = elsewhere("daa-predict", move |_| {
            device.predict(&architecture, &parameters, &[row.as_slice()])
        })
        .await??;
        said.into_iter()
            .next()
            .filter(|outputs| outputs.iter().all(|x| x.is_finite()))
            .ok_or_else(|| {
                DAAError::neural(format!(
                    "network `{network_id}` says no finite numbers to this input"
                ))
            })
    }
}

/// Trains and predicts on the host's CPU; [`NeuralManager::train_network_on`] takes another device.
#[async_trait]
impl NeuralCoordination for NeuralManager {
    async fn create_neural_network(&mut self, config: &NeuralConfig) -> DAAResult<String> {
        let net = net::describe(config)?;
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
            architecture: weights::described(config, &net),
            status: NetworkStatus::Initializing,
            created_at: crate::time::now(),
        };
        self.networks.insert(id.clone(), info);
        Ok(id)
    }

    /// Trains from the first values of `seed`; a network that was trained before begins anew. The metadata of `data`
    /// may say `epochs` (1000), `batch_size` (32), `target_loss` (0.01, where training ends early) and `seed` (0).
    ///
    /// Loss and accuracy are measured on the training rows with the weights that are kept. For a single output the
    /// accuracy is the share of rows on the right side of 0.5 if all targets are 0 or 1, and R² otherwise.
    async fn train_network(&mut self, network_id: &str, data: &TrainingData) -> DAAResult<TrainingResult> {
        self.network(network_id)?;
        self.train_with(crate::gpu::compute::host()?, network_id, data)
            .await
    }

    async fn predict(&self, network_id: &str, input: &[f32]) -> DAAResult<Vec<f32>> {
        self.network(network_id)?;
        self.predict_with(crate::gpu::compute::host()?, network_id, input)
            .await
    }

    async fn evolve_architecture(&mut self, network_id: &str) -> DAAResult<()> {
        self.network(network_id)?;
        Err(DAAError::neural(
            "architecture search is not built yet in this crate: this call hands over no data to judge by; \
             `daa_learn::search` searches",
        ))
    }
}
