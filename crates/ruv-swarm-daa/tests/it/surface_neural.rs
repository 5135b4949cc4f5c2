//! The types of `neural`, field by field and variant by variant.

use super::pin;
use ruv_swarm_daa::chrono::{DateTime, Utc};
use ruv_swarm_daa::neural::{
    ConnectionConfig, LayerConfig, NetworkStatus, NeuralArchitecture, NeuralManager, NeuralNetworkInfo,
    PerformanceMetric, TrainingRequest,
};
use ruv_swarm_daa::{Priority, TrainingData};
use serde_json::Value;
use std::collections::HashMap;

#[test]
fn neural_types_are_the_older_ones() {
    pin(|v: NeuralManager| {
        let NeuralManager {
            networks,
            training_queue,
            performance_history,
        } = v;
        let _: (
            HashMap<String, NeuralNetworkInfo>,
            Vec<TrainingRequest>,
            HashMap<String, Vec<PerformanceMetric>>,
        ) = (networks, training_queue, performance_history);
    });
    pin(|v: NeuralNetworkInfo| {
        let NeuralNetworkInfo {
            id,
            agent_id,
            network_type,
            architecture,
            status,
            created_at,
        } = v;
        let _: (
            String,
            String,
            String,
            NeuralArchitecture,
            NetworkStatus,
            DateTime<Utc>,
        ) = (id, agent_id, network_type, architecture, status, created_at);
    });
    pin(|v: NeuralArchitecture| {
        let NeuralArchitecture {
            layers,
            connections,
            parameters,
        } = v;
        let _: (Vec<LayerConfig>, Vec<ConnectionConfig>, HashMap<String, f64>) =
            (layers, connections, parameters);
    });
    pin(|v: LayerConfig| {
        let LayerConfig {
            layer_type,
            size,
            activation,
            parameters,
        } = v;
        let _: (String, u32, String, HashMap<String, f64>) = (layer_type, size, activation, parameters);
    });
    pin(|v: ConnectionConfig| {
        let ConnectionConfig {
            from_layer,
            to_layer,
            connection_type,
            weight_initialization,
        } = v;
        let _: (u32, u32, String, String) = (from_layer, to_layer, connection_type, weight_initialization);
    });
    pin(|v: NetworkStatus| match v {
        NetworkStatus::Initializing => (),
        NetworkStatus::Ready => (),
        NetworkStatus::Training => (),
        NetworkStatus::Inference => (),
        NetworkStatus::Error(inner) => {
            let _: String = inner;
        }
    });
    pin(|v: TrainingRequest| {
        let TrainingRequest {
            network_id,
            data,
            parameters,
            priority,
            requested_at,
        } = v;
        let _: (
            String,
            TrainingData,
            HashMap<String, f64>,
            Priority,
            DateTime<Utc>,
        ) = (network_id, data, parameters, priority, requested_at);
    });
    pin(|v: PerformanceMetric| {
        let PerformanceMetric {
            timestamp,
            metric_type,
            value,
            context,
        } = v;
        let _: (DateTime<Utc>, String, f64, HashMap<String, Value>) =
            (timestamp, metric_type, value, context);
    });
}
