//! Adaptation strategies: which one to apply, what it changes, and whether that helped.

use super::advice::mean_score;
use super::engine::{Key, LearningEngine, key};
use super::records::{
    AdaptationRecord, AdaptationResult, AdaptationStrategy, AdaptationStrategyType, StrategyUsage,
};
use crate::error::{DAAError, DAAResult};
use crate::time;
use std::collections::HashMap;

/// How far one outcome moves a strategy's measured success.
const STEP: f64 = 0.5;
/// Success of a strategy that was never judged.
const UNTRIED: f64 = 0.5;
/// Most adaptations kept per model, and uses per strategy; the oldest goes first.
const MAX_HISTORY: usize = 1_000;

/// What the last adaptation of an agent in a domain was, and the mean metric it was based on.
#[derive(Debug)]
pub(super) struct Applied {
    strategy: usize,
    mean: f64,
}

/// The three strategies that an engine begins with.
pub(super) fn default_strategies() -> Vec<AdaptationStrategy> {
    let strategy = |name: &str, strategy_type, settings: &[(&str, f64)]| AdaptationStrategy {
        name: name.to_owned(),
        strategy_type,
        effectiveness_scores: HashMap::new(),
        parameters: settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect(),
        usage_history: Vec::new(),
    };
    vec![
        strategy(
            "Adaptive Learning Rate",
            AdaptationStrategyType::AdaptiveLearningRate,
            &[
                ("initial_rate", 0.001),
                ("decay_factor", 0.95),
                ("min_rate", 0.0001),
            ],
        ),
        strategy(
            "Cognitive Pattern Switch",
            AdaptationStrategyType::CognitivePatternSwitch,
            &[("switch_threshold", 0.6), ("exploration_factor", 0.2)],
        ),
        strategy(
            "Knowledge Transfer",
            AdaptationStrategyType::KnowledgeTransfer,
            &[("similarity_threshold", 0.7), ("transfer_weight", 0.5)],
        ),
    ]
}

impl LearningEngine {
    /// Reacts to measured metrics with the strategy that helped most in this domain so far.
    ///
    /// A strategy is judged by the next call for the same agent and domain: it helped if the mean metric rose.
    ///
    /// # Errors
    /// [`DAAError::LearningError`] for metrics that are empty or not finite, and above 10 000 pairs of agent and domain.
    pub async fn apply_adaptation_strategy(
        &mut self,
        agent_id: &str,
        domain: &str,
        performance_metrics: &HashMap<String, f64>,
    ) -> DAAResult<AdaptationResult> {
        let mean = mean_metric(performance_metrics)?;
        let key = key(agent_id, domain);
        let improvement = self.judge_last(&key, mean);
        let chosen = self.best_strategy(domain);
        let mut updated = performance_metrics.clone();
        let changed = self.apply(chosen, &key, mean, improvement, &mut updated)?;
        let name = self.strategies[chosen].name.clone();
        self.applied.insert(
            key,
            Applied {
                strategy: chosen,
                mean,
            },
        );
        let model = self.model_mut(agent_id, domain)?;
        model.adaptation_history.push(AdaptationRecord {
            timestamp: time::now(),
            trigger_event: format!("the mean metric is {mean}"),
            strategy_applied: name.clone(),
            before_metrics: performance_metrics.clone(),
            after_metrics: updated.clone(),
            success_score: improvement,
        });
        let excess = model.adaptation_history.len().saturating_sub(MAX_HISTORY);
        model.adaptation_history.drain(..excess);
        Ok(AdaptationResult {
            strategy_applied: name,
            updated_metrics: updated,
            improvement_score: improvement,
            success: changed,
        })
    }

    /// The change of the mean metric since the last adaptation, which is credited to that adaptation's strategy.
    fn judge_last(&mut self, key: &Key, mean: f64) -> f64 {
        let Some(last) = self.applied.get(key) else {
            return 0.0;
        };
        let improvement = mean - last.mean;
        let outcome = f64::from(u8::from(improvement > 0.0));
        let strategy = &mut self.strategies[last.strategy];
        let score = strategy
            .effectiveness_scores
            .entry(key.1.clone())
            .or_insert(UNTRIED);
        *score += STEP * (outcome - *score);
        strategy.usage_history.push(StrategyUsage {
            timestamp: time::now(),
            domain: key.1.clone(),
            context: HashMap::new(),
            outcome_score: outcome,
        });
        let excess = strategy.usage_history.len().saturating_sub(MAX_HISTORY);
        strategy.usage_history.drain(..excess);
        self.update_meta_progress();
        improvement
    }

