//! The state of the learning engine, and how experiences and events change it.

use super::records::{
    AdaptationStrategy, DomainLearningModel, GlobalKnowledgeBase, LearningPattern, LearningPatternType,
    MetaLearningState, SharedExperience,
};
use super::strategy::{Applied, default_strategies};
use crate::coordination::CoordinationEvent;
use crate::error::{DAAError, DAAResult};
use crate::records::Experience;
use crate::time;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// The domain that coordination events are learned in.
const COORDINATION: &str = "coordination";
/// Proficiency before the first outcome.
const FIRST_SCORE: f64 = 0.5;
/// How far one outcome moves a score.
pub(super) const STEP: f64 = 0.1;
/// Most pairs of agent and domain.
const MAX_MODELS: usize = 10_000;
/// Most kinds of task and patterns per model.
const MAX_KINDS: usize = 10_000;

/// Agent and domain.
pub(super) type Key = (String, String);

/// Learns from the experiences of several agents.
#[derive(Debug)]
pub struct LearningEngine {
    pub(super) models: BTreeMap<Key, DomainLearningModel>,
    pub(super) knowledge: GlobalKnowledgeBase,
    pub(super) strategies: Vec<AdaptationStrategy>,
    pub(super) meta: MetaLearningState,
    pub(super) applied: BTreeMap<Key, Applied>,
    /// Sum and number of measured task times in milliseconds.
    pub(super) times: BTreeMap<Key, (f64, u32)>,
}

impl Default for LearningEngine {
    fn default() -> Self {
        Self::new()
    }
}

pub(super) fn key(agent: &str, domain: &str) -> Key {
    (agent.to_owned(), domain.to_owned())
}

impl LearningEngine {
    /// An engine that has learned nothing and knows three strategies.
    #[must_use]
    pub fn new() -> Self {
        Self {
            models: BTreeMap::new(),
            knowledge: GlobalKnowledgeBase::new(),
            strategies: default_strategies(),
            meta: MetaLearningState::new(),
            applied: BTreeMap::new(),
            times: BTreeMap::new(),
        }
    }

    /// Writes down the settings that adaptation starts from, and how well adaptations worked so far.
    ///
    /// # Errors
    /// None today; the older signature returns a result.
    pub async fn initialize_meta_learning(&mut self) -> DAAResult<()> {
        for strategy in &self.strategies {
            let settings = strategy.parameters.iter();
            self.meta
                .meta_parameters
                .extend(settings.map(|(name, value)| (format!("{}/{name}", strategy.name), *value)));
        }
        self.update_meta_progress();
        Ok(())
    }

    /// Learns from every event: each participant's score for that kind of event follows the outcome.
    ///
    /// # Errors
    /// [`DAAError::LearningError`] above 10 000 pairs of agent and domain.
    pub async fn adapt_from_events(&mut self, events: &[CoordinationEvent]) -> DAAResult<()> {
        for event in events {
            let kind = format!("{:?}", event.event_type);
            for participant in &event.participants {
                let model = self.model_mut(participant, COORDINATION)?;
                if let Some(score) = score_of(&event.outcome) {
                    note_outcome(model, &kind, score);
                    note_pattern(model, LearningPatternType::Collaborative, &kind, score);
                }
                model.last_updated = time::now();
            }
        }
        Ok(())
    }

    /// The number of distinct patterns seen, over all agents and domains.
    ///
    /// # Errors
    /// None today; the older signature returns a result.
    pub async fn get_patterns_count(&self) -> DAAResult<usize> {
        Ok(self
            .models
            .values()
            .map(|model| model.learning_patterns.len())
            .sum())
    }

