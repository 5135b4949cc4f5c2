//! The methods of the traits that are not at the root, and what their defaults do.

use ruv_swarm_daa::traits::{HealthDiagnostic, HealthIssue, IssueType, Severity};
use ruv_swarm_daa::{AdaptationFeedback, DecisionContext, adaptation, resources, traits};

/// Each line compiles only if the method has exactly this signature.
#[cfg(not(feature = "async"))]
#[expect(dead_code, reason = "that these functions compile is what is tested")]
mod plain {
    use super::{adaptation, resources, traits};
    use adaptation::*;
    use resources::*;
    use ruv_swarm_daa::{AdaptationFeedback, AutonomousCapability, DAAResult, DecisionContext};

    fn autonomous<T: traits::DistributedAutonomousAgent>() {
        let _: fn(&mut T, &T::Context) -> DAAResult<T::Decision> = T::autonomous_decision;
        let _: fn(&mut T, &T::Adaptation) -> DAAResult<()> = T::self_adapt;
        let _: fn(&T) -> &[AutonomousCapability] = T::autonomous_capabilities;
        let _: (fn(&T) -> f64, fn(&T) -> bool) = (T::autonomy_level, T::is_autonomous);
        let _: (fn(&T) -> f64, fn(&mut T, f64)) = (T::learning_rate, T::update_learning_rate);
    }

    fn healing<T: traits::SelfHealingAgent>() {
        let _: fn(&T) -> DAAResult<traits::HealthDiagnostic> = T::diagnose_health;
        let _: fn(&mut T, &traits::HealthDiagnostic) -> DAAResult<traits::HealingResult> = T::self_heal;
        let _: fn(&T) -> &[traits::RecoveryStrategy] = T::recovery_strategies;
        let _: fn(&T, &T::Error) -> bool = T::can_recover_from;
    }

    fn saving<T: traits::ResourceOptimizer>() {
        let _: fn(&mut T) -> DAAResult<traits::ResourceAllocation> = T::optimize_resources;
        let _: fn(&T) -> traits::ResourceUsage = T::monitor_resources;
        let _: fn(&T, u32) -> DAAResult<traits::ResourcePrediction> = T::predict_resource_needs;
        let _: fn(&T) -> bool = T::needs_optimization;
    }

    fn emergent<T: traits::EmergentBehavior>() {
        let _: fn(&mut T) -> DAAResult<T::EmergentState> = T::generate_emergent_behavior;
        let _: fn(&mut T, &T::EmergentState) -> DAAResult<()> = T::respond_to_emergence;
        let _: (fn(&T) -> bool, fn(&T) -> f64) = (T::can_trigger_emergence, T::emergence_probability);
    }

    fn cognitive<T: traits::CognitiveArchitecture>() {
        let _: fn(&mut T) -> &mut T::WorkingMemory = T::working_memory;
        let _: fn(&T) -> &T::LongTermMemory = T::long_term_memory;
        let _: fn(&mut T, &DecisionContext) -> DAAResult<T::ReasoningProcess> = T::reason;
        let _: fn(&mut T, &AdaptationFeedback) -> DAAResult<()> = T::update_memories;
        let _: (fn(&T) -> f64, fn(&T) -> bool) = (T::cognitive_load, T::has_cognitive_capacity);
    }

    fn adapting<T: SelfAdaptation<AdaptationState = u8>>() {
        let _: fn(&mut T, &AdaptationFeedback) -> DAAResult<AdaptationResult> = T::adapt;
        let _: fn(&mut T, &Experience) -> DAAResult<LearningResult> = T::learn;
        let _: fn(&T) -> AdaptationEvaluation = T::evaluate_adaptation;
        let _: fn(&T) -> &AdaptationParameters = T::adaptation_parameters;
        let _: fn(&mut T, AdaptationParameters) = T::update_parameters;
        let _: fn(&T, &AdaptationFeedback) -> bool = T::needs_adaptation;
        let _: fn(&T) -> &T::LearningModel = T::learning_model;
        let _: fn(&mut T, T::LearningModel) -> DAAResult<()> = T::update_learning_model;
    }

    fn strategy<T: LearningStrategy<Strategy = u8, Model = u8>>() {
        let _: fn(&mut T, &T::TrainingData) -> DAAResult<TrainingResult> = T::train;
        let _: fn(&T, &DecisionContext) -> DAAResult<Prediction> = T::predict;
        let _: fn(&mut T, &T::TrainingData) -> DAAResult<()> = T::update_model;
        let _: fn(&T, &T::TrainingData) -> ModelEvaluation = T::evaluate_model;
        let _: (fn(&T) -> StrategyType, fn(&T) -> ModelMetrics) = (T::strategy_type, T::model_metrics);
    }

