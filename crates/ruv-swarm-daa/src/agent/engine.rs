//! What an agent learns from its own experiences.

use super::{AdaptationEvent, KnowledgeItem, LearningModel};
use crate::error::{DAAError, DAAResult};
use crate::records::{Experience, TaskResult};
use crate::store::{BoundedLog, json_bytes};
use crate::time;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The domain of experiences that name none.
const GENERAL: &str = "general";
/// Most domains an agent learns in.
const MAX_DOMAINS: usize = 1_000;
/// Most kinds of task and pieces of knowledge per domain.
const MAX_ITEMS: usize = 1_000;
/// Most adaptations remembered; the oldest goes first.
const MAX_ADAPTATIONS: usize = 10_000;
/// Knowledge must be surer than this to be transferred.
const TRANSFER_ABOVE: f64 = 0.7;
/// How much of its confidence knowledge keeps in another domain.
const TRANSFER_KEEPS: f64 = 0.8;

/// Experiences, what was learned from them per domain, and the adaptations they led to.
#[derive(Debug)]
pub struct AgentLearningEngine {
    experiences: BoundedLog<Experience>,
    models: BTreeMap<String, LearningModel>,
    /// Tries and successes by domain and kind of task.
    tally: BTreeMap<(String, String), (u32, u32)>,
    adaptations: Vec<AdaptationEvent>,
    domain: Option<String>,
    session: Option<DateTime<Utc>>,
    learning_rate: f64,
}

impl Default for AgentLearningEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl AgentLearningEngine {
    /// An engine that has learned nothing, with the default configuration's bounds.
    #[must_use]
    pub fn new() -> Self {
        Self::unchecked(10_000, usize::MAX, 0.001)
    }

    fn unchecked(max_experiences: usize, max_bytes: usize, learning_rate: f64) -> Self {
        Self {
            experiences: BoundedLog::new(max_experiences, max_bytes),
            models: BTreeMap::new(),
            tally: BTreeMap::new(),
            adaptations: Vec::new(),
            domain: None,
            session: None,
            learning_rate,
        }
    }

    pub(crate) fn bounded(max_experiences: usize, max_bytes: usize, learning_rate: f64) -> DAAResult<Self> {
        if learning_rate > 0.0 && learning_rate <= 1.0 {
            Ok(Self::unchecked(max_experiences, max_bytes, learning_rate))
        } else {
            Err(DAAError::config(format!(
                "the learning rate is {learning_rate}, allowed is above 0 and at most 1"
            )))
        }
    }

    /// Begins a session.
    ///
    /// # Errors
    /// None today; the older signature returns a result.
    pub async fn start_learning_session(&mut self) -> DAAResult<()> {
        self.begin(time::now());
        Ok(())
    }

    /// Ends the session, if there is one.
    ///
    /// # Errors
    /// None today; the older signature returns a result.
    pub async fn end_learning_session(&mut self) -> DAAResult<()> {
        self.end();
        Ok(())
    }

    /// Stores an experience; above the bound the oldest is dropped.
    ///
    /// # Errors
    /// [`DAAError::MemoryError`] for one that is larger than the whole memory.
    pub async fn add_experience(&mut self, experience: Experience) -> DAAResult<()> {
        self.store(experience)
    }

    /// Moves the proficiency of the experience's domain by the learning rate, and keeps what succeeded as knowledge.
    ///
    /// # Errors
    /// [`DAAError::LearningError`] above 1000 domains.
    pub async fn update_learning_models(&mut self, experience: &Experience) -> DAAResult<()> {
        self.update(experience, time::now())
    }

    /// Since when a session runs.
    #[must_use]
    pub fn session(&self) -> Option<DateTime<Utc>> {
        self.session
    }

    /// The experiences kept.
    #[must_use]
    pub fn experience_count(&self) -> usize {
        self.experiences.len()
    }

    /// What was learned in `domain`.
    #[must_use]
    pub fn model(&self, domain: &str) -> Option<&LearningModel> {
        self.models.get(domain)
    }

    /// The adaptations kept, oldest first.
    #[must_use]
    pub fn adaptations(&self) -> &[AdaptationEvent] {
        &self.adaptations
    }

    pub(crate) fn models(&self) -> impl Iterator<Item = &LearningModel> {
        self.models.values()
    }

    pub(crate) fn domain(&self) -> &str {
        self.domain.as_deref().unwrap_or(GENERAL)
    }

    pub(crate) fn begin(&mut self, now: DateTime<Utc>) {
        self.session = Some(now);
    }

    pub(crate) fn end(&mut self) {
        self.session = None;
    }

    pub(crate) fn absorb(&mut self, experience: Experience, now: DateTime<Utc>) -> DAAResult<()> {
        self.update(&experience, now)?;
        self.store(experience)
    }

    fn store(&mut self, experience: Experience) -> DAAResult<()> {
        self.experiences.push(experience).map_err(|refused| {
            DAAError::memory(format!(
                "an experience has {} bytes, the agent may keep {}",
                refused.size, refused.limit
            ))
        })
    }

