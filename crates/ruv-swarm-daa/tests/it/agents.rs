//! The standard agent.

use super::{experience, feedback, knowledge, sum, task, wrong_sum};
use daa_base::{ManualClock, Timestamp};
use ruv_swarm_daa::*;
use serde_json::json;
use std::sync::Arc;

async fn agent(id: &str, peers: &PeerDirectory) -> StandardDAAAgent {
    let builder = StandardDAAAgent::builder()
        .with_id(id)
        .with_peer_directory(peers.clone());
    builder
        .with_learning_rate(0.5)
        .with_adaptation_threshold(0.7)
        .build()
        .await
        .expect("valid")
}

fn domain(name: &str) -> Domain {
    Domain {
        name: name.to_string(),
        characteristics: HashMap::new(),
        required_capabilities: vec![],
        learning_objectives: vec![],
    }
}

#[tokio::test]
async fn metrics_follow_the_tasks() {
    let mut agent = agent("a", &PeerDirectory::new()).await;
    agent.start_autonomous_learning().await.expect("starts");
    let empty = agent.get_metrics().await.expect("metrics");
    assert_eq!(
        (
            empty.tasks_completed,
            empty.success_rate,
            empty.learning_efficiency
        ),
        (0, 0.0, 0.0)
    );
    for index in 0..10 {
        let work = if index < 7 { sum("s") } else { wrong_sum("w") };
        let result = agent.process_task_autonomously(&work).await.expect("done");
        assert_eq!(result.success, index < 7);
        assert!(result.execution_time_ms >= 1);
        assert_eq!(result.learned_patterns, ["autonomous_processing"]);
        for name in ["agent_id", "cognitive_pattern", "execution_time_ms"] {
            assert!(result.output.get(name).is_some(), "{name}");
        }
    }
    let metrics = agent.get_metrics().await.expect("metrics");
    assert_eq!(metrics.tasks_completed, 10);
    assert!((metrics.success_rate - 0.7).abs() < 1e-12);
    assert!(metrics.average_response_time_ms >= 1.0);
    assert!(metrics.memory_usage_mb > 0.0 && metrics.learning_efficiency > 0.0);
    let progress = agent.get_learning_progress().await.expect("progress");
    assert_eq!((progress.tasks_completed, progress.knowledge_gained), (10, 10));
    assert_eq!(
        (progress.domain.as_str(), progress.adaptation_rate),
        ("general", 0.0)
    );
}

#[tokio::test]
async fn experiences_are_stored_only_while_learning_is_on() {
    let mut agent = agent("a", &PeerDirectory::new()).await;
    agent.process_task_autonomously(&sum("1")).await.expect("done");
    agent.start_autonomous_learning().await.expect("starts");
    agent.process_task_autonomously(&sum("2")).await.expect("done");
    agent.stop_autonomous_learning().await.expect("stops");
    agent.process_task_autonomously(&sum("3")).await.expect("done");
    let progress = agent.get_learning_progress().await.expect("progress");
    assert_eq!((progress.tasks_completed, progress.knowledge_gained), (3, 1));
}

#[tokio::test]
async fn a_task_with_nothing_to_do_does_not_succeed() {
    let mut agent = agent("a", &PeerDirectory::new()).await;
    for context in [json!({}), json!({ "inputs": [[1]], "targets": [] })] {
        let result = agent
            .process_task_autonomously(&task("t", context))
            .await
            .expect("answered");
        assert!(!result.success && result.output["reason"].is_string());
    }
}

#[tokio::test]
async fn feedback_below_the_threshold_changes_the_pattern_and_is_stored() {
    let mut agent = agent("a", &PeerDirectory::new()).await;
    assert_eq!(*agent.cognitive_pattern(), CognitivePattern::Adaptive);
    agent
        .adapt_strategy(&feedback(0.7, &["creative"]))
        .await
        .expect("answered");
    assert_eq!(
        *agent.cognitive_pattern(),
        CognitivePattern::Adaptive,
        "the threshold itself is good enough"
    );
    agent
        .adapt_strategy(&feedback(0.5, &["be creative", "systematic"]))
        .await
        .expect("answered");
    assert_eq!(*agent.cognitive_pattern(), CognitivePattern::Divergent);
    agent
        .adapt_strategy(&feedback(0.4, &["analysis", "systematic"]))
        .await
        .expect("answered");
    assert_eq!(*agent.cognitive_pattern(), CognitivePattern::Systems);
    agent
        .adapt_strategy(&feedback(0.3, &["analysis"]))
        .await
        .expect("answered");
    assert_eq!(*agent.cognitive_pattern(), CognitivePattern::Critical);
    agent.adapt_strategy(&feedback(0.2, &[])).await.expect("answered");
    assert_eq!(agent.get_type().await.expect("type"), "Adaptive");
    let scores: Vec<f64> = agent
        .adaptations()
        .iter()
        .map(|event| event.success_rate)
        .collect();
    assert_eq!(scores, [0.5, 0.4, 0.3, 0.2]);
}

