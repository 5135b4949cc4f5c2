//! The agent of the original document and its parts.

use super::{feedback, knowledge, sum, task};
use daa_base::{ManualClock, Timestamp};
use ruv_swarm_daa::gpu::*;
use ruv_swarm_daa::*;
use serde_json::json;
use std::sync::Arc;

fn builder(id: &str, peers: &PeerDirectory) -> EnhancedGPUDAAAgentBuilder {
    EnhancedGPUDAAAgentBuilder::new()
        .with_id(id.to_string())
        .with_peer_directory(peers.clone())
}

#[tokio::test]
async fn with_coordination_off_nothing_is_exchanged() {
    let peers = PeerDirectory::new();
    let on = builder("on", &peers).build().await.expect("valid");
    let off = builder("off", &peers)
        .with_coordination(false)
        .build()
        .await
        .expect("valid");
    off.start_autonomous_learning().await.expect("starts");
    for (agent, other) in [(&off, "on"), (&on, "off")] {
        let result = agent
            .coordinate_with_peers(&[other.to_string()])
            .await
            .expect("answered");
        assert!(!result.success && !result.consensus_reached, "{other}");
        assert!(result.coordinated_agents.is_empty() && result.shared_knowledge.is_empty());
        assert!(result.shared_insights.is_empty());
    }
    assert_eq!(
        off.coordination_protocol.read().await.coordination_state,
        CoordinationState::Disabled
    );
    let refused = off.share_knowledge("on", &knowledge("k", "off")).await;
    assert!(matches!(refused, Err(DAAError::CoordinationError { .. })));
}

#[tokio::test]
async fn with_coordination_on_peers_tell_how_they_do() {
    let peers = PeerDirectory::new();
    let (a, b) = (
        builder("a", &peers).build().await,
        builder("b", &peers).build().await,
    );
    let (a, b) = (a.expect("valid"), b.expect("valid"));
    b.process_task_autonomously(&sum("1")).await.expect("done");
    let asked = vec!["b".to_string(), "ghost".to_string()];
    let result = a.coordinate_with_peers(&asked).await.expect("answered");
    assert!(result.success && !result.consensus_reached);
    assert_eq!(result.coordinated_agents, ["b"]);
    let insight = &result.shared_insights[0];
    assert_eq!(insight.insight_type, InsightType::PerformanceImprovement);
    assert!(
        insight.content.contains("100 %") && insight.source_agents == ["b"],
        "{insight:?}"
    );
    let metrics = a.resource_coordinator.lock().await.coordination_metrics.clone();
    assert_eq!(
        (metrics.successful_coordinations, metrics.failed_coordinations),
        (1, 0)
    );
    assert_eq!(
        (
            metrics.resource_sharing_efficiency,
            metrics.consensus_reached_ratio
        ),
        (0.5, 0.0)
    );
    assert!(metrics.average_coordination_time_ms >= 1.0);
    let boxed: Box<dyn DAAAgent> = Box::new(a);
    let plain: CoordinationResult = boxed.coordinate_with_peers(&asked).await.expect("answered");
    assert_eq!(plain.coordinated_agents, ["b"], "the trait goes the same way");
}

#[tokio::test]
async fn the_optimizer_records_only_when_it_is_on_and_learning() {
    let peers = PeerDirectory::new();
    for (enabled, recorded) in [(true, 1), (false, 0)] {
        let agent = builder("a", &peers)
            .with_autonomous_optimization(enabled)
            .build()
            .await
            .expect("valid");
        agent.process_task_autonomously(&sum("1")).await.expect("done");
        agent.start_autonomous_learning().await.expect("starts");
        agent.process_task_autonomously(&sum("2")).await.expect("done");
        assert!(agent.is_learning());
        let mut optimizer = agent.autonomous_optimizer.lock().await;
        assert_eq!(optimizer.is_running(), enabled);
        assert_eq!(
            optimizer.baseline().values().map(RunningMean::count).sum::<u64>(),
            recorded
        );
        assert!(matches!(
            optimizer.optimize().await,
            Err(DAAError::ConfigError { .. })
        ));
        drop(optimizer);
        agent.stop_autonomous_learning().await.expect("stops");
        assert!(!agent.autonomous_optimizer.lock().await.is_running());
    }
}

