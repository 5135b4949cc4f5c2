//! The agent of the original document.

use super::builder::EnhancedGPUDAAAgentBuilder;
use super::compute::{ComputeContext, KernelOptimizer, PipelineCache};
use super::decision::{AutonomousDecision, AutonomousDecisionEngine, AutonomousDecisionType};
use super::learning::DAALearningIntegrator;
use super::memory::{AdvancedBufferPool, EnhancedGpuMemoryManager, MemoryPressureMonitor};
use super::monitor::{AutonomousGPUOptimizer, PerformanceMonitor};
use super::protocol::{CoordinationState, EnhancedCoordinationResult, MultiAgentCoordinationProtocol};
use super::resources::AutonomousResourceCoordinator;
use crate::agent::AgentConfiguration;
use crate::contract::DAAAgent;
use crate::core::{Core, CoreSpec};
use crate::directory::PeerDirectory;
use crate::error::DAAResult;
use crate::records::{
    AgentMetrics, CognitivePattern, CoordinationResult, Feedback, Knowledge, Task, TaskResult,
};
use crate::types::TaskRequest;
use crate::work;
use async_trait::async_trait;
use daa_base::Clock;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{Mutex, RwLock};

/// What a new agent is made from.
#[derive(Debug)]
pub(super) struct AgentSpec {
    pub(super) id: Option<String>,
    pub(super) pattern: CognitivePattern,
    pub(super) memory_limit_mb: u64,
    pub(super) coordination: bool,
    pub(super) optimization: bool,
    pub(super) config: AgentConfiguration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) directory: PeerDirectory,
    #[cfg(feature = "coordination")]
    pub(super) ledger: Option<super::ledger::ResourceLedger>,
}

/// Figures of a GPU agent that [`AgentMetrics`] has no room for.
#[derive(Debug, Clone)]
pub struct GpuAgentMetrics {
    /// The figures that every agent has.
    pub agent: AgentMetrics,
    /// Share of a GPU in use, 0 to 1; none where no GPU computes.
    pub gpu_utilization: Option<f32>,
    /// Bytes of memory that may be held.
    pub memory_capacity_bytes: u64,
    /// Bytes held now.
    pub memory_in_use_bytes: u64,
    /// Most bytes held so far.
    pub memory_high_water_bytes: u64,
    /// Allocations held now.
    pub allocations_held: usize,
}

/// An agent with a memory limit, resource accounting, decisions and coordination. All its methods take `&self`.
#[derive(Debug)]
pub struct EnhancedGPUDAAAgent {
    core: Arc<Core>,
    coordination: bool,
    /// Where it computes.
    pub compute_context: Arc<RwLock<ComputeContext<f32>>>,
    /// What its tasks hold, in bytes.
    pub memory_manager: Arc<Mutex<EnhancedGpuMemoryManager>>,
    /// Buffers for reuse, within the capacity and by the settings of [`memory_manager`](Self::memory_manager).
    pub buffer_pool: Arc<Mutex<AdvancedBufferPool>>,
    /// How scarce memory was.
    pub pressure_monitor: Arc<RwLock<MemoryPressureMonitor>>,
    /// Compiled pipelines.
    pub pipeline_cache: Arc<Mutex<PipelineCache>>,
    /// Kernel variants.
    pub kernel_optimizer: Arc<RwLock<KernelOptimizer>>,
    /// Time and success of its tasks.
    pub performance_monitor: Arc<RwLock<PerformanceMonitor>>,
    /// What its tasks hold, in MiB and compute units.
    pub resource_coordinator: Arc<Mutex<AutonomousResourceCoordinator>>,
    /// What it learned from its tasks.
    pub learning_integrator: Arc<RwLock<DAALearningIntegrator>>,
    /// The optimizer.
    pub autonomous_optimizer: Arc<Mutex<AutonomousGPUOptimizer>>,
    /// How it coordinates.
    pub coordination_protocol: Arc<RwLock<MultiAgentCoordinationProtocol>>,
    /// How it decides.
    pub decision_engine: Arc<RwLock<AutonomousDecisionEngine>>,
}

impl EnhancedGPUDAAAgent {
    /// An agent with the builder's defaults.
    ///
    /// # Errors
    /// None with these defaults.
    pub async fn new(id: String, pattern: CognitivePattern) -> DAAResult<Self> {
        EnhancedGPUDAAAgentBuilder::new()
            .with_id(id)
            .with_cognitive_pattern(pattern)
            .build()
            .await
    }

