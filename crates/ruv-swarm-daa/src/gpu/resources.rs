//! Who of one process holds how much memory and compute. Grants are whole or refused, and counted until returned.
//!
//! With the feature `coordination` every grant is also a lease of a ledger: the coordinator's own, or a shared one.

#[cfg(feature = "coordination")]
mod leased;

use super::monitor::RunningMean;
use super::protocol::CoordinationMetrics;
use crate::error::{DAAError, DAAResult};
use crate::records::{Priority, Task};
use crate::store::json_bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How memory and compute are shared out. The strategy is kept; grants do not depend on it yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum AdaptiveAllocationStrategy {
    /// By measured performance.
    PerformanceBased {
        /// Performance below which less is given, 0 to 1.
        min_performance_threshold: f32,
        /// How much more is given above it, 0 to 1.
        allocation_aggressiveness: f32,
    },
    /// By what can be learned.
    LearningOptimized {
        /// Weight of what was learned, 0 to 1.
        learning_rate_factor: f32,
        /// Share of grants that try something out, 0 to 1.
        exploration_probability: f32,
    },
    /// By what peers need.
    CoordinationAware {
        /// Weight of the peers' needs, 0 to 1.
        coordination_weight: f32,
        /// How much is kept back for them, 0 to 1.
        peer_consideration_factor: f32,
    },
    /// All three, weighted.
    HybridAdaptive {
        /// Weight of performance, 0 to 1.
        performance_weight: f32,
        /// Weight of learning, 0 to 1.
        learning_weight: f32,
        /// Weight of coordination, 0 to 1.
        coordination_weight: f32,
    },
}

impl Default for AdaptiveAllocationStrategy {
    fn default() -> Self {
        Self::HybridAdaptive {
            performance_weight: 0.4,
            learning_weight: 0.3,
            coordination_weight: 0.3,
        }
    }
}

/// The urgency of a grant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum DynamicPriority {
    /// Can wait.
    Low,
    /// The usual.
    Medium,
    /// Before the usual.
    High,
    /// Before everything.
    Critical,
}

impl From<&Priority> for DynamicPriority {
    fn from(priority: &Priority) -> Self {
        match priority {
            Priority::Low => Self::Low,
            Priority::Medium => Self::Medium,
            Priority::High => Self::High,
            Priority::Critical => Self::Critical,
        }
    }
}

/// What is expected of a task, from earlier ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PerformancePredictions {
    /// Mean measured time in milliseconds; 0 before the first task.
    pub expected_execution_time_ms: f64,
    /// The memory asked for, in MiB.
    pub expected_memory_usage_mb: u64,
    /// How sure that is: n / (n + 1) after n tasks.
    pub confidence_score: f32,
}

/// Memory and compute that a task holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DynamicResourceAllocation {
    /// Identifier, for giving it back.
    pub allocation_id: String,
    /// Who holds it.
    pub agent_id: String,
    /// Memory asked for, in MiB.
    pub requested_memory_mb: u64,
    /// Memory given, in MiB.
    pub allocated_memory_mb: u64,
    /// Compute units given.
    pub compute_units: u32,
    /// Urgency.
    pub priority: DynamicPriority,
    /// When it was given.
    pub allocation_time: DateTime<Utc>,
    /// How long it is expected to be held.
    pub expected_duration: Duration,
    /// What is expected of the task.
    pub performance_predictions: PerformancePredictions,
}

/// Learns how long tasks take.
#[derive(Debug, Clone, Default)]
pub struct PredictiveResourceAnalyzer {
    times_ms: RunningMean,
}

impl PredictiveResourceAnalyzer {
    /// Takes in one measured time in milliseconds.
    pub fn record(&mut self, time_ms: u64) {
        self.times_ms.add(time_ms as f64);
    }

