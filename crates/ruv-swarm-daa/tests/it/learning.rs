//! The learning engine, the coordination memory and the networks.

use super::{experience, task};
use ruv_swarm_daa::learning::{AdaptationStrategyType, RecommendationType};
use ruv_swarm_daa::memory::MemoryPolicyType;
use ruv_swarm_daa::*;
use serde_json::{Value, json};

fn event(participants: &[&str], outcome: Value) -> CoordinationEvent {
    CoordinationEvent {
        timestamp: chrono::Utc::now(),
        event_type: CoordinationEventType::TaskAssignment,
        participants: participants.iter().map(ToString::to_string).collect(),
        outcome,
    }
}

async fn trained(agent: &str, domain: &str, successes: usize) -> LearningEngine {
    let mut engine = LearningEngine::new();
    train(&mut engine, agent, domain, successes).await;
    engine
}

async fn train(engine: &mut LearningEngine, agent: &str, domain: &str, successes: usize) {
    for _ in 0..successes {
        engine
            .add_learning_experience(agent, domain, &experience(domain, true))
            .await
            .expect("learns");
    }
}

fn score(engine: &LearningEngine, agent: &str, domain: &str) -> f64 {
    engine.model(agent, domain).expect("known").proficiency_scores["test task"]
}

#[tokio::test]
async fn scores_start_at_a_half_and_move_by_a_tenth_of_the_way() {
    let mut engine = trained("a", "d", 1).await;
    assert!((score(&engine, "a", "d") - 0.55).abs() < 1e-12);
    engine
        .add_learning_experience("a", "d", &experience("d", false))
        .await
        .expect("learns");
    assert!((score(&engine, "a", "d") - 0.495).abs() < 1e-12);
    assert_eq!(
        engine.get_patterns_count().await.expect("count"),
        1,
        "one success, one pattern"
    );
    assert_eq!(engine.global_knowledge().shared_experiences.len(), 2);
}

#[tokio::test]
async fn every_event_counts_not_only_the_first() {
    let mut engine = LearningEngine::new();
    let events = [
        event(&["a"], json!({ "success": true })),
        event(&["b"], json!({ "success": false })),
        event(&["c"], json!({ "score": 0.5 })),
        event(&["d"], json!("no score")),
    ];
    engine.adapt_from_events(&events).await.expect("learns");
    let of = |agent: &str| {
        engine
            .model(agent, "coordination")
            .expect("known")
            .proficiency_scores
            .get("TaskAssignment")
            .copied()
    };
    assert_eq!(
        (of("a"), of("b"), of("c"), of("d")),
        (Some(0.55), Some(0.45), Some(0.5), None)
    );
    let mut none = LearningEngine::new();
    none.adapt_from_events(&[]).await.expect("nothing to learn");
    assert_eq!(none.get_patterns_count().await.expect("count"), 0);
}

#[tokio::test]
async fn advice_comes_from_what_was_measured() {
    let mut engine = trained("a", "weak", 1).await;
    let wanted = task("t", json!({}));
    let advice = engine
        .get_learning_recommendations("a", "weak", &wanted)
        .await
        .expect("advice");
    let training = &advice[0];
    assert!(matches!(
        training.recommendation_type,
        RecommendationType::IncreaseTraining
    ));
    assert!(
        (training.estimated_improvement - 0.15).abs() < 1e-12,
        "from 0.55 to 0.7"
    );
    assert!(
        (training.estimated_time_hours - 4.0 * 0.5).abs() < 1e-9,
        "four tasks of half an hour: 0.55 -> 0.705"
    );
    assert!(
        !advice
            .iter()
            .any(|one| matches!(one.recommendation_type, RecommendationType::TransferLearning))
    );
    train(&mut engine, "a", "strong", 20).await;
    let advice = engine
        .get_learning_recommendations("a", "weak", &wanted)
        .await
        .expect("advice");
    let transfer = advice
        .iter()
        .find(|one| matches!(one.recommendation_type, RecommendationType::TransferLearning));
    let gain = score(&engine, "a", "strong") - score(&engine, "a", "weak");
    assert!(
        (transfer.expect("a strong domain").estimated_improvement - gain).abs() < 1e-12,
        "the same words"
    );
    let advice = engine
        .get_learning_recommendations("a", "strong", &wanted)
        .await
        .expect("advice");
    assert!(
        !advice
            .iter()
            .any(|one| matches!(one.recommendation_type, RecommendationType::IncreaseTraining))
    );
}

