//! What a run says about its model is true: everything that is printed is computed again here, from the files alone,
//! and the test rows have no part in anything but the test.

use daa_agent::{EventKind, RunConfig};
use daa_base::TrialId;
use daa_learn::data::{
    DataSource, Dataset, LoadOptions, Preprocess, Split, SplitShares, Table, TableTarget, Target, split,
};
use daa_learn::train::TrainState;
use daa_learn::{Model, Predictor};
use daa_tests::runs::{Folder, Ran, config, run};
use daa_tests::software;
use daa_tests::tables::{CsvTable, kinds, prices};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Epochs of each run's search: enough for several trials.
const BUDGET: u32 = 24;

/// The data of a run, read without its agents.
struct Data {
    table: Table,
    parts: Split,
    preprocess: Preprocess,
    dataset: Dataset,
}

impl Data {
    fn of(config: &RunConfig) -> Self {
        let Ok(source) = config.data.parse::<DataSource>();
        let table = source
            .load(&LoadOptions::default())
            .expect("the run could read it");
        let parts = split(&table, &SplitShares::default(), &config.seed.stream("split")).expect("many rows");
        let preprocess = Preprocess::fit(&table, &parts.train).expect("finite numbers");
        let dataset = preprocess.dataset(&table).expect("it was fitted to it");
        Self {
            table,
            parts,
            preprocess,
            dataset,
        }
    }

    /// The outputs of `model` for `rows`.
    fn outputs(&self, model: &Model, rows: &[u32]) -> Vec<Vec<f32>> {
        let mut predictor = Predictor::open(model, &software::host(1)).expect("the host has memory");
        let predictions = predictor
            .predict_rows(&self.dataset, rows)
            .expect("rows of its own");
        predictions.rows().map(<[f32]>::to_vec).collect()
    }

    /// The share of `rows` for which `model` gives the largest output to the class that stands in the table.
    fn accuracy(&self, model: &Model, rows: &[u32]) -> f64 {
        let Some(TableTarget::Classes { labels, .. }) = self.table.target() else {
            panic!("a table of classes")
        };
        let outputs = self.outputs(model, rows);
        let hits = outputs.iter().zip(rows).filter(|(output, row)| {
            let most = output.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            output.iter().position(|&value| value == most) == Some(labels[**row as usize] as usize)
        });
        hits.count() as f64 / rows.len() as f64
    }

    /// The root mean squared error over `rows`, in units of the target: once with the targets as a network sees them,
    /// which are `f32`, and once with those of the table.
    fn rmse(&self, model: &Model, rows: &[u32]) -> (f64, f64) {
        let (Some(TableTarget::Values(table)), Target::Values(seen)) =
            (self.table.target(), self.dataset.target())
        else {
            panic!("a table of values")
        };
        let target = self.preprocess.target();
        let unit = target.difference(1.0).expect("a value");
        let (mut of_seen, mut of_table) = (0.0, 0.0);
        for (output, &row) in self.outputs(model, rows).iter().zip(rows) {
            of_seen += ((f64::from(output[0]) - f64::from(seen[row as usize])) * unit).powi(2);
            of_table += (target.value(output[0]).expect("a value") - table[row as usize]).powi(2);
        }
        let root = |sum: f64| (sum / rows.len() as f64).sqrt();
        (root(of_seen), root(of_table))
    }
}

fn load(folder: &Folder) -> Model {
    Model::load(folder.path()).expect("a run's model loads")
}

/// The `tested` event: accuracy, error, rows.
fn tested(ran: &Ran) -> (Option<f64>, Option<f64>, usize) {
    let mut all = ran.events.iter().filter_map(|event| match event.kind {
        EventKind::Tested { accuracy, rmse, rows } => Some((accuracy, rmse, rows)),
        _ => None,
    });
    let one = all.next().expect("a finished run was tested");
    assert!(all.next().is_none(), "a run is tested once");
    one
}

/// The counts of rows, and that normalization knows the training rows only.
fn check_parts(ran: &Ran, data: &Data, model: &Model) {
    let (said, parts) = (&ran.summary.data, &data.parts);
    assert_eq!(
        (said.train, said.validation, said.test),
        (parts.train.len(), parts.validation.len(), parts.test.len())
    );
    let distinct: BTreeSet<u32> = [&parts.train, &parts.validation, &parts.test]
        .into_iter()
        .flatten()
        .copied()
        .collect();
    assert_eq!((distinct.len(), said.rows), (said.rows, data.table.rows()));
    assert_eq!(tested(ran).2, parts.test.len());
    assert_eq!(model.preprocess(), &data.preprocess);
    let all: Vec<u32> = (0..data.table.rows() as u32).collect();
    let seen = [parts.train.clone(), parts.validation.clone()].concat();
    for rows in [all, seen] {
        let other = Preprocess::fit(&data.table, &rows).expect("finite numbers");
        assert_ne!(
            model.preprocess(),
            &other,
            "these rows are told from the training rows"
        );
    }
}

/// The model as it was after trial `trial`, from its checkpoint.
fn model_of(trial: TrialId, folder: &Path, last: &Model) -> Model {
    let name = format!("trial-{:05}", trial.get());
    let state = TrainState::load(&folder.join("state").join(name).join("state.safetensors"));
    let best = state.expect("it is kept").best().expect("it was validated");
    // The final training takes the network of the chosen trial.
    let (architecture, preprocess) = (last.architecture().clone(), last.preprocess().clone());
    Model::new(architecture, best.parameters, preprocess, last.summary().clone()).expect("they fit")
}

