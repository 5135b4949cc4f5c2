//! Whole runs on a small table.

use crate::support::{clouds, models_in, short};
use serde_json::Value;
use std::io::Read as _;

/// Every key of `daa.run/1` with the type of its value: `u` a count, `f` a number, `s` text.
const TOP: [(&str, char); 9] = [
    ("schema", 's'),
    ("version", 's'),
    ("outcome", 's'),
    ("run_dir", 's'),
    ("seed", 'u'),
    ("backend", 's'),
    ("device", 's'),
    ("command", 's'),
    ("verification", 's'),
];
const DATA: [(&str, char); 7] = [
    ("source", 's'),
    ("rows", 'u'),
    ("features", 'u'),
    ("classes", 'u'),
    ("train", 'u'),
    ("validation", 'u'),
    ("test", 'u'),
];
const AGENT: [(&str, char); 4] = [("id", 'u'), ("tasks", 'u'), ("leases", 'u'), ("yields", 'u')];
const TRIAL: [(&str, char); 8] = [
    ("trial", 'u'),
    ("candidate", 'u'),
    ("architecture", 's'),
    ("agent", 'u'),
    ("from_epoch", 'u'),
    ("to_epoch", 'u'),
    ("plan_peak_bytes", 'u'),
    ("outcome", 's'),
];
const BEST: [(&str, char); 6] = [
    ("test_accuracy", 'f'),
    ("params", 'u'),
    ("architecture", 's'),
    ("plan_peak_bytes", 'u'),
    ("trial", 'u'),
    ("validation_score", 'f'),
];
const KERNEL: [(&str, char); 10] = [
    ("kernel", 's'),
    ("backend", 's'),
    ("dispatches", 'u'),
    ("total_ns", 'u'),
    ("share", 'f'),
    ("samples", 'u'),
    ("p50_ns", 'u'),
    ("p90_ns", 'u'),
    ("p99_ns", 'u'),
    ("max_ns", 'u'),
];
const LEASES: [(&str, char); 4] = [
    ("requested", 'u'),
    ("granted", 'u'),
    ("refused", 'u'),
    ("peak_bytes", 'u'),
];

fn assert_keys(object: &Value, keys: &[(&str, char)]) {
    for (key, kind) in keys {
        let value = &object[*key];
        let fits = match kind {
            'u' => value.is_u64(),
            'f' => value.is_f64(),
            _ => value.as_str().is_some_and(|text| !text.is_empty()),
        };
        assert!(fits, "{key} is {value} in {object}");
    }
}

