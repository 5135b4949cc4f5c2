//! The types of `patterns`, field by field and variant by variant.

use super::pin;
use ruv_swarm_daa::CognitivePattern;
use ruv_swarm_daa::chrono::{DateTime, Utc};
use ruv_swarm_daa::patterns::{CognitivePatternDefinition, PatternEvolution, PatternManager};
use std::collections::HashMap;

#[test]
fn patterns_types_are_the_older_ones() {
    pin(|v: PatternManager| {
        let PatternManager {
            available_patterns,
            pattern_effectiveness,
            evolution_history,
        } = v;
        let _: (
            Vec<CognitivePatternDefinition>,
            HashMap<String, f64>,
            Vec<PatternEvolution>,
        ) = (available_patterns, pattern_effectiveness, evolution_history);
    });
    pin(|v: CognitivePatternDefinition| {
        let CognitivePatternDefinition {
            pattern,
            description,
            strengths,
            weaknesses,
            optimal_domains,
            parameters,
        } = v;
        let _: (
            CognitivePattern,
            String,
            Vec<String>,
            Vec<String>,
            Vec<String>,
            HashMap<String, f64>,
        ) = (
            pattern,
            description,
            strengths,
            weaknesses,
            optimal_domains,
            parameters,
        );
    });
    pin(|v: PatternEvolution| {
        let PatternEvolution {
            timestamp,
            agent_id,
            from_pattern,
            to_pattern,
            trigger,
            success_rate,
        } = v;
        let _: (
            DateTime<Utc>,
            String,
            CognitivePattern,
            CognitivePattern,
            String,
            f64,
        ) = (
            timestamp,
            agent_id,
            from_pattern,
            to_pattern,
            trigger,
            success_rate,
        );
    });
}
