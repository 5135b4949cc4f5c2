//! Adaptation, training, prediction and evolution records.

use serde::{Deserialize, Serialize};

/// What an adaptation did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AdaptationResult {
    /// Whether it worked.
    pub success: bool,
    /// Kind.
    pub adaptation_type: AdaptationType,
    /// What changed.
    pub parameters_changed: Vec<ParameterChange>,
    /// Change in performance.
    pub performance_improvement: f64,
    /// Time it took in milliseconds.
    pub adaptation_time: u64,
    /// What else changed.
    pub side_effects: Vec<String>,
}

/// Kinds of adaptation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdaptationType {
    /// The learning rate.
    LearningRateAdjustment,
    /// Another parameter.
    ParameterTuning,
    /// The strategy.
    StrategyChange,
    /// The model.
    ModelUpdate,
    /// The behaviour.
    BehaviorModification,
    /// The resources.
    ResourceReallocation,
}

/// One changed parameter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ParameterChange {
    /// Its name.
    pub parameter_name: String,
    /// Value before.
    pub old_value: f64,
    /// Value after.
    pub new_value: f64,
    /// Why.
    pub reason: String,
}

/// One step of a learner.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Experience {
    /// Identifier.
    pub id: String,
    /// State before, serialized.
    pub state: String,
    /// Action, serialized.
    pub action: String,
    /// Outcome, serialized.
    pub outcome: String,
    /// Reward, negative for a penalty.
    pub reward: f64,
    /// Whether it went well.
    pub success: bool,
    /// When it happened, in milliseconds since 1970 UTC.
    pub timestamp: u64,
    /// Further facts.
    pub context: Vec<String>,
}

/// What came of learning.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LearningResult {
    /// Whether it worked.
    pub success: bool,
    /// Change in accuracy.
    pub accuracy_improvement: f64,
    /// Steps made.
    pub iterations: u32,
    /// Whether it converged.
    pub converged: bool,
    /// Time it took in milliseconds.
    pub learning_time: u64,
    /// Complexity of the model.
    pub model_complexity: f64,
}

/// A judgement of the adaptation so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AdaptationEvaluation {
    /// Level reached, 0 to 1.
    pub adaptation_level: f64,
    /// Effect, 0 to 1.
    pub effectiveness: f64,
    /// Stability, 0 to 1.
    pub stability: f64,
    /// Recent adaptations.
    pub recent_adaptations: u32,
    /// Where it is going.
    pub trend: AdaptationTrend,
    /// What to do.
    pub recommendations: Vec<String>,
}

/// Where an adaptation is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdaptationTrend {
    /// Up.
    Improving,
    /// Nowhere.
    Stable,
    /// Down.
    Declining,
    /// Up and down.
    Oscillating,
    /// Not known.
    Unknown,
}

/// Settings of an adaptation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AdaptationParameters {
    /// Step size.
    pub learning_rate: f64,
    /// Performance change that triggers it.
    pub adaptation_threshold: f64,
    /// Share of steps that explore, 0 to 1.
    pub exploration_rate: f64,
    /// Share of memory that is kept, 0 to 1.
    pub memory_retention: f64,
    /// How often.
    pub adaptation_frequency: AdaptationFrequency,
    /// Bound on adaptations per period.
    pub max_adaptations_per_period: u32,
}

/// How often to adapt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdaptationFrequency {
    /// All the time.
    Continuous,
    /// Every so many milliseconds.
    Periodic(u64),
    /// When something happens.
    EventDriven,
    /// As needed.
    Adaptive,
}

/// What came of a training.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrainingResult {
    /// Whether it worked.
    pub success: bool,
    /// Accuracy at the end, 0 to 1.
    pub final_accuracy: f64,
    /// Loss at the end.
    pub final_loss: f64,
    /// Epochs run.
    pub epochs: u32,
    /// Time it took in milliseconds.
    pub training_time: u64,
    /// Whether it converged.
    pub converged: bool,
}

/// A prediction.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Prediction {
    /// The value, serialized.
    pub value: String,
    /// Confidence, 0 to 1.
    pub confidence: f64,
    /// Other values.
    pub alternatives: Vec<PredictionAlternative>,
    /// Why.
    pub explanation: Vec<String>,
    /// Uncertainty.
    pub uncertainty: f64,
}

/// A value that was also possible.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PredictionAlternative {
    /// The value, serialized.
    pub value: String,
    /// Probability, 0 to 1.
    pub probability: f64,
    /// Why.
    pub explanation: String,
}

/// A judgement of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ModelEvaluation {
    /// Accuracy, 0 to 1.
    pub accuracy: f64,
    /// Precision, 0 to 1.
    pub precision: f64,
    /// Recall, 0 to 1.
    pub recall: f64,
    /// F1 score, 0 to 1.
    pub f1_score: f64,
    /// Loss.
    pub loss: f64,
    /// Time it took in milliseconds.
    pub evaluation_time: u64,
}

