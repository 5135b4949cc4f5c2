use super::*;
use crate::data::{DataSource, Dataset, LoadOptions};
use crate::model::Predictor;
use crate::nn::{InputShape, Layer, OutputHead, PoolKind, init};
use crate::testing;
use daa_kernels::activation::Activation;
use proptest::prelude::*;
use std::sync::OnceLock;

/// The digits and what was learned about them.
fn digits() -> &'static (Preprocess, Dataset) {
    static DIGITS: OnceLock<(Preprocess, Dataset)> = OnceLock::new();
    DIGITS.get_or_init(|| {
        let table = DataSource::Digits
            .load(&LoadOptions::default())
            .expect("embedded");
        let rows: Vec<u32> = (0..table.rows() as u32).collect();
        let preprocess = Preprocess::fit(&table, &rows).expect("sound");
        let dataset = preprocess.dataset(&table).expect("sound");
        (preprocess, dataset)
    })
}

fn architecture(channels: usize, units: usize) -> Architecture {
    let layers = vec![
        Layer::Conv2d {
            channels,
            kernel: 3,
            stride: 1,
            padding: 1,
            activation: None,
        },
        Layer::BatchNorm {
            activation: Some(Activation::relu()),
        },
        Layer::Pool {
            kind: PoolKind::Max,
            kernel: 2,
            stride: 2,
        },
        Layer::Dense {
            units,
            activation: Some(Activation::gelu()),
        },
    ];
    let input = InputShape::Image {
        channels: 1,
        height: 8,
        width: 8,
    };
    Architecture::new(input, layers, OutputHead::Classes { count: 10 })
}

fn model(channels: usize, units: usize, seed: u64) -> Model {
    let architecture = architecture(channels, units);
    let parameters = init::initial(&architecture, Seed(seed)).expect("valid");
    let summary = TrainingSummary {
        seed: Seed(seed),
        epochs: 3,
        train_rows: 1_437,
        train_loss: Some(0.1),
        validation_score_micro: Some(987_654),
    };
    Model::new(architecture, parameters, digits().0.clone(), summary).expect("parts that fit")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_model_survives_its_files_bit_by_bit(channels in 1_usize..6, units in 1_usize..20, seed: u64) {
        let model = model(channels, units, seed);
        let folder = tempfile::tempdir().expect("a temporary folder");
        model.save(folder.path()).expect("saved");
        let loaded = Model::load(folder.path()).expect("loaded");
        prop_assert_eq!(&loaded, &model);
        let again = loaded.to_bytes().expect("storable");
        prop_assert_eq!(&again.0, &std::fs::read(folder.path().join(TENSORS_FILE)).expect("read"));
        prop_assert_eq!(again.1, std::fs::read_to_string(folder.path().join(DESCRIPTION_FILE)).expect("read"));
    }

    #[test]
    fn damaged_tensors_are_an_error_with_a_hint(cut in 0.0_f64..1.0, flip in 0.0_f64..1.0, bit in 0_u8..8) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        model(2, 3, 1).save(folder.path()).expect("saved");
        let path = folder.path().join(TENSORS_FILE);
        let whole = std::fs::read(&path).expect("read");
        let at = (whole.len() as f64 * cut) as usize;
        std::fs::write(&path, &whole[..at]).expect("written");
        let error = Model::load(folder.path()).expect_err("truncated");
        prop_assert!(error.to_string().contains("truncated"), "{}", error);
        prop_assert!(error.hint().contains("damaged"), "{}", error.hint());
        let mut flipped = whole.clone();
        flipped[(whole.len() as f64 * flip) as usize] ^= 1 << bit;
        std::fs::write(&path, &flipped).expect("written");
        prop_assert!(Model::load(folder.path()).is_err(), "one bit is wrong");
    }
}

#[test]
fn a_loaded_model_predicts_the_same_bits() {
    let (_, dataset) = digits();
    let rows: Vec<u32> = (0..300).collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let before = model(4, 8, 2);
    before.save(folder.path()).expect("saved");
    let after = Model::load(folder.path()).expect("loaded");
    let predict = |model: &Model, workers| {
        let context = testing::context(workers);
        let mut predictor = Predictor::open(model, &context).expect("room");
        predictor.predict_rows(dataset, &rows).expect("predicts")
    };
    let predictions = predict(&before, 1);
    assert_eq!(predictions, predict(&after, 2));
    assert_eq!(
        (predictions.width, predictions.rows().len()),
        (10, 300),
        "the last batch is not full"
    );
    for row in predictions.rows() {
        let sum: f32 = row.iter().sum();
        assert!(
            (sum - 1.0).abs() < 1e-5 && row.iter().all(|p| (0.0..=1.0).contains(p)),
            "{row:?}"
        );
    }
    let context = testing::context(1);
    let mut predictor = Predictor::open(&after, &context).expect("room");
    let alone = predictor.predict(dataset.row(299)).expect("predicts");
    assert_eq!(
        alone.values,
        predictions.values[2_990..],
        "a row's prediction does not depend on its batch"
    );
    let error = predictor
        .predict(&[0.0; 65])
        .expect_err("not whole rows")
        .to_string();
    assert!(error.contains("65") && error.contains("64"), "{error}");
}