    /// The first of the strategies with the highest measured success.
    fn best_strategy(&self, domain: &str) -> usize {
        let score = |index: usize| {
            self.strategies[index]
                .effectiveness_scores
                .get(domain)
                .copied()
                .unwrap_or(UNTRIED)
        };
        (0..self.strategies.len())
            .rev()
            .max_by(|&a, &b| score(a).total_cmp(&score(b)))
            .unwrap_or(0)
    }

    /// Applies a strategy; true if it changed anything.
    fn apply(
        &mut self,
        chosen: usize,
        key: &Key,
        mean: f64,
        improvement: f64,
        updated: &mut HashMap<String, f64>,
    ) -> DAAResult<bool> {
        let setting = |name: &str| {
            self.strategies[chosen]
                .parameters
                .get(name)
                .copied()
                .unwrap_or(0.0)
        };
        match self.strategies[chosen].strategy_type {
            AdaptationStrategyType::AdaptiveLearningRate => {
                let name = format!("learning_rate/{}/{}", key.0, key.1);
                let old = self
                    .meta
                    .meta_parameters
                    .get(&name)
                    .copied()
                    .unwrap_or_else(|| setting("initial_rate"));
                // What no longer improves needs smaller steps.
                let factor = if improvement > 0.0 {
                    1.0
                } else {
                    setting("decay_factor")
                };
                let new = (old * factor).max(setting("min_rate"));
                self.meta.meta_parameters.insert(name, new);
                updated.insert("learning_rate".to_owned(), new);
                Ok(new < old)
            }
            AdaptationStrategyType::CognitivePatternSwitch => {
                let needed = mean < setting("switch_threshold");
                let exploration = if needed {
                    setting("exploration_factor")
                } else {
                    0.0
                };
                self.meta
                    .meta_parameters
                    .insert(format!("exploration/{}/{}", key.0, key.1), exploration);
                updated.insert("exploration".to_owned(), exploration);
                Ok(needed)
            }
            AdaptationStrategyType::KnowledgeTransfer => {
                let moved =
                    self.take_over(key, setting("similarity_threshold"), setting("transfer_weight"))?;
                updated.insert("tasks_transferred".to_owned(), f64::from(moved));
                Ok(moved > 0)
            }
            AdaptationStrategyType::EnsembleLearning | AdaptationStrategyType::ActiveLearning => Err(
                DAAError::learning("ensemble and active learning are not built yet"),
            ),
        }
    }

    /// Moves scores towards those of the agent's best other domain, for kinds of task it does better there.
    fn take_over(&mut self, key: &Key, threshold: f64, weight: f64) -> DAAResult<u32> {
        let others = self
            .models
            .iter()
            .filter(|((agent, domain), _)| agent == &key.0 && domain != &key.1);
        let best = others
            .filter_map(|(_, model)| Some((mean_score(model)?, model)))
            .filter(|(mean, _)| *mean > threshold)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, source)) = best else { return Ok(0) };
        let (name, scores) = (source.domain.clone(), source.proficiency_scores.clone());
        let target = self.model_mut(&key.0, &key.1)?;
        let better =
            |kind: &str, score: f64| score > target.proficiency_scores.get(kind).copied().unwrap_or(UNTRIED);
        let wanted: Vec<(String, f64)> = scores
            .into_iter()
            .filter(|(kind, score)| better(kind, *score))
            .collect();
        let moved = u32::try_from(wanted.len()).unwrap_or(u32::MAX);
        for (kind, score) in wanted {
            let own = target.proficiency_scores.entry(kind).or_insert(UNTRIED);
            *own += weight * (score - *own);
        }
        if moved > 0 {
            let learners = self.meta.transfer_learning_mappings.entry(name).or_default();
            if !learners.contains(&key.1) {
                learners.push(key.1.clone());
            }
        }
        Ok(moved)
    }
}

/// The mean of finite metrics, summed in the order of their names.
fn mean_metric(metrics: &HashMap<String, f64>) -> DAAResult<f64> {
    if metrics.is_empty() {
        return Err(DAAError::learning(
            "`performance_metrics` is empty, at least one metric is needed",
        ));
    }
    let mut named: Vec<(&String, &f64)> = metrics.iter().collect();
    named.sort_by(|a, b| a.0.cmp(b.0));
    if let Some((name, value)) = named.iter().find(|(_, value)| !value.is_finite()) {
        return Err(DAAError::learning(format!(
            "the metric `{name}` is {value}, it must be finite"
        )));
    }
    Ok(named.iter().map(|(_, value)| **value).sum::<f64>() / named.len() as f64)
}
