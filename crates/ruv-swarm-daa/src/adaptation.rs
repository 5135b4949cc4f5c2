//! Adaptation, learning strategies, evolution and reinforcement learning, as traits and records.
//!
//! The acting methods are plain functions; with the feature `async` they are async functions.

mod records;

use crate::acting::acting_trait;
use crate::error::DAAResult;
use crate::types::{AdaptationFeedback, DecisionContext};

pub use records::{
    ActionProbabilities, AdaptationEvaluation, AdaptationFrequency, AdaptationParameters, AdaptationResult,
    AdaptationTrend, AdaptationType, EvolutionParameters, EvolutionResult, Experience, LearningResult,
    ModelEvaluation, ModelMetrics, ParameterChange, Population, Prediction, PredictionAlternative,
    StrategyType, TrainingResult,
};

acting_trait! {
    /// Something that changes itself by feedback.
    pub trait SelfAdaptation {
        /// The state of the adaptation.
        type AdaptationState: Send + Sync;
        /// The model that is learned.
        type LearningModel: Send + Sync;

        /// How the adaptation goes.
        fn evaluate_adaptation(&self) -> AdaptationEvaluation;

        /// The settings.
        fn adaptation_parameters(&self) -> &AdaptationParameters;

        /// Replaces the settings.
        fn update_parameters(&mut self, parameters: AdaptationParameters);

        /// Whether either score of the feedback is below 0.7.
        fn needs_adaptation(&self, feedback: &AdaptationFeedback) -> bool {
            feedback.performance_score < 0.7 || feedback.efficiency_score < 0.7
        }

        /// The model.
        fn learning_model(&self) -> &Self::LearningModel;
    }
    acting {
        /// Adapts to feedback.
        fn adapt(&mut self, feedback: &AdaptationFeedback) -> AdaptationResult;
        /// Learns from an experience.
        fn learn(&mut self, experience: &Experience) -> LearningResult;
        /// Replaces the model.
        fn update_learning_model(&mut self, model: Self::LearningModel) -> ();
    }
}

acting_trait! {
    /// A way to learn.
    pub trait LearningStrategy {
        /// What describes the strategy.
        type Strategy: Send + Sync;
        /// What it learns from.
        type TrainingData: Send + Sync;
        /// What it learns.
        type Model: Send + Sync;

        /// Judges the model on data it was not trained on.
        fn evaluate_model(&self, test_data: &Self::TrainingData) -> ModelEvaluation;

        /// The kind of strategy.
        fn strategy_type(&self) -> StrategyType;

        /// Measured figures of the model.
        fn model_metrics(&self) -> ModelMetrics;
    }
    acting {
        /// Trains on data.
        fn train(&mut self, data: &Self::TrainingData) -> TrainingResult;
        /// Predicts.
        fn predict(&self, input: &DecisionContext) -> Prediction;
        /// Takes in more data.
        fn update_model(&mut self, data: &Self::TrainingData) -> ();
    }
}

acting_trait! {
    /// A search by selection, crossing and mutation.
    pub trait EvolutionaryOptimization {
        /// What evolves.
        type Individual: Send + Sync + Clone;
        /// How good one is.
        type Fitness: Send + Sync + PartialOrd;

        /// Makes the first generation.
        ///
        /// # Errors
        /// Whatever the implementation cannot do.
        fn initialize_population(&mut self, size: usize) -> DAAResult<Population<Self::Individual>>;

        /// Chooses parents.
        ///
        /// # Errors
        /// Whatever the implementation cannot do.
        fn select_parents(
            &self,
            population: &Population<Self::Individual>,
            fitness: &[Self::Fitness],
        ) -> DAAResult<Vec<Self::Individual>>;

        /// Crosses two parents.
        ///
        /// # Errors
        /// Whatever the implementation cannot do.
        fn crossover(&self, parent1: &Self::Individual, parent2: &Self::Individual) -> DAAResult<Vec<Self::Individual>>;

        /// Mutates one.
        ///
        /// # Errors
        /// Whatever the implementation cannot do.
        fn mutate(&self, individual: &mut Self::Individual) -> DAAResult<()>;

        /// The settings.
        fn evolution_parameters(&self) -> &EvolutionParameters;
    }
    acting {
        /// Rates individuals.
        fn evaluate_fitness(&self, individuals: &[Self::Individual]) -> Vec<Self::Fitness>;
        /// Runs so many generations.
        fn evolve(&mut self, generations: usize) -> EvolutionResult<Self::Individual>;
    }
}

acting_trait! {
    /// Learning from rewards.
    pub trait ReinforcementLearning {
        /// The state one acts in.
        type State: Send + Sync;
        /// What one can do.
        type Action: Send + Sync;
        /// What one gets for it.
        type Reward: Send + Sync;

        /// What doing `action` in `state` is worth.
        fn get_action_value(&self, state: &Self::State, action: &Self::Action) -> f64;

        /// How likely each action is in `state`.
        ///
        /// # Errors
        /// Whatever the implementation cannot do.
        fn get_policy(&self, state: &Self::State) -> DAAResult<ActionProbabilities<Self::Action>>;

        /// Sets the share of steps that explore, 0 to 1.
        fn set_exploration_rate(&mut self, rate: f64);

        /// The share of steps that explore, 0 to 1.
        fn exploration_rate(&self) -> f64;

        /// Sets the step size.
        fn set_learning_rate(&mut self, rate: f64);

        /// The step size.
        fn learning_rate(&self) -> f64;
    }
    acting {
        /// Chooses what to do.
        fn choose_action(&mut self, state: &Self::State) -> Self::Action;
        /// Learns from one step.
        fn update(
            &mut self,
            state: &Self::State,
            action: &Self::Action,
            reward: &Self::Reward,
            next_state: &Self::State
        ) -> ();
    }
}
