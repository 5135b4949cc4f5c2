//! Fitting, applying, storing.

use super::*;
use daa_base::Seed;
use proptest::prelude::*;

const TEXT: &str = "n,gap,word,y\n1,5,x,p\n2,,z,q\n3,7,,p\n4,9,x,q\n1000,1,rare,p\n2000,1,rare,q\n";

fn fitted() -> (Table, Preprocess) {
    let table = load_csv(TEXT, &LoadOptions::default()).unwrap();
    let preprocess = Preprocess::fit(&table, &[0, 1, 2, 3]).unwrap();
    (table, preprocess)
}

#[test]
fn only_training_rows_are_looked_at() {
    let (_, preprocess) = fitted();
    let InputEncoder::Columns(encoders) = preprocess.input() else {
        panic!("columns")
    };
    let deviation = 1.25_f64.sqrt();
    assert_eq!(
        encoders[0].kind,
        ColumnKind::Numeric {
            mean: 2.5,
            std: deviation,
            fill: 2.5,
            indicator: false
        }
    );
    let ColumnKind::Numeric { mean, indicator, .. } = encoders[1].kind else {
        panic!("numeric")
    };
    assert_eq!((mean, indicator), (7.0, true));
    assert_eq!(
        encoders[2].kind,
        ColumnKind::Categorical {
            categories: vec!["x".into(), "z".into()],
            missing: true
        }
    );
    assert_eq!(
        preprocess.feature_names(),
        ["n", "gap", "gap missing", "word=x", "word=z", "word missing"]
    );
}

