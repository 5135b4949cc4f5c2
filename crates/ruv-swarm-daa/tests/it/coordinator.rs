//! The coordinator.

use super::{sum, task, wrong_sum};
use ruv_swarm_daa::*;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::Notify;

async fn agent(id: &str, peers: &PeerDirectory) -> Box<StandardDAAAgent> {
    let builder = StandardDAAAgent::builder()
        .with_id(id)
        .with_peer_directory(peers.clone());
    Box::new(builder.build().await.expect("valid"))
}

fn ids<const N: usize>(ids: [&str; N]) -> Vec<String> {
    ids.map(str::to_string).to_vec()
}

/// Written by somebody else against the trait: counts its tasks, and waits for a signal if it has one.
struct Foreign {
    id: String,
    runs: Arc<AtomicU32>,
    gate: Option<Arc<Notify>>,
    entered: Arc<Notify>,
}

impl Foreign {
    fn new(id: &str) -> Self {
        Self {
            id: id.to_string(),
            runs: Arc::default(),
            gate: None,
            entered: Arc::default(),
        }
    }
}

#[async_trait::async_trait]
impl DAAAgent for Foreign {
    fn id(&self) -> &str {
        &self.id
    }
    fn cognitive_pattern(&self) -> &CognitivePattern {
        &CognitivePattern::Critical
    }
    async fn start_autonomous_learning(&mut self) -> DAAResult<()> {
        Ok(())
    }
    async fn stop_autonomous_learning(&mut self) -> DAAResult<()> {
        Ok(())
    }
    async fn adapt_strategy(&mut self, _feedback: &Feedback) -> DAAResult<()> {
        Ok(())
    }
    async fn evolve_cognitive_pattern(&mut self) -> DAAResult<CognitivePattern> {
        Ok(CognitivePattern::Critical)
    }
    async fn coordinate_with_peers(&self, _peers: &[String]) -> DAAResult<CoordinationResult> {
        Err(DAAError::NoAgentsAvailable)
    }
    async fn process_task_autonomously(&mut self, _task: &Task) -> DAAResult<TaskResult> {
        Err(DAAError::NoAgentsAvailable)
    }
    async fn share_knowledge(&self, _target_agent: &str, _knowledge: &Knowledge) -> DAAResult<()> {
        Ok(())
    }
    async fn get_metrics(&self) -> DAAResult<AgentMetrics> {
        Ok(AgentMetrics {
            agent_id: self.id.clone(),
            tasks_completed: self.runs.load(Ordering::Relaxed),
            success_rate: 0.0,
            average_response_time_ms: 0.0,
            learning_efficiency: 0.0,
            coordination_score: 0.0,
            memory_usage_mb: 0.0,
            last_updated: chrono::Utc::now(),
        })
    }
    async fn execute_task(&self, task: TaskRequest) -> DAAResult<TaskResult> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.entered.notify_one();
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        if task.task_type == "refuse" {
            return Err(DAAError::NeuralError {
                message: "no".to_string(),
            });
        }
        Ok(TaskResult {
            task_id: task.id,
            success: true,
            output: json!({}),
            performance_metrics: HashMap::new(),
            learned_patterns: vec![],
            execution_time_ms: 1,
        })
    }
    async fn shutdown(&self) -> DAAResult<()> {
        Ok(())
    }
    async fn health_check(&self) -> DAAResult<()> {
        Ok(())
    }
    async fn get_type(&self) -> DAAResult<String> {
        Ok("Foreign".to_string())
    }
}

#[tokio::test]
async fn a_foreign_agent_is_registered_found_and_really_run() {
    let coordinator = initialize_daa().await.expect("ready");
    let foreign = Foreign::new("f");
    let runs = Arc::clone(&foreign.runs);
    coordinator
        .register_agent(Box::new(foreign))
        .await
        .expect("registered");
    let found = coordinator
        .get_agent("f")
        .await
        .expect("answered")
        .expect("found");
    assert_eq!(
        (
            found.get_id().await.expect("id"),
            found.get_type().await.expect("type")
        ),
        ("f".into(), "Foreign".into())
    );
    assert!(coordinator.get_agent("g").await.expect("answered").is_none());
    coordinator
        .orchestrate_task(&sum("1"), &ids(["f"]))
        .await
        .expect("run");
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert_eq!(found.get_metrics().await.expect("metrics").tasks_completed, 1);
}

#[tokio::test]
async fn registered_agents_run_and_the_figures_are_measured() {
    let coordinator = DAACoordinator::new();
    let peers = PeerDirectory::new();
    for id in ["a", "b", "c"] {
        coordinator
            .register_agent(agent(id, &peers).await)
            .await
            .expect("registered");
    }
    let stats = coordinator.get_coordination_stats().await.expect("stats");
    assert_eq!(
        (
            stats.total_agents,
            stats.active_tasks,
            stats.knowledge_sharing_events
        ),
        (3, 0, 0)
    );
    assert_eq!(stats.coordination_efficiency, 0.0, "nothing ran yet");
    let results = coordinator
        .orchestrate_task(&sum("1"), &ids(["a", "b", "c"]))
        .await
        .expect("run");
    assert_eq!(results.len(), 3);
    for (result, id) in results.iter().zip(["a", "b", "c"]) {
        assert!(result.success && result.execution_time_ms >= 1);
        assert_eq!(
            (&result.output["agent_id"], &result.output["result"]),
            (&json!(id), &json!(6.0))
        );
    }
    coordinator
        .orchestrate_task(&wrong_sum("2"), &ids(["a"]))
        .await
        .expect("run");
    let stats = coordinator.get_coordination_stats().await.expect("stats");
    assert_eq!(
        (stats.coordination_efficiency, stats.knowledge_sharing_events),
        (0.75, 2)
    );
    let events = coordinator
        .coordination_memory()
        .read()
        .await
        .get_event_count()
        .await
        .expect("count");
    assert_eq!(events, 4, "two tasks and two deliveries");
    let learning = coordinator.learning_engine().read().await;
    let score = learning
        .model("b", "orchestration")
        .expect("learned")
        .proficiency_scores["test task"];
    assert!((score - 0.55).abs() < 1e-12);
}