    pub(super) fn open(spec: AgentSpec) -> DAAResult<Self> {
        let memory = EnhancedGpuMemoryManager::new(spec.memory_limit_mb)?;
        let id = spec.id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let compute_units = u32::try_from(processors).unwrap_or(u32::MAX);
        let coordinator =
            AutonomousResourceCoordinator::with_capacity(id.clone(), spec.memory_limit_mb, compute_units);
        #[cfg(feature = "coordination")]
        let coordinator = match spec.ledger {
            Some(ledger) => coordinator.sharing(ledger),
            None => coordinator,
        };
        let mut protocol = MultiAgentCoordinationProtocol::new(id.clone());
        if !spec.coordination {
            protocol.coordination_state = CoordinationState::Disabled;
        }
        let threshold = spec.config.adaptation_threshold;
        let core = Core::open(CoreSpec {
            id,
            pattern: spec.pattern.clone(),
            config: spec.config,
            clock: spec.clock,
            directory: spec.directory,
            cooperates: spec.coordination,
            memory_bytes: usize::try_from(memory.capacity()).unwrap_or(usize::MAX),
        })?;
        Ok(Self {
            core,
            coordination: spec.coordination,
            compute_context: Arc::new(RwLock::new(ComputeContext::with_limit(spec.memory_limit_mb))),
            buffer_pool: Arc::new(Mutex::new(memory.buffer_pool())),
            memory_manager: Arc::new(Mutex::new(memory)),
            pressure_monitor: Arc::new(RwLock::new(MemoryPressureMonitor::new())),
            pipeline_cache: Arc::new(Mutex::new(PipelineCache::new())),
            kernel_optimizer: Arc::new(RwLock::new(KernelOptimizer::new())),
            performance_monitor: Arc::new(RwLock::new(PerformanceMonitor::new())),
            resource_coordinator: Arc::new(Mutex::new(coordinator)),
            learning_integrator: Arc::new(RwLock::new(DAALearningIntegrator::new(spec.pattern))),
            autonomous_optimizer: Arc::new(Mutex::new(AutonomousGPUOptimizer::new(spec.optimization))),
            coordination_protocol: Arc::new(RwLock::new(protocol)),
            decision_engine: Arc::new(RwLock::new(AutonomousDecisionEngine::new(threshold))),
        })
    }

    /// The identifier.
    #[must_use]
    pub fn id(&self) -> &str {
        self.core.id()
    }

    /// How the agent looks for solutions now.
    #[must_use]
    pub fn cognitive_pattern(&self) -> &CognitivePattern {
        self.core.pattern()
    }

    /// From now on tasks become experiences, the optimizer records if it is enabled, and the protocol is active if
    /// coordination is.
    ///
    /// # Errors
    /// [`DAAError::CoordinationError`](crate::DAAError::CoordinationError) after [`shutdown`](Self::shutdown).
    pub async fn start_autonomous_learning(&self) -> DAAResult<()> {
        self.core.start_learning()?;
        self.autonomous_optimizer.lock().await.start();
        self.set_coordination_state(CoordinationState::Active).await;
        Ok(())
    }

    /// Ends what [`start_autonomous_learning`](Self::start_autonomous_learning) began.
    ///
    /// # Errors
    /// None today; the older signature returns a result.
    pub async fn stop_autonomous_learning(&self) -> DAAResult<()> {
        self.core.stop_learning();
        self.autonomous_optimizer.lock().await.stop();
        self.set_coordination_state(CoordinationState::Stopped).await;
        Ok(())
    }

    async fn set_coordination_state(&self, state: CoordinationState) {
        if self.coordination {
            self.coordination_protocol.write().await.coordination_state = state;
        }
    }