#[test]
fn the_accuracy_that_is_told_is_that_of_the_saved_model_on_the_test_rows() {
    let table = kinds(720);
    let config = config(table.path(), 5, BUDGET);
    let (ran, folder) = run(&config);
    let (data, model) = (Data::of(&config), load(&folder));
    check_parts(&ran, &data, &model);
    let best = ran.summary.best.as_ref().expect("it finished");
    let accuracy = data.accuracy(&model, &data.parts.test);
    assert_eq!((best.test_accuracy, best.test_rmse), (Some(accuracy), None));
    assert_eq!(tested(&ran), (Some(accuracy), None, data.parts.test.len()));
    for (part, rows) in [
        ("training", &data.parts.train),
        ("validation", &data.parts.validation),
    ] {
        assert_ne!(
            data.accuracy(&model, rows),
            accuracy,
            "{part} rows are told from test rows"
        );
    }
    let earlier = data.accuracy(
        &model_of(best.trial, folder.path(), &model),
        &data.parts.validation,
    );
    assert!(
        (best.validation_score - earlier).abs() <= 1e-6,
        "{} was told, {earlier} is true",
        best.validation_score
    );
}

#[test]
fn the_error_that_is_told_is_that_of_the_saved_model_on_the_test_rows() {
    let (table, _) = prices(480);
    let config = config(table.path(), 5, BUDGET);
    let (ran, folder) = run(&config);
    let (data, model) = (Data::of(&config), load(&folder));
    check_parts(&ran, &data, &model);
    let best = ran.summary.best.as_ref().expect("it finished");
    let (rmse, of_table) = data.rmse(&model, &data.parts.test);
    let told = best.test_rmse.expect("regression");
    assert!(
        (told - rmse).abs() <= 1e-9 * rmse,
        "{told} was told, {rmse} is true"
    );
    // The targets that a network sees are rounded to 24 bits.
    assert!(
        (told - of_table).abs() <= 1e-5 * of_table,
        "{told} was told, {of_table} is true"
    );
    assert_eq!(best.test_accuracy, None);
    assert_eq!(tested(&ran), (None, Some(told), data.parts.test.len()));
    let (earlier, _) = data.rmse(
        &model_of(best.trial, folder.path(), &model),
        &data.parts.validation,
    );
    // The score is the error of the normalized target, summed in f32.
    let score = -earlier / data.preprocess.target().difference(1.0).expect("a value");
    assert!(
        (best.validation_score - score).abs() <= 1e-4 * score.abs(),
        "{} was told, {score} is true",
        best.validation_score
    );
}

/// A copy of the table at `path` where every number of the `rows` but the target is `extreme`, as far as the sign of
/// row and column goes.
fn poisoned(path: &Path, rows: &[u32]) -> (tempfile::TempDir, PathBuf) {
    let text = std::fs::read_to_string(path).expect("it was written");
    let rows: BTreeSet<usize> = rows.iter().map(|&row| row as usize + 1).collect();
    let lines = text.lines().enumerate().map(|(at, line)| {
        if !rows.contains(&at) {
            return line.to_owned();
        }
        let (features, target) = line.rsplit_once(',').expect("several columns");
        let extreme = features.split(',').enumerate().map(|(column, field)| {
            let sign = if (at + column) % 2 == 0 { "-" } else { "" };
            match field.parse::<f64>() {
                Ok(_) => format!("{sign}9.5e6"),
                Err(_) => "nowhere".to_owned(),
            }
        });
        format!("{},{target}", extreme.collect::<Vec<_>>().join(","))
    });
    let text = lines.collect::<Vec<_>>().join("\n") + "\n";
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("poisoned.csv");
    std::fs::write(&path, text).expect("a file can be written");
    (folder, path)
}

/// Runs over `table` and over its poisoned copy; they must differ in the test's result and in nothing before.
fn test_rows_decide_nothing(table: &CsvTable) {
    let clean = config(table.path(), 5, BUDGET);
    let data = Data::of(&clean);
    let (_folder, path) = poisoned(table.path(), &data.parts.test);
    let dirty = config(&path, 5, BUDGET);
    assert_eq!(Data::of(&dirty).parts, data.parts, "the poison moves no row");
    let ((first, clean), (second, dirty)) = (run(&clean), run(&dirty));
    assert_eq!(dirty.model(), clean.model());
    let choice = |ran: &Ran| {
        let best = ran.summary.best.clone().expect("it finished");
        (best.trial, best.validation_score, best.architecture)
    };
    assert_eq!(choice(&second), choice(&first));
    let scores = |ran: &Ran| -> Vec<_> { ran.summary.trials.iter().map(|t| (t.trial, t.score)).collect() };
    assert_eq!(scores(&second), scores(&first));
    assert_ne!(tested(&second), tested(&first), "the test sees the poison");
}

#[test]
fn test_rows_decide_nothing_about_classes() {
    test_rows_decide_nothing(&kinds(360));
}

#[test]
fn test_rows_decide_nothing_about_values() {
    test_rows_decide_nothing(&prices(360).0);
}