#[tokio::test]
async fn only_good_peers_are_worth_learning_from_the_best_first() {
    let mut engine = trained("good", "d", 15).await;
    train(&mut engine, "best", "d", 30).await;
    train(&mut engine, "weak", "d", 3).await;
    train(&mut engine, "me", "d", 30).await;
    engine
        .adapt_from_events(&[event(&["empty"], json!(null))])
        .await
        .expect("learns");
    let found = engine
        .get_knowledge_sharing_opportunities("me", "d")
        .await
        .expect("answered");
    let names: Vec<&str> = found.iter().map(|one| one.source_agent.as_str()).collect();
    assert_eq!(names, ["best", "good"]);
    for one in &found {
        assert!((one.estimated_benefit - 0.3 * one.knowledge_quality).abs() < 1e-12);
        assert_eq!(one.compatibility_score, 1.0, "the same kinds of task");
    }
    let stranger = engine
        .get_knowledge_sharing_opportunities("stranger", "d")
        .await
        .expect("answered");
    assert_eq!(stranger[0].compatibility_score, 0.0, "nothing in common");
    let nothing = engine
        .get_knowledge_sharing_opportunities("me", "coordination")
        .await
        .expect("answered");
    assert!(nothing.is_empty(), "no score is no quality, and no NaN");
}

#[tokio::test]
async fn adaptations_are_stored_and_judged_by_what_came_of_them() {
    let mut engine = LearningEngine::new();
    let metrics = |value: f64| HashMap::from([("accuracy".to_string(), value)]);
    let first = engine
        .apply_adaptation_strategy("a", "d", &metrics(0.5))
        .await
        .expect("applied");
    assert_eq!(
        (first.strategy_applied.as_str(), first.improvement_score),
        ("Adaptive Learning Rate", 0.0)
    );
    assert!((first.updated_metrics["learning_rate"] - 0.001 * 0.95).abs() < 1e-12);
    let second = engine
        .apply_adaptation_strategy("a", "d", &metrics(0.4))
        .await
        .expect("applied");
    assert!((second.improvement_score + 0.1).abs() < 1e-12);
    assert_eq!(
        second.strategy_applied, "Cognitive Pattern Switch",
        "the first one did not help"
    );
    assert!(second.success && second.updated_metrics["exploration"] == 0.2);
    let third = engine
        .apply_adaptation_strategy("a", "d", &metrics(0.6))
        .await
        .expect("applied");
    assert_eq!(third.strategy_applied, "Cognitive Pattern Switch", "it helped");
    assert!(!third.success, "at 0.6 there is nothing to switch");
    assert_eq!(
        engine.model("a", "d").expect("stored").adaptation_history.len(),
        3
    );
    assert_eq!(
        engine.meta_learning_state().learning_to_learn_progress,
        0.5,
        "one of two helped"
    );
    for bad in [HashMap::new(), metrics(f64::NAN)] {
        let refused = engine.apply_adaptation_strategy("a", "d", &bad).await;
        assert!(matches!(refused, Err(DAAError::LearningError { .. })));
    }
}

#[tokio::test]
async fn knowledge_transfer_moves_scores() {
    let mut engine = trained("a", "source", 30).await;
    let before = score(&engine, "a", "source");
    let metrics = |value: f64| HashMap::from([("m".to_string(), value)]);
    // Falling metrics let the first two strategies go, so that the third is tried.
    let mut applied = Vec::new();
    for value in [0.9, 0.8, 0.7] {
        applied.push(
            engine
                .apply_adaptation_strategy("a", "target", &metrics(value))
                .await
                .expect("applied"),
        );
    }
    assert_eq!(applied[2].strategy_applied, "Knowledge Transfer");
    assert!(applied[2].success && applied[2].updated_metrics["tasks_transferred"] == 1.0);
    assert!((score(&engine, "a", "target") - (0.5 + 0.5 * (before - 0.5))).abs() < 1e-12);
}