    /// Learns from one experience of `agent_id`: the score for the task's description starts at 0.5 and moves by a
    /// tenth of its distance to 1 (success) or 0.
    ///
    /// # Errors
    /// [`DAAError::LearningError`] above 10 000 pairs of agent and domain.
    pub async fn add_learning_experience(
        &mut self,
        agent_id: &str,
        domain: &str,
        experience: &Experience,
    ) -> DAAResult<()> {
        let success = experience.result.success;
        let kind = &experience.task.description;
        let model = self.model_mut(agent_id, domain)?;
        note_outcome(model, kind, f64::from(u8::from(success)));
        if success {
            let accuracy = experience.result.performance_metrics.get("accuracy").copied();
            let measured = accuracy.filter(|accuracy| accuracy.is_finite()).unwrap_or(1.0);
            note_pattern(model, LearningPatternType::Incremental, kind, measured);
        }
        model.last_updated = time::now();
        let (sum, count) = self.times.entry(key(agent_id, domain)).or_default();
        *sum += experience.result.execution_time_ms as f64;
        *count = count.saturating_add(1);
        let shared = SharedExperience {
            experience: experience.clone(),
            sharing_agent: agent_id.to_owned(),
            receiving_agents: Vec::new(),
            effectiveness_scores: HashMap::new(),
            shared_at: time::now(),
        };
        self.knowledge.add_shared_experience(shared).await
    }

    /// What `agent` has learned in `domain`.
    #[must_use]
    pub fn model(&self, agent: &str, domain: &str) -> Option<&DomainLearningModel> {
        self.models.get(&key(agent, domain))
    }

    /// What was learned about learning.
    #[must_use]
    pub fn meta_learning_state(&self) -> &MetaLearningState {
        &self.meta
    }

    /// The strategies with their measured success.
    #[must_use]
    pub fn strategies(&self) -> &[AdaptationStrategy] {
        &self.strategies
    }

    /// What all agents know together.
    #[must_use]
    pub fn global_knowledge(&self) -> &GlobalKnowledgeBase {
        &self.knowledge
    }

    pub(super) fn model_mut(&mut self, agent: &str, domain: &str) -> DAAResult<&mut DomainLearningModel> {
        let key = key(agent, domain);
        if self.models.len() >= MAX_MODELS && !self.models.contains_key(&key) {
            return Err(DAAError::learning(format!(
                "{MAX_MODELS} pairs of agent and domain are known, no more are allowed"
            )));
        }
        Ok(self
            .models
            .entry(key)
            .or_insert_with(|| DomainLearningModel::new(domain.to_owned())))
    }

    /// The share of judged adaptations after which the metrics were better.
    pub(super) fn update_meta_progress(&mut self) {
        let outcomes: Vec<f64> = self
            .strategies
            .iter()
            .flat_map(|strategy| strategy.usage_history.iter().map(|usage| usage.outcome_score))
            .collect();
        self.meta.learning_to_learn_progress = outcomes.iter().sum::<f64>() / outcomes.len().max(1) as f64;
    }
}

/// How well an event went, 0 to 1, if its outcome says so.
fn score_of(outcome: &Value) -> Option<f64> {
    let success = outcome
        .get("success")
        .and_then(Value::as_bool)
        .map(|success| f64::from(u8::from(success)));
    let score = outcome
        .get("score")
        .and_then(Value::as_f64)
        .map(|score| score.clamp(0.0, 1.0));
    success.or(score)
}

fn note_outcome(model: &mut DomainLearningModel, kind: &str, outcome: f64) {
    let known = model.proficiency_scores.get(kind).copied();
    if known.is_none() && model.proficiency_scores.len() >= MAX_KINDS {
        return;
    }
    let score = known.unwrap_or(FIRST_SCORE);
    model
        .proficiency_scores
        .insert(kind.to_owned(), score + STEP * (outcome - score));
}

/// Counts a pattern; its effectiveness is the mean of what was measured.
fn note_pattern(model: &mut DomainLearningModel, kind: LearningPatternType, seen_in: &str, measured: f64) {
    let same = |pattern: &&mut LearningPattern| {
        std::mem::discriminant(&pattern.pattern_type) == std::mem::discriminant(&kind)
            && pattern
                .applicability_domains
                .iter()
                .any(|domain| domain == seen_in)
    };
    if let Some(pattern) = model.learning_patterns.iter_mut().find(same) {
        let count = f64::from(pattern.usage_count);
        pattern.effectiveness = (pattern.effectiveness * count + measured) / (count + 1.0);
        pattern.usage_count = pattern.usage_count.saturating_add(1);
    } else if model.learning_patterns.len() < MAX_KINDS {
        model.learning_patterns.push(LearningPattern {
            id: uuid::Uuid::new_v4().to_string(),
            pattern_type: kind,
            effectiveness: measured,
            applicability_domains: vec![seen_in.to_owned()],
            usage_count: 1,
            discovered_at: time::now(),
        });
    }
}
