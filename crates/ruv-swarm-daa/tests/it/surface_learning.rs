//! The types of `learning`, field by field and variant by variant.

use super::pin;
use ruv_swarm_daa::chrono::{DateTime, Utc};
use ruv_swarm_daa::learning::{
    AdaptationRecord, AdaptationResult, AdaptationStrategy, AdaptationStrategyType, DomainLearningModel,
    GlobalKnowledgeBase, KnowledgeSharingOpportunity, LearningPattern, LearningPatternType,
    LearningRecommendation, MetaLearningState, RapidAdaptationModel, RecommendationType, SharedExperience,
    StrategyUsage, TransferOpportunity,
};
use ruv_swarm_daa::{Experience, KnowledgeItem, Priority};
use serde_json::Value;
use std::collections::HashMap;

#[test]
fn learning_types_are_the_older_ones() {
    pin(|v: DomainLearningModel| {
        let DomainLearningModel {
            domain,
            proficiency_scores,
            learning_patterns,
            knowledge_items,
            adaptation_history,
            last_updated,
        } = v;
        let _: (
            String,
            HashMap<String, f64>,
            Vec<LearningPattern>,
            Vec<KnowledgeItem>,
            Vec<AdaptationRecord>,
            DateTime<Utc>,
        ) = (
            domain,
            proficiency_scores,
            learning_patterns,
            knowledge_items,
            adaptation_history,
            last_updated,
        );
    });
    pin(|v: GlobalKnowledgeBase| {
        let GlobalKnowledgeBase {
            knowledge_graph,
            concept_weights,
            cross_domain_mappings,
            shared_experiences,
        } = v;
        let _: (
            HashMap<String, Vec<String>>,
            HashMap<String, f64>,
            HashMap<String, Vec<String>>,
            Vec<SharedExperience>,
        ) = (
            knowledge_graph,
            concept_weights,
            cross_domain_mappings,
            shared_experiences,
        );
    });
    pin(|v: LearningPattern| {
        let LearningPattern {
            id,
            pattern_type,
            effectiveness,
            applicability_domains,
            usage_count,
            discovered_at,
        } = v;
        let _: (String, LearningPatternType, f64, Vec<String>, u32, DateTime<Utc>) = (
            id,
            pattern_type,
            effectiveness,
            applicability_domains,
            usage_count,
            discovered_at,
        );
    });
    pin(|v: LearningPatternType| match v {
        LearningPatternType::Incremental => (),
        LearningPatternType::Transfer => (),
        LearningPatternType::MetaLearning => (),
        LearningPatternType::Reinforcement => (),
        LearningPatternType::Collaborative => (),
        LearningPatternType::SelfSupervised => (),
    });
    pin(|v: AdaptationStrategy| {
        let AdaptationStrategy {
            name,
            strategy_type,
            effectiveness_scores,
            parameters,
            usage_history,
        } = v;
        let _: (
            String,
            AdaptationStrategyType,
            HashMap<String, f64>,
            HashMap<String, f64>,
            Vec<StrategyUsage>,
        ) = (
            name,
            strategy_type,
            effectiveness_scores,
            parameters,
            usage_history,
        );
    });
    pin(|v: AdaptationStrategyType| match v {
        AdaptationStrategyType::AdaptiveLearningRate => (),
        AdaptationStrategyType::CognitivePatternSwitch => (),
        AdaptationStrategyType::KnowledgeTransfer => (),
        AdaptationStrategyType::EnsembleLearning => (),
        AdaptationStrategyType::ActiveLearning => (),
    });
    pin(|v: AdaptationRecord| {
        let AdaptationRecord {
            timestamp,
            trigger_event,
            strategy_applied,
            before_metrics,
            after_metrics,
            success_score,
        } = v;
        let _: (
            DateTime<Utc>,
            String,
            String,
            HashMap<String, f64>,
            HashMap<String, f64>,
            f64,
        ) = (
            timestamp,
            trigger_event,
            strategy_applied,
            before_metrics,
            after_metrics,
            success_score,
        );
    });
    pin(|v: StrategyUsage| {
        let StrategyUsage {
            timestamp,
            domain,
            context,
            outcome_score,
        } = v;
        let _: (DateTime<Utc>, String, HashMap<String, Value>, f64) =
            (timestamp, domain, context, outcome_score);
    });
    pin(|v: MetaLearningState| {
        let MetaLearningState {
            meta_parameters,
            rapid_adaptation_models,
            transfer_learning_mappings,
            learning_to_learn_progress,
        } = v;
        let _: (
            HashMap<String, f64>,
            HashMap<String, RapidAdaptationModel>,
            HashMap<String, Vec<String>>,
            f64,
        ) = (
            meta_parameters,
            rapid_adaptation_models,
            transfer_learning_mappings,
            learning_to_learn_progress,
        );
    });
    pin(|v: RapidAdaptationModel| {
        let RapidAdaptationModel {
            base_domain,
            target_domains,
            adaptation_parameters,
            few_shot_examples,
            performance_metrics,
        } = v;
        let _: (
            String,
            Vec<String>,
            HashMap<String, f64>,
            Vec<Experience>,
            HashMap<String, f64>,
        ) = (
            base_domain,
            target_domains,
            adaptation_parameters,
            few_shot_examples,
            performance_metrics,
        );
    });
    pin(|v: SharedExperience| {
        let SharedExperience {
            experience,
            sharing_agent,
            receiving_agents,
            effectiveness_scores,
            shared_at,
        } = v;
        let _: (
            Experience,
            String,
            Vec<String>,
            HashMap<String, f64>,
            DateTime<Utc>,
        ) = (
            experience,
            sharing_agent,
            receiving_agents,
            effectiveness_scores,
            shared_at,
        );
    });
    pin(|v: LearningRecommendation| {
        let LearningRecommendation {
            recommendation_type,
            priority,
            description,
            estimated_improvement,
            estimated_time_hours,
        } = v;
        let _: (RecommendationType, Priority, String, f64, f64) = (
            recommendation_type,
            priority,
            description,
            estimated_improvement,
            estimated_time_hours,
        );
    });
    pin(|v: RecommendationType| match v {
        RecommendationType::IncreaseTraining => (),
        RecommendationType::TransferLearning => (),
        RecommendationType::MetaLearning => (),
        RecommendationType::CollaborativeLearning => (),
        RecommendationType::StrategyAdjustment => (),
    });
    pin(|v: TransferOpportunity| {
        let TransferOpportunity {
            source_domain,
            target_domain,
            similarity_score,
            expected_improvement,
        } = v;
        let _: (String, String, f64, f64) = (
            source_domain,
            target_domain,
            similarity_score,
            expected_improvement,
        );
    });
    pin(|v: KnowledgeSharingOpportunity| {
        let KnowledgeSharingOpportunity {
            source_agent,
            domain,
            knowledge_quality,
            compatibility_score,
            estimated_benefit,
        } = v;
        let _: (String, String, f64, f64, f64) = (
            source_agent,
            domain,
            knowledge_quality,
            compatibility_score,
            estimated_benefit,
        );
    });
    pin(|v: AdaptationResult| {
        let AdaptationResult {
            strategy_applied,
            updated_metrics,
            improvement_score,
            success,
        } = v;
        let _: (String, HashMap<String, f64>, f64, bool) =
            (strategy_applied, updated_metrics, improvement_score, success);
    });
}
