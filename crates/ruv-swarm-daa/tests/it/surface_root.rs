//! The types of the crate root, field by field and variant by variant.

use super::pin;
use ruv_swarm_daa::chrono::{DateTime, Utc};
use ruv_swarm_daa::{
    AgentMetrics, CognitivePattern, CoordinationResult, CoordinationStats, Domain, Experience, Feedback,
    Knowledge, LearningProgress, NeuralConfig, Priority, Task, TaskResult, TrainingData, TrainingResult,
};
use serde_json::Value;
use std::collections::HashMap;

#[test]
fn root_types_are_the_older_ones() {
    pin(|v: CognitivePattern| match v {
        CognitivePattern::Convergent => (),
        CognitivePattern::Divergent => (),
        CognitivePattern::Lateral => (),
        CognitivePattern::Systems => (),
        CognitivePattern::Critical => (),
        CognitivePattern::Adaptive => (),
    });
    pin(|v: Feedback| {
        let Feedback {
            source,
            task_id,
            performance_score,
            suggestions,
            context,
            timestamp,
        } = v;
        let _: (
            String,
            String,
            f64,
            Vec<String>,
            HashMap<String, Value>,
            DateTime<Utc>,
        ) = (
            source,
            task_id,
            performance_score,
            suggestions,
            context,
            timestamp,
        );
    });
    pin(|v: Task| {
        let Task {
            id,
            description,
            requirements,
            priority,
            deadline,
            context,
        } = v;
        let _: (
            String,
            String,
            Vec<String>,
            Priority,
            Option<DateTime<Utc>>,
            HashMap<String, Value>,
        ) = (id, description, requirements, priority, deadline, context);
    });
    pin(|v: TaskResult| {
        let TaskResult {
            task_id,
            success,
            output,
            performance_metrics,
            learned_patterns,
            execution_time_ms,
        } = v;
        let _: (String, bool, Value, HashMap<String, f64>, Vec<String>, u64) = (
            task_id,
            success,
            output,
            performance_metrics,
            learned_patterns,
            execution_time_ms,
        );
    });
    pin(|v: CoordinationResult| {
        let CoordinationResult {
            success,
            coordinated_agents,
            shared_knowledge,
            consensus_reached,
            coordination_time_ms,
        } = v;
        let _: (bool, Vec<String>, Vec<Knowledge>, bool, u64) = (
            success,
            coordinated_agents,
            shared_knowledge,
            consensus_reached,
            coordination_time_ms,
        );
    });
    pin(|v: Knowledge| {
        let Knowledge {
            id,
            domain,
            content,
            confidence,
            source_agent,
            created_at,
        } = v;
        let _: (String, String, Value, f64, String, DateTime<Utc>) =
            (id, domain, content, confidence, source_agent, created_at);
    });
    pin(|v: Experience| {
        let Experience {
            task,
            result,
            feedback,
            context,
        } = v;
        let _: (Task, TaskResult, Option<Feedback>, HashMap<String, Value>) =
            (task, result, feedback, context);
    });
    pin(|v: Domain| {
        let Domain {
            name,
            characteristics,
            required_capabilities,
            learning_objectives,
        } = v;
        let _: (String, HashMap<String, Value>, Vec<String>, Vec<String>) =
            (name, characteristics, required_capabilities, learning_objectives);
    });
    pin(|v: LearningProgress| {
        let LearningProgress {
            agent_id,
            domain,
            proficiency,
            tasks_completed,
            knowledge_gained,
            adaptation_rate,
            last_updated,
        } = v;
        let _: (String, String, f64, u32, u32, f64, DateTime<Utc>) = (
            agent_id,
            domain,
            proficiency,
            tasks_completed,
            knowledge_gained,
            adaptation_rate,
            last_updated,
        );
    });
    pin(|v: NeuralConfig| {
        let NeuralConfig {
            network_type,
            layers,
            activation,
            learning_rate,
            optimizer,
            use_simd,
        } = v;
        let _: (String, Vec<u32>, String, f64, String, bool) = (
            network_type,
            layers,
            activation,
            learning_rate,
            optimizer,
            use_simd,
        );
    });
    pin(|v: TrainingData| {
        let TrainingData {
            inputs,
            targets,
            metadata,
        } = v;
        let _: (Vec<Vec<f32>>, Vec<Vec<f32>>, HashMap<String, Value>) = (inputs, targets, metadata);
    });
    pin(|v: TrainingResult| {
        let TrainingResult {
            network_id,
            epochs_completed,
            final_loss,
            accuracy,
            training_time_ms,
            convergence_achieved,
        } = v;
        let _: (String, u32, f64, f64, u64, bool) = (
            network_id,
            epochs_completed,
            final_loss,
            accuracy,
            training_time_ms,
            convergence_achieved,
        );
    });
    pin(|v: AgentMetrics| {
        let AgentMetrics {
            agent_id,
            tasks_completed,
            success_rate,
            average_response_time_ms,
            learning_efficiency,
            coordination_score,
            memory_usage_mb,
            last_updated,
        } = v;
        let _: (String, u32, f64, f64, f64, f64, f64, DateTime<Utc>) = (
            agent_id,
            tasks_completed,
            success_rate,
            average_response_time_ms,
            learning_efficiency,
            coordination_score,
            memory_usage_mb,
            last_updated,
        );
    });
    pin(|v: Priority| match v {
        Priority::Low => (),
        Priority::Medium => (),
        Priority::High => (),
        Priority::Critical => (),
    });
    pin(|v: CoordinationStats| {
        let CoordinationStats {
            total_agents,
            active_tasks,
            coordination_efficiency,
            knowledge_sharing_events,
            last_updated,
        } = v;
        let _: (u32, u32, f64, u32, DateTime<Utc>) = (
            total_agents,
            active_tasks,
            coordination_efficiency,
            knowledge_sharing_events,
            last_updated,
        );
    });
}