#[test]
fn rows_become_the_documented_numbers() {
    let (table, preprocess) = fitted();
    let matrix = preprocess.transform(&table, &[1, 2, 4]).unwrap();
    assert_eq!((matrix.rows, matrix.columns), (3, 6));
    let n = |value: f64| ((value - 2.5) / 1.25_f64.sqrt()) as f32;
    assert_eq!(*matrix.row(0), [n(2.0), 0.0, 1.0, 0.0, 1.0, 0.0]);
    assert_eq!(matrix.row(1)[1..], [0.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(matrix.row(2)[0], n(1000.0));
    assert_eq!(matrix.row(2)[3..], [0.0; 3], "an unseen word is no category");
    let data = preprocess.dataset(&table).unwrap();
    assert_eq!(data.row(4), matrix.row(2));
    assert_eq!(
        *data.target(),
        Target::Classes {
            labels: vec![0, 1, 0, 1, 0, 1],
            classes: 2
        }
    );
    let mut batch = vec![9.0; 3];
    data.gather(&[4, 1], &mut batch);
    assert_eq!(batch, [matrix.row(2), matrix.row(0)].concat());
}

#[test]
fn training_rows_are_standardized() {
    let table = DataSource::Digits.load(&LoadOptions::default()).unwrap();
    let rows: Vec<u32> = (0..1000).collect();
    let matrix = Preprocess::fit(&table, &rows)
        .unwrap()
        .transform(&table, &rows)
        .unwrap();
    let count = matrix.values.len() as f64;
    let mean = matrix.values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let square = matrix
        .values
        .iter()
        .map(|&value| f64::from(value).powi(2))
        .sum::<f64>()
        / count;
    assert!(
        mean.abs() < 1e-6 && (square - 1.0).abs() < 1e-6,
        "mean {mean}, variance {square}"
    );
}

#[test]
fn each_number_and_each_channel_has_its_own_scale() {
    let target = TableTarget::Values(vec![10.0, 30.0]);
    let flat = InputShape::Flat { features: 2 };
    let table = Table::from_memory("t", flat, vec![1.0, 100.0, 3.0, 300.0], target.clone()).unwrap();
    let fit = Preprocess::fit(&table, &[0, 1]).unwrap();
    assert_eq!(
        fit.transform(&table, &[0, 1]).unwrap().values,
        [-1.0, -1.0, 1.0, 1.0]
    );
    assert_eq!(
        fit.encode_target(&table).unwrap(),
        Target::Values(vec![-1.0, 1.0])
    );
    assert_eq!(
        (fit.target().value(1.0), fit.target().difference(0.5)),
        (Some(30.0), Some(5.0))
    );
    assert_eq!(fit.target().class_name(0), None);
    let image = InputShape::Image {
        channels: 2,
        height: 1,
        width: 2,
    };
    let table = Table::from_memory("t", image, vec![0.0, 2.0, 5.0, 5.0, 0.0, 2.0, 5.0, 5.0], target).unwrap();
    let fit = Preprocess::fit(&table, &[0, 1]).unwrap();
    assert_eq!(
        fit.transform(&table, &[0]).unwrap().values,
        [-1.0, 1.0, 0.0, 0.0],
        "a constant channel is zero"
    );
}

#[test]
fn another_file_is_matched_by_name() {
    let (_, preprocess) = fitted();
    let folder = Folder::new(&[
        ("a.csv", b"extra,word,n,gap\nq,x,2,\nq,new,3,7\n"),
        ("b.csv", b"word,n,gap,y\nx,2,1,q\nx,2,1,p\n"),
        ("c.csv", b"word,n,gap,y\nx,2,1,q\nx,2,1,unheard\n"),
        ("d.csv", b"word,n,gap,y\n7,2,1,q\n7,2,1,q\n"),
    ]);
    let load = |name| {
        folder
            .source(name)
            .load_for(&preprocess, &LoadOptions::default())
            .unwrap()
    };
    let a = load("a.csv");
    assert!(a.target().is_none() && a.warnings().is_empty());
    let matrix = preprocess.transform(&a, &[0, 1]).unwrap();
    assert_eq!(matrix.row(0)[1..], [0.0, 1.0, 1.0, 0.0, 0.0]);
    assert_eq!(matrix.row(1)[1..], [0.0; 5]);
    let b = load("b.csv");
    assert_eq!(
        preprocess.encode_target(&b).unwrap(),
        Target::Classes {
            labels: vec![1, 0],
            classes: 2
        }
    );
    let c = load("c.csv");
    assert!(c.target().is_none());
    assert_eq!(
        c.warnings()[0].to_string(),
        "predictions are not scored: row 2 holds \"unheard\", which is no class of the model"
    );
    assert!(load("d.csv").target().is_some(), "one class is enough to score");
    assert!(
        preprocess.transform(&load("d.csv"), &[0]).is_ok(),
        "words that look like numbers stay words"
    );
}

#[test]
fn a_model_of_digits_scores_digits_from_files() {
    let digits = DataSource::Digits.load(&LoadOptions::default()).unwrap();
    let preprocess = Preprocess::fit(&digits, &(0..1797).collect::<Vec<_>>()).unwrap();
    let folder = Folder::new(&[
        ("a-images", &idx(&[2, 8, 8], &[3; 128])),
        ("a-labels", &idx(&[2], &[7, 7])),
        ("b-images", &idx(&[2, 8, 8], &[3; 128])),
        ("c-images", &idx(&[2, 8, 8], &[3; 128])),
        ("c-labels", &idx(&[2], &[7, 77])),
    ]);
    let load = |name| {
        folder
            .source(name)
            .load_for(&preprocess, &LoadOptions::default())
            .unwrap()
    };
    let expected = Target::Classes {
        labels: vec![7, 7],
        classes: 10,
    };
    assert_eq!(preprocess.encode_target(&load("a-images")).unwrap(), expected);
    assert!(load("b-images").target().is_none());
    assert!(load("b-images").warnings().is_empty());
    assert_eq!(
        load("c-images").warnings()[0].to_string(),
        "predictions are not scored: row 2 holds \"77\", which is no class of the model"
    );
    assert_eq!(preprocess.transform(&load("b-images"), &[1]).unwrap().columns, 64);
}

#[test]
fn errors_name_rows_and_targets_that_do_not_fit() {
    let (table, preprocess) = fitted();
    let error = preprocess.transform(&table, &[6]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "row index 6 is out of range, the table has 6 rows"
    );
    assert!(Preprocess::fit(&table, &[6]).is_err());
    assert_eq!(
        Preprocess::fit(&table, &[]).unwrap_err().to_string(),
        "6 rows are too few: the training part would be empty"
    );
    let other = load_csv(
        &TEXT.replace(",p", ",1.5").replace(",q", ",2.5"),
        &LoadOptions::default(),
    )
    .unwrap();
    let error = preprocess.encode_target(&other).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("the model takes classes as target, the data is measured in numbers"),
        "{error}"
    );
    let other = load_csv(&TEXT.replace(",p", ",new"), &LoadOptions::default()).unwrap();
    let error = preprocess.encode_target(&other).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("the model takes 2 other classes, the data is of class \"new\" too"),
        "{error}"
    );
    // A table read without the model in mind: text where the model takes numbers.
    let other = load_csv(&TEXT.replace("\n3,", "\nthree,"), &LoadOptions::default()).unwrap();
    let error = preprocess.transform(&other, &[0]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("row 3, column \"n\": \"three\" is not a number"),
        "{error}"
    );
    assert!(
        Dataset::new(
            InputShape::Flat { features: 2 },
            vec![0.0; 3],
            Target::Values(vec![0.0; 2])
        )
        .is_err()
    );
    let labels = Target::Classes {
        labels: vec![2],
        classes: 2,
    };
    assert!(Dataset::new(InputShape::Flat { features: 1 }, vec![0.0], labels).is_err());
    assert!(
        Dataset::new(
            InputShape::Flat { features: 1 },
            vec![f32::NAN],
            Target::Values(vec![0.0])
        )
        .is_err()
    );
    let labels = TableTarget::Classes {
        labels: vec![1],
        names: vec!["only".into()],
    };
    assert!(Table::from_memory("t", InputShape::Flat { features: 1 }, vec![0.0], labels).is_err());
}

