//! Runs that are stopped, or killed, and go on to the same bytes.

use crate::support::{Place, Running, clouds, models_in, signal};
use std::fs;
use std::hash::{BuildHasher as _, RandomState};

const MODEL: &str = "out/model.safetensors";

/// A run of seconds: long enough to be caught at work.
const MEDIUM: [&str; 11] = [
    "run",
    "--data",
    "clouds.csv",
    "--device",
    "cpu",
    "--epochs-budget",
    "600",
    "--agents",
    "2",
    "--out",
    "out",
];

/// A run that takes longer than any test.
const LONG: [&str; 9] = [
    "run",
    "--data",
    "clouds.csv",
    "--device",
    "cpu",
    "--epochs-budget",
    "100000",
    "--out",
    "out",
];

/// The bytes that a run leaves that nobody disturbs.
fn undisturbed() -> Vec<u8> {
    let place = clouds();
    let ended = place.run(&MEDIUM);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    place.read(MODEL)
}

/// Goes on until the run is finished, and gives the model's bytes.
fn resumed(place: &Place) -> Vec<u8> {
    let run = place.json(&["run", "--resume", "out", "-o", "json"]);
    assert_eq!(
        (&run["outcome"], &run["data"]["rows"]),
        (&"finished".into(), &200.into())
    );
    place.read(MODEL)
}

#[test]
fn the_first_signal_saves_and_the_run_goes_on_to_the_same_bytes() {
    let wanted = undisturbed();
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let place = clouds();
        let mut running = Running::start(&place, &[&MEDIUM[..], &["-o", "json"]].concat());
        running.until(|line| line.contains(" epoch 1: loss"));
        signal(running.child.id(), name);
        let ended = running.end();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(
            ended.stderr.contains("go on with: daa run --resume out"),
            "{ended:?}"
        );
        let run: serde_json::Value = serde_json::from_str(&ended.stdout).expect("one object");
        assert_eq!(
            (&run["outcome"], &run["best"]),
            (&"interrupted".into(), &serde_json::Value::Null)
        );
        assert_eq!(
            models_in(&place.path("out")),
            Vec::<String>::new(),
            "no model before its time"
        );
        assert_eq!(resumed(&place), wanted);
    }
}

#[test]
fn what_a_crash_damaged_is_done_again_to_the_same_bytes() {
    let wanted = undisturbed();
    let place = clouds();
    let mut running = Running::start(&place, &MEDIUM);
    running.until(|line| line.contains("trial-3") && line.contains(" epoch 1: loss"));
    signal(running.child.id(), "INT");
    assert_eq!(running.end().code, Some(130));
    let state = fs::read_dir(place.path("out/state")).expect("there");
    let folders = state
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.is_dir());
    let mut damaged = 0;
    for (number, folder) in folders.enumerate() {
        // Each in another way: results, states and progress, cut off or filled with zeros.
        let names = ["result.json", "state.safetensors", "progress.safetensors"];
        let there = names
            .iter()
            .map(|name| folder.join(name))
            .filter(|path| path.is_file());
        for path in there.skip(number % 2) {
            let length = fs::metadata(&path).expect("there").len() as usize;
            fs::write(&path, vec![0; length / (1 + number % 3)]).expect("written");
            damaged += 1;
        }
    }
    assert!(damaged > 0, "nothing was there to be damaged");
    for name in ["out/events.jsonl", "out/metrics.jsonl"] {
        let lines = place.read(name);
        place.write(name, [b"\0\0\0\xff\n{\n", lines.as_slice(), &[0; 100]].concat());
    }
    assert_eq!(resumed(&place), wanted);
}

#[test]
fn a_run_that_is_killed_goes_on_to_the_same_bytes() {
    let wanted = undisturbed();
    // The first line is about the device; from the second on there is a folder.
    let random = 2 + RandomState::new().hash_one(0) as usize % 1000;
    for lines in [2, 100, random] {
        let place = clouds();
        let mut running = Running::start(&place, &MEDIUM);
        // A run that is shorter was not killed: then its own bytes count.
        if running.lines(lines) {
            signal(running.child.id(), "KILL");
        }
        let ended = running.end();
        assert_eq!(resumed(&place), wanted, "killed after line {lines}: {ended:?}");
    }
}

#[test]
fn a_second_process_is_kept_out_of_the_folder() {
    let place = clouds();
    let mut running = Running::start(&place, &MEDIUM);
    running.until(|line| line.contains("takes"));
    // Stopped processes hold their locks: this one cannot finish before the other has tried.
    signal(running.child.id(), "STOP");
    let second = place.run(&["run", "--resume", "out"]);
    signal(running.child.id(), "CONT");
    assert_eq!(second.code, Some(3), "{second:?}");
    assert!(
        second.stderr.contains("in use by another process") && second.stderr.contains("hint: "),
        "{second:?}"
    );
    assert_eq!(running.end().code, Some(0));
}

#[test]
fn two_signals_end_the_program_and_leave_no_model() {
    let place = clouds();
    let mut running = Running::start(&place, &LONG);
    running.until(|line| line.contains(" epoch 1: loss"));
    signal(running.child.id(), "INT");
    signal(running.child.id(), "TERM");
    let ended = running.end();
    assert!([Some(130), Some(143)].contains(&ended.code), "{ended:?}");
    assert_eq!(models_in(&place.path("out")), Vec::<String>::new());
}