    /// Does the task within the agent's limits and learns from it. Networks are trained on the open device of
    /// [`compute_context`](Self::compute_context).
    ///
    /// # Errors
    /// [`DAAError::MemoryError`](crate::DAAError::MemoryError) or
    /// [`DAAError::CoordinationError`](crate::DAAError::CoordinationError) for a task that asks for more than is free,
    /// [`DAAError::ConfigError`](crate::DAAError::ConfigError) for a request that is no whole number.
    pub async fn process_task_autonomously(&self, task: &Task) -> DAAResult<TaskResult> {
        let held = {
            let mut coordinator = self.resource_coordinator.lock().await;
            let allocation = coordinator.allocate_resources_for_task(task).await?;
            coordinator.return_on_drop(&allocation.allocation_id)
        };
        let pattern = self.core.pattern();
        let (result, bytes) = self.run_within_memory(task).await?;
        drop(held);
        let mut coordinator = self.resource_coordinator.lock().await;
        coordinator.settle();
        coordinator.predictive_analyzer.record(result.execution_time_ms);
        drop(coordinator);
        self.observe(task, &result, pattern, bytes).await;
        Ok(result)
    }

    /// Nothing is awaited between taking the memory and giving it back, so that nobody can leave in between.
    async fn run_within_memory(&self, task: &Task) -> DAAResult<(TaskResult, u64)> {
        let device = if work::is_training(task) {
            Some(self.compute_context.write().await.device()?)
        } else {
            None
        };
        let mut pressure = self.pressure_monitor.write().await;
        let mut memory = self.memory_manager.lock().await;
        let bytes = self
            .decision_engine
            .read()
            .await
            .context_analyzer
            .task_bytes(task);
        let ticket = memory.allocate(bytes, self.core.clock().monotonic())?;
        if let Some(level) = memory.pressure() {
            pressure.observe(level);
        }
        let result = self.core.process_on(task, device.as_deref());
        memory.free(ticket)?;
        Ok((result?, bytes))
    }

    async fn observe(&self, task: &Task, result: &TaskResult, pattern: &CognitivePattern, bytes: u64) {
        self.performance_monitor
            .write()
            .await
            .record(result.execution_time_ms, result.success);
        self.learning_integrator
            .write()
            .await
            .learn_from_task(pattern, result, bytes);
        self.autonomous_optimizer
            .lock()
            .await
            .observe(pattern, result.execution_time_ms);
        self.decision_engine.write().await.observe(task, result.success);
    }

    /// Exchanges knowledge with the peers that can be reached. With coordination switched off, `success` is false and
    /// all lists are empty.
    ///
    /// # Errors
    /// [`DAAError::CoordinationError`](crate::DAAError::CoordinationError) for more than 10 000 peers and after
    /// [`shutdown`](Self::shutdown).
    pub async fn coordinate_with_peers(&self, peers: &[String]) -> DAAResult<EnhancedCoordinationResult> {
        let result = self.core.coordinate(peers)?;
        let mut protocol = self.coordination_protocol.write().await;
        let asked: BTreeSet<&str> = peers
            .iter()
            .map(String::as_str)
            .filter(|id| *id != self.id())
            .collect();
        protocol.record(&result, asked.len(), self.core.now());
        let metrics = protocol.coordination_history.metrics();
        drop(protocol);
        self.resource_coordinator.lock().await.coordination_metrics = metrics;
        Ok(EnhancedCoordinationResult::new(result, &self.core.metrics()))
    }

    /// Decides what the feedback calls for, remembers the decision, and changes the pattern where it calls for that.
    ///
    /// # Errors
    /// None today; the older signature returns a result.
    pub async fn adapt_strategy(&self, feedback: &Feedback) -> DAAResult<AutonomousDecision> {
        let decision = self
            .decision_engine
            .write()
            .await
            .decide(feedback, self.core.now());
        if decision.decision_type == AutonomousDecisionType::AdaptCognitivePattern {
            self.core.adapt(feedback);
        }
        Ok(decision)
    }

    /// The pattern that the adaptations so far speak for.
    ///
    /// # Errors
    /// None today; the older signature returns a result.
    pub async fn evolve_cognitive_pattern(&self) -> DAAResult<CognitivePattern> {
        Ok(self.core.evolved())
    }

    /// Hands one piece of knowledge to a peer.
    ///
    /// # Errors
    /// [`DAAError::AgentNotFound`](crate::DAAError::AgentNotFound) for a peer that cannot be reached,
    /// [`DAAError::CoordinationError`](crate::DAAError::CoordinationError) where coordination is switched off.
    pub async fn share_knowledge(&self, target_agent: &str, knowledge: &Knowledge) -> DAAResult<()> {
        self.core.share(target_agent, knowledge)
    }