#[tokio::test]
async fn evolution_follows_the_mean_of_the_adaptations_and_is_not_stored() {
    for (score, from, wanted) in [
        (0.85, CognitivePattern::Convergent, CognitivePattern::Adaptive),
        (0.7, CognitivePattern::Convergent, CognitivePattern::Systems),
        (0.5, CognitivePattern::Convergent, CognitivePattern::Adaptive),
    ] {
        let builder = StandardDAAAgent::builder().with_peer_directory(PeerDirectory::new());
        let builder = builder
            .with_cognitive_pattern(from.clone())
            .with_adaptation_threshold(0.9);
        let mut agent = builder.build().await.expect("valid");
        assert_eq!(
            agent.evolve_cognitive_pattern().await.expect("answered"),
            from,
            "without adaptations it stays"
        );
        agent
            .adapt_strategy(&feedback(score, &[]))
            .await
            .expect("answered");
        let evolved = agent.evolve_cognitive_pattern().await.expect("answered");
        assert_eq!(evolved, wanted, "mean {score}");
        assert_eq!(
            *agent.cognitive_pattern(),
            CognitivePattern::Adaptive,
            "only returned"
        );
    }
}

#[tokio::test]
async fn peers_exchange_what_they_really_know_and_unknown_ones_are_left_out() {
    let peers = PeerDirectory::new();
    let (a, mut b) = (agent("a", &peers).await, agent("b", &peers).await);
    b.start_autonomous_learning().await.expect("starts");
    for index in 0..3 {
        b.process_task_autonomously(&sum(&index.to_string()))
            .await
            .expect("done");
    }
    let asked = ["b", "ghost", "b", "a"].map(str::to_string);
    let result = a.coordinate_with_peers(&asked).await.expect("answered");
    assert!(result.success && !result.consensus_reached && result.coordination_time_ms >= 1);
    assert_eq!(result.coordinated_agents, ["b"]);
    let theirs: Vec<&Knowledge> = result
        .shared_knowledge
        .iter()
        .filter(|piece| piece.source_agent == "b")
        .collect();
    let learned = theirs
        .iter()
        .find(|piece| piece.domain == "general")
        .expect("what b learned");
    assert_eq!(learned.content, json!({ "task": "test task", "result": 6.0 }));
    assert!(
        (learned.confidence - 0.8).abs() < 1e-12,
        "three of three: (3 + 1) / (3 + 2)"
    );
    assert_eq!(a.received_knowledge().len(), theirs.len());
    assert_eq!(b.received_knowledge()[0].source_agent, "a");
    assert_eq!(
        a.get_metrics().await.expect("metrics").coordination_score,
        0.5,
        "one of two peers"
    );
}

#[tokio::test]
async fn nobody_to_talk_to_is_no_success() {
    let agent = agent("alone", &PeerDirectory::new()).await;
    for peers in [vec![], vec!["alone".to_string()], vec!["ghost".to_string()]] {
        let result = agent.coordinate_with_peers(&peers).await.expect("answered");
        assert!(!result.success && !result.consensus_reached, "{peers:?}");
        assert!(result.coordinated_agents.is_empty() && result.shared_knowledge.is_empty());
    }
}

#[tokio::test]
async fn agents_that_say_nothing_about_peers_meet_in_the_process() {
    let a = StandardDAAAgent::new(CognitivePattern::Critical)
        .await
        .expect("valid");
    let b = StandardDAAAgent::new(CognitivePattern::Lateral)
        .await
        .expect("valid");
    let id = b.id().to_string();
    let met = a
        .coordinate_with_peers(std::slice::from_ref(&id))
        .await
        .expect("answered");
    assert_eq!(met.coordinated_agents, std::slice::from_ref(&id));
    drop(b);
    let gone = a.coordinate_with_peers(&[id]).await.expect("answered");
    assert!(!gone.success, "an agent that is gone is not met");
}

#[tokio::test]
async fn shared_knowledge_arrives() {
    let peers = PeerDirectory::new();
    let (a, b) = (agent("a", &peers).await, agent("b", &peers).await);
    a.share_knowledge("b", &knowledge("k", "a"))
        .await
        .expect("arrives");
    a.share_knowledge("b", &knowledge("k", "a"))
        .await
        .expect("arrives");
    let got: Vec<String> = b.received_knowledge().into_iter().map(|piece| piece.id).collect();
    assert_eq!(got, ["k"], "the same piece is kept once");
    let lost = a.share_knowledge("ghost", &knowledge("k", "a")).await;
    assert!(matches!(lost, Err(DAAError::AgentNotFound { id }) if id == "ghost"));
}

