//! Trained weights inside the older description of a network, and the network that such a description says.
//!
//! The `parameters` of layer `i` hold `w0`, `w1`, … and `b0`, `b1`, …: every `f32` as the equal `f64`.

use super::net::{self, Net};
use super::records::{ConnectionConfig, LayerConfig, NeuralArchitecture};
use crate::error::{DAAError, DAAResult};
use crate::records::NeuralConfig;
use daa_learn::nn::{Architecture, Layer, OutputHead};
use std::collections::HashMap;

const RATE: &str = "learning_rate";
const OPTIMIZER: &str = "optimizer.";

/// The older form of a network that [`net::describe`] accepted.
pub(super) fn described(config: &NeuralConfig, net: &Net) -> NeuralArchitecture {
    let layer = |layer_type: &str, size: u32, activation: String| LayerConfig {
        layer_type: layer_type.to_owned(),
        size,
        activation,
        parameters: HashMap::new(),
    };
    let last = config.layers.len() - 1;
    let (head, head_activation) = match net.architecture.output {
        OutputHead::Classes { .. } => ("classes", "softmax"),
        OutputHead::Regression {} => ("number", "linear"),
    };
    let connection = |from_layer: u32| ConnectionConfig {
        from_layer,
        to_layer: from_layer + 1,
        connection_type: "full".to_owned(),
        weight_initialization: "by activation: he or glorot".to_owned(),
    };
    let named = |(index, &size): (usize, &u32)| match index {
        0 => layer("input", size, "linear".to_owned()),
        _ if index == last => layer(head, size, head_activation.to_owned()),
        _ => layer("dense", size, config.activation.clone()),
    };
    NeuralArchitecture {
        layers: config.layers.iter().enumerate().map(named).collect(),
        connections: (0..last as u32).map(connection).collect(),
        parameters: HashMap::from([
            (RATE.to_owned(), config.learning_rate),
            (format!("{OPTIMIZER}{}", config.optimizer.to_lowercase()), 1.0),
        ]),
    }
}

/// The network that the older form says. Its fields are public, so everything is checked again.
pub(super) fn net_of(described: &NeuralArchitecture) -> DAAResult<Net> {
    let learning_rate = described
        .parameters
        .get(RATE)
        .copied()
        .ok_or_else(|| DAAError::neural(format!("`parameters` of the architecture lack `{RATE}`")))?;
    let mut optimizers: Vec<&str> = described
        .parameters
        .keys()
        .filter_map(|key| key.strip_prefix(OPTIMIZER))
        .collect();
    optimizers.sort_unstable();
    let [optimizer] = optimizers.as_slice() else {
        return Err(DAAError::neural(format!(
            "`parameters` of the architecture name {} optimizers, wanted is 1",
            optimizers.len()
        )));
    };
    let hidden = described
        .layers
        .get(1..described.layers.len().saturating_sub(1))
        .unwrap_or_default();
    let first = hidden.first().map_or("linear", |layer| layer.activation.as_str());
    let config = NeuralConfig {
        network_type: String::new(),
        layers: described.layers.iter().map(|layer| layer.size).collect(),
        activation: first.to_owned(),
        learning_rate,
        optimizer: (*optimizer).to_owned(),
        use_simd: false,
    };
    if let Some(other) = hidden.iter().find(|layer| layer.activation != first) {
        return Err(DAAError::neural(format!(
            "hidden layers have the activations `{first}` and `{}`, one for all is allowed",
            other.activation
        )));
    }
    net::describe(&config)
}

/// Whether there is anything that looks like weights.
pub(super) fn are_there(described: &NeuralArchitecture) -> bool {
    described
        .layers
        .iter()
        .any(|layer| layer.parameters.contains_key("b0"))
}

/// Writes trained tensors (a weight and a bias per layer, in order) into the layers.
pub(super) fn store(described: &mut NeuralArchitecture, tensors: &[Vec<f32>]) -> DAAResult<()> {
    let layers = described.layers.get_mut(1..).unwrap_or_default();
    if tensors.len() != 2 * layers.len() {
        return Err(DAAError::neural(format!(
            "{} tensors were trained for {} layers",
            tensors.len(),
            layers.len()
        )));
    }
    for (layer, pair) in layers.iter_mut().zip(tensors.chunks_exact(2)) {
        let named = ["w", "b"].iter().zip(pair).flat_map(|(name, tensor)| {
            let one = move |(index, &value): (usize, &f32)| (format!("{name}{index}"), f64::from(value));
            tensor.iter().enumerate().map(one)
        });
        layer.parameters = named.collect();
    }
    Ok(())
}

/// The tensors in the layers; none before the first training.
pub(super) fn read(
    described: &NeuralArchitecture,
    architecture: &Architecture,
) -> DAAResult<Option<Vec<Vec<f32>>>> {
    if !are_there(described) {
        return Ok(None);
    }
    let specs = net::tensors(architecture)?;
    debug_assert!(
        architecture
            .layers
            .iter()
            .all(|layer| matches!(layer, Layer::Dense { .. }))
    );
    let mut tensors = Vec::with_capacity(specs.len());
    for (index, spec) in specs.iter().enumerate() {
        let (layer, name) = (index / 2 + 1, if index % 2 == 0 { "w" } else { "b" });
        let parameters = &described.layers[layer].parameters;
        let one = |index: usize| {
            let key = format!("{name}{index}");
            parameters
                .get(&key)
                .map(|&value| value as f32)
                .filter(|value| value.is_finite())
                .ok_or_else(|| DAAError::neural(format!("layer {layer} lacks a finite `{key}`")))
        };
        tensors.push((0..spec.elements()).map(one).collect::<DAAResult<Vec<f32>>>()?);
    }
    Ok(Some(tensors))
}