#[tokio::test]
async fn tasks_stay_within_the_memory_limit_and_everything_is_returned() {
    let agent = builder("a", &PeerDirectory::new())
        .with_memory_limit(64)
        .build()
        .await
        .expect("valid");
    let with = |memory_mb: serde_json::Value| {
        task(
            "t",
            json!({ "operation": "sum", "values": [1], "memory_mb": memory_mb }),
        )
    };
    assert!(
        agent
            .process_task_autonomously(&with(json!(64)))
            .await
            .expect("done")
            .success
    );
    let too_much = agent.process_task_autonomously(&with(json!(65))).await;
    assert!(
        matches!(too_much, Err(DAAError::MemoryError { message }) if message.contains("65 MiB, 64 of 64 are free"))
    );
    for wrong in [json!(0), json!(-1), json!("64"), json!(1.5)] {
        assert!(matches!(
            agent.process_task_autonomously(&with(wrong)).await,
            Err(DAAError::ConfigError { .. })
        ));
    }
    let metrics = agent.get_gpu_metrics().await.expect("metrics");
    assert_eq!(
        (
            metrics.agent.tasks_completed,
            metrics.allocations_held,
            metrics.memory_in_use_bytes
        ),
        (1, 0, 0)
    );
    assert_eq!(
        (metrics.memory_capacity_bytes, metrics.gpu_utilization),
        (64 << 20, None)
    );
    assert!(metrics.memory_high_water_bytes > 0);
    for limit in [0, u64::MAX] {
        let refused = builder("b", &PeerDirectory::new())
            .with_memory_limit(limit)
            .build()
            .await;
        assert!(matches!(refused, Err(DAAError::ConfigError { .. })), "{limit}");
    }
}

#[tokio::test]
async fn a_task_larger_than_the_limit_is_refused() {
    let agent = builder("a", &PeerDirectory::new())
        .with_memory_limit(1)
        .build()
        .await
        .expect("valid");
    agent.start_autonomous_learning().await.expect("starts");
    let huge = task("t", json!({ "operation": "sum", "values": vec![1.25; 300_000] }));
    assert!(matches!(
        agent.process_task_autonomously(&huge).await,
        Err(DAAError::MemoryError { .. })
    ));
    let half = task("t", json!({ "operation": "sum", "values": vec![1.25; 120_000] }));
    for _ in 0..4 {
        assert!(
            agent
                .process_task_autonomously(&half)
                .await
                .expect("done")
                .success
        );
    }
    let metrics = agent.get_metrics().await.expect("metrics");
    assert!(
        metrics.memory_usage_mb > 0.5 && metrics.memory_usage_mb < 1.1,
        "{}",
        metrics.memory_usage_mb
    );
}

#[tokio::test]
async fn a_full_coordinator_refuses_until_something_is_returned() {
    let mut coordinator = AutonomousResourceCoordinator::with_capacity("c".to_string(), 4096, 32);
    let work = task("t", json!({ "memory_mb": 1024, "compute_units": 8 }));
    let mut held = Vec::new();
    let mut refused = 0;
    for _ in 0..6 {
        match coordinator.allocate_resources_for_task(&work).await {
            Ok(allocation) => held.push(allocation.allocation_id),
            Err(_) => refused += 1,
        }
    }
    assert_eq!((held.len(), refused, coordinator.held()), (4, 2, (4096, 32)));
    for id in &held {
        coordinator
            .return_resources_autonomous(id)
            .await
            .expect("returned");
    }
    assert_eq!(
        (coordinator.held(), coordinator.resource_allocations.len()),
        ((0, 0), 0)
    );
    let again = coordinator.return_resources_autonomous(&held[0]).await;
    assert!(
        matches!(again, Err(DAAError::MemoryError { .. })),
        "returned twice"
    );
    assert!(coordinator.allocate_resources_for_task(&work).await.is_ok());
}

#[test]
fn the_memory_manager_counts_to_the_byte() {
    let mut manager = EnhancedGpuMemoryManager::new(1).expect("valid");
    let now = Duration::ZERO;
    let tickets: Vec<u64> = (0..100)
        .map(|index| manager.allocate(index, now).expect("fits"))
        .collect();
    assert_eq!((manager.in_use(), manager.high_water()), (4950, 4950));
    for &ticket in &tickets {
        manager.free(ticket).expect("held");
    }
    assert_eq!((manager.in_use(), manager.high_water()), (0, 4950));
    assert!(matches!(
        manager.free(tickets[0]),
        Err(DAAError::MemoryError { .. })
    ));
    let all = manager.allocate(1 << 20, now).expect("the whole capacity");
    assert!(matches!(
        manager.allocate(1, now),
        Err(DAAError::MemoryError { .. })
    ));
    assert_eq!(manager.pressure(), Some(MemoryPressure::Critical));
    assert!(manager.is_under_pressure() && manager.needs_cleanup());
    manager.free(all).expect("held");
    assert_eq!(manager.pressure(), Some(MemoryPressure::None));
}