#[tokio::test]
async fn knowledge_that_is_sure_enough_transfers_with_less_confidence() {
    let peers = PeerDirectory::new();
    let mut agent = agent("a", &peers).await;
    agent.adapt_to_domain(&domain("source")).await.expect("enters");
    let proficiency = agent.get_learning_progress().await.expect("progress").proficiency;
    for _ in 0..8 {
        agent
            .learn_from_experience(&experience("source", true))
            .await
            .expect("learns");
    }
    let progress = agent.get_learning_progress().await.expect("progress");
    assert!(
        progress.domain == "source" && progress.proficiency > proficiency,
        "proficiency moves"
    );
    agent
        .transfer_knowledge("source", "target")
        .await
        .expect("transfers");
    agent
        .transfer_knowledge("source", "target")
        .await
        .expect("twice changes nothing");
    let listener = self::agent("b", &peers).await;
    agent
        .coordinate_with_peers(&["b".to_string()])
        .await
        .expect("tells");
    let told = listener.received_knowledge();
    let target: Vec<&Knowledge> = told.iter().filter(|piece| piece.domain == "target").collect();
    assert_eq!(target.len(), 1);
    assert!(
        (target[0].confidence - 0.9 * 0.8).abs() < 1e-12,
        "(8 + 1) / (8 + 2), at 0.8"
    );
    assert!(matches!(
        agent.transfer_knowledge("nowhere", "x").await,
        Err(DAAError::LearningError { .. })
    ));
}

#[tokio::test]
async fn requests_of_a_coordinator_leave_the_metrics_alone() {
    let agent = agent("a", &PeerDirectory::new()).await;
    let request = TaskRequest {
        id: "r".to_string(),
        task_type: "mean".to_string(),
        payload: json!({ "values": [1, 3] }),
        priority: Priority::High,
        deadline: None,
        requirements: vec![],
    };
    let result = agent.execute_task(request).await.expect("done");
    assert!(result.success && result.output["task_type"] == "mean" && result.output["result"] == 2.0);
    assert_eq!(result.learned_patterns, ["coordinator_task_execution"]);
    assert_eq!(agent.get_metrics().await.expect("metrics").tasks_completed, 0);
}

#[tokio::test]
async fn an_agent_without_work_for_an_hour_is_not_well() {
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let builder = StandardDAAAgent::builder()
        .with_peer_directory(PeerDirectory::new())
        .with_clock(clock.clone());
    let mut agent = builder.build().await.expect("valid");
    clock.advance(Duration::from_secs(3600));
    agent.health_check().await.expect("an hour is fine");
    clock.advance(Duration::from_secs(1));
    assert!(matches!(
        agent.health_check().await,
        Err(DAAError::AgentNotFound { .. })
    ));
    agent.process_task_autonomously(&sum("1")).await.expect("done");
    agent.health_check().await.expect("work is a sign of life");
}

#[tokio::test]
async fn after_shutdown_an_agent_refuses_work_and_is_not_listed() {
    let peers = PeerDirectory::new();
    let mut agent = agent("a", &peers).await;
    assert_eq!(peers.ids(), ["a"]);
    agent.shutdown().await.expect("ends");
    assert!(peers.ids().is_empty());
    let refused = agent.process_task_autonomously(&sum("1")).await;
    assert!(matches!(refused, Err(DAAError::CoordinationError { .. })));
}

#[tokio::test]
async fn builders_refuse_settings_out_of_range() {
    for rate in [0.0, -1.0, 1.1, f64::NAN, f64::INFINITY] {
        let built = StandardDAAAgent::builder().with_learning_rate(rate).build().await;
        assert!(matches!(built, Err(DAAError::ConfigError { .. })), "{rate}");
    }
    let built = StandardDAAAgent::builder()
        .with_adaptation_threshold(f64::NAN)
        .build()
        .await;
    assert!(matches!(built, Err(DAAError::ConfigError { .. })));
    let network = NeuralConfig {
        network_type: "mlp".to_string(),
        layers: vec![2],
        activation: "relu".to_string(),
        learning_rate: 0.1,
        optimizer: "adam".to_string(),
        use_simd: true,
    };
    let built = StandardDAAAgent::builder()
        .with_neural_config(network.clone())
        .build()
        .await;
    assert!(matches!(built, Err(DAAError::NeuralError { .. })));
    let valid = NeuralConfig {
        layers: vec![2, 1],
        ..network
    };
    let agent = StandardDAAAgent::builder()
        .with_neural_config(valid)
        .build()
        .await
        .expect("valid");
    assert_eq!(agent.network_configs()[0].layers, [2, 1]);
}

#[tokio::test]
async fn memory_keeps_the_newest_experiences() {
    let config = AgentConfiguration {
        max_memory_size: 3,
        ..AgentConfiguration::default()
    };
    let builder = StandardDAAAgent::builder()
        .with_configuration(config)
        .with_peer_directory(PeerDirectory::new());
    let mut agent = builder.build().await.expect("valid");
    for _ in 0..10 {
        agent
            .learn_from_experience(&experience("d", true))
            .await
            .expect("learns");
    }
    assert_eq!(
        agent
            .get_learning_progress()
            .await
            .expect("progress")
            .knowledge_gained,
        3
    );
}