    fn evolving<T: EvolutionaryOptimization>() {
        type Several<T> = Vec<<T as EvolutionaryOptimization>::Individual>;
        type Rated<T> = Vec<<T as EvolutionaryOptimization>::Fitness>;
        let _: fn(&mut T, usize) -> DAAResult<Population<T::Individual>> = T::initialize_population;
        let _: fn(&T, &[T::Individual]) -> DAAResult<Rated<T>> = T::evaluate_fitness;
        let _: fn(&T, &Population<T::Individual>, &[T::Fitness]) -> DAAResult<Several<T>> = T::select_parents;
        let _: fn(&T, &T::Individual, &T::Individual) -> DAAResult<Several<T>> = T::crossover;
        let _: fn(&T, &mut T::Individual) -> DAAResult<()> = T::mutate;
        let _: fn(&mut T, usize) -> DAAResult<EvolutionResult<T::Individual>> = T::evolve;
        let _: fn(&T) -> &EvolutionParameters = T::evolution_parameters;
    }

    fn rewarded<T: ReinforcementLearning>() {
        let _: fn(&mut T, &T::State) -> DAAResult<T::Action> = T::choose_action;
        let _: fn(&mut T, &T::State, &T::Action, &T::Reward, &T::State) -> DAAResult<()> = T::update;
        let _: fn(&T, &T::State, &T::Action) -> f64 = T::get_action_value;
        let _: fn(&T, &T::State) -> DAAResult<ActionProbabilities<T::Action>> = T::get_policy;
        let _: (fn(&mut T, f64), fn(&T) -> f64) = (T::set_exploration_rate, T::exploration_rate);
        let _: (fn(&mut T, f64), fn(&T) -> f64) = (T::set_learning_rate, T::learning_rate);
    }

    fn managing<T: DynamicResourceManager<Resource = u8>>() {
        let _: fn(&mut T, &ResourceRequest) -> DAAResult<traits::ResourceAllocation> = T::allocate_resources;
        let _: fn(&mut T, &str) -> DAAResult<()> = T::deallocate_resources;
        let _: fn(&mut T) -> DAAResult<OptimizationResult> = T::optimize_usage;
        let _: fn(&T) -> ResourceUtilization = T::monitor_utilization;
        let _: fn(&T, u32) -> DAAResult<ResourcePrediction> = T::predict_needs;
        let _: fn(&T, &ResourceRequest) -> ResourceAvailability = T::check_availability;
        let _: fn(&T) -> ResourceStatus = T::resource_status;
    }

    fn watching<T: ResourceMonitor>() {
        let _: fn(&mut T) -> DAAResult<()> = T::start_monitoring;
        let _: fn(&mut T) -> DAAResult<()> = T::stop_monitoring;
        let _: fn(&T) -> ResourceMetrics = T::get_metrics;
        let _: fn(&T, u64) -> Vec<ResourceSnapshot> = T::get_history;
        let _: fn(&mut T, MonitoringParameters) = T::set_parameters;
        let _: fn(&T) -> Vec<ResourceAlert> = T::check_alerts;
        let _: fn(&T) -> ResourceReport = T::generate_report;
    }

    fn improving<T: PerformanceOptimizer>() {
        let _: fn(&mut T) -> DAAResult<PerformanceResult> = T::optimize_performance;
        let _: fn(&T) -> DAAResult<BottleneckAnalysis> = T::analyze_bottlenecks;
        let _: fn(&mut T, &[TuningRecommendation]) -> DAAResult<TuningResult> = T::tune_performance;
        let _: fn(&T, &PerformanceBaseline) -> PerformanceImpact = T::measure_impact;
        let _: fn(&T) -> Vec<OptimizationRecord> = T::optimization_history;
    }

    fn remembering<T: MemoryManager>() {
        let _: fn(&mut T, usize, MemoryPriority) -> DAAResult<MemoryAllocation> = T::allocate_memory;
        let _: fn(&mut T, &MemoryAllocation) -> DAAResult<()> = T::deallocate_memory;
        let _: fn(&mut T) -> DAAResult<GcResult> = T::garbage_collect;
        let _: fn(&mut T) -> DAAResult<CompactionResult> = T::compact_memory;
        let _: (fn(&T) -> MemoryStatistics, fn(&T) -> MemoryPressure) =
            (T::memory_statistics, T::memory_pressure);
        let _: fn(&mut T, MemoryLimits) = T::set_memory_limits;
    }
}

/// A patient that gets well when healed.
struct Patient {
    score: f64,
    usage: traits::ResourceUsage,
}