#[test]
fn the_object_has_every_documented_key_and_the_folder_every_file() {
    let place = clouds();
    let run = place.json(&short("out", &["-o", "json", "--seed", "3"]));
    assert_keys(&run, &TOP);
    assert_keys(&run["data"], &DATA);
    assert_keys(&run["best"], &BEST);
    assert_keys(&run["leases"], &LEASES);
    assert!(
        run["wall_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0),
        "{run}"
    );
    assert_eq!(
        (&run["schema"], &run["outcome"]),
        (&"daa.run/1".into(), &"finished".into())
    );
    assert_eq!(
        (&run["seed"], &run["backend"], &run["run_dir"]),
        (&3.into(), &"host".into(), &"out".into())
    );
    assert_eq!(
        (&run["data"]["rows"], &run["data"]["classes"]),
        (&200.into(), &2.into())
    );
    let kernels = run["kernels"].as_array().expect("a list");
    assert!(!kernels.is_empty());
    kernels.iter().for_each(|kernel| assert_keys(kernel, &KERNEL));
    let shares: f64 = kernels.iter().filter_map(|kernel| kernel["share"].as_f64()).sum();
    assert!((shares - 1.0).abs() < 1e-6, "{shares}");
    let (agents, trials) = (
        run["agents"].as_array().expect("a list"),
        run["trials"].as_array().expect("a list"),
    );
    assert_eq!(agents.len(), 2);
    agents.iter().for_each(|agent| assert_keys(agent, &AGENT));
    assert!(!trials.is_empty());
    trials.iter().for_each(|trial| assert_keys(trial, &TRIAL));
    let tasks: u64 = agents.iter().filter_map(|agent| agent["tasks"].as_u64()).sum();
    assert_eq!(
        tasks,
        trials.len() as u64 + 1,
        "the trials and the final training"
    );
    assert!(
        run["best"]["test_accuracy"]
            .as_f64()
            .is_some_and(|accuracy| accuracy >= 0.9),
        "{}",
        run["best"]
    );
    for file in [
        "run.json",
        "events.jsonl",
        "metrics.jsonl",
        "model.safetensors",
        "model.json",
        "report.html",
        "summary.json",
    ] {
        assert!(!place.read(&format!("out/{file}")).is_empty(), "{file}");
    }
    let mut models = models_in(&place.path("out"));
    models.sort();
    assert_eq!(
        models,
        ["model.json", "model.safetensors"],
        "and nothing temporary"
    );
}

#[test]
fn text_tells_people_what_they_want_and_nothing_else_is_said_off_a_terminal() {
    let place = clouds();
    let ended = place.run(&short("my runs/out", &[]));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    for word in [
        "test accuracy",
        "network",
        "parameters",
        "device",
        "time",
        "run folder",
        "report.html",
    ] {
        assert!(ended.stdout.contains(word), "{word} is missing in {ended:?}");
    }
    assert!(
        ended.stdout.contains("daa predict --model 'my runs/out'"),
        "{ended:?}"
    );
}

#[test]
fn variables_are_settings_that_flags_win_over() {
    let place = clouds();
    let mut command = place.daa(&["run", "-o", "json", "--seed", "5"]);
    let settings = [
        ("DAA_DATA", "clouds.csv"),
        ("DAA_DEVICE", "cpu"),
        ("DAA_EPOCHS_BUDGET", "24"),
        ("DAA_AGENTS", "1"),
        ("DAA_SEED", "4"),
        ("DAA_TARGET", "colour"),
    ];
    let output = command.envs(settings).output().expect("run");
    let run: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(
        (&run["seed"], &run["agents"].as_array().map(Vec::len)),
        (&5.into(), &Some(1))
    );
    assert!(
        run["command"]
            .as_str()
            .is_some_and(|command| command.contains("--target colour")),
        "{run}"
    );
    let folder = run["run_dir"].as_str().expect("a folder");
    assert!(
        folder.starts_with("daa-runs") && folder.ends_with("-seed5"),
        "{folder}"
    );
}

#[test]
fn a_column_of_numbers_is_regression() {
    let place = clouds();
    let run = place.json(&short(
        "out",
        &["-o", "json", "--target", "y", "--task", "regression"],
    ));
    assert!(
        run["best"]["test_rmse"].is_f64() && run["best"]["test_accuracy"].is_null(),
        "{run}"
    );
    assert_eq!(run["data"]["classes"], 0);
}

#[test]
fn a_reader_that_leaves_loses_no_run() {
    let place = clouds();
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = place.daa(&short("out", &[]));
    let mut child = command.stdout(writer).spawn().expect("started");
    drop(command);
    // One byte of the summary is enough for this reader.
    let mut byte = [0];
    reader.read_exact(&mut byte).expect("something is printed");
    drop(reader);
    assert_eq!(child.wait().expect("ended").code(), Some(0));
    assert!(place.path("out/model.json").is_file());
}

/// Twice the dispatches, the same bytes, and the report says so.
#[test]
fn a_verified_run_does_every_interval_twice() {
    let place = clouds();
    let run = |out: &str, more: &[&str]| {
        let ended = place.run(&short(out, &[&["-o", "json"], more].concat()));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        serde_json::from_str::<Value>(&ended.stdout).expect("the summary")
    };
    let (plain, verified) = (run("plain", &[]), run("verified", &["--verify", "repeat"]));
    assert_eq!(
        (&plain["verification"], &verified["verification"]),
        (&"off".into(), &"repeat".into())
    );
    let command = |run: &Value| run["command"].as_str().expect("text").to_owned();
    assert!(command(&verified).contains("--verify repeat") && !command(&plain).contains("--verify"));
    let model = |out: &str| std::fs::read(place.path(out).join("model.safetensors")).expect("a model");
    assert_eq!(model("plain"), model("verified"));
    let steps = |run: &Value| {
        let kernels = run["kernels"].as_array().expect("kernels");
        let adam = kernels.iter().filter(|kernel| kernel["kernel"] == "adam.step");
        adam.map(|kernel| kernel["dispatches"].as_u64().expect("a count"))
            .sum::<u64>()
    };
    assert!(steps(&plain) > 0);
    assert_eq!(steps(&verified), 2 * steps(&plain));
    let report = |out: &str| std::fs::read_to_string(place.path(out).join("report.html")).expect("a report");
    assert!(report("verified").contains("every interval ran twice"));
    assert!(!report("plain").contains("every interval ran twice"));
    let resumed = place.run(&["run", "--resume", "verified", "--verify", "off"]);
    assert_eq!(resumed.code, Some(2), "{resumed:?}");
}
