use super::*;
use crate::data::{Dataset, InputShape, Target};
use crate::nn::{Architecture, Layer, OptimizerKind, OutputHead, PoolKind, compile};
use crate::testing;
use crate::train::{Augment, Optimizer, Schedule};
use daa_gpu_core::ComputeContext;
use daa_kernels::activation::Activation;
use proptest::prelude::*;

const RELU: Option<Activation> = Some(Activation::relu());

fn config(epochs: u32, optimizer: Optimizer) -> TrainConfig {
    TrainConfig {
        epochs,
        batch: 8,
        epoch_rows: None,
        optimizer,
        schedule: Schedule::Cosine {
            epochs: 6,
            warmup_epochs: 1,
            floor: 0.1,
        },
        patience: None,
        augment: None,
    }
}

/// Everything that has state: batch norm, dropout, augmentation, moments.
fn image_case() -> (Arc<Network>, Arc<PreparedData>, TrainConfig) {
    let input = InputShape::Image {
        channels: 1,
        height: 6,
        width: 6,
    };
    let layers = vec![
        Layer::Conv2d {
            channels: 3,
            kernel: 3,
            stride: 1,
            padding: 1,
            activation: None,
        },
        Layer::BatchNorm { activation: RELU },
        Layer::Pool {
            kind: PoolKind::Max,
            kernel: 2,
            stride: 2,
        },
        Layer::Dropout { rate: 0.25 },
    ];
    let architecture = Architecture::new(input, layers, OutputHead::Classes { count: 3 });
    let mut config = config(3, Optimizer::adam_w(1e-2, 1e-2));
    config.augment = Some(Augment {
        shift: 1,
        mirror: true,
    });
    let network = compile(&architecture, 8, Purpose::Train(OptimizerKind::Adam)).expect("compiles");
    (
        Arc::new(network),
        Arc::new(testing::classes(input, 3, 42, 13, 1)),
        config,
    )
}

fn flat_case(optimizer: Optimizer) -> (Arc<Network>, Arc<PreparedData>, TrainConfig) {
    let layers = vec![Layer::Dense {
        units: 8,
        activation: Some(Activation::tanh()),
    }];
    let architecture = Architecture::new(
        InputShape::Flat { features: 5 },
        layers,
        OutputHead::Regression {},
    );
    let network = compile(&architecture, 8, Purpose::Train(optimizer.kind())).expect("compiles");
    (
        Arc::new(network),
        Arc::new(testing::values(5, 60, 10, 2)),
        config(3, optimizer),
    )
}

fn trainer(case: &(Arc<Network>, Arc<PreparedData>, TrainConfig), resume: Option<TrainState>) -> Trainer {
    let (network, data, config) = case.clone();
    Trainer::new(network, data, config, Seed(7), resume).expect("a training that fits")
}

fn run(
    context: &ComputeContext,
    trainer: &mut Trainer,
    control: &mut dyn FnMut(&Progress<'_>) -> Control,
) -> Outcome {
    let (_tenant, mut session) = testing::session(context, trainer.network());
    trainer
        .run(&mut session, control)
        .expect("the host does not fail")
}

fn on(_: &Progress<'_>) -> Control {
    Control::Continue
}

/// Runs to the end, stopping after each of `stops` steps; every stop goes through a file and a new session.
fn interrupted(case: &(Arc<Network>, Arc<PreparedData>, TrainConfig), stops: &[usize]) -> TrainState {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("state");
    let mut resume = None;
    for &stop in stops {
        let mut trainer = trainer(case, resume.take());
        let mut steps = 0;
        let outcome = run(&testing::context(1), &mut trainer, &mut |_| {
            steps += 1;
            if steps > stop {
                Control::Yield
            } else {
                Control::Continue
            }
        });
        trainer.state().save(&path).expect("saved");
        let loaded = TrainState::load(&path).expect("loaded");
        assert_eq!(&loaded, trainer.state(), "a state survives its file");
        resume = Some(loaded);
        if outcome == Outcome::Finished {
            break;
        }
    }
    let mut trainer = trainer(case, resume);
    assert_eq!(
        run(&testing::context(2), &mut trainer, &mut on),
        Outcome::Finished
    );
    trainer.into_state()
}

fn bytes(state: &TrainState) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    state.save(&folder.path().join("state")).expect("saved");
    std::fs::read(folder.path().join("state")).expect("read")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn an_interrupted_training_ends_with_the_same_bytes(stops in prop::collection::vec(0_usize..9, 1..4)) {
        let cases = [
            image_case(),
            flat_case(Optimizer::Sgd { learning_rate: 0.05, momentum: 0.9, weight_decay: 1e-3, nesterov: true }),
        ];
        for case in cases {
            let whole = interrupted(&case, &[]);
            let broken = interrupted(&case, &stops);
            prop_assert_eq!(whole.history(), broken.history());
            prop_assert_eq!(bytes(&whole), bytes(&broken), "stopped after {:?} steps", stops);
        }
    }
}