    /// What is expected of a task with so many MiB.
    #[must_use]
    pub fn predict(&self, memory_mb: u64) -> PerformancePredictions {
        let count = self.times_ms.count() as f32;
        PerformancePredictions {
            expected_execution_time_ms: self.times_ms.mean(),
            expected_memory_usage_mb: memory_mb,
            confidence_score: count / (count + 1.0),
        }
    }
}

/// Lends resources to peers; not built yet.
#[derive(Debug, Clone, Default)]
pub struct ResourceSharingProtocol {
    requests: u64,
}

impl ResourceSharingProtocol {
    /// Would lend so many MiB to `peer`.
    ///
    /// # Errors
    /// Always [`DAAError::CoordinationError`]: it is not built yet.
    pub async fn lend(&mut self, peer: &str, memory_mb: u64) -> DAAResult<()> {
        self.requests += 1;
        Err(DAAError::coordination(format!(
            "lending {memory_mb} MiB to `{peer}` is not built yet in this crate"
        )))
    }

    /// How often it was asked.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests
    }
}

/// Gives out memory and compute up to a capacity.
#[derive(Debug)]
pub struct AutonomousResourceCoordinator {
    /// The agent it belongs to.
    pub agent_id: String,
    /// What is held now, by identifier.
    pub resource_allocations: HashMap<String, DynamicResourceAllocation>,
    /// How resources are shared out.
    pub allocation_strategy: AdaptiveAllocationStrategy,
    /// Figures of the coordinations that led here.
    pub coordination_metrics: CoordinationMetrics,
    /// Lending to peers.
    pub resource_sharing_protocol: ResourceSharingProtocol,
    /// What is expected of tasks.
    pub predictive_analyzer: PredictiveResourceAnalyzer,
    memory_mb: u64,
    compute_units: u32,
    returned: Arc<Mutex<Vec<String>>>,
    #[cfg(feature = "coordination")]
    leases: leased::Leases,
}

/// Gives an allocation back when it goes, on every way out of a task.
#[derive(Debug)]
pub(super) struct ReturnOnDrop {
    id: String,
    returned: Arc<Mutex<Vec<String>>>,
    #[cfg(feature = "coordination")]
    leases: leased::Held,
}

impl Drop for ReturnOnDrop {
    fn drop(&mut self) {
        #[cfg(feature = "coordination")]
        self.leases.leave(&self.id);
        let mut returned = self.returned.lock().unwrap_or_else(PoisonError::into_inner);
        returned.push(std::mem::take(&mut self.id));
    }
}

