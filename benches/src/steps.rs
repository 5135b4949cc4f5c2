//! Training, as many steps as are asked for.

use crate::device::Device;
use daa_base::{Clock, Seed, SystemClock};
use daa_gpu_core::{Tenant, Weight};
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
        Self::of_weight(device, network, batch, data, Weight::default())
    }

    /// The same, for a tenant of this weight.
    ///
    /// # Panics
    /// When the network and the data do not fit each other.
    #[must_use]
    pub fn of_weight(
        device: &Device,
        network: &Architecture,
        batch: usize,
        data: Arc<PreparedData>,
        weight: Weight,
    ) -> Self {
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
        let tenant = device.tenant_of_weight(network.peak_bytes(), weight);
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
        let mut left = count;
        self.run_while(|| {
            let goes_on = left > 0;
            left = left.saturating_sub(1);
            goes_on
        })
    }

    /// How long steps take while `goes_on` says so, which is asked before each; as [`Self::run`].
    ///
    /// # Panics
    /// When the device fails.
    pub fn run_while(&mut self, mut goes_on: impl FnMut() -> bool) -> Duration {
        let mut began = None;
        let clock = &self.clock;
        let outcome = self.trainer.run(&mut self.session, &mut |_| {
            began.get_or_insert_with(|| clock.monotonic());
            if goes_on() {
                Control::Continue
            } else {
                Control::Yield
            }
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
