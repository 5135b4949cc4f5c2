//! The types of `adaptation`, field by field and variant by variant.

use super::pin;
use ruv_swarm_daa::adaptation::{
    ActionProbabilities, AdaptationEvaluation, AdaptationFrequency, AdaptationParameters, AdaptationResult,
    AdaptationTrend, AdaptationType, EvolutionParameters, EvolutionResult, Experience, LearningResult,
    ModelEvaluation, ModelMetrics, ParameterChange, Population, Prediction, PredictionAlternative,
    StrategyType, TrainingResult,
};

#[test]
fn adaptation_types_are_the_older_ones() {
    pin(|v: AdaptationResult| {
        let AdaptationResult {
            success,
            adaptation_type,
            parameters_changed,
            performance_improvement,
            adaptation_time,
            side_effects,
        } = v;
        let _: (bool, AdaptationType, Vec<ParameterChange>, f64, u64, Vec<String>) = (
            success,
            adaptation_type,
            parameters_changed,
            performance_improvement,
            adaptation_time,
            side_effects,
        );
    });
    pin(|v: AdaptationType| match v {
        AdaptationType::LearningRateAdjustment => (),
        AdaptationType::ParameterTuning => (),
        AdaptationType::StrategyChange => (),
        AdaptationType::ModelUpdate => (),
        AdaptationType::BehaviorModification => (),
        AdaptationType::ResourceReallocation => (),
    });
    pin(|v: ParameterChange| {
        let ParameterChange {
            parameter_name,
            old_value,
            new_value,
            reason,
        } = v;
        let _: (String, f64, f64, String) = (parameter_name, old_value, new_value, reason);
    });
    pin(|v: Experience| {
        let Experience {
            id,
            state,
            action,
            outcome,
            reward,
            success,
            timestamp,
            context,
        } = v;
        let _: (String, String, String, String, f64, bool, u64, Vec<String>) =
            (id, state, action, outcome, reward, success, timestamp, context);
    });
    pin(|v: LearningResult| {
        let LearningResult {
            success,
            accuracy_improvement,
            iterations,
            converged,
            learning_time,
            model_complexity,
        } = v;
        let _: (bool, f64, u32, bool, u64, f64) = (
            success,
            accuracy_improvement,
            iterations,
            converged,
            learning_time,
            model_complexity,
        );
    });
    pin(|v: AdaptationEvaluation| {
        let AdaptationEvaluation {
            adaptation_level,
            effectiveness,
            stability,
            recent_adaptations,
            trend,
            recommendations,
        } = v;
        let _: (f64, f64, f64, u32, AdaptationTrend, Vec<String>) = (
            adaptation_level,
            effectiveness,
            stability,
            recent_adaptations,
            trend,
            recommendations,
        );
    });
    pin(|v: AdaptationTrend| match v {
        AdaptationTrend::Improving => (),
        AdaptationTrend::Stable => (),
        AdaptationTrend::Declining => (),
        AdaptationTrend::Oscillating => (),
        AdaptationTrend::Unknown => (),
    });
    pin(|v: AdaptationParameters| {
        let AdaptationParameters {
            learning_rate,
            adaptation_threshold,
            exploration_rate,
            memory_retention,
            adaptation_frequency,
            max_adaptations_per_period,
        } = v;
        let _: (f64, f64, f64, f64, AdaptationFrequency, u32) = (
            learning_rate,
            adaptation_threshold,
            exploration_rate,
            memory_retention,
            adaptation_frequency,
            max_adaptations_per_period,
        );
    });
    pin(|v: AdaptationFrequency| match v {
        AdaptationFrequency::Continuous => (),
        AdaptationFrequency::Periodic(inner) => {
            let _: u64 = inner;
        }
        AdaptationFrequency::EventDriven => (),
        AdaptationFrequency::Adaptive => (),
    });
    pin(|v: TrainingResult| {
        let TrainingResult {
            success,
            final_accuracy,
            final_loss,
            epochs,
            training_time,
            converged,
        } = v;
        let _: (bool, f64, f64, u32, u64, bool) = (
            success,
            final_accuracy,
            final_loss,
            epochs,
            training_time,
            converged,
        );
    });
    pin(|v: Prediction| {
        let Prediction {
            value,
            confidence,
            alternatives,
            explanation,
            uncertainty,
        } = v;
        let _: (String, f64, Vec<PredictionAlternative>, Vec<String>, f64) =
            (value, confidence, alternatives, explanation, uncertainty);
    });
    pin(|v: PredictionAlternative| {
        let PredictionAlternative {
            value,
            probability,
            explanation,
        } = v;
        let _: (String, f64, String) = (value, probability, explanation);
    });
    pin(|v: ModelEvaluation| {
        let ModelEvaluation {
            accuracy,
            precision,
            recall,
            f1_score,
            loss,
            evaluation_time,
        } = v;
        let _: (f64, f64, f64, f64, f64, u64) =
            (accuracy, precision, recall, f1_score, loss, evaluation_time);
    });
    pin(|v: StrategyType| match v {
        StrategyType::Supervised => (),
        StrategyType::Unsupervised => (),
        StrategyType::Reinforcement => (),
        StrategyType::Transfer => (),
        StrategyType::Online => (),
        StrategyType::Ensemble => (),
    });
    pin(|v: ModelMetrics| {
        let ModelMetrics {
            accuracy,
            training_time,
            inference_time,
            model_size,
            memory_usage,
            update_frequency,
        } = v;
        let _: (f64, u64, u64, u64, u64, f64) = (
            accuracy,
            training_time,
            inference_time,
            model_size,
            memory_usage,
            update_frequency,
        );
    });
    pin(|v: Population<u8>| {
        let Population {
            individuals,
            size,
            generation,
            best_fitness,
            average_fitness,
        } = v;
        let _: (Vec<u8>, usize, u32, Option<f64>, f64) =
            (individuals, size, generation, best_fitness, average_fitness);
    });
    pin(|v: EvolutionResult<u8>| {
        let EvolutionResult {
            best_individual,
            best_fitness,
            final_population,
            generations,
            evolution_time,
            converged,
        } = v;
        let _: (u8, f64, Population<u8>, u32, u64, bool) = (
            best_individual,
            best_fitness,
            final_population,
            generations,
            evolution_time,
            converged,
        );
    });
    pin(|v: EvolutionParameters| {
        let EvolutionParameters {
            population_size,
            crossover_rate,
            mutation_rate,
            selection_pressure,
            elitism_ratio,
            convergence_threshold,
        } = v;
        let _: (usize, f64, f64, f64, f64, f64) = (
            population_size,
            crossover_rate,
            mutation_rate,
            selection_pressure,
            elitism_ratio,
            convergence_threshold,
        );
    });
    pin(|v: ActionProbabilities<u8>| {
        let ActionProbabilities {
            probabilities,
            total_mass,
        } = v;
        let _: (Vec<(u8, f64)>, f64) = (probabilities, total_mass);
    });
}
