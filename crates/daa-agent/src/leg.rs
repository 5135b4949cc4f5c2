//! One leg of a piece of work: what is done under one lease, on a thread that may block.

use crate::device::{SharedDevice, Teller, also_ran_on};
use crate::error::AgentError;
use crate::events::{EpochMetrics, EventKind, RanOn};
use crate::order::Order;
use crate::recorder::Recorder;
use daa_base::{AgentId, Bytes};
use daa_coord::Lease;
use daa_gpu_core::{TenantSpec, Weight};
use daa_kernels::Runner;
use daa_learn::train::{
    Control, EpochRecord, Outcome, Progress, Recovery, RunHistory, TrainState, Trainer, Verification,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// How the agent's task speaks to the thread that trains: at each step boundary it looks here.
#[derive(Debug, Default)]
pub(crate) struct Rein(AtomicU8);

const GO_ON: u8 = 0;
const SAVE: u8 = 1;
const LEAVE: u8 = 2;

impl Rein {
    /// Asks to save the state at the next step boundary and go on.
    pub(crate) fn save(&self) {
        // A wish to leave is stronger, so it is never overwritten.
        let _ = self
            .0
            .compare_exchange(GO_ON, SAVE, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Asks to stop at the next step boundary, with the state saved.
    pub(crate) fn leave(&self) {
        self.0.store(LEAVE, Ordering::Release);
    }

    fn is_pulled(&self) -> bool {
        self.0.load(Ordering::Acquire) != GO_ON
    }

    /// Whether to leave; a wish to save is taken as fulfilled.
    fn answer(&self) -> bool {
        self.0
            .compare_exchange(SAVE, GO_ON, Ordering::AcqRel, Ordering::Acquire)
            == Err(LEAVE)
    }
}

/// What a leg needs.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) agent: AgentId,
    pub(crate) order: Arc<Order>,
    pub(crate) lease: Lease,
    pub(crate) device: Arc<SharedDevice>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) rein: Arc<Rein>,
}

/// How a leg ended.
#[derive(Debug)]
pub(crate) struct LegEnd<T> {
    pub(crate) outcome: Result<T, AgentError>,
    /// The most that was reserved under the lease.
    pub(crate) high_water: Bytes,
    /// What it ran on, if it ran.
    pub(crate) ran_on: Option<RanOn>,
    /// Whether it failed through the fault of a device that something else stands in for.
    pub(crate) may_repeat: bool,
}

impl<T> LegEnd<T> {
    /// A leg that never got to run.
    pub(crate) const fn failed(error: AgentError) -> Self {
        Self {
            outcome: Err(error),
            high_water: Bytes::ZERO,
            ran_on: None,
            may_repeat: false,
        }
    }
}

impl Leg {
    /// Runs until the work is done, or until the rein is pulled. All memory is back in the pool when it returns.
    pub(crate) fn run(self) -> LegEnd<(Outcome, TrainState)> {
        let spec = TenantSpec {
            name: format!("{} {}", self.agent, self.order.work),
            budget: self.lease.bytes,
            token: self.lease.token,
            weight: Weight::of_share(self.lease.share),
        };
        let plan = Arc::clone(self.order.network.plan());
        let mut runner = Runner::new(Arc::clone(self.device.failover()), plan, spec)
            .observed(Box::new(Teller(Arc::clone(&self.recorder))));
        let (mut history, mut loaded_on) = (RunHistory::default(), None);
        let outcome = self.train(&mut runner, &mut history, &mut loaded_on);
        let high_water = runner.high_water();
        drop(runner);
        self.recorder.memory(|| self.device.pools());
        // Work that was all done when it was taken up has loaded its plan and run no step.
        let mut ran_on = history.stretches().is_empty().then_some(loaded_on).flatten();
        for stretch in history.stretches() {
            let (backend, device) = (stretch.backend.clone(), stretch.device.clone());
            also_ran_on(&mut ran_on, Some(RanOn { backend, device }));
        }
        LegEnd {
            outcome,
            high_water,
            ran_on,
            may_repeat: false,
        }
    }

    fn train(
        &self,
        runner: &mut Runner,
        history: &mut RunHistory,
        loaded_on: &mut Option<RanOn>,
    ) -> Result<(Outcome, TrainState), AgentError> {
        let order = &self.order;
        let start = order.start()?;
        let mut told = start.as_ref().map_or(0, |state| state.history().len());
        let (network, data) = (Arc::clone(&order.network), Arc::clone(&order.data));
        let mut trainer = Trainer::new(network, data, order.config.clone(), order.seed, start)?;
        let device = runner.prepare()?.device;
        *loaded_on = Some(RanOn {
            backend: device.backend.to_string(),
            device: device.name,
        });
        self.recorder.memory(|| self.device.pools());
        let mut steps = 0_u64;
        loop {
            let mut control = |progress: &Progress<'_>| {
                self.tell(progress.history, &mut told);
                // At least one step per leg, so that work gets on under the shortest of leases.
                steps += 1;
                if steps > 1 && self.rein.is_pulled() {
                    Control::Yield
                } else {
                    Control::Continue
                }
            };
            let verify = self.device.verify();
            let outcome = if self.device.failover().is_sole() && verify == Verification::Off {
                // Nothing stands in for the host, so there is nothing to keep checkpoints for.
                trainer.run_once(runner, history, &mut control)?
            } else {
                let recovery = Recovery::every(Recovery::default().every, verify);
                trainer.run_recovering(runner, &recovery, history, &mut control)?
            };
            if outcome != Outcome::Yielded {
                self.tell(trainer.state().history(), &mut told);
                return Ok((outcome, trainer.into_state()));
            }
            trainer.state().save(&order.progress_path())?;
            if self.rein.answer() {
                return Ok((outcome, trainer.into_state()));
            }
        }
    }

    /// Reports the epochs that were not reported yet.
    fn tell(&self, history: &[EpochRecord], told: &mut usize) {
        for record in &history[(*told).min(history.len())..] {
            let metrics = metrics(record, self.order.target_unit);
            self.recorder.emit(EventKind::EpochEnded {
                agent: self.agent,
                work: self.order.work,
                metrics,
            });
        }
        *told = history.len();
    }
}

fn metrics(record: &EpochRecord, target_unit: f64) -> EpochMetrics {
    let validation = record.validation;
    let is_classes = record.train.accuracy.is_some();
    let rmse = validation
        .filter(|_| !is_classes)
        .map(|v| f64::from(v.loss).sqrt() * target_unit);
    EpochMetrics {
        epoch: record.epoch + 1,
        train_loss: f64::from(record.train.loss),
        validation_loss: validation.map(|v| f64::from(v.loss)),
        validation_accuracy: validation.and_then(|v| v.accuracy).map(f64::from),
        validation_rmse: rmse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_to_leave_is_stronger_than_one_to_save() {
        let rein = Rein::default();
        assert!(!rein.is_pulled());
        rein.save();
        assert!(
            rein.is_pulled() && !rein.answer() && !rein.is_pulled(),
            "saving is answered by going on"
        );
        rein.leave();
        rein.save();
        assert!(rein.answer(), "leaving stays");
    }
}
