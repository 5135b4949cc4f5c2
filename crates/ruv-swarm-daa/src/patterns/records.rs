//! Cognitive patterns as they are described and tracked.

use crate::records::CognitivePattern;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What is known about cognitive patterns.
#[derive(Debug)]
pub struct PatternManager {
    /// The patterns described.
    pub available_patterns: Vec<CognitivePatternDefinition>,
    /// Measured effectiveness by pattern.
    pub pattern_effectiveness: HashMap<String, f64>,
    /// Changes of pattern, oldest first.
    pub evolution_history: Vec<PatternEvolution>,
}

/// One pattern, described.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CognitivePatternDefinition {
    /// The pattern.
    pub pattern: CognitivePattern,
    /// What it is.
    pub description: String,
    /// What it is good at.
    pub strengths: Vec<String>,
    /// What it is bad at.
    pub weaknesses: Vec<String>,
    /// Where it fits.
    pub optimal_domains: Vec<String>,
    /// Settings by name, 0 to 1.
    pub parameters: HashMap<String, f64>,
}

/// One change of pattern.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PatternEvolution {
    /// When it happened.
    pub timestamp: DateTime<Utc>,
    /// The agent.
    pub agent_id: String,
    /// The pattern before.
    pub from_pattern: CognitivePattern,
    /// The pattern after.
    pub to_pattern: CognitivePattern,
    /// What caused it.
    pub trigger: String,
    /// The score that caused it.
    pub success_rate: f64,
}
