//! What several agents learn, by agent and domain, and the advice that follows from it.

mod advice;
mod engine;
mod records;
mod strategy;

pub use engine::LearningEngine;
pub use records::{
    AdaptationRecord, AdaptationResult, AdaptationStrategy, AdaptationStrategyType, DomainLearningModel,
    GlobalKnowledgeBase, KnowledgeSharingOpportunity, LearningPattern, LearningPatternType,
    LearningRecommendation, MetaLearningState, RapidAdaptationModel, RecommendationType, SharedExperience,
    StrategyUsage, TransferOpportunity,
};
