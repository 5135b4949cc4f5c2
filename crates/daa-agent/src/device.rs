//! The device that a run's agents share, and the host that steps in when it fails.

use crate::config::Schedule;
use crate::error::AgentError;
use crate::events::{EventKind, RanOn};
use crate::recorder::Recorder;
use daa_base::{Bytes, Clock, Seed, SystemClock};
use daa_gpu_core::{
    Acquired, BackendKind, BreakerConfig, ComputeContext, ContextConfig, DeviceInfo, Failover, GpuError,
    PoolReport, ProfileReport, Role, Switch,
};
use daa_kernels::run::Observer;
use daa_learn::train::Verification;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The one device of a run, with the host behind it. Work asks where to run each time it takes up a lease, and again
/// whenever something fails.
#[derive(Debug)]
pub(crate) struct SharedDevice {
    failover: Arc<Failover>,
    info: DeviceInfo,
    reason: String,
    capacity: Bytes,
    verify: Verification,
    /// Told whenever a lease's memory is back in the pool.
    freed: Notify,
}

impl SharedDevice {
    /// Opens the device that `schedule` asks for, with its limits.
    pub(crate) fn open(schedule: &Schedule) -> Result<Self, AgentError> {
        let mut config = ContextConfig {
            device: schedule.device,
            step_deadline: schedule.patience,
            pipeline_cache: schedule.pipeline_cache.clone(),
            ..Default::default()
        };
        config.memory.capacity = schedule.memory_limit;
        config.memory.recorder.clone_from(&schedule.memory_recorder);
        config.cpu_workers = schedule.threads.unwrap_or(config.cpu_workers);
        let device = ComputeContext::open(&config)?;
        let clock = Arc::new(SystemClock::new());
        Ok(Self {
            verify: schedule.verify,
            ..Self::over(device, clock, |failover| failover)?
        })
    }

    /// Shares `device`; `clock` times the back-off, `adapt` is for tests.
    pub(crate) fn over(
        device: ComputeContext,
        clock: Arc<dyn Clock>,
        adapt: impl FnOnce(Failover) -> Failover,
    ) -> Result<Self, AgentError> {
        let probe =
            daa_kernels::probe::health().map_err(|error| AgentError::internal("the health probe", error))?;
        // Only when a failed device is tried again depends on these numbers, never what comes out of a step.
        let rng = Seed(std::process::id().into()).stream("back-off").rng();
        let (info, capacity) = (device.info().clone(), device.capacity());
        let chosen = device.selection().reports.iter().find(|report| report.chosen);
        let reason = chosen.map_or_else(String::new, |report| report.reason.clone());
        let failover = Failover::new(device, BreakerConfig::default(), probe, clock, rng)?;
        Ok(Self {
            failover: Arc::new(adapt(failover)),
            info,
            reason,
            capacity,
            verify: Verification::Off,
            freed: Notify::new(),
        })
    }

    /// The device that was chosen, which need not be the one in use.
    pub(crate) const fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// Why it was chosen.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// What trainings do against its wrong results.
    pub(crate) const fn verify(&self) -> Verification {
        self.verify
    }

    pub(crate) const fn failover(&self) -> &Arc<Failover> {
        &self.failover
    }

    /// The context that work is to use now, for a thread that may block.
    pub(crate) fn acquire(&self, recorder: &Recorder) -> Result<Acquired, AgentError> {
        Ok(self.failover.renew(|switch| tell(recorder, &switch))?)
    }

    /// Tells how work went. Whether it failed through the fault of a device that something else stands in for.
    pub(crate) fn report(&self, recorder: &Recorder, on: &Acquired, outcome: Result<(), &GpuError>) -> bool {
        if let Some(switch) = self.failover.report(&on.context, outcome) {
            tell(recorder, &switch);
        }
        outcome.is_err_and(|error| self.failover.may_repeat(on.role, error))
    }

    /// What the pools of the device and of the host that steps in hold.
    pub(crate) fn pools(&self) -> Vec<PoolReport> {
        let contexts = self.failover.contexts();
        contexts.iter().map(ComputeContext::pool_report).collect()
    }

    /// Where the time of the device and of the host that steps in went.
    pub(crate) fn profiles(&self) -> Vec<(BackendKind, ProfileReport)> {
        let contexts = self.failover.contexts();
        contexts
            .iter()
            .map(|context| (context.info().backend, context.profile()))
            .collect()
    }

    /// What leases may sum up to.
    pub(crate) const fn capacity(&self) -> Bytes {
        self.capacity
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

/// Tells the run's observers and its folder of a switch.
pub(crate) fn tell(recorder: &Recorder, switch: &Switch) {
    recorder.emit(match switch.to {
        Role::Host => EventKind::DeviceFailed {
            error: switch.reason.clone(),
            fallback: "the host CPU".to_owned(),
        },
        Role::Primary => EventKind::DeviceReturned {
            device: switch.device.clone(),
            reason: switch.reason.clone(),
        },
    });
}

/// Tells the recorder of the switches that a training brings about.
#[derive(Debug)]
pub(crate) struct Teller(pub(crate) Arc<Recorder>);

impl Observer for Teller {
    fn switched(&self, switch: &Switch) {
        tell(&self.0, switch);
    }
}

/// Adds where more of the same work ran.
pub(crate) fn also_ran_on(ran_on: &mut Option<RanOn>, more: Option<RanOn>) {
    let Some(more) = more else { return };
    let Some(before) = ran_on else {
        *ran_on = Some(more);
        return;
    };
    join(&mut before.backend, &more.backend);
    join(&mut before.device, &more.device);
}

/// Where steps ran, each place once.
pub(crate) fn join(all: &mut String, more: &str) {
    for part in more.split(AND) {
        if !all.split(AND).any(|known| known == part) {
            all.push_str(AND);
            all.push_str(part);
        }
    }
}

/// Between two places.
const AND: &str = " and ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_named_once_in_the_order_of_their_use() {
        let on = |backend: &str| {
            Some(RanOn {
                backend: backend.to_owned(),
                device: format!("a {backend} device"),
            })
        };
        let mut ran_on = None;
        also_ran_on(&mut ran_on, None);
        assert_eq!(ran_on, None);
        for (more, wanted) in [
            ("vulkan", "vulkan"),
            ("vulkan", "vulkan"),
            ("host", "vulkan and host"),
            ("vulkan", "vulkan and host"),
        ] {
            also_ran_on(&mut ran_on, on(more));
            assert_eq!(
                ran_on.as_ref().map(|ran_on| ran_on.backend.as_str()),
                Some(wanted)
            );
        }
        assert_eq!(
            ran_on.map(|ran_on| ran_on.device),
            Some("a vulkan device and a host device".to_owned())
        );
    }
}