fn diagnostic(score: f64, severity: Severity) -> HealthDiagnostic {
    let issue = |severity| HealthIssue {
        issue_type: IssueType::Memory,
        description: "full".to_string(),
        severity,
        suggested_fix: None,
    };
    HealthDiagnostic {
        health_score: score,
        issues: vec![issue(Severity::Medium), issue(Severity::High)],
        recommendations: vec![],
        severity,
    }
}

fn healed() -> traits::HealingResult {
    traits::HealingResult {
        success: true,
        resolved_issues: vec![IssueType::Memory],
        unresolved_issues: vec![],
        new_health_score: 1.0,
        actions_taken: vec![],
    }
}

fn allocation() -> traits::ResourceAllocation {
    traits::ResourceAllocation {
        memory_mb: 1.0,
        cpu_cores: 1.0,
        network_bandwidth: 0.0,
        storage_gb: 0.0,
        priority: 1.0,
    }
}

fn nothing_to_predict() -> ruv_swarm_daa::DAAResult<traits::ResourcePrediction> {
    Err(ruv_swarm_daa::DAAError::NoAgentsAvailable)
}

#[cfg(not(feature = "async"))]
mod patients {
    use super::*;
    use ruv_swarm_daa::DAAResult;

    impl traits::SelfHealingAgent for Patient {
        type Error = IssueType;
        fn diagnose_health(&self) -> DAAResult<HealthDiagnostic> {
            Ok(diagnostic(self.score, Severity::Low))
        }
        fn self_heal(&mut self, _diagnostic: &HealthDiagnostic) -> DAAResult<traits::HealingResult> {
            self.score = 1.0;
            Ok(healed())
        }
        fn recovery_strategies(&self) -> &[traits::RecoveryStrategy] {
            &[traits::RecoveryStrategy::Reset]
        }
        fn can_recover_from(&self, error: &IssueType) -> bool {
            *error == IssueType::Memory
        }
    }

    impl traits::ResourceOptimizer for Patient {
        fn optimize_resources(&mut self) -> DAAResult<traits::ResourceAllocation> {
            Ok(allocation())
        }
        fn monitor_resources(&self) -> traits::ResourceUsage {
            self.usage.clone()
        }
        fn predict_resource_needs(&self, _horizon: u32) -> DAAResult<traits::ResourcePrediction> {
            nothing_to_predict()
        }
    }

    #[test]
    fn plain_methods_are_called_without_await() {
        let mut patient = patient(0.5, 0.1, 0.1);
        let found = traits::SelfHealingAgent::diagnose_health(&patient).expect("found");
        assert!(found.needs_healing());
        traits::SelfHealingAgent::self_heal(&mut patient, &found).expect("healed");
        assert_eq!(patient.score, 1.0);
    }
}

#[cfg(feature = "async")]
mod patients {
    use super::*;
    use ruv_swarm_daa::DAAResult;
    use traits::SelfHealingAgent as _;

    #[async_trait::async_trait]
    impl traits::SelfHealingAgent for Patient {
        type Error = IssueType;
        async fn diagnose_health(&self) -> DAAResult<HealthDiagnostic> {
            Ok(diagnostic(self.score, Severity::Low))
        }
        async fn self_heal(&mut self, _diagnostic: &HealthDiagnostic) -> DAAResult<traits::HealingResult> {
            self.score = 1.0;
            Ok(healed())
        }
        fn recovery_strategies(&self) -> &[traits::RecoveryStrategy] {
            &[traits::RecoveryStrategy::Reset]
        }
        fn can_recover_from(&self, error: &IssueType) -> bool {
            *error == IssueType::Memory
        }
    }

    #[async_trait::async_trait]
    impl traits::ResourceOptimizer for Patient {
        async fn optimize_resources(&mut self) -> DAAResult<traits::ResourceAllocation> {
            Ok(allocation())
        }
        fn monitor_resources(&self) -> traits::ResourceUsage {
            self.usage.clone()
        }
        fn predict_resource_needs(&self, _horizon: u32) -> DAAResult<traits::ResourcePrediction> {
            nothing_to_predict()
        }
    }

    #[tokio::test]
    async fn monitoring_heals_once_when_that_is_needed() {
        let mut patient = patient(0.5, 0.1, 0.1);
        patient.monitor_health().await.expect("healed");
        assert_eq!(patient.score, 1.0);
        patient.score = 0.8;
        patient.monitor_health().await.expect("well");
        assert_eq!(patient.score, 0.8, "what is well is left alone");
    }
}