#[tokio::test]
async fn shared_experiences_are_bounded() {
    let mut base = GlobalKnowledgeBase::new();
    for index in 0..10_001 {
        let mut one = experience("d", true);
        one.task.id = index.to_string();
        let shared = learning::SharedExperience {
            experience: one,
            sharing_agent: "a".to_string(),
            receiving_agents: vec![],
            effectiveness_scores: HashMap::new(),
            shared_at: chrono::Utc::now(),
        };
        base.add_shared_experience(shared).await.expect("stored");
    }
    assert_eq!(base.shared_experiences.len(), 10_000);
    assert_eq!(
        base.shared_experiences[0].experience.task.id, "1",
        "the oldest went"
    );
}

#[tokio::test]
async fn recent_events_are_the_last_ones_in_order() {
    let mut memory = CoordinationMemory::new();
    for index in 0..5 {
        memory
            .store_event(event(&[], json!(index)))
            .await
            .expect("stored");
    }
    let outcomes = async |limit| -> Vec<Value> {
        let events = memory.get_recent_events(limit).await.expect("events");
        events.into_iter().map(|event| event.outcome).collect()
    };
    assert_eq!(outcomes(2).await, [json!(3), json!(4)]);
    assert_eq!(outcomes(9).await.len(), 5);
    assert_eq!(memory.get_event_count().await.expect("count"), 5);
}

#[test]
fn the_defaults_are_the_older_ones() {
    let engine = LearningEngine::new();
    let kinds: Vec<_> = engine
        .strategies()
        .iter()
        .map(|strategy| strategy.strategy_type.clone())
        .collect();
    assert!(matches!(
        kinds[..],
        [
            AdaptationStrategyType::AdaptiveLearningRate,
            AdaptationStrategyType::CognitivePatternSwitch,
            AdaptationStrategyType::KnowledgeTransfer
        ]
    ));
    let patterns: Vec<_> = PatternManager::new()
        .available_patterns
        .into_iter()
        .map(|one| one.pattern)
        .collect();
    assert_eq!(
        patterns,
        [CognitivePattern::Convergent, CognitivePattern::Divergent]
    );
    let policy = &MemoryManager::new().memory_policies[0];
    assert!(matches!(policy.policy_type, MemoryPolicyType::ForgetOldMemories));
    assert_eq!(
        (
            policy.parameters["max_age_days"],
            policy.parameters["min_importance"]
        ),
        (30.0, 0.1)
    );
    assert_eq!(policy.applicable_agents, ["*"]);
    let config = AgentConfiguration::default();
    assert_eq!(
        (
            config.learning_rate,
            config.adaptation_threshold,
            config.max_memory_size
        ),
        (0.001, 0.1, 10_000)
    );
    assert_eq!(
        (config.cognitive_flexibility, config.coordination_willingness),
        (0.8, 0.9)
    );
}

#[tokio::test]
async fn networks_that_coordinate_agents_are_not_built() {
    let patterns = NeuralNetworkManager::new()
        .initialize_coordination_patterns()
        .await;
    assert!(matches!(patterns, Err(DAAError::NeuralError { .. })));
}

#[test]
fn errors_say_what_they_always_said() {
    let message = || "m".to_string();
    for (error, text) in [
        (DAAError::AgentNotFound { id: message() }, "Agent not found: m"),
        (
            DAAError::LearningError { message: message() },
            "Learning error: m",
        ),
        (
            DAAError::CoordinationError { message: message() },
            "Coordination error: m",
        ),
        (
            DAAError::NeuralError { message: message() },
            "Neural network error: m",
        ),
        (DAAError::MemoryError { message: message() }, "Memory error: m"),
        (DAAError::WasmError { message: message() }, "WASM error: m"),
        (
            DAAError::ConfigError { message: message() },
            "Configuration error: m",
        ),
        (DAAError::NoAgentsAvailable, "No agents available"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}
