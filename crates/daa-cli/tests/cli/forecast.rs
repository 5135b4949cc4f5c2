//! `daa memory forecast` and `daa memory record`.

use crate::support::Place;
use serde_json::Value;

/// Memory of real runs; `tests/data/README.md` says how it was recorded.
const RUNS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/memory-runs.csv");

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} in {value}"))
}

/// Fitted on half of the recorded runs, the bounds of the rest are covered as stated, with less headroom than the
/// baseline needs for the same coverage.
#[test]
fn recorded_runs_are_covered_as_stated_with_less_headroom_than_the_baseline() {
    let report = Place::new().json(&[
        "memory",
        "forecast",
        RUNS,
        "--horizon",
        "10",
        "--coverage",
        "0.95",
        "-o",
        "json",
    ]);
    let (fitted, reported) = (report["fitted"].as_array(), report["reported"].as_array());
    let runs = fitted.map_or(0, Vec::len) + reported.map_or(0, Vec::len);
    assert!(runs >= 20, "{report}");
    assert_eq!(report["schema"], "daa.memory.forecast/1");
    assert_eq!(report["method"], "similar_states");
    let coverage = number(&report, "coverage");
    assert!((0.93..=0.97).contains(&coverage), "{report}");
    let baseline = &report["baseline"];
    assert!(
        (number(baseline, "coverage") - coverage).abs() < 0.005,
        "{report}"
    );
    assert!(
        number(&report, "mean_headroom") < 0.95 * number(baseline, "mean_headroom"),
        "{report}"
    );
}

#[test]
fn the_text_tells_the_same() {
    let place = Place::new();
    let ended = place.run(&["memory", "forecast", RUNS]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    for word in [
        "10 rows ahead",
        "17 fitted, 16 reported",
        "coverage",
        "mean headroom",
        "baseline",
    ] {
        assert!(ended.stdout.contains(word), "{word}: {}", ended.stdout);
    }
}

#[test]
fn bad_tables_end_with_the_code_for_input_and_bad_flags_with_the_one_for_usage() {
    let place = Place::new();
    place.write("ragged.csv", "t,a,b\n0,1,2\n1,2\n");
    place.write("one.csv", "t,a\n0,1\n1,2\n");
    place.write("short.csv", "t,a,b\n0,1,2\n1,2,3\n");
    place.write("back.csv", "t,a,b\n1,1,2\n0,2,3\n");
    for (file, says) in [
        ("ragged.csv", "line 3 has 2 columns"),
        ("one.csv", "holds 1 series"),
        ("short.csv", "longer than the horizon of 10"),
        ("back.csv", "line 3: time 0 is not after 1"),
        ("absent.csv", "cannot be read"),
    ] {
        let ended = place.run(&["memory", "forecast", file]);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(3), ""),
            "{file}: {ended:?}"
        );
        assert!(
            ended.stderr.contains(says) && ended.stderr.contains(file),
            "{ended:?}"
        );
    }
    for flags in [
        ["--horizon", "0"],
        ["--coverage", "1"],
        ["--coverage", "nan"],
        ["--target", "x"],
    ] {
        let ended = place.run(&["memory", "forecast", RUNS, flags[0], flags[1]]);
        assert_eq!(ended.code, Some(2), "{flags:?}: {ended:?}");
    }
}

#[test]
fn a_folder_that_is_no_run_is_named() {
    let place = Place::new();
    let ended = place.run(&["memory", "record", "."]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
}
