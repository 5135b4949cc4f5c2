//! Whole runs: what they leave behind, on the CPU and on the software device.

use crate::determinism::reference;
use daa_agent::config::RunFile;
use daa_agent::events::Event;
use daa_agent::{Place, Summary};
use daa_base::Seed;
use daa_gpu_core::DeviceChoice;
use daa_learn::data::{DataSource, LoadOptions, Target};
use daa_learn::{Model, Predictor};
use daa_tests::runs::{Folder, Ran, config, run, try_run};
use daa_tests::software;
use daa_tests::tables::{kinds, prices};
use std::fs;
use std::path::Path;

/// What a run folder holds at its end, as its documentation says.
const FILES: [&str; 7] = [
    "run.json",
    "events.jsonl",
    "metrics.jsonl",
    "model.safetensors",
    "model.json",
    "report.html",
    "summary.json",
];

fn read(folder: &Folder, name: &str) -> String {
    let path = folder.path().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn lines(folder: &Folder, name: &str) -> Vec<Event> {
    let text = read(folder, name);
    assert!(text.ends_with('\n'), "{name} ends with a whole line");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error} in {line}")))
        .collect()
}

/// Holds everything that a finished run leaves in its folder against what it told.
fn check_folder(ran: &Ran, folder: &Folder) {
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .expect("the folder is there")
        .map(|entry| {
            entry
                .expect("it can be listed")
                .file_name()
                .into_string()
                .expect("plain names")
        })
        .collect();
    names.sort();
    let mut wanted: Vec<_> = FILES
        .iter()
        .map(|&name| name.to_owned())
        .chain(["state".to_owned()])
        .collect();
    wanted.sort();
    assert_eq!(names, wanted, "nothing more and nothing less");

    let stored: Summary = serde_json::from_str(&read(folder, "summary.json")).expect("a summary");
    assert_eq!(stored, ran.summary);
    let file: RunFile = serde_json::from_str(&read(folder, "run.json")).expect("a run file");
    assert_eq!(
        (file.schema.as_str(), file.config.seed.0),
        ("daa.run-config/1", ran.summary.seed)
    );
    assert_eq!(file.data_digest.len(), 64, "{}", file.data_digest);

    let (events, metrics) = (lines(folder, "events.jsonl"), lines(folder, "metrics.jsonl"));
    assert!(metrics.iter().all(|event| event.kind.is_metric()));
    let told = |is_metric: bool| {
        ran.events
            .iter()
            .filter(move |event| event.kind.is_metric() == is_metric)
    };
    assert!(
        events.iter().eq(told(false)),
        "events.jsonl holds what was told, in order"
    );
    assert!(
        metrics.iter().eq(told(true)),
        "metrics.jsonl holds what was told, in order"
    );
    check_report(&read(folder, "report.html"), &ran.summary);
}

/// The report needs nothing but itself.
fn check_report(html: &str, summary: &Summary) {
    for outside in [
        "http://", "https://", "<script", "<link", "<img", "<iframe", "@import", "url(", " src=",
    ] {
        assert!(!html.contains(outside), "the report holds `{outside}`");
    }
    assert!(html.starts_with("<!DOCTYPE html>") && html.trim_end().ends_with("</html>"));
    let plots = html.matches("<svg").count();
    assert!(
        plots >= 4,
        "{plots} plots: learning curves, trials, memory by tier, leases"
    );
    assert_eq!(plots, html.matches("</svg>").count());
    assert!(html.contains("<path") || html.contains("<polyline") || html.contains("<rect"));
    let best = summary.best.as_ref().expect("the run finished");
    assert!(html.contains(&best.architecture), "{}", best.architecture);
}

/// Scores the model in `folder` on all rows of the table it was trained on.
fn score_of_model(folder: &Path, data: &Path) -> f64 {
    let model = Model::load(folder).expect("a run's model loads");
    let source = DataSource::Path(data.to_owned());
    let table = source
        .load(&LoadOptions::default())
        .expect("the table was read before");
    let dataset = model
        .preprocess()
        .dataset(&table)
        .expect("the table fits its model");
    let mut predictor = Predictor::open(&model, &software::host(1)).expect("it fits");
    let rows: Vec<u32> = (0..dataset.rows() as u32).collect();
    let score = predictor
        .predict_rows(&dataset, &rows)
        .expect("it predicts")
        .score(dataset.target(), &rows);
    assert!(matches!(dataset.target(), Target::Classes { .. }));
    score
}