/// What a load says after `change` was made to the description.
fn refused(change: impl Fn(String) -> String) -> ModelError {
    let folder = tempfile::tempdir().expect("a temporary folder");
    model(2, 3, 1).save(folder.path()).expect("saved");
    let path = folder.path().join(DESCRIPTION_FILE);
    let text = std::fs::read_to_string(&path).expect("read");
    let changed = change(text.clone());
    assert_ne!(changed, text, "the change changes something");
    std::fs::write(&path, changed).expect("written");
    Model::load(folder.path()).expect_err("refused")
}

#[test]
fn a_description_that_does_not_fit_is_refused_with_the_reason() {
    let error = refused(|text| text.replace("daa.model/1", "daa.model/7"));
    assert!(
        error
            .to_string()
            .contains("schema is `daa.model/7`, this program reads `daa.model/1`"),
        "{error}"
    );
    let error = refused(|text| text[..text.len() / 2].to_owned());
    assert!(matches!(error, ModelError::Description { .. }), "{error}");
    let error = refused(|text| text.replace("\"units\": 3", "\"units\": 4"));
    assert!(
        error
            .to_string()
            .contains("tensor `layer3.weight` is [32, 3], the architecture wants [32, 4]"),
        "{error}"
    );
    let error = refused(|text| text.replace("\"units\": 3", "\"units\": 0"));
    assert!(matches!(error, ModelError::Architecture { .. }), "{error}");
    let error = refused(|text| text.replace("\"height\": 8", "\"height\": 4"));
    assert!(!error.hint().is_empty(), "{error}");
}

#[test]
fn files_of_two_models_do_not_mix() {
    let folders = [1, 2].map(|seed| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        model(2, 3, seed).save(folder.path()).expect("saved");
        folder
    });
    std::fs::copy(
        folders[0].path().join(TENSORS_FILE),
        folders[1].path().join(TENSORS_FILE),
    )
    .expect("copied");
    let error = Model::load(folders[1].path()).expect_err("weights of another run");
    assert!(matches!(error, ModelError::Digest { .. }), "{error}");
    assert!(error.hint().contains("same run"), "{}", error.hint());
    std::fs::remove_file(folders[0].path().join(TENSORS_FILE)).expect("removed");
    let error = Model::load(folders[0].path()).expect_err("no weights");
    assert!(
        error.to_string().contains("model.safetensors: cannot be read"),
        "{error}"
    );
}

#[test]
fn tensors_of_another_type_or_number_are_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    model(2, 3, 1).save(folder.path()).expect("saved");
    let path = folder.path().join(TENSORS_FILE);
    let file = tensors::decode(&path, &std::fs::read(&path).expect("read")).expect("decodes");
    let write = |tensors: &[TensorRef<'_>]| {
        std::fs::write(&path, tensors::encode(tensors, MODEL_SCHEMA).expect("encodes")).expect("written");
        Model::load(folder.path()).expect_err("refused").to_string()
    };
    let all: Vec<TensorRef<'_>> = file.tensors.iter().map(TensorRef::from).collect();
    assert!(
        write(&all[1..]).contains("tensor `head.bias` is missing"),
        "one tensor less"
    );
    let extra = TensorRef {
        name: "zz.extra",
        shape: &[1],
        data: &[0.0],
    };
    assert!(
        write(&[all.as_slice(), &[extra]].concat()).contains("`zz.extra` is present"),
        "one more"
    );
    let bytes: Vec<u8> = vec![0; 8];
    let view =
        safetensors::tensor::TensorView::new(safetensors::Dtype::F64, vec![1], &bytes).expect("8 bytes");
    std::fs::write(
        &path,
        safetensors::serialize([("head.bias", view)], None).expect("encodes"),
    )
    .expect("written");
    let error = Model::load(folder.path()).expect_err("another type").to_string();
    assert!(
        error.contains("tensor `head.bias` holds F64, wanted is F32"),
        "{error}"
    );
}

#[test]
fn parts_of_different_networks_are_no_model() {
    let architecture = architecture(2, 3);
    let parameters = init::initial(&architecture, Seed(1)).expect("valid");
    let preprocess = &digits().0;
    let error = |architecture: Architecture, parameters: Vec<Vec<f32>>| {
        let made = Model::new(
            architecture,
            parameters,
            preprocess.clone(),
            TrainingSummary::default(),
        );
        made.expect_err("parts that do not fit").to_string()
    };
    let flat = Architecture {
        input: InputShape::Flat { features: 64 },
        layers: vec![],
        ..architecture.clone()
    };
    assert!(
        error(flat, parameters.clone()).contains("the preprocessing's shape"),
        "another input"
    );
    let three = Architecture {
        output: OutputHead::Classes { count: 3 },
        ..architecture.clone()
    };
    assert!(
        error(three, parameters.clone()).contains("the number of outputs is 10"),
        "other classes"
    );
    let mut nan = parameters.clone();
    nan[0][0] = f32::NAN;
    assert!(
        error(architecture.clone(), nan).contains("NaN in `layer0.weight`"),
        "not a number"
    );
    assert!(
        error(architecture, parameters[1..].to_vec()).contains("the number of tensors"),
        "one less"
    );
}
