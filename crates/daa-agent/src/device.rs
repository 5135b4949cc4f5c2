//! The device that a run's agents share, and its replacement when it fails.

use crate::config::Schedule;
use daa_base::Bytes;
use daa_gpu_core::{ComputeContext, ContextConfig, DeviceChoice, DeviceError};
use std::sync::{PoisonError, RwLock};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The one device of a run. Work asks for the context anew each time it takes up a lease.
#[derive(Debug)]
pub(crate) struct SharedDevice {
    context: RwLock<ComputeContext>,
    config: ContextConfig,
    /// Told whenever a lease's memory is back in the pool.
    freed: Notify,
}

impl SharedDevice {
    /// Opens the device that `schedule` asks for, with its limits.
    pub(crate) fn open(schedule: &Schedule) -> Result<Self, DeviceError> {
        let mut config = ContextConfig {
            device: schedule.device,
            step_deadline: schedule.patience,
            pipeline_cache: schedule.pipeline_cache.clone(),
            ..Default::default()
        };
        config.memory.capacity = schedule.memory_limit;
        config.memory.recorder.clone_from(&schedule.memory_recorder);
        config.cpu_workers = schedule.threads.unwrap_or(config.cpu_workers);
        let context = ComputeContext::open(&config)?;
        Ok(Self {
            context: RwLock::new(context),
            config,
            freed: Notify::new(),
        })
    }

    pub(crate) fn context(&self) -> ComputeContext {
        self.context
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Leaves `failed` for the CPU. Returns the new device's name, or `None` when another task has switched before.
    pub(crate) fn fall_back(&self, failed: &ComputeContext) -> Result<Option<String>, DeviceError> {
        let mut context = self.context.write().unwrap_or_else(PoisonError::into_inner);
        if context.info() != failed.info() || context.epoch() != failed.epoch() {
            return Ok(None);
        }
        let mut config = self.config.clone();
        config.device = DeviceChoice::Cpu;
        let host = ComputeContext::open(&config)?;
        let name = host.info().name.clone();
        *context = host;
        Ok(Some(name))
    }

    /// What leases may sum up to.
    pub(crate) fn capacity(&self) -> Bytes {
        self.context().capacity()
    }

    /// Says that memory came back to the pool.
    pub(crate) fn memory_freed(&self) {
        self.freed.notify_waiters();
    }

    /// Ends when memory comes back to the pool after the returned future was enabled.
    pub(crate) fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }
}