#[test]
fn control_is_asked_before_every_step_of_training_and_validation() {
    let case = image_case();
    let mut trainer = trainer(&case, None);
    let mut seen = Vec::new();
    run(&testing::context(1), &mut trainer, &mut |progress| {
        seen.push(progress.position);
        Control::Continue
    });
    // 29 rows are 4 batches of 8, 13 validation rows are 2.
    let epoch = |epoch| {
        let at = move |stage, step| Position { epoch, stage, step };
        (0..4)
            .map(move |step| at(Stage::Train, step))
            .chain((0..2).map(move |step| at(Stage::Validate, step)))
    };
    assert_eq!(seen, (0..3).flat_map(epoch).collect::<Vec<_>>());
    assert_eq!(trainer.state().history().len(), 3);
}

#[test]
fn a_network_learns_and_the_best_weights_are_kept() {
    let mut case = image_case();
    case.2.epochs = 12;
    // The classes are noise patterns: moved, they are other patterns.
    case.2.augment = None;
    let mut trainer = trainer(&case, None);
    run(&testing::context(2), &mut trainer, &mut on);
    let state = trainer.state();
    let losses: Vec<f32> = state.history().iter().map(|record| record.train.loss).collect();
    assert!(losses[11] < 0.5 * losses[0], "the loss falls by half: {losses:?}");
    let best = state.best().expect("there are validation rows");
    let record = state.history()[best.epoch as usize]
        .validation
        .expect("validated");
    assert_eq!(record, best.validation);
    for record in state.history() {
        let validation = record.validation.expect("validated");
        assert!(
            !validation.is_better_than(&best.validation),
            "epoch {} is better",
            record.epoch
        );
    }
    assert_eq!(state.result(), best.parameters);
}

#[test]
fn validation_counts_every_row_once() {
    // A network whose weights stay zero says one third each: the loss of every row is ln 3.
    let mut case = image_case();
    case.2.epochs = 1;
    case.2.optimizer = Optimizer::adam(1e-30);
    let mut trainer = trainer(&case, None);
    for tensor in &mut trainer.state.tensors {
        tensor.data.fill(0.0);
    }
    run(&testing::context(1), &mut trainer, &mut on);
    let validation = trainer.state().history()[0].validation.expect("validated");
    assert!((validation.loss - 3.0_f32.ln()).abs() < 1e-5, "{validation:?}");
    // The first of equals wins, so the rows of class 0 are hits: 29 to 41, every third.
    let Target::Classes { labels, .. } = case.1.dataset().target() else {
        panic!("classes")
    };
    let hits = case
        .1
        .validation()
        .iter()
        .filter(|&&row| labels[row as usize] == 0)
        .count();
    assert_eq!(validation.accuracy, Some(hits as f32 / 13.0));
}

#[test]
fn patience_ends_training_and_the_state_says_so() {
    let mut case = flat_case(Optimizer::adam(1e-30));
    case.2.epochs = 50;
    case.2.patience = Some(3);
    let mut trainer = trainer(&case, None);
    assert_eq!(
        run(&testing::context(1), &mut trainer, &mut on),
        Outcome::Finished
    );
    assert!(trainer.state().is_stopped_early());
    assert_eq!(
        trainer.state().history().len(),
        4,
        "the first epoch is the best, three more are not better"
    );
}

