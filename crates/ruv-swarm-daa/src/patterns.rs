//! Cognitive patterns, described.

mod records;

use crate::records::CognitivePattern;
use std::collections::HashMap;

pub use records::{CognitivePatternDefinition, PatternEvolution, PatternManager};

impl Default for PatternManager {
    fn default() -> Self {
        Self::new()
    }
}

impl PatternManager {
    /// The two patterns that have a description, Convergent and Divergent; nothing measured yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            available_patterns: vec![convergent(), divergent()],
            pattern_effectiveness: HashMap::new(),
            evolution_history: Vec::new(),
        }
    }
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

fn convergent() -> CognitivePatternDefinition {
    CognitivePatternDefinition {
        pattern: CognitivePattern::Convergent,
        description: "Narrows the search down around the best solution found so far".to_owned(),
        strengths: texts(["Few evaluations", "High precision"]),
        weaknesses: texts(["Stays in the first valley it finds"]),
        optimal_domains: texts(["optimization", "debugging"]),
        parameters: HashMap::from([
            ("focus_intensity".to_owned(), 0.9),
            ("exploration_rate".to_owned(), 0.1),
        ]),
    }
}

fn divergent() -> CognitivePatternDefinition {
    CognitivePatternDefinition {
        pattern: CognitivePattern::Divergent,
        description: "Spreads its attempts evenly over everything that is possible".to_owned(),
        strengths: texts(["Finds every wide valley", "Needs no starting point"]),
        weaknesses: texts(["Low precision for many evaluations"]),
        optimal_domains: texts(["research", "design"]),
        parameters: HashMap::from([
            ("creativity_factor".to_owned(), 0.8),
            ("exploration_breadth".to_owned(), 0.9),
        ]),
    }
}
