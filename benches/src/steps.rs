//! Training, as many steps as are asked for.

use crate::device::Device;
use daa_base::{Clock, Seed, SystemClock};
use daa_gpu_core::Tenant;
use daa_kernels::Session;
use daa_learn::nn::{Architecture, Network, Purpose, compile};
use daa_learn::train::config::MAX_EPOCHS;
use daa_learn::train::{Control, Optimizer, Outcome, PreparedData, Schedule, TrainConfig, Trainer};
use std::sync::Arc;
use std::time::Duration;

/// A training with Adam that never ends by itself.
#[derive(Debug)]
pub struct Steps {
    trainer: Trainer,
    session: Session,
    clock: SystemClock,
    /// Dropping it would take the session's memory back.
    _tenant: Tenant,
}

impl Steps {
    /// # Panics
    /// When the network and the data do not fit each other.
    #[must_use]
    pub fn new(device: &Device, network: &Architecture, batch: usize, data: Arc<PreparedData>) -> Self {
        // So small that the weights stay where they begin: a benchmark that runs longer must not train its gradients
        // down to numbers that the processor handles slowly. The arithmetic is the same for every rate.
        let optimizer = Optimizer::adam(1e-6);
        let config = TrainConfig {
            epochs: MAX_EPOCHS,
            batch,
            epoch_rows: None,
            optimizer,
            schedule: Schedule::Constant,
            patience: None,
            augment: None,
        };
        let network = Arc::new(compiled(network, batch, Purpose::Train(optimizer.kind())));
        let tenant = device.tenant(network.peak_bytes());
        let session =
            Session::load(&tenant, Arc::clone(network.plan())).expect("the budget is the plan's peak");
        let trainer = Trainer::new(network, data, config, Seed(1), None).expect("the data fit the network");
        Self {
            trainer,
            session,
            clock: SystemClock::new(),
            _tenant: tenant,
        }
    }

    /// How long `count` steps take, from where the last call stopped: gathering rows, uploading, the step itself, the
    /// metrics at the end of an epoch, and reading weights and moments once at the end; not sending them once at the
    /// beginning.
    ///
    /// # Panics
    /// When the device fails.
    pub fn run(&mut self, count: u64) -> Duration {
        let (mut left, mut began) = (count, None);
        let clock = &self.clock;
        let outcome = self.trainer.run(&mut self.session, &mut |_| {
            began.get_or_insert_with(|| clock.monotonic());
            if left == 0 {
                return Control::Yield;
            }
            left -= 1;
            Control::Continue
        });
        assert_eq!(outcome.expect("the device works"), Outcome::Yielded);
        clock.monotonic() - began.unwrap_or_default()
    }
}

/// `network` compiled for batches of `batch` rows.
///
/// # Panics
/// When the description is refused.
#[must_use]
pub fn compiled(network: &Architecture, batch: usize, purpose: Purpose) -> Network {
    compile(network, batch, purpose).expect("the networks of benchmarks are valid")
}
