//! Trainings of single networks on the embedded digits.

use daa_base::{FencingToken, Seed};
use daa_gpu_core::{ComputeContext, Tenant, TenantSpec, Weight};
use daa_kernels::Session;
use daa_kernels::activation::{Activation, ActivationKind};
use daa_learn::data::{DataSource, InputShape, LoadOptions, Preprocess, SplitShares, split};
use daa_learn::nn::{Architecture, Layer, Network, OutputHead, PoolKind, Purpose, compile};
use daa_learn::train::{Optimizer, PreparedData, Schedule, TrainConfig, Trainer};
use std::sync::Arc;

/// A network, its data and its recipe.
#[derive(Debug)]
pub struct Course {
    /// The compiled network.
    pub network: Arc<Network>,
    /// The digits, split.
    pub data: Arc<PreparedData>,
    /// The recipe.
    pub config: TrainConfig,
}

/// Rows of a batch.
const BATCH: usize = 32;

impl Course {
    /// A network of `layers` on the digits.
    ///
    /// # Panics
    /// When the layers do not fit the digits.
    #[must_use]
    pub fn on_digits(layers: impl FnOnce(InputShape) -> Vec<Layer>, optimizer: Optimizer) -> Self {
        let seed = Seed(1);
        let table = DataSource::Digits
            .load(&LoadOptions::default())
            .expect("they are embedded");
        let parts = split(&table, &SplitShares::default(), &seed.stream("split")).expect("they can be split");
        let preprocess = Preprocess::fit(&table, &parts.train).expect("they can be normalized");
        let dataset = Arc::new(preprocess.dataset(&table).expect("they fit themselves"));
        let shape = dataset.shape();
        let output = OutputHead::Classes { count: 10 };
        let architecture = Architecture::new(shape, layers(shape), output);
        let config = TrainConfig {
            epochs: 2,
            batch: BATCH,
            epoch_rows: None,
            optimizer,
            schedule: Schedule::Cosine {
                epochs: 2,
                warmup_epochs: 0,
                floor: 0.1,
            },
            patience: None,
            augment: None,
        };
        let network = compile(&architecture, BATCH, Purpose::Train(optimizer.kind())).expect("it compiles");
        let data = PreparedData::new(dataset, parts.train, parts.validation).expect("rows in range");
        Self {
            network: Arc::new(network),
            data: Arc::new(data),
            config,
        }
    }

    /// A training from its start.
    ///
    /// # Panics
    /// When data, network and recipe do not fit.
    #[must_use]
    pub fn trainer(&self) -> Trainer {
        let (network, data) = (Arc::clone(&self.network), Arc::clone(&self.data));
        Trainer::new(network, data, self.config.clone(), Seed(7), None).expect("they fit")
    }

    /// The network on `context`, under a tenant with exactly the budget that the plan states.
    ///
    /// # Panics
    /// When the device refuses it.
    #[must_use]
    pub fn load(&self, context: &ComputeContext) -> (Tenant, Session) {
        let budget = self.network.peak_bytes();
        let spec = TenantSpec {
            name: "test".to_owned(),
            budget,
            token: FencingToken(1),
            weight: Weight::default(),
        };
        let tenant = context.tenant(spec).expect("the capacity suffices");
        let session =
            Session::load(&tenant, Arc::clone(self.network.plan())).expect("the budget is the peak");
        assert_eq!(tenant.usage().high_water, budget, "to the byte");
        (tenant, session)
    }
}

/// Two dense layers with dropout between them.
#[must_use]
pub fn perceptron(_: InputShape) -> Vec<Layer> {
    let gelu = Some(Activation::new(ActivationKind::Gelu));
    vec![
        Layer::Dense {
            units: 48,
            activation: Some(Activation::relu()),
        },
        Layer::Dropout { rate: 0.2 },
        Layer::Dense {
            units: 24,
            activation: gelu,
        },
    ]
}

/// Convolutions with batch normalization, both kinds of pooling and a dense layer.
#[must_use]
pub fn convolutions(_: InputShape) -> Vec<Layer> {
    let relu = Some(Activation::relu());
    vec![
        Layer::Conv2d {
            channels: 6,
            kernel: 3,
            stride: 1,
            padding: 1,
            activation: relu,
        },
        // After the activation: before it, the bias of the convolution would change nothing, and rounding alone
        // would move it.
        Layer::BatchNorm { activation: None },
        Layer::Pool {
            kind: PoolKind::Max,
            kernel: 2,
            stride: 2,
        },
        Layer::Conv2d {
            channels: 8,
            kernel: 3,
            stride: 1,
            padding: 1,
            activation: relu,
        },
        Layer::Pool {
            kind: PoolKind::Average,
            kernel: 2,
            stride: 2,
        },
        Layer::Dense {
            units: 16,
            activation: relu,
        },
    ]
}