#[test]
fn the_flags_of_the_memory_configuration_show() {
    let mut manager = EnhancedGpuMemoryManager::new(4).expect("valid");
    let now = Duration::ZERO;
    manager.allocate(100, now).expect("fits");
    assert_eq!(
        (manager.forecast(), manager.pressure()),
        (Some(100.0), Some(MemoryPressure::None))
    );
    let off = GpuMemoryConfig {
        enable_pressure_monitoring: false,
        enable_predictive_allocation: false,
        enable_circuit_breaker: false,
        buffer_pool_size_mb: 2,
        pressure_threshold: 0.8,
        cleanup_threshold: 0.9,
    };
    manager.configure(off.clone()).expect("valid");
    assert_eq!(
        (manager.forecast(), manager.pressure(), manager.capacity()),
        (None, None, 2 << 20)
    );
    for _ in 0..9 {
        assert!(manager.allocate(u64::MAX, now).is_err());
    }
    manager.allocate(1, now).expect("no breaker");
    manager
        .configure(GpuMemoryConfig {
            buffer_pool_size_mb: 4096,
            ..off.clone()
        })
        .expect("valid");
    assert_eq!(manager.capacity(), 4 << 20, "the agent's limit stays");
    for (pool, pressure, cleanup) in [(0, 0.8, 0.9), (1, f32::NAN, 0.9), (1, 0.8, 1.1)] {
        let bad = GpuMemoryConfig {
            buffer_pool_size_mb: pool,
            pressure_threshold: pressure,
            cleanup_threshold: cleanup,
            ..off.clone()
        };
        assert!(matches!(
            manager.configure(bad),
            Err(DAAError::ConfigError { .. })
        ));
    }
}

#[test]
fn the_breaker_opens_after_five_failures_and_closes_after_a_success() {
    let mut manager = EnhancedGpuMemoryManager::new(1).expect("valid");
    let at = Duration::from_secs;
    for _ in 0..5 {
        assert!(manager.allocate(2 << 20, at(0)).is_err());
    }
    let paused = manager.allocate(1, at(29)).map_err(|error| error.to_string());
    assert!(paused.is_err_and(|text| text.contains("paused for 1000 ms")));
    assert!(manager.allocate(2 << 20, at(30)).is_err(), "the probe fails");
    assert!(manager.allocate(1, at(59)).is_err(), "and the pause begins again");
    manager.allocate(1, at(60)).expect("the probe succeeds");
    manager.allocate(1, at(60)).expect("closed");
}