fn patient(score: f64, memory_usage: f64, cpu_usage: f64) -> Patient {
    let usage = traits::ResourceUsage {
        memory_usage,
        cpu_usage,
        network_usage: 0.0,
        active_tasks: 0,
        queue_length: 0,
    };
    Patient { score, usage }
}

#[test]
fn defaults_of_the_traits_are_the_older_ones() {
    use traits::{ResourceOptimizer as _, SelfHealingAgent as _};
    for (memory, cpu, wanted) in [(0.8, 0.9, false), (0.81, 0.0, true), (0.0, 0.91, true)] {
        assert_eq!(patient(1.0, memory, cpu).needs_optimization(), wanted);
    }
    assert!(patient(1.0, 0.0, 0.0).can_recover_from(&IssueType::Memory));
    for (score, severity, wanted) in [
        (0.7, Severity::Medium, false),
        (0.69, Severity::Low, true),
        (1.0, Severity::High, true),
    ] {
        assert_eq!(diagnostic(score, severity).needs_healing(), wanted);
    }
    assert_eq!(diagnostic(1.0, Severity::Low).priority_issues().len(), 1);
    assert!(Severity::Critical > Severity::High && Severity::Medium > Severity::Low);
}

#[test]
fn defaults_of_the_records_are_the_older_ones() {
    let parameters = adaptation::AdaptationParameters::default();
    let numbers = (
        parameters.learning_rate,
        parameters.adaptation_threshold,
        parameters.exploration_rate,
    );
    assert_eq!(numbers, (0.01, 0.1, 0.1));
    assert_eq!(
        (parameters.memory_retention, parameters.max_adaptations_per_period),
        (0.9, 10)
    );
    assert_eq!(
        parameters.adaptation_frequency,
        adaptation::AdaptationFrequency::Adaptive
    );
    let evolution = adaptation::EvolutionParameters::default();
    assert_eq!(
        (
            evolution.population_size,
            evolution.crossover_rate,
            evolution.mutation_rate
        ),
        (100, 0.8, 0.1)
    );
    let rest = (
        evolution.selection_pressure,
        evolution.elitism_ratio,
        evolution.convergence_threshold,
    );
    assert_eq!(rest, (2.0, 0.1, 0.001));
    let mut population = adaptation::Population::new(vec![1, 2, 3]);
    population.next_generation();
    assert_eq!(
        (population.size(), population.generation, population.best_fitness),
        (3, 1, None)
    );
    let mut actions = adaptation::ActionProbabilities::new(vec![("a", 2.0), ("b", 6.0)]);
    assert_eq!(actions.total_mass, 8.0);
    actions.normalize();
    assert_eq!(
        (actions.probabilities, actions.total_mass),
        (vec![("a", 0.25), ("b", 0.75)], 1.0)
    );
    let text = |text: &str| text.to_string();
    let bad = adaptation::Experience::negative(text("s"), text("a"), text("o"), 2.0);
    assert!(!bad.success && bad.reward == -2.0 && bad.timestamp > 0);
    assert!(adaptation::Experience::positive(text("s"), text("a"), text("o"), 2.0).success);
}

#[test]
fn defaults_of_resources_and_feedback_are_the_older_ones() {
    let quality = resources::QosRequirements::default();
    assert_eq!(
        (quality.max_latency, quality.min_throughput, quality.consistency),
        (None, None, false)
    );
    assert_eq!((quality.reliability, quality.availability), (0.95, 0.99));
    let alerts = resources::AlertThresholds::default();
    assert_eq!(
        (
            alerts.cpu_threshold,
            alerts.memory_threshold,
            alerts.network_threshold
        ),
        (0.8, 0.85, 0.9)
    );
    assert_eq!(
        (alerts.response_time_threshold, alerts.error_rate_threshold),
        (1000.0, 0.05)
    );
    let used = resources::ResourceUtilization {
        cpu_utilization: 0.8,
        memory_utilization: 0.6,
        network_utilization: 0.4,
        storage_utilization: 0.2,
        energy_consumption: 9.0,
        efficiency_score: 1.0,
        timestamp: 0,
    };
    assert!(
        used.is_over_utilized(0.7)
            && !used.is_over_utilized(0.8)
            && (used.overall_utilization() - 0.5).abs() < 1e-12
    );
    let (up, down) = (
        AdaptationFeedback::positive(0.9),
        AdaptationFeedback::negative(0.5),
    );
    assert!(up.is_positive() && !down.is_positive() && up.timestamp > 0);
    assert_eq!(
        (up.learning_rate_adjustment, down.learning_rate_adjustment),
        (1.1, 0.9)
    );
    assert!(DecisionContext::default().available_actions.is_empty());
}