    /// Measured figures.
    ///
    /// # Errors
    /// None today; the older signature returns a result.
    pub async fn get_metrics(&self) -> DAAResult<AgentMetrics> {
        Ok(self.core.metrics())
    }

    /// Measured figures with those of memory and GPU.
    ///
    /// # Errors
    /// None today; kept like [`get_metrics`](Self::get_metrics).
    pub async fn get_gpu_metrics(&self) -> DAAResult<GpuAgentMetrics> {
        // In this order: a task that waits in the line of a ledger has the coordinator, and others must be able to
        // get at the memory meanwhile.
        let allocations_held = self.resource_coordinator.lock().await.resource_allocations.len();
        let memory = self.memory_manager.lock().await;
        Ok(GpuAgentMetrics {
            agent: self.core.metrics(),
            gpu_utilization: None,
            memory_capacity_bytes: memory.capacity(),
            memory_in_use_bytes: memory.in_use(),
            memory_high_water_bytes: memory.high_water(),
            allocations_held,
        })
    }

    /// Does a coordinator's task; no metric of this agent changes.
    ///
    /// # Errors
    /// [`DAAError::CoordinationError`](crate::DAAError::CoordinationError) after [`shutdown`](Self::shutdown).
    pub async fn execute_task(&self, task: TaskRequest) -> DAAResult<TaskResult> {
        self.core.execute(task)
    }

    /// Ends the agent's work with others.
    ///
    /// # Errors
    /// None today; the older signature returns a result.
    pub async fn shutdown(&self) -> DAAResult<()> {
        self.core.shutdown();
        self.stop_autonomous_learning().await
    }

    /// An error an hour after the last task.
    ///
    /// # Errors
    /// [`DAAError::AgentNotFound`](crate::DAAError::AgentNotFound).
    pub async fn health_check(&self) -> DAAResult<()> {
        self.core.check_health()
    }

    /// The pattern, as text.
    ///
    /// # Errors
    /// None today; the older signature returns a result.
    pub async fn get_type(&self) -> DAAResult<String> {
        Ok(format!("{:?}", self.core.pattern()))
    }

    /// Whether tasks become experiences.
    #[must_use]
    pub fn is_learning(&self) -> bool {
        self.core.is_learning()
    }
}

/// Every method is the inherent one of the same name.
#[async_trait]
impl DAAAgent for EnhancedGPUDAAAgent {
    fn id(&self) -> &str {
        Self::id(self)
    }

    fn cognitive_pattern(&self) -> &CognitivePattern {
        Self::cognitive_pattern(self)
    }

    async fn start_autonomous_learning(&mut self) -> DAAResult<()> {
        Self::start_autonomous_learning(self).await
    }

    async fn stop_autonomous_learning(&mut self) -> DAAResult<()> {
        Self::stop_autonomous_learning(self).await
    }

    async fn adapt_strategy(&mut self, feedback: &Feedback) -> DAAResult<()> {
        Self::adapt_strategy(self, feedback).await.map(drop)
    }

    async fn evolve_cognitive_pattern(&mut self) -> DAAResult<CognitivePattern> {
        Self::evolve_cognitive_pattern(self).await
    }

    async fn coordinate_with_peers(&self, peers: &[String]) -> DAAResult<CoordinationResult> {
        Self::coordinate_with_peers(self, peers).await.map(Into::into)
    }

    async fn process_task_autonomously(&mut self, task: &Task) -> DAAResult<TaskResult> {
        Self::process_task_autonomously(self, task).await
    }

    async fn share_knowledge(&self, target_agent: &str, knowledge: &Knowledge) -> DAAResult<()> {
        Self::share_knowledge(self, target_agent, knowledge).await
    }

    async fn get_metrics(&self) -> DAAResult<AgentMetrics> {
        Self::get_metrics(self).await
    }

    async fn execute_task(&self, task: TaskRequest) -> DAAResult<TaskResult> {
        Self::execute_task(self, task).await
    }

    async fn shutdown(&self) -> DAAResult<()> {
        Self::shutdown(self).await
    }

    async fn health_check(&self) -> DAAResult<()> {
        Self::health_check(self).await
    }

    async fn get_type(&self) -> DAAResult<String> {
        Self::get_type(self).await
    }
}
