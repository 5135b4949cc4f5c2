use super::*;
use crate::nn::{Architecture, InputShape, Layer, OptimizerKind, OutputHead, Purpose, compile};
use crate::testing;
use crate::train::{Optimizer, Schedule, TrainConfig, Trainer};
use daa_base::Seed;
use proptest::prelude::*;
use std::sync::Arc;

fn state() -> TrainState {
    let layers = vec![Layer::Dense {
        units: 4,
        activation: None,
    }];
    let architecture = Architecture::new(
        InputShape::Flat { features: 3 },
        layers,
        OutputHead::Classes { count: 2 },
    );
    let network = Arc::new(compile(&architecture, 4, Purpose::Train(OptimizerKind::Adam)).expect("compiles"));
    let data = Arc::new(testing::classes(architecture.input, 2, 12, 4, 3));
    let config = TrainConfig {
        epochs: 2,
        batch: 4,
        epoch_rows: None,
        optimizer: Optimizer::adam(1e-2),
        schedule: Schedule::Constant,
        patience: None,
        augment: None,
    };
    let mut trainer = Trainer::new(Arc::clone(&network), data, config, Seed(1), None).expect("fits");
    let context = testing::context(1);
    let (_tenant, mut session) = testing::session(&context, &network);
    trainer
        .run(&mut session, &mut |_| crate::train::Control::Continue)
        .expect("runs");
    trainer.into_state()
}

#[test]
fn equal_states_are_equal_bytes_and_an_old_file_is_replaced_whole() {
    let state = state();
    assert_eq!(state.to_bytes(), state.clone().to_bytes());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("trial-0.state");
    std::fs::write(&path, "something older").expect("written");
    state.save(&path).expect("saved");
    assert_eq!(TrainState::load(&path).expect("loaded"), state);
    let names: Vec<_> = std::fs::read_dir(folder.path()).expect("listed").collect();
    assert_eq!(names.len(), 1, "no temporary file is left: {names:?}");
}

#[test]
fn a_missing_folder_or_file_is_named() {
    let path = Path::new("/nowhere/at/all");
    let error = state().save(path).expect_err("no such folder").to_string();
    assert!(
        error.contains("/nowhere/at/all") && error.contains("cannot be written"),
        "{error}"
    );
    let error = TrainState::load(path).expect_err("no such file").to_string();
    assert!(
        error.contains("/nowhere/at/all") && error.contains("cannot be read"),
        "{error}"
    );
}

#[test]
fn another_schema_and_another_version_are_named() {
    let bytes = state().to_bytes().expect("encodes");
    let path = Path::new("state");
    let mut file = tensors::decode(path, &bytes).expect("decodes");
    file.header = file.header.replace("daa.checkpoint/1", "daa.checkpoint/9");
    let error = TrainState::from_file(path, file).expect_err("another schema");
    assert!(
        matches!(error, CheckpointError::Schema { ref found, .. } if found == "daa.checkpoint/9"),
        "{error}"
    );
}

fn refused(bytes: &[u8]) -> String {
    TrainState::from_bytes(Path::new("state"), bytes)
        .expect_err("refused")
        .to_string()
}

#[test]
fn more_parameters_than_tensors_are_refused() {
    let mut state = state();
    let tensors = state.tensors.len();
    state.parameter_count = tensors + 1;
    let error = refused(&state.to_bytes().expect("encodes"));
    let wanted = format!("parameter_count is {}, allowed are 0 to {tensors}", tensors + 1);
    assert!(error.contains(&wanted), "{error}");
}

#[test]
fn a_best_epoch_that_is_yet_to_come_is_refused() {
    let mut state = state();
    let (epoch, _) = state.cursor.best.as_mut().expect("two epochs are done");
    *epoch = 2;
    let error = refused(&state.to_bytes().expect("encodes"));
    assert!(
        error.contains("the best epoch is 2, with 2 epochs done"),
        "{error}"
    );
}

#[test]
fn more_tensors_than_any_network_has_are_refused() {
    let mut state = state();
    let tensor = state.tensors[0].clone();
    state.best_parameters = None;
    state.cursor.best = None;
    state.tensors = (0..=tensors::MAX_TENSORS)
        .map(|at| StateTensor {
            name: format!("{at}"),
            ..tensor.clone()
        })
        .collect();
    let error = refused(&state.to_bytes().expect("encodes"));
    assert!(error.contains("tensors, allowed are 0 to 4096"), "{error}");
}

#[test]
fn an_endless_header_is_refused_before_it_is_read() {
    let mut bytes = (tensors::MAX_HEADER_BYTES + 1).to_le_bytes().to_vec();
    bytes.resize(8 + tensors::MAX_HEADER_BYTES as usize + 1, b' ');
    let error = refused(&bytes);
    assert!(error.contains("its header has 33554433 bytes"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_damaged_file_is_an_error_never_another_state(cut in 0.0_f64..1.0, flip in 0.0_f64..1.0, bit in 0_u8..8) {
        let whole = state().to_bytes().expect("encodes");
        let path = Path::new("state");
        let load = |bytes: &[u8]| {
            tensors::decode(path, bytes).map_err(CheckpointError::from).and_then(|file| TrainState::from_file(path, file))
        };
        let cut = (whole.len() as f64 * cut) as usize;
        prop_assert!(load(&whole[..cut]).is_err(), "cut to {} of {} bytes", cut, whole.len());
        let mut flipped = whole.clone();
        let at = (whole.len() as f64 * flip) as usize;
        flipped[at] ^= 1 << bit;
        if let Ok(read) = load(&flipped) {
            // Spaces that pad the header may change; nothing that is read may.
            prop_assert_eq!(read, state(), "bit {} of byte {}", bit, at);
        }
    }
}