#[tokio::test]
async fn unknown_agents_and_no_agents_are_errors_before_anything_runs() {
    let coordinator = DAACoordinator::new();
    let foreign = Foreign::new("f");
    let runs = Arc::clone(&foreign.runs);
    coordinator
        .register_agent(Box::new(foreign))
        .await
        .expect("registered");
    let unknown = coordinator
        .orchestrate_task(&sum("1"), &ids(["f", "ghost"]))
        .await;
    assert!(matches!(unknown, Err(DAAError::AgentNotFound { id }) if id == "ghost"));
    assert!(matches!(
        coordinator.orchestrate_task(&sum("1"), &[]).await,
        Err(DAAError::NoAgentsAvailable)
    ));
    assert_eq!(runs.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_agent_that_fails_yields_a_failure() {
    let coordinator = DAACoordinator::new();
    coordinator
        .register_agent(Box::new(Foreign::new("f")))
        .await
        .expect("registered");
    let refused = task("1", json!({ "operation": "refuse" }));
    let results = coordinator
        .orchestrate_task(&refused, &ids(["f"]))
        .await
        .expect("answered");
    assert!(!results[0].success && results[0].output["error"] == "Neural network error: no");
    assert_eq!(
        coordinator
            .get_coordination_stats()
            .await
            .expect("stats")
            .coordination_efficiency,
        0.0
    );
}

#[tokio::test]
async fn running_tasks_are_counted_while_they_run_and_when_they_are_given_up() {
    let coordinator = DAACoordinator::new();
    let gate = Arc::new(Notify::new());
    let foreign = Foreign {
        gate: Some(Arc::clone(&gate)),
        ..Foreign::new("f")
    };
    let entered = Arc::clone(&foreign.entered);
    coordinator
        .register_agent(Box::new(foreign))
        .await
        .expect("registered");
    let (work, names) = (sum("1"), ids(["f"]));
    let active = async || {
        coordinator
            .get_coordination_stats()
            .await
            .expect("stats")
            .active_tasks
    };
    {
        let mut running = Box::pin(coordinator.orchestrate_task(&work, &names));
        tokio::select! {
            _ = &mut running => panic!("the gate is closed"),
            () = entered.notified() => (),
        }
        assert_eq!(active().await, 1);
        gate.notify_one();
        assert!(running.await.expect("run")[0].success);
    }
    assert_eq!(active().await, 0);
    {
        let mut abandoned = Box::pin(coordinator.orchestrate_task(&work, &names));
        tokio::select! {
            _ = &mut abandoned => panic!("the gate is closed"),
            () = entered.notified() => (),
        }
        assert_eq!(active().await, 1);
    }
    assert_eq!(active().await, 0, "giving up is counted too");
}

#[tokio::test]
async fn a_task_ends_at_its_deadline() {
    let coordinator = DAACoordinator::new();
    let foreign = Foreign {
        gate: Some(Arc::new(Notify::new())),
        ..Foreign::new("f")
    };
    coordinator
        .register_agent(Box::new(foreign))
        .await
        .expect("registered");
    let late = Task {
        deadline: Some(chrono::Utc::now()),
        ..sum("1")
    };
    let results = coordinator
        .orchestrate_task(&late, &ids(["f"]))
        .await
        .expect("answered");
    assert!(
        !results[0].success
            && results[0].output["error"]
                .as_str()
                .is_some_and(|text| text.contains("deadline"))
    );
}

#[tokio::test]
async fn an_equal_id_replaces_while_old_references_stay_valid() {
    let coordinator = DAACoordinator::new();
    coordinator
        .register_agent(Box::new(Foreign::new("same")))
        .await
        .expect("registered");
    let old = coordinator
        .get_agent("same")
        .await
        .expect("answered")
        .expect("found");
    for _ in 0..100 {
        coordinator
            .register_agent(agent("same", &PeerDirectory::new()).await)
            .await
            .expect("registered");
    }
    let new = coordinator
        .get_agent("same")
        .await
        .expect("answered")
        .expect("found");
    assert_eq!(new.get_type().await.expect("type"), "Adaptive");
    assert_eq!(old.get_type().await.expect("type"), "Foreign");
    assert_eq!(
        coordinator
            .get_coordination_stats()
            .await
            .expect("stats")
            .total_agents,
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn agents_register_from_many_threads_at_once() {
    let coordinator = Arc::new(DAACoordinator::new());
    let tasks: Vec<_> = (0..8)
        .map(|group| {
            let coordinator = Arc::clone(&coordinator);
            tokio::spawn(async move {
                for index in 0..20 {
                    let id = format!("{group}-{index}");
                    coordinator
                        .register_agent(Box::new(Foreign::new(&id)))
                        .await
                        .expect("registered");
                    let found = coordinator
                        .get_agent(&id)
                        .await
                        .expect("answered")
                        .expect("found");
                    assert_eq!(found.id(), id);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("finishes");
    }
    assert_eq!(
        coordinator
            .get_coordination_stats()
            .await
            .expect("stats")
            .total_agents,
        160
    );
}
