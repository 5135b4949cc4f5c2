//! What daa-learn reads from peers and files, each with what must hold whatever the bytes are: no panic, no more memory than
//! was given, and what was read once is read again.
//!
//! The fuzz targets beside this file call it, and so does the crate's own suite with fewer and cheaper inputs.

use daa_base::{FencingToken, Seed, TrialId};
use daa_gpu_core::{ComputeContext, ContextConfig, DeviceChoice, TenantSpec, Weight};
use daa_kernels::session::Session;
use daa_learn::data::{Dataset, InputShape, Target};
use daa_learn::doors;
use daa_learn::nn::{Architecture, Layer, Network, OptimizerKind, OutputHead, Purpose, compile};
use daa_learn::search::TrialResult;
use daa_learn::train::{Control, Optimizer, PreparedData, Schedule, TrainConfig, TrainState, Trainer};
use std::sync::{Arc, OnceLock};

/// A decoder: its name, what feeds it, and some bytes that it takes.
pub type Decoder = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// All of them.
pub const DECODERS: [Decoder; 2] = [("state", state, states), ("data_file", data_file, data_files)];

const SEED: Seed = Seed(1);

/// A training of three features and two classes, compiled once.
struct Training {
    network: Arc<Network>,
    data: Arc<PreparedData>,
    config: TrainConfig,
}

impl Training {
    fn of_three_features() -> &'static Self {
        static TRAINING: OnceLock<Training> = OnceLock::new();
        TRAINING.get_or_init(|| {
            let input = InputShape::Flat { features: 3 };
            let layers = vec![Layer::Dense {
                units: 2,
                activation: None,
            }];
            let architecture = Architecture::new(input, layers, OutputHead::Classes { count: 2 });
            let purpose = Purpose::Train(OptimizerKind::Sgd);
            let network = compile(&architecture, 4, purpose).expect("a small network");
            let features = (0_u8..36).map(|at| f32::from(at % 7) - 3.0).collect();
            let labels = (0..12).map(|row| row % 2).collect();
            let dataset = Dataset::new(input, features, Target::Classes { labels, classes: 2 });
            let dataset = Arc::new(dataset.expect("finite values that fit"));
            let data = PreparedData::new(dataset, (0..8).collect(), (8..12).collect());
            Self {
                network: Arc::new(network),
                data: Arc::new(data.expect("rows in range")),
                config: TrainConfig {
                    epochs: 2,
                    batch: 4,
                    epoch_rows: None,
                    optimizer: Optimizer::Sgd {
                        learning_rate: 1e-2,
                        momentum: 0.5,
                        weight_decay: 0.0,
                        nesterov: false,
                    },
                    schedule: Schedule::Constant,
                    patience: Some(1),
                    augment: None,
                },
            }
        })
    }

    fn trainer(&self, from: Option<TrainState>) -> Option<Trainer> {
        let (network, data) = (Arc::clone(&self.network), Arc::clone(&self.data));
        Trainer::new(network, data, self.config.clone(), SEED, from).ok()
    }

    fn fresh(&self) -> TrainState {
        self.trainer(None).expect("everything fits").into_state()
    }
}

/// A checkpoint: as it is, and as what the header of one says beside the tensors.
///
/// No fuzzer finds a digest, so with `--cfg fuzzing` it is not compared.
pub fn state(bytes: &[u8]) {
    static FRESH: OnceLock<TrainState> = OnceLock::new();
    read_state(bytes);
    if let Ok(body) = std::str::from_utf8(bytes) {
        let fresh = FRESH.get_or_init(|| Training::of_three_features().fresh());
        read_state(&doors::state_with_body(fresh, body));
    }
}

fn read_state(bytes: &[u8]) {
    let Some(state) = doors::state(bytes) else {
        return;
    };
    let again = doors::state(&doors::state_bytes(&state)).expect("it was read once");
    assert!(state.is_bitwise(&again), "{state:?} {again:?}");
    let _ = (state.parameters(), state.best(), state.result());
    let _ = TrialResult::of(TrialId(1), &state);
    let _ = Training::of_three_features().trainer(Some(state));
}

/// What trainings leave behind, whole and without the tensors.
fn states() -> Vec<Vec<u8>> {
    static STATES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let states = STATES.get_or_init(|| {
        let steps = [0, 1, 2, 3, 5, 9];
        let states = steps.map(trained);
        let whole = states.iter().map(doors::state_bytes);
        let bodies = states.iter().map(|state| doors::state_body(state).into_bytes());
        whole.chain(bodies).collect()
    });
    states.clone()
}

/// After so many steps on the CPU.
fn trained(steps: u32) -> TrainState {
    let training = Training::of_three_features();
    let config = ContextConfig {
        device: DeviceChoice::Cpu,
        cpu_workers: 1,
        ..ContextConfig::default()
    };
    let context = ComputeContext::open(&config).expect("the CPU is always there");
    let tenant = context.tenant(TenantSpec {
        name: "samples".to_owned(),
        budget: training.network.peak_bytes(),
        token: FencingToken(1),
        weight: Weight::default(),
    });
    let tenant = tenant.expect("the capacity suffices");
    let plan = Arc::clone(training.network.plan());
    let mut session = Session::load(&tenant, plan).expect("the budget is the plan's peak");
    let mut trainer = training.trainer(None).expect("everything fits");
    let mut done = 0;
    let mut control = |_: &daa_learn::train::Progress<'_>| {
        done += 1;
        if done > steps {
            Control::Yield
        } else {
            Control::Continue
        }
    };
    trainer.run(&mut session, &mut control).expect("the CPU works");
    trainer.into_state()
}

/// A file of data in any format.
pub fn data_file(bytes: &[u8]) {
    doors::data_file(bytes);
}

fn data_files() -> Vec<Vec<u8>> {
    let npy = |header: &str, data: &[u8]| {
        let header = format!("{header:<117}\n");
        [b"\x93NUMPY\x01\0\x76\0", header.as_bytes(), data].concat()
    };
    // An empty gzip member.
    let gzip = [31, 139, 8, 0, 0, 0, 0, 0, 0, 255, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    vec![
        b"a,b,w,y\n1,2,x,p\n3,,\"z, z\",q\n5,6,x,p\n7,8,?,q\n".to_vec(),
        [&[0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 2][..], &[7; 12]].concat(),
        [&[0, 0, 8, 1, 0, 0, 0, 3][..], &[0, 1, 0]].concat(),
        npy(
            "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2), }",
            &[0; 24],
        ),
        npy(
            "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }",
            &[1; 3],
        ),
        gzip.to_vec(),
    ]
}
