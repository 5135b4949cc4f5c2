//! The crate from outside: its surface, the documents' examples, and tests that a fake would fail.

#![expect(
    clippy::type_complexity,
    clippy::too_many_lines,
    reason = "the surface tests list whole modules, type by type"
)]

mod agents;
mod coordinator;
mod gpu;
mod gpu_memory;
mod learning;
#[cfg(feature = "coordination")]
mod leases;
mod networks;
mod seed;
mod surface_adaptation;
mod surface_agent;
mod surface_coordination;
mod surface_learning;
mod surface_memory;
mod surface_neural;
mod surface_patterns;
mod surface_resources;
mod surface_root;
mod surface_telemetry;
mod surface_traits;
mod surface_types;
mod trait_methods;

use ruv_swarm_daa::{Experience, Feedback, HashMap, Knowledge, Priority, Task, TaskResult, chrono};
use serde_json::{Value, json};

/// The closure compiles only if the type has exactly the fields or variants it names.
fn pin<T>(_: impl Fn(T)) {}

fn task(id: &str, context: Value) -> Task {
    Task {
        id: id.to_string(),
        description: "test task".to_string(),
        requirements: vec![],
        priority: Priority::Medium,
        deadline: None,
        context: serde_json::from_value(context).expect("an object"),
    }
}

/// A task that succeeds.
fn sum(id: &str) -> Task {
    task(
        id,
        json!({ "operation": "sum", "values": [1, 2, 3], "expected": 6 }),
    )
}

/// A task that is done and fails.
fn wrong_sum(id: &str) -> Task {
    task(
        id,
        json!({ "operation": "sum", "values": [1, 2, 3], "expected": 7 }),
    )
}

fn feedback(score: f64, suggestions: &[&str]) -> Feedback {
    Feedback {
        source: "test".to_string(),
        task_id: "t".to_string(),
        performance_score: score,
        suggestions: suggestions.iter().map(ToString::to_string).collect(),
        context: HashMap::new(),
        timestamp: chrono::Utc::now(),
    }
}

fn experience(domain: &str, success: bool) -> Experience {
    Experience {
        task: task("t", json!({ "domain": domain })),
        result: TaskResult {
            task_id: "t".to_string(),
            success,
            output: json!({ "result": 1 }),
            performance_metrics: HashMap::new(),
            learned_patterns: vec![],
            execution_time_ms: 1_800_000,
        },
        feedback: None,
        context: HashMap::new(),
    }
}

fn knowledge(id: &str, source: &str) -> Knowledge {
    Knowledge {
        id: id.to_string(),
        domain: "tests".to_string(),
        content: json!({ "fact": id }),
        confidence: 0.9,
        source_agent: source.to_string(),
        created_at: chrono::Utc::now(),
    }
}