impl AutonomousResourceCoordinator {
    /// A coordinator of 1024 MiB and as many compute units as the host has processors.
    #[must_use]
    pub fn new(agent_id: String) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::with_capacity(agent_id, 1024, u32::try_from(processors).unwrap_or(u32::MAX))
    }

    /// A coordinator of so many MiB and compute units.
    #[must_use]
    pub fn with_capacity(agent_id: String, memory_mb: u64, compute_units: u32) -> Self {
        Self {
            agent_id,
            resource_allocations: HashMap::new(),
            allocation_strategy: AdaptiveAllocationStrategy::default(),
            coordination_metrics: CoordinationMetrics {
                successful_coordinations: 0,
                failed_coordinations: 0,
                average_coordination_time_ms: 0.0,
                resource_sharing_efficiency: 0.0,
                consensus_reached_ratio: 0.0,
            },
            resource_sharing_protocol: ResourceSharingProtocol::default(),
            predictive_analyzer: PredictiveResourceAnalyzer::default(),
            memory_mb,
            compute_units,
            returned: Arc::default(),
            #[cfg(feature = "coordination")]
            leases: leased::Leases::default(),
        }
    }

    /// MiB and compute units that are held now.
    #[must_use]
    pub fn held(&self) -> (u64, u32) {
        let held = self.resource_allocations.values();
        held.fold((0, 0), |(memory, units), one| {
            (memory + one.allocated_memory_mb, units + one.compute_units)
        })
    }

    /// Gives the task what its context asks for: `memory_mb` (the size of the task itself, rounded up, where it asks
    /// for none) and `compute_units` (1 where it asks for none).
    ///
    /// # Errors
    /// [`DAAError::ConfigError`] for a request that is not a whole number from 1, [`DAAError::MemoryError`] for more
    /// memory than is free, [`DAAError::CoordinationError`] for more compute units than are free. With the feature
    /// `coordination` also where the ledger does not grant the lease.
    pub async fn allocate_resources_for_task(&mut self, task: &Task) -> DAAResult<DynamicResourceAllocation> {
        self.settle();
        let own_size = (json_bytes(task) as u64).div_ceil(1 << 20).max(1);
        let memory_mb = requested(task, "memory_mb", own_size)?;
        let asked_units = requested(task, "compute_units", 1)?;
        let (held_mb, held_units) = self.held();
        if memory_mb > self.memory_mb.saturating_sub(held_mb) {
            return Err(DAAError::memory(format!(
                "task `{}` asks for {memory_mb} MiB, {} of {} are free",
                task.id,
                self.memory_mb.saturating_sub(held_mb),
                self.memory_mb
            )));
        }
        let free_units = self.compute_units.saturating_sub(held_units);
        let compute_units = u32::try_from(asked_units)
            .ok()
            .filter(|&units| units <= free_units)
            .ok_or_else(|| {
                DAAError::coordination(format!(
                    "task `{}` asks for {asked_units} compute units, {free_units} of {} are free",
                    task.id, self.compute_units
                ))
            })?;
        let predictions = self.predictive_analyzer.predict(memory_mb);
        let allocation = DynamicResourceAllocation {
            allocation_id: uuid::Uuid::new_v4().to_string(),
            agent_id: self.agent_id.clone(),
            requested_memory_mb: memory_mb,
            allocated_memory_mb: memory_mb,
            compute_units,
            priority: DynamicPriority::from(&task.priority),
            allocation_time: crate::time::now(),
            expected_duration: Duration::from_secs_f64(predictions.expected_execution_time_ms / 1000.0),
            performance_predictions: predictions,
        };
        #[cfg(feature = "coordination")]
        self.lease(&allocation, task).await?;
        self.resource_allocations
            .insert(allocation.allocation_id.clone(), allocation.clone());
        Ok(allocation)
    }

    /// Takes an allocation back.
    ///
    /// # Errors
    /// [`DAAError::MemoryError`] for one that is unknown or was given back before.
    pub async fn return_resources_autonomous(&mut self, allocation_id: &str) -> DAAResult<()> {
        self.settle();
        let known = self.resource_allocations.remove(allocation_id).is_some();
        if !known {
            return Err(DAAError::memory(format!(
                "the allocation `{allocation_id}` is not held"
            )));
        }
        #[cfg(feature = "coordination")]
        self.leases.give_back(allocation_id).await?;
        Ok(())
    }

    /// Gives `allocation_id` back as soon as the returned value goes.
    pub(super) fn return_on_drop(&self, allocation_id: &str) -> ReturnOnDrop {
        ReturnOnDrop {
            id: allocation_id.to_owned(),
            returned: Arc::clone(&self.returned),
            #[cfg(feature = "coordination")]
            leases: self.leases.held(),
        }
    }

    /// Takes back what was given back since.
    pub(super) fn settle(&mut self) {
        let mut returned = self.returned.lock().unwrap_or_else(PoisonError::into_inner);
        for id in returned.drain(..) {
            self.resource_allocations.remove(&id);
        }
    }
}

fn requested(task: &Task, name: &str, default: u64) -> DAAResult<u64> {
    task.context.get(name).map_or(Ok(default), |value| {
        value.as_u64().filter(|&number| number > 0).ok_or_else(|| {
            DAAError::config(format!(
                "`{name}` of task `{}` is {value}, allowed are whole numbers from 1",
                task.id
            ))
        })
    })
}