#[test]
fn a_run_leaves_what_it_promises() {
    let table = kinds(300);
    let mut config = config(table.path(), 1, 40);
    config.schedule.agents = 2;
    let (ran, folder) = run(&config);
    check_folder(&ran, &folder);
    let summary = &ran.summary;
    assert_eq!(
        (summary.schema.as_str(), summary.backend.as_str()),
        ("daa.run/1", "host")
    );
    let data = &summary.data;
    // Five numbers and a column of two words.
    assert_eq!((data.rows, data.classes), (300, 3));
    assert_eq!(data.train + data.validation + data.test, 300);
    assert_eq!(data.test, 60, "stratified 80/20");
    let best = summary.best.as_ref().expect("it finished");
    let accuracy = best.test_accuracy.expect("a classification");
    assert!(accuracy > 0.8 && accuracy <= 1.0, "{accuracy}");
    assert!(best.params > 0 && best.plan_peak_bytes > 0);
    assert_eq!(best.test_rmse, None);
    let on_all = score_of_model(folder.path(), table.path());
    assert!(on_all > 0.8, "the stored model scores {on_all} on all rows");
    let tasks: u64 = summary.agents.iter().map(|agent| agent.tasks).sum();
    assert_eq!(
        tasks,
        summary.trials.len() as u64 + 1,
        "every trial and the final training"
    );
}

#[test]
fn a_model_is_named_by_the_fixed_schedule_of_its_run() {
    let reference = reference();
    let best = reference.ran.summary.best.as_ref().expect("it finished");
    let chosen = reference
        .ran
        .summary
        .trials
        .iter()
        .find(|trial| trial.trial == best.trial);
    let chosen = chosen.expect("the chosen trial is one of the trials");
    assert_eq!(chosen.architecture, best.architecture);
    assert_eq!(chosen.score, Some(best.validation_score));
}

#[test]
fn a_number_is_predicted_better_than_by_its_mean() {
    let (table, deviation) = prices(400);
    let mut config = config(table.path(), 2, 90);
    config.target = Some("price".to_owned());
    let (ran, folder) = run(&config);
    check_folder(&ran, &folder);
    let best = ran.summary.best.as_ref().expect("it finished");
    assert_eq!((ran.summary.data.classes, best.test_accuracy), (0, None));
    let error = best.test_rmse.expect("a regression");
    assert!(
        error > 0.0 && error < deviation / 3.0,
        "{error}, predicting the mean is off by {deviation}"
    );
}

#[test]
fn software_runs_as_the_cpu_does() {
    if !software::is_there() {
        return;
    }
    let table = kinds(300);
    let mut config = config(table.path(), 1, 30);
    config.schedule.agents = 2;
    let (host, _) = run(&config);
    config.schedule.device = DeviceChoice::Software;
    let (device, folder) = run(&config);
    check_folder(&device, &folder);
    assert_eq!(device.summary.backend, "vulkan");
    assert_eq!(host.summary.backend, "host");
    let accuracy = |ran: &Ran| {
        ran.summary
            .best
            .as_ref()
            .and_then(|best| best.test_accuracy)
            .expect("it finished")
    };
    let (on_host, on_device) = (accuracy(&host), accuracy(&device));
    // Sums are rounded in another order, which may flip a row of 60 or, between equals, the choice of the network.
    assert!(
        (on_host - on_device).abs() <= 0.05,
        "host {on_host}, software {on_device}"
    );
    let failed = |kind: &daa_agent::EventKind| matches!(kind, daa_agent::EventKind::DeviceFailed { .. });
    assert_eq!(device.count(failed), 0);
    // The first trial knows no result: same network, same seed, on both.
    let first = |ran: &Ran| ran.summary.trials[0].architecture.clone();
    assert_eq!(first(&host), first(&device));
}

#[test]
fn software_leases_are_used_to_the_byte() {
    if !software::is_there() {
        return;
    }
    let table = kinds(300);
    let mut config = config(table.path(), 1, 12);
    config.schedule.device = DeviceChoice::Software;
    config.schedule.agents = 2;
    let (ran, _folder) = run(&config);
    let mut leases = 0;
    for event in &ran.events {
        if let daa_agent::EventKind::LeaseEnded {
            bytes, high_water, ..
        } = event.kind
        {
            assert_eq!(high_water, bytes);
            leases += 1;
        }
    }
    assert!(leases >= 3, "a trial, the final training and the test: {leases}");
}

#[test]
fn a_run_goes_on_only_over_the_data_it_began_with() {
    let table = kinds(300);
    let config = config(table.path(), 1, 12);
    let folder = Folder::new();
    let begun = try_run(&config, Place::New(folder.path().to_owned()), Some(10)).expect("it stops in order");
    assert!(!begun.is_finished());
    let text = fs::read_to_string(table.path()).expect("the table is there");
    let without_last: Vec<_> = text.lines().take(300).collect();
    fs::write(table.path(), without_last.join("\n") + "\n").expect("written");
    let error =
        try_run(&config, Place::Resume(folder.path().to_owned()), None).expect_err("a row is missing");
    assert!(error.to_string().contains("the data of"), "{error}");
    fs::write(table.path(), text).expect("written");
    let done = try_run(&config, Place::Resume(folder.path().to_owned()), None).expect("the data are back");
    assert!(done.is_finished());
    assert_eq!(done.summary.seed, Seed(1).0);
}
