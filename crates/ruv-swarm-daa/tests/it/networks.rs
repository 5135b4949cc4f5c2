//! Networks: described, trained, asked.

use super::task;
use ruv_swarm_daa::gpu::ComputeContext;
use ruv_swarm_daa::neural::NetworkStatus;
use ruv_swarm_daa::*;
use serde_json::{Value, json};

fn config(layers: &[u32], activation: &str, optimizer: &str, learning_rate: f64) -> NeuralConfig {
    NeuralConfig {
        network_type: "mlp".to_string(),
        layers: layers.to_vec(),
        activation: activation.to_string(),
        learning_rate,
        optimizer: optimizer.to_string(),
        use_simd: false,
    }
}

fn data(rows: &[(&[f32], &[f32])], metadata: Value) -> TrainingData {
    TrainingData {
        inputs: rows.iter().map(|(input, _)| input.to_vec()).collect(),
        targets: rows.iter().map(|(_, target)| target.to_vec()).collect(),
        metadata: serde_json::from_value(metadata).expect("an object"),
    }
}

const XOR: [(&[f32], &[f32]); 4] = [
    (&[0.0, 0.0], &[0.0]),
    (&[0.0, 1.0], &[1.0]),
    (&[1.0, 0.0], &[1.0]),
    (&[1.0, 1.0], &[0.0]),
];

async fn xor_solved(manager: &NeuralManager, id: &str) -> bool {
    let mut right = 0;
    for (input, target) in XOR {
        let said = manager.predict(id, input).await.expect("trained");
        right += usize::from((said[0] > 0.5) == (target[0] > 0.5));
    }
    right == 4
}

#[tokio::test]
async fn xor_is_learned_with_every_optimizer() {
    for (activation, optimizer, rate) in [
        ("tanh", "adam", 0.05),
        ("ReLU", "AdamW", 0.02),
        ("sigmoid", "momentum", 0.5),
        ("tanh", "sgd", 0.3),
    ] {
        let mut manager = NeuralManager::new();
        let id = manager
            .create_neural_network(&config(&[2, 8, 1], activation, optimizer, rate))
            .await
            .expect("described");
        let xor = data(&XOR, json!({ "epochs": 5000, "target_loss": 0.005, "seed": 3 }));
        let result = manager.train_network(&id, &xor).await.expect("trained");
        assert!(xor_solved(&manager, &id).await, "{optimizer}: {result:?}");
        assert!(
            result.convergence_achieved && result.final_loss <= 0.005,
            "{result:?}"
        );
        assert_eq!((result.accuracy, result.network_id.as_str()), (1.0, id.as_str()));
        assert!(
            result.training_time_ms >= 1 && (2..5000).contains(&result.epochs_completed),
            "{result:?}"
        );
        assert!(matches!(manager.networks[&id].status, NetworkStatus::Ready));
        let measured: Vec<&str> = manager.performance_history[&id]
            .iter()
            .map(|metric| metric.metric_type.as_str())
            .collect();
        assert_eq!(measured, ["final_loss", "accuracy", "training_time_ms"]);
    }
}

#[tokio::test]
async fn a_loss_that_is_not_reached_is_not_convergence() {
    let mut manager = NeuralManager::new();
    let id = manager
        .create_neural_network(&config(&[2, 1], "tanh", "adam", 0.05))
        .await
        .expect("described");
    let result = manager
        .train_network(&id, &data(&XOR, json!({ "epochs": 200 })))
        .await
        .expect("trained");
    assert!(
        !result.convergence_achieved && result.epochs_completed == 200,
        "{result:?}"
    );
    assert!(result.final_loss > 0.2, "a line cannot do XOR: {result:?}");
    assert!(!xor_solved(&manager, &id).await);
}

