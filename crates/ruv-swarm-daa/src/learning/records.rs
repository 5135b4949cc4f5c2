//! What the learning engine keeps and answers.

use crate::agent::KnowledgeItem;
use crate::records::{Experience, Priority};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;

/// What one agent has learned in one domain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DomainLearningModel {
    /// The domain.
    pub domain: String,
    /// Score per kind of task, 0 to 1.
    pub proficiency_scores: HashMap<String, f64>,
    /// Patterns seen.
    pub learning_patterns: Vec<LearningPattern>,
    /// What is known.
    pub knowledge_items: Vec<KnowledgeItem>,
    /// Adaptations so far, oldest first.
    pub adaptation_history: Vec<AdaptationRecord>,
    /// When it last changed.
    pub last_updated: DateTime<Utc>,
}

/// What all agents know together.
#[derive(Debug)]
pub struct GlobalKnowledgeBase {
    /// Related concepts of each concept.
    pub knowledge_graph: HashMap<String, Vec<String>>,
    /// Weight of each concept.
    pub concept_weights: HashMap<String, f64>,
    /// Domains that share knowledge.
    pub cross_domain_mappings: HashMap<String, Vec<String>>,
    /// Shared experiences, oldest first, at most 10 000.
    pub shared_experiences: Vec<SharedExperience>,
}

/// A way of learning that was seen to work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LearningPattern {
    /// Identifier.
    pub id: String,
    /// Kind.
    pub pattern_type: LearningPatternType,
    /// Mean measured outcome, 0 to 1.
    pub effectiveness: f64,
    /// Kinds of task it was seen in.
    pub applicability_domains: Vec<String>,
    /// How often it was seen.
    pub usage_count: u32,
    /// When it was first seen.
    pub discovered_at: DateTime<Utc>,
}

/// Kinds of learning.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum LearningPatternType {
    /// From one example after another.
    Incremental,
    /// From another domain.
    Transfer,
    /// From learning itself.
    MetaLearning,
    /// From feedback.
    Reinforcement,
    /// From peers.
    Collaborative,
    /// From data without labels.
    SelfSupervised,
}

/// A way to react to measured performance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AdaptationStrategy {
    /// Name.
    pub name: String,
    /// Kind.
    pub strategy_type: AdaptationStrategyType,
    /// Measured success per domain, 0 to 1.
    pub effectiveness_scores: HashMap<String, f64>,
    /// Settings by name.
    pub parameters: HashMap<String, f64>,
    /// Uses, oldest first.
    pub usage_history: Vec<StrategyUsage>,
}

/// Kinds of strategies.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum AdaptationStrategyType {
    /// Change the learning rate.
    AdaptiveLearningRate,
    /// Explore more.
    CognitivePatternSwitch,
    /// Take over what another domain taught.
    KnowledgeTransfer,
    /// Combine several learners.
    EnsembleLearning,
    /// Ask for the most informative examples.
    ActiveLearning,
}

/// One adaptation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AdaptationRecord {
    /// When it happened.
    pub timestamp: DateTime<Utc>,
    /// What caused it.
    pub trigger_event: String,
    /// The strategy's name.
    pub strategy_applied: String,
    /// Metrics before.
    pub before_metrics: HashMap<String, f64>,
    /// Metrics after.
    pub after_metrics: HashMap<String, f64>,
    /// Measured change of the mean metric since the adaptation before.
    pub success_score: f64,
}

/// One use of a strategy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StrategyUsage {
    /// When it was used.
    pub timestamp: DateTime<Utc>,
    /// In which domain.
    pub domain: String,
    /// Further facts by name.
    pub context: HashMap<String, Value>,
    /// Measured outcome, 0 or 1.
    pub outcome_score: f64,
}

/// What was learned about learning.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MetaLearningState {
    /// Settings by name.
    pub meta_parameters: HashMap<String, f64>,
    /// Models for fast starts, by domain.
    pub rapid_adaptation_models: HashMap<String, RapidAdaptationModel>,
    /// Domains that learned from each domain.
    pub transfer_learning_mappings: HashMap<String, Vec<String>>,
    /// Share of adaptations followed by better metrics, 0 to 1.
    pub learning_to_learn_progress: f64,
}