#[test]
fn the_stored_form_has_its_agreed_names() {
    let (_, preprocess) = fitted();
    let json = serde_json::to_value(&preprocess).unwrap();
    assert_eq!(
        json["input"]["columns"][2]["kind"]["categorical"]["categories"][1],
        "z"
    );
    assert_eq!(json["target"]["classes"]["names"][0], "p");
    assert_eq!(json["target_name"], "y");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Numbers of any size, missing ones, constant columns: what is fitted can be stored, is read back to the bit,
    /// and gives finite numbers for every row.
    #[test]
    fn any_numbers_normalize_to_finite_ones_and_survive_storage(
        cells in prop::collection::vec((number(), number(), 0_u32..2), 6..24),
        train in 1_usize..6,
    ) {
        let mut text = "a,b,y\n".to_owned();
        for (row, (a, b, class)) in cells.iter().enumerate() {
            let class = if row < 2 { row as u32 } else { *class };
            text.push_str(&format!("{a},{b},c{class}\n"));
        }
        let Ok(table) = load_csv(&text, &LoadOptions::default()) else {
            prop_assert!(cells.iter().all(|cell| cell.0.is_empty() && cell.1.is_empty()));
            return Ok(());
        };
        let rows: Vec<u32> = (0..train as u32).collect();
        let preprocess = Preprocess::fit(&table, &rows).unwrap();
        let stored = serde_json::to_string(&preprocess).unwrap();
        let back: Preprocess = serde_json::from_str(&stored).unwrap();
        prop_assert_eq!(&back, &preprocess);
        prop_assert_eq!(serde_json::to_string(&back).unwrap(), stored);
        let data = back.dataset(&table).unwrap();
        prop_assert!(data.features().iter().all(|value| value.abs() <= 1e6));
        prop_assert_eq!(data.columns(), data.feature_names().len());
    }

    #[test]
    fn every_float_survives_storage(bits in any::<u64>(), seed in any::<u64>()) {
        let other = Seed(seed).stream("floats").rng().normal();
        for value in [f64::from_bits(bits), other] {
            if value.is_finite() {
                let back: f64 = serde_json::from_str(&serde_json::to_string(&value).unwrap()).unwrap();
                prop_assert_eq!(back.to_bits(), value.to_bits());
            }
        }
    }
}

/// A field with a number of any size, or nothing.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("5".to_owned()),
        any::<f32>()
            .prop_filter("finite", |value| value.is_finite())
            .prop_map(|value| value.to_string()),
        (-1e-30_f64..1e-30).prop_map(|value| value.to_string()),
    ]
}
