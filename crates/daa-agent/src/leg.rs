//! One leg of a piece of work: what is done under one lease, on a thread that may block.

use crate::error::AgentError;
use crate::events::{EpochMetrics, EventKind};
use crate::order::Order;
use crate::recorder::Recorder;
use daa_base::{AgentId, Bytes};
use daa_coord::Lease;
use daa_gpu_core::{ComputeContext, Tenant, TenantSpec, Weight};
use daa_kernels::Session;
use daa_learn::train::{Control, EpochRecord, Outcome, TrainState, Trainer};
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
    pub(crate) context: ComputeContext,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) rein: Arc<Rein>,
}

/// How a leg ended.
#[derive(Debug)]
pub(crate) struct LegEnd<T> {
    pub(crate) outcome: Result<T, AgentError>,
    /// The most that was reserved under the lease.
    pub(crate) high_water: Bytes,
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
        let tenant = match self.context.tenant(spec) {
            Ok(tenant) => tenant,
            Err(error) => {
                return LegEnd {
                    outcome: Err(AgentError::Memory(error)),
                    high_water: Bytes::ZERO,
                };
            }
        };
        let outcome = self.train(&tenant);
        let high_water = tenant.usage().high_water;
        drop(tenant);
        self.recorder.memory(|| self.context.pool_report());
        LegEnd { outcome, high_water }
    }

    fn train(&self, tenant: &Tenant) -> Result<(Outcome, TrainState), AgentError> {
        let order = &self.order;
        let start = order.start()?;
        let mut told = start.as_ref().map_or(0, |state| state.history().len());
        let (network, data) = (Arc::clone(&order.network), Arc::clone(&order.data));
        let mut trainer = Trainer::new(network, data, order.config.clone(), order.seed, start)?;
        let mut session = Session::load(tenant, Arc::clone(order.network.plan()))?;
        self.recorder.memory(|| self.context.pool_report());
        let mut steps = 0_u64;
        loop {
            let outcome = trainer.run(&mut session, &mut |progress| {
                self.tell(progress.history, &mut told);
                // At least one step per leg, so that work gets on under the shortest of leases.
                steps += 1;
                if steps > 1 && self.rein.is_pulled() {
                    Control::Yield
                } else {
                    Control::Continue
                }
            })?;
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