/// Kinds of learning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StrategyType {
    /// From labelled examples.
    Supervised,
    /// From unlabelled examples.
    Unsupervised,
    /// From rewards.
    Reinforcement,
    /// From another domain.
    Transfer,
    /// While working.
    Online,
    /// With several learners.
    Ensemble,
}

/// Measured figures of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ModelMetrics {
    /// Accuracy, 0 to 1.
    pub accuracy: f64,
    /// Training time in milliseconds.
    pub training_time: u64,
    /// Time per answer in milliseconds.
    pub inference_time: u64,
    /// Size in bytes.
    pub model_size: u64,
    /// Memory in use in bytes.
    pub memory_usage: u64,
    /// Updates per second.
    pub update_frequency: f64,
}

/// Individuals of one generation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Population<T> {
    /// The individuals.
    pub individuals: Vec<T>,
    /// Their number.
    pub size: usize,
    /// Number of the generation, from 0.
    pub generation: u32,
    /// Best fitness so far.
    pub best_fitness: Option<f64>,
    /// Mean fitness.
    pub average_fitness: f64,
}

/// What came of an evolution.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EvolutionResult<T> {
    /// The best individual.
    pub best_individual: T,
    /// Its fitness.
    pub best_fitness: f64,
    /// The last generation.
    pub final_population: Population<T>,
    /// Generations run.
    pub generations: u32,
    /// Time it took in milliseconds.
    pub evolution_time: u64,
    /// Whether it converged.
    pub converged: bool,
}

/// Settings of an evolution.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EvolutionParameters {
    /// Individuals per generation.
    pub population_size: usize,
    /// Share that is crossed, 0 to 1.
    pub crossover_rate: f64,
    /// Share that mutates, 0 to 1.
    pub mutation_rate: f64,
    /// How much the fitter are preferred.
    pub selection_pressure: f64,
    /// Share kept unchanged, 0 to 1.
    pub elitism_ratio: f64,
    /// Change in fitness that counts as none.
    pub convergence_threshold: f64,
}

/// How likely each action is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ActionProbabilities<A> {
    /// Actions and their weights.
    pub probabilities: Vec<(A, f64)>,
    /// Sum of the weights.
    pub total_mass: f64,
}

impl Experience {
    /// A step that went well and earned `reward`.
    #[must_use]
    pub fn positive(state: String, action: String, outcome: String, reward: f64) -> Self {
        Self::step([state, action, outcome], reward, true)
    }

    /// A step that went badly and cost `penalty`.
    #[must_use]
    pub fn negative(state: String, action: String, outcome: String, penalty: f64) -> Self {
        Self::step([state, action, outcome], -penalty, false)
    }

    fn step([state, action, outcome]: [String; 3], reward: f64, success: bool) -> Self {
        Self {
            id: format!("exp_{}", uuid::Uuid::new_v4()),
            state,
            action,
            outcome,
            reward,
            success,
            timestamp: crate::time::wall_millis(),
            context: Vec::new(),
        }
    }
}

impl Default for AdaptationParameters {
    fn default() -> Self {
        Self {
            learning_rate: 0.01,
            adaptation_threshold: 0.1,
            exploration_rate: 0.1,
            memory_retention: 0.9,
            adaptation_frequency: AdaptationFrequency::Adaptive,
            max_adaptations_per_period: 10,
        }
    }
}

impl Default for EvolutionParameters {
    fn default() -> Self {
        Self {
            population_size: 100,
            crossover_rate: 0.8,
            mutation_rate: 0.1,
            selection_pressure: 2.0,
            elitism_ratio: 0.1,
            convergence_threshold: 0.001,
        }
    }
}

impl<T> Population<T> {
    /// Generation 0 with these individuals, none of them rated yet.
    #[must_use]
    pub fn new(individuals: Vec<T>) -> Self {
        Self {
            size: individuals.len(),
            individuals,
            generation: 0,
            best_fitness: None,
            average_fitness: 0.0,
        }
    }

    /// The number of individuals.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Counts one generation further.
    pub fn next_generation(&mut self) {
        self.generation = self.generation.saturating_add(1);
    }
}

impl<A> ActionProbabilities<A> {
    /// These weights, not yet normalized.
    #[must_use]
    pub fn new(probabilities: Vec<(A, f64)>) -> Self {
        let total_mass = probabilities.iter().map(|pair| pair.1).sum();
        Self {
            probabilities,
            total_mass,
        }
    }

    /// Scales the weights to sum to 1; does nothing while their sum is not positive.
    pub fn normalize(&mut self) {
        if self.total_mass > 0.0 {
            for pair in &mut self.probabilities {
                pair.1 /= self.total_mass;
            }
            self.total_mass = 1.0;
        }
    }
}
