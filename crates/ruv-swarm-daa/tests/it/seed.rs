//! The examples of the documents, as they stand there.

/// The quick start of the older crate.
mod quick_start {
    use ruv_swarm_daa::{CognitivePattern, DAAAgent, StandardDAAAgent};
    // Imported in the document, not used there.
    #[expect(unused_imports, reason = "as in the document")]
    use ruv_swarm_daa::AutonomousLearning;

    #[tokio::test]
    async fn main() -> Result<(), Box<dyn std::error::Error>> {
        let mut agent = StandardDAAAgent::builder()
            .with_learning_rate(0.001)
            .with_cognitive_pattern(CognitivePattern::Adaptive)
            .build()
            .await?;

        agent.start_autonomous_learning().await?;
        Ok(())
    }
}

/// The original document's first example: one agent with everything on.
mod example_1 {
    use ruv_swarm_daa::*;

    /// The document calls this function without defining it.
    fn create_neural_training_task() -> Task {
        Task {
            id: "training".to_string(),
            description: "Train a network".to_string(),
            requirements: vec!["gpu".to_string()],
            priority: Priority::High,
            deadline: Some(chrono::Utc::now() + chrono::Duration::hours(1)),
            context: HashMap::new(),
        }
    }

    #[tokio::test]
    async fn main() -> Result<(), Box<dyn std::error::Error>> {
        let agent = EnhancedGPUDAAAgentBuilder::new()
            .with_id("gpu-agent-1".to_string())
            .with_cognitive_pattern(CognitivePattern::Adaptive)
            .with_memory_limit(2048)
            .with_coordination(true)
            .with_autonomous_optimization(true)
            .build()
            .await?;

        agent.start_autonomous_learning().await?;

        let task = create_neural_training_task();
        let result = agent.process_task_autonomously(&task).await?;
        let _: &HashMap<String, f64> = &result.performance_metrics;

        let peers = vec!["gpu-agent-2".to_string(), "gpu-agent-3".to_string()];
        let coordination = agent.coordinate_with_peers(&peers).await?;
        let _: usize = coordination.shared_insights.len();

        // What the document could not know: nothing was trained and nobody voted.
        assert!(!result.success && !coordination.consensus_reached);
        Ok(())
    }
}

/// The document's quick start binds the agent as mutable.
mod mutable {
    use ruv_swarm_daa::*;

    #[tokio::test]
    async fn main() -> DAAResult<()> {
        #[expect(unused_mut, reason = "as in the document")]
        let mut agent = EnhancedGPUDAAAgentBuilder::new().build().await?;
        agent.start_autonomous_learning().await?;
        let metrics: AgentMetrics = agent.get_metrics().await?;
        assert_eq!(metrics.tasks_completed, 0);
        Ok(())
    }
}

/// The original document's second example: full literals of both configurations.
mod example_2 {
    use ruv_swarm_daa::*;

    #[tokio::test]
    async fn main() -> DAAResult<()> {
        let memory_config = GpuMemoryConfig {
            enable_pressure_monitoring: true,
            enable_predictive_allocation: true,
            enable_circuit_breaker: true,
            buffer_pool_size_mb: 2048,
            pressure_threshold: 0.8,
            cleanup_threshold: 0.9,
        };

        let coordination_config = CoordinationConfig {
            consensus_threshold: 0.66,
            negotiation_timeout: Duration::from_secs(30),
            max_retry_attempts: 3,
            enable_peer_discovery: true,
        };

        let agent = EnhancedGPUDAAAgent::new("configured".to_string(), CognitivePattern::Systems).await?;
        agent.memory_manager.lock().await.configure(memory_config)?;
        agent
            .coordination_protocol
            .write()
            .await
            .configure(coordination_config)?;
        Ok(())
    }
}

/// A user's own imports of the same names do not clash.
mod own_imports {
    use ruv_swarm_daa::*;
    use std::collections::HashMap;
    use std::time::Duration;

    #[test]
    fn they_are_the_same() {
        let map: HashMap<String, f64> = HashMap::new();
        let _: (ruv_swarm_daa::HashMap<String, f64>, ruv_swarm_daa::Duration) = (map, Duration::ZERO);
        assert_eq!(VERSION, env!("CARGO_PKG_VERSION"));
    }
}

/// The agent's futures can be moved to another thread, with every feature.
mod spawned {
    use ruv_swarm_daa::*;

    #[tokio::test]
    async fn main() -> Result<(), Box<dyn std::error::Error>> {
        let work = tokio::spawn(async {
            let agent = EnhancedGPUDAAAgentBuilder::new().build().await?;
            agent.start_autonomous_learning().await?;
            let mut context = agent.compute_context.write().await;
            let mut buffer = context.upload(&[1.0])?;
            agent.stop_autonomous_learning().await?;
            buffer.download()
        });
        assert_eq!(work.await??, [1.0]);
        Ok(())
    }
}