/// A starting point for new domains.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RapidAdaptationModel {
    /// The domain it comes from.
    pub base_domain: String,
    /// The domains it was used in.
    pub target_domains: Vec<String>,
    /// Settings by name.
    pub adaptation_parameters: HashMap<String, f64>,
    /// Examples it starts from.
    pub few_shot_examples: Vec<Experience>,
    /// Measured values by name.
    pub performance_metrics: HashMap<String, f64>,
}

/// An experience that was passed on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SharedExperience {
    /// The experience.
    pub experience: Experience,
    /// Who shared it.
    pub sharing_agent: String,
    /// Who received it.
    pub receiving_agents: Vec<String>,
    /// Measured use per receiver.
    pub effectiveness_scores: HashMap<String, f64>,
    /// When it was shared.
    pub shared_at: DateTime<Utc>,
}

/// Advice on what to learn next.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LearningRecommendation {
    /// Kind.
    pub recommendation_type: RecommendationType,
    /// Urgency.
    pub priority: Priority,
    /// The advice in words.
    pub description: String,
    /// Expected gain in proficiency, 0 to 1.
    pub estimated_improvement: f64,
    /// Expected time in hours, from measured task times, and 0 where none was measured.
    pub estimated_time_hours: f64,
}

/// Kinds of advice.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum RecommendationType {
    /// Do more tasks of this kind.
    IncreaseTraining,
    /// Take over knowledge of another domain.
    TransferLearning,
    /// Improve how learning adapts.
    MetaLearning,
    /// Learn with others.
    CollaborativeLearning,
    /// Change the strategy.
    StrategyAdjustment,
}

/// A domain worth learning from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TransferOpportunity {
    /// Where the knowledge is.
    pub source_domain: String,
    /// Where it is wanted.
    pub target_domain: String,
    /// Share of the task's words known there, 0 to 1.
    pub similarity_score: f64,
    /// Expected gain in proficiency, 0 to 1.
    pub expected_improvement: f64,
}

/// A peer worth learning from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KnowledgeSharingOpportunity {
    /// The peer.
    pub source_agent: String,
    /// The domain.
    pub domain: String,
    /// The peer's mean score, 0 to 1.
    pub knowledge_quality: f64,
    /// Share of kinds of task both agents know, 0 to 1.
    pub compatibility_score: f64,
    /// 0.3 times the quality.
    pub estimated_benefit: f64,
}

/// What an adaptation did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AdaptationResult {
    /// The strategy's name.
    pub strategy_applied: String,
    /// The given metrics, with the settings that were changed.
    pub updated_metrics: HashMap<String, f64>,
    /// Measured change of the mean metric since the adaptation before, 0 for the first.
    pub improvement_score: f64,
    /// Whether the strategy changed anything.
    pub success: bool,
}

impl DomainLearningModel {
    /// A model of `domain` in which nothing is learned yet.
    #[must_use]
    pub fn new(domain: String) -> Self {
        Self {
            domain,
            proficiency_scores: HashMap::new(),
            learning_patterns: Vec::new(),
            knowledge_items: Vec::new(),
            adaptation_history: Vec::new(),
            last_updated: crate::time::now(),
        }
    }
}

impl Default for MetaLearningState {
    fn default() -> Self {
        Self::new()
    }
}

impl MetaLearningState {
    /// A state in which nothing is learned yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            meta_parameters: HashMap::new(),
            rapid_adaptation_models: HashMap::new(),
            transfer_learning_mappings: HashMap::new(),
            learning_to_learn_progress: 0.0,
        }
    }
}

impl Default for GlobalKnowledgeBase {
    fn default() -> Self {
        Self::new()
    }
}

/// Most experiences that a [`GlobalKnowledgeBase`] keeps; the oldest goes first.
const MAX_SHARED_EXPERIENCES: usize = 10_000;

impl GlobalKnowledgeBase {
    /// A base in which nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            knowledge_graph: HashMap::new(),
            concept_weights: HashMap::new(),
            cross_domain_mappings: HashMap::new(),
            shared_experiences: Vec::new(),
        }
    }

    /// Stores `experience`; above 10 000 the oldest is dropped.
    ///
    /// # Errors
    /// None today; the older signature returns a result.
    pub async fn add_shared_experience(&mut self, experience: SharedExperience) -> crate::DAAResult<()> {
        self.shared_experiences.push(experience);
        let excess = self
            .shared_experiences
            .len()
            .saturating_sub(MAX_SHARED_EXPERIENCES);
        self.shared_experiences.drain(..excess);
        Ok(())
    }
}
