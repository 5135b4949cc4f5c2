//! What an agent should learn next, and from whom.

use super::engine::{LearningEngine, STEP, key};
use super::records::{
    DomainLearningModel, KnowledgeSharingOpportunity, LearningRecommendation, RecommendationType,
    TransferOpportunity,
};
use crate::error::DAAResult;
use crate::records::{Priority, Task};
use std::collections::BTreeSet;

/// Below this proficiency an agent is advised to train, above it a domain is worth transferring from.
const GOOD: f64 = 0.7;
/// Above this mean score a peer is worth learning from.
const WORTH_SHARING: f64 = 0.8;
/// Above this share of adaptations that helped, adapting needs no advice.
const ADAPTS_WELL: f64 = 0.8;
/// Benefit of learning from a peer, per quality.
const BENEFIT: f64 = 0.3;

impl LearningEngine {
    /// Advice for doing `target_task` in `current_domain`.
    ///
    /// # Errors
    /// None today; the older signature returns a result.
    pub async fn get_learning_recommendations(
        &self,
        agent_id: &str,
        current_domain: &str,
        target_task: &Task,
    ) -> DAAResult<Vec<LearningRecommendation>> {
        let proficiency = self
            .model(agent_id, current_domain)
            .and_then(|model| model.proficiency_scores.get(&target_task.description).copied())
            .unwrap_or(0.0);
        let mut advice = Vec::new();
        if proficiency < GOOD {
            let tasks = successes_needed(proficiency, GOOD);
            advice.push(LearningRecommendation {
                recommendation_type: RecommendationType::IncreaseTraining,
                priority: Priority::High,
                description: format!("do {tasks} more tasks of this kind in `{current_domain}`"),
                estimated_improvement: GOOD - proficiency,
                estimated_time_hours: f64::from(tasks) * self.mean_hours(agent_id, current_domain),
            });
        }
        for found in self.transfers(agent_id, current_domain, target_task, proficiency) {
            advice.push(LearningRecommendation {
                recommendation_type: RecommendationType::TransferLearning,
                priority: Priority::Medium,
                description: format!("take over what is known in `{}`", found.source_domain),
                estimated_improvement: found.expected_improvement,
                estimated_time_hours: 0.0,
            });
        }
        let progress = self.meta_learning_state().learning_to_learn_progress;
        if progress < ADAPTS_WELL {
            advice.push(LearningRecommendation {
                recommendation_type: RecommendationType::MetaLearning,
                priority: Priority::Medium,
                description: format!(
                    "adapt more often: {:.0} % of the adaptations helped",
                    progress * 100.0
                ),
                estimated_improvement: ADAPTS_WELL - progress,
                estimated_time_hours: 0.0,
            });
        }
        Ok(advice)
    }

    /// Peers whose mean score in `domain` is above 0.8, the most useful first.
    ///
    /// # Errors
    /// None today; the older signature returns a result.
    pub async fn get_knowledge_sharing_opportunities(
        &self,
        requesting_agent: &str,
        domain: &str,
    ) -> DAAResult<Vec<KnowledgeSharingOpportunity>> {
        let own = self
            .model(requesting_agent, domain)
            .map(kinds)
            .unwrap_or_default();
        let peers = self
            .models
            .iter()
            .filter(|((agent, at), _)| at == domain && agent != requesting_agent);
        let mut found: Vec<KnowledgeSharingOpportunity> = peers
            .filter_map(|((agent, _), model)| Some((agent, model, mean_score(model)?)))
            .filter(|(_, _, quality)| *quality > WORTH_SHARING)
            .map(|(agent, model, quality)| KnowledgeSharingOpportunity {
                source_agent: agent.clone(),
                domain: domain.to_owned(),
                knowledge_quality: quality,
                compatibility_score: overlap(&own, &kinds(model)),
                estimated_benefit: quality * BENEFIT,
            })
            .collect();
        found.sort_by(|a, b| b.estimated_benefit.total_cmp(&a.estimated_benefit));
        Ok(found)
    }

    /// Other domains of the agent that know some of the task's words.
    fn transfers(
        &self,
        agent: &str,
        domain: &str,
        task: &Task,
        proficiency: f64,
    ) -> Vec<TransferOpportunity> {
        let wanted = words(
            [task.description.as_str()]
                .into_iter()
                .chain(task.requirements.iter().map(String::as_str)),
        );
        let others = self
            .models
            .iter()
            .filter(|((owner, other), _)| owner == agent && other != domain);
        others
            .filter_map(|((_, other), model)| {
                let mean = mean_score(model).filter(|&mean| mean > GOOD)?;
                let known = words(model.proficiency_scores.keys().map(String::as_str));
                let similarity = wanted.intersection(&known).count() as f64 / wanted.len().max(1) as f64;
                let gain = (mean - proficiency).max(0.0) * similarity;
                (gain > 0.0).then(|| TransferOpportunity {
                    source_domain: other.clone(),
                    target_domain: domain.to_owned(),
                    similarity_score: similarity,
                    expected_improvement: gain,
                })
            })
            .collect()
    }

    fn mean_hours(&self, agent: &str, domain: &str) -> f64 {
        let (sum, count) = self.times.get(&key(agent, domain)).copied().unwrap_or_default();
        sum / f64::from(count.max(1)) / 3_600_000.0
    }
}

/// Mean score of a model, summed in the order of the kinds; none where nothing was scored.
pub(super) fn mean_score(model: &DomainLearningModel) -> Option<f64> {
    let mut scores: Vec<(&String, f64)> = model
        .proficiency_scores
        .iter()
        .map(|(kind, score)| (kind, *score))
        .collect();
    scores.sort_by(|a, b| a.0.cmp(b.0));
    (!scores.is_empty()).then(|| scores.iter().map(|pair| pair.1).sum::<f64>() / scores.len() as f64)
}

/// Successes in a row that lift a score from `from` to `to`.
fn successes_needed(from: f64, to: f64) -> u32 {
    let mut score = from;
    let mut count = 0;
    while score < to && count < 1_000 {
        score += STEP * (1.0 - score);
        count += 1;
    }
    count
}

fn kinds(model: &DomainLearningModel) -> BTreeSet<String> {
    model.proficiency_scores.keys().cloned().collect()
}

/// Jaccard similarity; 0 where neither knows anything.
fn overlap(left: &BTreeSet<String>, right: &BTreeSet<String>) -> f64 {
    left.intersection(right).count() as f64 / left.union(right).count().max(1) as f64
}

fn words<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    texts
        .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}