#[test]
fn the_buffer_pool_serves_the_first_request_and_reuses_buffers() {
    let mut pool = AdvancedBufferPool::new(1);
    assert_eq!(pool.pressure(), MemoryPressure::None);
    let first = pool.allocate(600_000).expect("the first allocation works");
    assert_eq!(
        (first.data.len(), pool.in_use(), pool.pressure()),
        (600_000, 600_000, MemoryPressure::None)
    );
    assert!(matches!(
        pool.allocate(600_000),
        Err(DAAError::MemoryError { .. })
    ));
    pool.release(first);
    assert_eq!((pool.in_use(), pool.cached()), (0, 600_000));
    let reused = pool.allocate(560_000).expect("fits");
    assert_eq!((reused.data.len(), pool.hits_and_misses()), (600_000, (1, 1)));
    pool.release(reused);
    let small = pool.allocate(100).expect("fits");
    assert_eq!(
        (small.data.len(), pool.hits_and_misses()),
        (100, (1, 2)),
        "what is more than an eighth larger is not reused"
    );
    let large = pool.allocate(1_000_000).expect("cached buffers make room");
    assert_eq!((pool.in_use(), pool.cached()), (1_000_100, 0));
    pool.release(small);
    pool.release(large);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn tiers_begin_where_they_should() {
    use Tier::*;
    let kib = 1 << 10;
    let sizes = [
        0,
        kib - 1,
        kib,
        kib * kib - 1,
        kib * kib,
        10 * kib * kib - 1,
        10 * kib * kib,
        100 * kib * kib,
    ];
    assert_eq!(
        sizes.map(Tier::of),
        [Micro, Micro, Small, Small, Medium, Medium, Large, XLarge]
    );
    let levels = [59, 60, 70, 80, 89, 90].map(|used| MemoryPressure::of(used, 100));
    use MemoryPressure as P;
    assert_eq!(
        levels,
        [P::None, P::Low, P::Medium, P::High, P::High, P::Critical]
    );
    assert_eq!(P::of(0, 0), P::Critical);
}

#[tokio::test]
async fn adaptation_fires_and_is_stored() {
    let peers = PeerDirectory::new();
    let config = AgentConfiguration {
        adaptation_threshold: 0.7,
        ..AgentConfiguration::default()
    };
    let agent = builder("a", &peers)
        .with_configuration(config)
        .build()
        .await
        .expect("valid");
    let decision = agent
        .adapt_strategy(&feedback(0.5, &["creative"]))
        .await
        .expect("decided");
    assert_eq!(
        decision.decision_type,
        AutonomousDecisionType::AdaptCognitivePattern
    );
    assert_eq!(*agent.cognitive_pattern(), CognitivePattern::Divergent);
    for (score, words, wanted) in [
        (0.9, "creative", AutonomousDecisionType::NoAction),
        (
            0.1,
            "use less memory",
            AutonomousDecisionType::OptimizeGpuAllocation,
        ),
        (
            0.1,
            "ask your peers",
            AutonomousDecisionType::RenegotiateCoordination,
        ),
        (
            0.1,
            "another architecture",
            AutonomousDecisionType::EvolveArchitecture,
        ),
    ] {
        let decision = agent
            .adapt_strategy(&feedback(score, &[words]))
            .await
            .expect("decided");
        assert_eq!(decision.decision_type, wanted, "{words}");
        assert_eq!(*agent.cognitive_pattern(), CognitivePattern::Divergent, "{words}");
    }
    assert_eq!(agent.decision_engine.read().await.history().count(), 5);
    assert_eq!(
        agent.evolve_cognitive_pattern().await.expect("answered"),
        CognitivePattern::Adaptive
    );
}

#[tokio::test]
async fn what_was_learned_from_tasks_is_measured() {
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let agent = builder("a", &PeerDirectory::new())
        .with_clock(clock)
        .build()
        .await
        .expect("valid");
    for index in 0..4 {
        let context = if index == 0 {
            json!({})
        } else {
            json!({ "operation": "sum", "values": [1] })
        };
        agent
            .process_task_autonomously(&task("t", context))
            .await
            .expect("done");
    }
    let monitor = agent.performance_monitor.read().await;
    assert_eq!(
        (monitor.tasks(), monitor.success_rate(), monitor.mean_time_ms()),
        (4, 0.75, 1.0)
    );
    let learned = agent.learning_integrator.read().await;
    assert_eq!(
        learned.pattern_optimizer.best(),
        Some((&CognitivePattern::Adaptive, 0.75))
    );
    assert!(
        learned.memory_pattern_analyzer.peak_bytes() as f64 > learned.memory_pattern_analyzer.mean_bytes()
    );
    let engine = agent.decision_engine.read().await;
    assert!((engine.outcome_predictor.predict("test task") - 4.0 / 6.0).abs() < 1e-12);
    assert!(
        engine
            .learning_feedback_loop
            .brier_score()
            .is_some_and(|score| score > 0.0 && score < 0.5)
    );
    let predicted = agent
        .resource_coordinator
        .lock()
        .await
        .predictive_analyzer
        .predict(7);
    assert_eq!(
        (predicted.expected_execution_time_ms, predicted.confidence_score),
        (1.0, 0.8)
    );
}

#[test]
fn the_quorum_is_the_larger_of_the_integer_rule_and_the_threshold() {
    let needed = |threshold, voters| {
        DistributedConsensusAlgorithm {
            consensus_threshold: threshold,
        }
        .votes_needed(voters)
    };
    assert_eq!(needed(0.66, 100), 67, "0.66 is below two thirds");
    assert_eq!(needed(0.9, 100), 90);
    assert_eq!((needed(0.66, 1), needed(0.66, 3), needed(0.66, 4)), (1, 3, 3));
    assert_eq!(needed(1.0, u32::MAX), u32::MAX);
    for voters in 1..200_u64 {
        let votes = u64::from(needed(0.5, u32::try_from(voters).expect("small")));
        assert!(
            3 * votes > 2 * voters && 3 * (votes - 1) <= 2 * voters,
            "{voters}"
        );
    }
}

#[tokio::test]
async fn what_is_not_built_says_so() {
    let agent = builder("a", &PeerDirectory::new()).build().await.expect("valid");
    let mut errors = Vec::new();
    let mut protocol = agent.coordination_protocol.write().await;
    errors.push(protocol.consensus_algorithm.seek_consensus("p").await.map(drop));
    errors.push(protocol.resource_negotiator.negotiate_with_peers(&[]).await);
    errors.push(protocol.conflict_resolver.resolve(&[]).await);
    let mut learning = agent.learning_integrator.write().await;
    errors.push(learning.neural_architecture_searcher.search().await);
    errors.push(agent.pipeline_cache.lock().await.get_or_compile("matmul"));
    errors.push(agent.kernel_optimizer.write().await.optimize("matmul"));
    errors.push(
        agent
            .resource_coordinator
            .lock()
            .await
            .resource_sharing_protocol
            .lend("b", 1)
            .await,
    );
    errors.push(agent.autonomous_optimizer.lock().await.optimize().await);
    for error in errors {
        assert!(error.is_err_and(|error| error.to_string().contains("not built yet")));
    }
    let context = agent.compute_context.read().await;
    assert!(
        !context.is_gpu_available() && context.backend() == BackendType::Cpu && !context.reason().is_empty()
    );
}

#[test]
fn coordination_settings_are_checked() {
    let mut protocol = MultiAgentCoordinationProtocol::new("a".to_string());
    let good = CoordinationConfig {
        consensus_threshold: 0.8,
        ..CoordinationConfig::default()
    };
    protocol.configure(good.clone()).expect("valid");
    assert_eq!(protocol.consensus_algorithm.consensus_threshold, 0.8);
    for bad in [
        CoordinationConfig {
            consensus_threshold: 0.0,
            ..good.clone()
        },
        CoordinationConfig {
            consensus_threshold: f32::NAN,
            ..good.clone()
        },
        CoordinationConfig {
            negotiation_timeout: Duration::ZERO,
            ..good.clone()
        },
    ] {
        assert!(matches!(
            protocol.configure(bad),
            Err(DAAError::ConfigError { .. })
        ));
    }
    assert_eq!(*protocol.config(), good);
}

#[test]
fn the_default_strategy_is_the_older_one() {
    let AdaptiveAllocationStrategy::HybridAdaptive {
        performance_weight,
        learning_weight,
        coordination_weight,
    } = AutonomousResourceCoordinator::new("a".to_string()).allocation_strategy
    else {
        panic!("another default");
    };
    assert_eq!(
        (performance_weight, learning_weight, coordination_weight),
        (0.4, 0.3, 0.3)
    );
}

#[test]
fn what_is_uploaded_comes_back_bit_by_bit() {
    let mut context = ComputeContext::<f32>::new();
    assert!(context.reason().contains("no device is open yet"));
    for count in [1, 1_000, 100_000, 3_000_000] {
        let values: Vec<f32> = (0..count).map(|index| (index as f32).sin()).collect();
        let mut buffer = context.upload(&values).expect("fits");
        assert!(buffer.context_bytes() >= 4 * count);
        for _ in 0..2 {
            let back = buffer.download().expect("comes back");
            assert!(
                back.iter()
                    .map(|x| x.to_bits())
                    .eq(values.iter().map(|x| x.to_bits())),
                "{count}"
            );
        }
    }
    assert!(!context.is_gpu_available() && !context.reason().contains("no device"));
    assert!(matches!(context.upload(&[]), Err(DAAError::ConfigError { .. })));
}

#[test]
fn buffers_stay_within_the_limit_and_are_given_back() {
    let mut context = ComputeContext::<f32>::with_limit(8);
    let one = vec![1.0; 1 << 20];
    let first = context.upload(&one).expect("4 MiB and staging fit into 8");
    assert!(matches!(context.upload(&one), Err(DAAError::MemoryError { .. })));
    drop(first);
    for _ in 0..20 {
        assert!(context.upload(&one).is_ok(), "dropped buffers are given back");
    }
}

#[tokio::test]
async fn a_gpu_is_opened_or_the_reason_is_said() {
    let mut context = ComputeContext::<f32>::new();
    match context.initialize_gpu().await {
        Ok(()) => {
            assert!(
                cfg!(feature = "webgpu") && context.is_gpu_available(),
                "{}",
                context.reason()
            );
            let mut buffer = context.upload(&[1.5, -2.5]).expect("fits");
            assert_eq!(buffer.download().expect("comes back"), [1.5, -2.5]);
        }
        Err(error) => {
            assert!(matches!(error, DAAError::ConfigError { .. }) && !context.is_gpu_available());
            assert!(
                cfg!(feature = "webgpu") || error.to_string().contains("feature `webgpu`"),
                "{error}"
            );
        }
    }
}