#[tokio::test]
async fn several_outputs_are_probabilities_of_classes() {
    let mut manager = NeuralManager::new();
    let id = manager
        .create_neural_network(&config(&[1, 8, 3], "tanh", "adam", 0.05))
        .await
        .expect("described");
    let rows: [(&[f32], &[f32]); 3] = [
        (&[-1.0], &[1.0, 0.0, 0.0]),
        (&[0.0], &[0.0, 1.0, 0.0]),
        (&[1.0], &[0.0, 0.0, 1.0]),
    ];
    let result = manager
        .train_network(&id, &data(&rows, json!({ "target_loss": 0.05 })))
        .await
        .expect("trained");
    assert_eq!(result.accuracy, 1.0);
    for (input, target) in rows {
        let said = manager.predict(&id, input).await.expect("trained");
        assert!((said.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{said:?}");
        assert!(
            said.iter().zip(target).all(|(p, t)| (*p > 0.5) == (*t > 0.5)),
            "{said:?}"
        );
    }
    let soft = data(&[(&[0.0], &[0.5, 0.5, 0.0])], json!({}));
    let refused = manager
        .train_network(&id, &soft)
        .await
        .map_err(|error| error.to_string());
    assert!(refused.is_err_and(|text| text.contains("`targets[0]` must be one 1 and zeros")));
}

#[tokio::test]
async fn the_same_seed_gives_the_same_weights_and_they_travel_with_the_description() {
    let mut said = Vec::new();
    for seed in [7, 7, 8] {
        let mut manager = NeuralManager::new();
        let id = manager
            .create_neural_network(&config(&[2, 4, 1], "tanh", "adam", 0.05))
            .await
            .expect("described");
        manager
            .train_network(&id, &data(&XOR, json!({ "epochs": 20, "seed": seed })))
            .await
            .expect("trained");
        let text = serde_json::to_string(&manager.networks[&id]).expect("serializes");
        let mut other = NeuralManager::new();
        let copy = serde_json::from_str(&text).expect("deserializes");
        other.networks.insert(id.clone(), copy);
        let bits = |values: Vec<f32>| values[0].to_bits();
        let original = bits(manager.predict(&id, &[1.0, 0.0]).await.expect("trained"));
        assert_eq!(
            original,
            bits(other.predict(&id, &[1.0, 0.0]).await.expect("trained"))
        );
        said.push(original);
        let layer = &mut other.networks.get_mut(&id).expect("there").architecture.layers[1];
        layer.parameters.remove("w3");
        let damaged = other
            .predict(&id, &[1.0, 0.0])
            .await
            .map_err(|error| error.to_string());
        assert!(damaged.is_err_and(|text| text.contains("layer 1 lacks a finite `w3`")));
    }
    assert!(said[0] == said[1] && said[0] != said[2], "{said:?}");
}

#[tokio::test]
async fn what_no_network_can_be_is_refused() {
    let mut manager = NeuralManager::new();
    for bad in [
        config(&[], "relu", "adam", 0.01),
        config(&[3], "relu", "adam", 0.01),
        config(&[3, 0], "relu", "adam", 0.01),
        config(&[3, 4, 1], "magic", "adam", 0.01),
        config(&[3, 4, 1], "relu", "magic", 0.01),
        config(&[3, 4, 1], "relu", "adam", 0.0),
        config(&[3, 4, 1], "relu", "adam", f64::NAN),
        config(&[3, 4, 1], "relu", "adam", 1e9),
        config(&[3, 65_000, 1000, 1], "relu", "adam", 0.1),
        config(&[u32::MAX, u32::MAX, 1], "relu", "adam", 0.1),
    ] {
        let refused = manager.create_neural_network(&bad).await;
        assert!(matches!(refused, Err(DAAError::NeuralError { .. })), "{bad:?}");
    }
    let id = manager
        .create_neural_network(&config(&[2, 4, 1], "relu", "adam", 0.01))
        .await
        .expect("described");
    assert!(matches!(
        manager.networks[&id].status,
        NetworkStatus::Initializing
    ));
    assert_eq!(manager.networks[&id].architecture.connections.len(), 2);
    let said = |error: DAAError| error.to_string();
    let untrained = manager.predict(&id, &[0.0, 1.0]).await.map_err(said);
    assert!(untrained.is_err_and(|text| text.contains("no trained weights")));
    for (rows, metadata, wanted) in [
        (
            &[(&[0.0][..], &[1.0][..])][..],
            json!({}),
            "`inputs[0]` must be 2 finite numbers",
        ),
        (
            &[(&[0.0, f32::NAN][..], &[1.0][..])][..],
            json!({}),
            "`inputs[0]`",
        ),
        (
            &[(&[0.0, 1.0][..], &[1.0, 0.0][..])][..],
            json!({}),
            "`targets[0]` must be 1 finite",
        ),
        (&[][..], json!({}), "0 inputs and 0 targets"),
        (&XOR[..], json!({ "epochs": 0 }), "`epochs` is 0"),
        (&XOR[..], json!({ "batch_size": -1 }), "`batch_size` is -1"),
        (&XOR[..], json!({ "target_loss": -0.5 }), "`target_loss` is -0.5"),
        (&XOR[..], json!({ "seed": "lucky" }), "`seed` is"),
    ] {
        let refused = manager
            .train_network(&id, &data(rows, metadata))
            .await
            .map_err(said);
        assert!(
            refused.as_ref().is_err_and(|text| text.contains(wanted)),
            "{wanted}: {refused:?}"
        );
    }
    assert!(
        manager
            .evolve_architecture(&id)
            .await
            .is_err_and(|error| error.to_string().contains("not built yet"))
    );
    for unknown in [
        manager.predict("ghost", &[]).await.map(drop),
        manager
            .train_network("ghost", &data(&XOR, json!({})))
            .await
            .map(drop),
        manager.evolve_architecture("ghost").await,
    ] {
        assert!(unknown.is_err_and(|error| error.to_string().contains("no network `ghost`")));
    }
}

#[tokio::test]
async fn a_training_that_diverges_is_an_error() {
    let mut manager = NeuralManager::new();
    let id = manager
        .create_neural_network(&config(&[1, 1], "relu", "sgd", 100.0))
        .await
        .expect("described");
    let rows: [(&[f32], &[f32]); 2] = [(&[1000.0], &[1.0]), (&[-900.0], &[0.0])];
    let result = manager.train_network(&id, &data(&rows, json!({}))).await;
    assert!(
        result
            .as_ref()
            .is_err_and(|error| error.to_string().contains("without usable weights")),
        "{result:?}"
    );
    assert!(matches!(manager.networks[&id].status, NetworkStatus::Error(_)));
    assert!(manager.predict(&id, &[1.0]).await.is_err());
}

#[tokio::test]
async fn a_context_lends_its_device_within_its_limit() {
    let mut context = ComputeContext::<f32>::with_limit(64);
    // Without a GPU, or without the feature, the context stays on the CPU and says so.
    let opened = context.initialize_gpu().await;
    assert_eq!(opened.is_ok(), context.is_gpu_available());
    let mut manager = NeuralManager::new();
    let id = manager
        .create_neural_network(&config(&[2, 8, 1], "tanh", "adam", 0.05))
        .await
        .expect("described");
    let xor = data(&XOR, json!({ "target_loss": 0.005 }));
    let result = manager
        .train_network_on(&mut context, &id, &xor)
        .await
        .expect("trained");
    assert_eq!(result.accuracy, 1.0, "{result:?} on {}", context.reason());
    let said = manager
        .predict_on(&mut context, &id, &[0.0, 1.0])
        .await
        .expect("trained");
    assert!(said[0] > 0.5);
    let mut small = ComputeContext::<f32>::with_limit(1);
    let wide = manager
        .create_neural_network(&config(&[400, 500, 1], "tanh", "adam", 0.05))
        .await
        .expect("described");
    let row = vec![0.5; 400];
    let one = data(&[(row.as_slice(), &[1.0])], json!({ "epochs": 1 }));
    let refused = manager.train_network_on(&mut small, &wide, &one).await;
    assert!(
        matches!(refused, Err(DAAError::NeuralError { .. })),
        "{refused:?}"
    );
    manager.train_network(&wide, &one).await.expect("fits elsewhere");
}

fn xor_task() -> Task {
    let context = json!({
        "operation": "train",
        "inputs": [[0, 0], [0, 1], [1, 0], [1, 1]],
        "targets": [[0], [1], [1], [0]],
        "predict": [[0, 0], [0, 1], [1, 0], [1, 1]],
        "target_loss": 0.01,
    });
    task("xor", context)
}

#[tokio::test]
async fn agents_train_as_a_task() {
    let peers = PeerDirectory::new();
    let standard = StandardDAAAgent::builder().with_peer_directory(peers.clone());
    let mut agents: Vec<Box<dyn DAAAgent>> = vec![Box::new(standard.build().await.expect("valid"))];
    let enhanced = EnhancedGPUDAAAgentBuilder::new().with_peer_directory(peers);
    agents.push(Box::new(enhanced.build().await.expect("valid")));
    for agent in &mut agents {
        agent.start_autonomous_learning().await.expect("starts");
        let result = agent.process_task_autonomously(&xor_task()).await.expect("done");
        assert!(result.success, "{:?}", result.output);
        let said = &result.output["result"]["predictions"];
        let right = [0.0, 1.0, 1.0, 0.0]
            .iter()
            .enumerate()
            .filter(|(row, wanted)| (said[row][0].as_f64().expect("a number") > 0.5) == (**wanted > 0.5));
        assert_eq!(right.count(), 4, "{said}");
        assert!(result.performance_metrics["final_loss"] <= 0.01);
        assert_eq!(agent.get_metrics().await.expect("metrics").success_rate, 1.0);
    }
}