#[test]
fn a_loss_that_explodes_is_told_apart_and_never_stored_as_a_number() {
    let mut case = flat_case(Optimizer::Sgd {
        learning_rate: 100.0,
        momentum: 0.0,
        weight_decay: 0.0,
        nesterov: false,
    });
    // Without a bend nothing holds the weights back.
    let architecture = Architecture::new(
        InputShape::Flat { features: 5 },
        vec![Layer::Dense {
            units: 8,
            activation: None,
        }],
        OutputHead::Regression {},
    );
    case.0 = Arc::new(compile(&architecture, 8, Purpose::Train(OptimizerKind::Sgd)).expect("compiles"));
    case.2.schedule = Schedule::Constant;
    case.2.epochs = 100;
    let mut trainer = trainer(&case, None);
    assert_eq!(
        run(&testing::context(1), &mut trainer, &mut on),
        Outcome::Diverged
    );
    assert!(trainer.state().is_diverged());
    assert!(
        trainer
            .state()
            .history()
            .iter()
            .all(|record| record.train.loss.is_finite())
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    trainer
        .state()
        .save(&folder.path().join("state"))
        .expect("a diverged state can be kept too");
    let state = TrainState::load(&folder.path().join("state")).expect("and read");
    let mut again = Trainer::new(case.0, case.1, case.2, Seed(7), Some(state)).expect("and resumed");
    assert_eq!(
        run(&testing::context(1), &mut again, &mut on),
        Outcome::Diverged,
        "it stays diverged"
    );
}

#[test]
fn a_failed_run_leaves_the_state_as_it_was() {
    let case = image_case();
    let mut trainer = trainer(&case, None);
    let before = trainer.state().clone();
    let context = testing::context(1);
    let (tenant, mut session) = testing::session(&context, trainer.network());
    let mut steps = 0;
    let error = trainer.run(&mut session, &mut |_| {
        steps += 1;
        if steps == 3 {
            tenant.revoke();
        }
        Control::Continue
    });
    assert!(
        matches!(error, Err(TrainError::Run(_))),
        "a revoked tenant refuses work: {error:?}"
    );
    assert_eq!(trainer.state(), &before);
    assert_eq!(
        run(&context, &mut trainer, &mut on),
        Outcome::Finished,
        "the run can be repeated"
    );
}

#[test]
fn a_state_of_another_training_is_refused() {
    let case = image_case();
    let state = || {
        let mut trainer = trainer(&case, None);
        run(&testing::context(1), &mut trainer, &mut on);
        trainer.into_state()
    };
    let (network, data, config) = case.clone();
    let refused = |config: TrainConfig, seed, state: TrainState| {
        let result = Trainer::new(
            Arc::clone(&network),
            Arc::clone(&data),
            config,
            Seed(seed),
            Some(state),
        );
        result.expect_err("another training").to_string()
    };
    assert!(
        refused(config.clone(), 8, state()).contains("the seed is 7, this one has 8"),
        "another seed"
    );
    let other = TrainConfig {
        augment: None,
        ..config.clone()
    };
    assert!(
        refused(other, 7, state()).contains("the configuration's digest"),
        "another configuration"
    );
    let mut cut = state();
    cut.tensors[0].data.pop();
    assert!(
        refused(config.clone(), 7, cut).contains("a tensor is layer0.weight"),
        "a tensor too short"
    );
    let mut moved = state();
    moved.cursor.position.step = 99;
    assert!(
        refused(config.clone(), 7, moved).contains("the position"),
        "a step that no epoch has"
    );
    let longer = TrainConfig { epochs: 5, ..config };
    let mut resumed =
        Trainer::new(network, data, longer, Seed(7), Some(state())).expect("more epochs are fine");
    assert_eq!(
        run(&testing::context(1), &mut resumed, &mut on),
        Outcome::Finished
    );
    assert_eq!(resumed.state().history().len(), 5);
}

#[test]
fn a_configuration_out_of_range_is_refused_by_name() {
    let (network, data, whole) = image_case();
    let refused = |change: &dyn Fn(&mut TrainConfig), message: &str| {
        let mut config = whole.clone();
        change(&mut config);
        let result = Trainer::new(Arc::clone(&network), Arc::clone(&data), config, Seed(7), None);
        let error = result.expect_err(message).to_string();
        assert!(error.contains(message), "`{error}` should say `{message}`");
    };
    refused(&|config| config.epochs = 0, "epochs is 0");
    refused(&|config| config.batch = 9, "batch is 9, allowed are 8");
    refused(
        &|config| config.optimizer = Optimizer::adam(f32::NAN),
        "learning_rate is NaN",
    );
    refused(
        &|config| config.optimizer = Optimizer::adam(-1.0),
        "learning_rate is -1",
    );
    refused(
        &|config| {
            config.augment = Some(Augment {
                shift: 9,
                mirror: false,
            })
        },
        "augment.shift is 9",
    );
    let late = Schedule::Cosine {
        epochs: 2,
        warmup_epochs: 2,
        floor: 0.0,
    };
    refused(
        &|config| config.schedule = late,
        "schedule.warmup_epochs is 2, allowed are 0 to 1",
    );
    let sgd = Optimizer::Sgd {
        learning_rate: 0.1,
        momentum: 0.0,
        weight_decay: 0.0,
        nesterov: false,
    };
    refused(&|config| config.optimizer = sgd, "compiled for Train(Adam)");
}

#[test]
fn a_training_can_move_to_another_thread() {
    let case = image_case();
    let mut trainer = trainer(&case, None);
    let outcome = std::thread::spawn(move || run(&testing::context(1), &mut trainer, &mut on));
    assert_eq!(outcome.join().expect("no panic"), Outcome::Finished);
}

/// The training loss of each step, of a network that never changes on rows that are all alike: only what dropout drops
/// can make two of them differ.
fn losses_of_steps(epochs: u32, layers: Vec<Layer>) -> Vec<f32> {
    const STEPS: usize = 2;
    let (features, batch) = (64, 8);
    let shape = InputShape::Flat { features };
    let rows = STEPS * batch;
    let values = (0..rows * features).map(|at| (at % features) as f32 / 8.0 - 3.0);
    let target = Target::Values(vec![1.0; rows]);
    let dataset = Dataset::new(shape, values.collect(), target).expect("finite values");
    let data = PreparedData::new(Arc::new(dataset), (0..rows as u32).collect(), Vec::new());
    let architecture = Architecture::new(shape, layers, OutputHead::Regression {});
    let network = compile(&architecture, batch, Purpose::Train(OptimizerKind::Adam)).expect("compiles");
    let data = Arc::new(data.expect("rows in range"));
    let case = (Arc::new(network), data, config(epochs, Optimizer::adam(1e-30)));
    let mut trainer = trainer(&case, None);
    let loss = tensor_ids(&case.0)
        .iter()
        .position(|&id| id == training(&case.0).loss)
        .expect("a loss is kept");
    let (mut losses, mut epoch_sum) = (Vec::new(), 0.0);
    for _ in 0..epochs {
        for step in 0..STEPS {
            let mut is_first = true;
            run(&testing::context(1), &mut trainer, &mut |_| {
                if std::mem::replace(&mut is_first, false) {
                    Control::Continue
                } else {
                    Control::Yield
                }
            });
            // The sum is read and set back at the end of an epoch.
            let sum = if step + 1 < STEPS {
                trainer.state().tensors[loss].data[0]
            } else {
                let record = trainer.state().history().last().expect("an epoch ended");
                record.train.loss * rows as f32
            };
            losses.push(sum - epoch_sum);
            epoch_sum = if step + 1 < STEPS { sum } else { 0.0 };
        }
    }
    losses
}

#[test]
fn every_step_drops_something_else() {
    let dropout = || vec![Layer::Dropout { rate: 0.5 }];
    let distance = |a: f32, b: f32| (a - b).abs() / a.abs();
    let (with, without) = (losses_of_steps(3, dropout()), losses_of_steps(3, Vec::new()));
    assert_eq!((with.len(), without.len()), (6, 6));
    for at in 0..6 {
        for earlier in 0..at {
            assert!(
                distance(with[at], with[earlier]) > 1e-4,
                "step {at} drops what step {earlier} dropped: {with:?}"
            );
            assert!(
                distance(without[at], without[earlier]) < 1e-5,
                "steps differ in more than what is dropped: {without:?}"
            );
        }
    }
    assert_eq!(
        losses_of_steps(3, dropout()),
        with,
        "the same step drops the same"
    );
}