    fn update(&mut self, experience: &Experience, now: DateTime<Utc>) -> DAAResult<()> {
        let domain = self.domain_of(experience);
        let rate = self.learning_rate;
        let outcome = f64::from(u8::from(experience.result.success));
        let kind = experience.task.description.clone();
        let model = self.model_mut(&domain, now)?;
        model.proficiency += rate * (outcome - model.proficiency);
        model.last_updated = now;
        for pattern in &experience.result.learned_patterns {
            if !model.learning_patterns.contains(pattern) && model.learning_patterns.len() < MAX_ITEMS {
                model.learning_patterns.push(pattern.clone());
            }
        }
        let known = model.knowledge_base.len();
        let key = (domain.clone(), kind.clone());
        if known >= MAX_ITEMS && !self.tally.contains_key(&key) {
            return Ok(());
        }
        let (tries, successes) = self.tally.entry(key).or_default();
        *tries = tries.saturating_add(1);
        *successes = successes.saturating_add(u32::from(experience.result.success));
        // The rule of succession: what was never tried is worth one half.
        let confidence = (f64::from(*successes) + 1.0) / (f64::from(*tries) + 2.0);
        if *successes > 0 {
            self.remember(&domain, &kind, &experience.result, confidence, now);
        }
        Ok(())
    }

    /// Keeps one piece of knowledge per kind of task: the latest output that succeeded.
    fn remember(
        &mut self,
        domain: &str,
        kind: &str,
        result: &TaskResult,
        confidence: f64,
        now: DateTime<Utc>,
    ) {
        let Some(model) = self.models.get_mut(domain) else {
            return;
        };
        let source = format!("task:{kind}");
        let content = json!({ "task": kind, "result": result.output.get("result").unwrap_or(&Value::Null) });
        if let Some(item) = model.knowledge_base.iter_mut().find(|item| item.source == source) {
            item.confidence = confidence;
            if result.success {
                item.content = content;
            }
        } else {
            model
                .knowledge_base
                .push(knowledge(content, confidence, source, now));
        }
    }

    fn domain_of(&self, experience: &Experience) -> String {
        let named = [&experience.context, &experience.task.context]
            .into_iter()
            .find_map(|context| context.get("domain").and_then(Value::as_str));
        named.unwrap_or_else(|| self.domain()).to_owned()
    }

    fn model_mut(&mut self, domain: &str, now: DateTime<Utc>) -> DAAResult<&mut LearningModel> {
        if self.models.len() >= MAX_DOMAINS && !self.models.contains_key(domain) {
            return Err(DAAError::learning(format!(
                "{MAX_DOMAINS} domains are known, no more are allowed"
            )));
        }
        Ok(self
            .models
            .entry(domain.to_owned())
            .or_insert_with(|| LearningModel {
                domain: domain.to_owned(),
                proficiency: 0.0,
                knowledge_base: Vec::new(),
                learning_patterns: Vec::new(),
                last_updated: now,
            }))
    }

    pub(crate) fn enter_domain(&mut self, domain: &str, now: DateTime<Utc>) -> DAAResult<()> {
        self.model_mut(domain, now)?;
        self.domain = Some(domain.to_owned());
        Ok(())
    }

    pub(crate) fn transfer(&mut self, source: &str, target: &str, now: DateTime<Utc>) -> DAAResult<()> {
        let Some(from) = self.models.get(source) else {
            return Err(DAAError::learning(format!(
                "nothing is known about the domain `{source}`"
            )));
        };
        let label = format!("transfer_from_{source}");
        let sure = from
            .knowledge_base
            .iter()
            .filter(|item| item.confidence > TRANSFER_ABOVE);
        let moved: Vec<KnowledgeItem> = sure
            .map(|item| {
                knowledge(
                    item.content.clone(),
                    item.confidence * TRANSFER_KEEPS,
                    label.clone(),
                    now,
                )
            })
            .collect();
        let into = self.model_mut(target, now)?;
        for item in moved {
            // What came over before is brought up to date, not kept twice.
            let same = |old: &KnowledgeItem| old.source == label && old.content == item.content;
            match into.knowledge_base.iter().position(same) {
                Some(before) => into.knowledge_base[before].confidence = item.confidence,
                None if into.knowledge_base.len() < 2 * MAX_ITEMS => into.knowledge_base.push(item),
                None => break,
            }
        }
        into.last_updated = now;
        Ok(())
    }

    pub(crate) fn note_adaptation(&mut self, event: AdaptationEvent) {
        self.adaptations.push(event);
        let excess = self.adaptations.len().saturating_sub(MAX_ADAPTATIONS);
        self.adaptations.drain(..excess);
    }

    pub(crate) fn mean_adaptation_score(&self) -> Option<f64> {
        let count = self.adaptations.len();
        (count > 0).then(|| {
            self.adaptations
                .iter()
                .map(|event| event.success_rate)
                .sum::<f64>()
                / count as f64
        })
    }

    /// Mean over the domains that were learned in; 0 before the first.
    pub(crate) fn mean_proficiency(&self) -> f64 {
        self.models.values().map(|model| model.proficiency).sum::<f64>() / self.models.len().max(1) as f64
    }

    pub(crate) fn bytes(&self) -> usize {
        self.experiences.bytes() + self.models.values().map(json_bytes).sum::<usize>()
    }
}

fn knowledge(content: Value, confidence: f64, source: String, created_at: DateTime<Utc>) -> KnowledgeItem {
    KnowledgeItem {
        id: uuid::Uuid::new_v4().to_string(),
        content,
        confidence,
        source,
        created_at,
    }
}
