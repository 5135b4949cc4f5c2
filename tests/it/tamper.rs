//! What a run folder says is believed only as far as it agrees with itself: a run that goes on does what was changed
//! behind its back again.

use crate::determinism::reference;
use daa_agent::{EventKind, Place, Work};
use daa_base::TrialId;
use daa_tests::runs::{Folder, try_run};
use std::path::{Path, PathBuf};

/// Trials that are done when the run stops.
const DONE: usize = 4;

/// A file of a trial.
fn file(folder: &Path, trial: u32, name: &str) -> PathBuf {
    folder.join("state").join(format!("trial-{trial:05}")).join(name)
}

/// The event at which the reference run had done [`DONE`] trials, counted from 1.
fn stop_at() -> usize {
    let is_done = |kind: &EventKind| matches!(kind, EventKind::WorkDone { .. });
    let events = &reference().ran.events;
    let nth = events
        .iter()
        .enumerate()
        .filter(|(_, event)| is_done(&event.kind))
        .nth(DONE - 1);
    nth.expect("it does more trials than that").0 + 1
}

/// Stops the reference's task after some trials, lets `change` at the run folder, goes on, and returns the trials that
/// were found done. The model must be the reference's.
fn recovered_after(change: impl FnOnce(&Path)) -> Vec<TrialId> {
    let reference = reference();
    let folder = Folder::new();
    let place = Place::New(folder.path().to_owned());
    let part = try_run(&reference.config, place, Some(stop_at())).expect("it stops in order");
    assert!(!part.is_finished());
    for trial in 0..DONE as u32 {
        assert!(
            file(folder.path(), trial, "result.json").is_file(),
            "trial {trial}"
        );
    }
    change(folder.path());
    let place = Place::Resume(folder.path().to_owned());
    let rest = try_run(&reference.config, place, None).expect("it goes on");
    assert!(rest.is_finished());
    assert_eq!(folder.model(), reference.model);
    let found = |kind: &EventKind| match kind {
        EventKind::WorkRecovered {
            work: Work::Trial(trial),
            ..
        } => Some(*trial),
        _ => None,
    };
    rest.events
        .iter()
        .filter_map(|event| found(&event.kind))
        .collect()
}

/// Changes the JSON in `path` and keeps it JSON.
fn edit(path: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let text = std::fs::read_to_string(path).expect("it is there");
    let mut value: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let before = value.clone();
    change(&mut value);
    assert_ne!(value, before, "nothing was changed");
    std::fs::write(path, value.to_string()).expect("it can be written");
}

#[test]
fn what_nobody_changed_is_not_done_again() {
    let found = recovered_after(|_| ());
    assert!(found.len() >= DONE, "{found:?}");
}

#[test]
fn a_result_of_another_decision_is_done_again() {
    let found = recovered_after(|folder| {
        let other = file(folder, 0, "result.json");
        edit(&file(folder, 1, "result.json"), |value| {
            let text = std::fs::read_to_string(other).expect("it is there");
            let other: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
            value["decision"] = other["decision"].clone();
        });
    });
    assert!(
        found.contains(&TrialId(0)) && !found.contains(&TrialId(1)),
        "{found:?}"
    );
}

#[test]
fn a_changed_state_is_not_believed() {
    let found = recovered_after(|folder| {
        let path = file(folder, 2, "state.safetensors");
        let mut bytes = std::fs::read(&path).expect("it is there");
        // The last byte is one of a number, so the file can still be read.
        *bytes.last_mut().expect("it holds something") ^= 1;
        std::fs::write(&path, bytes).expect("it can be written");
    });
    assert!(
        found.contains(&TrialId(0)) && !found.contains(&TrialId(2)),
        "{found:?}"
    );
}

#[test]
fn the_state_of_another_trial_is_not_believed() {
    let found = recovered_after(|folder| {
        let (from, to) = (
            file(folder, 0, "state.safetensors"),
            file(folder, 3, "state.safetensors"),
        );
        std::fs::copy(from, to).expect("it can be written");
    });
    assert!(
        found.contains(&TrialId(0)) && !found.contains(&TrialId(3)),
        "{found:?}"
    );
}

#[test]
fn a_score_that_the_state_does_not_have_is_not_believed() {
    let found = recovered_after(|folder| {
        edit(&file(folder, 1, "result.json"), |value| {
            value["result"]["score_micro"] = 2_000_000.into();
        });
    });
    assert!(
        found.contains(&TrialId(0)) && !found.contains(&TrialId(1)),
        "{found:?}"
    );
}

#[test]
fn a_result_that_is_no_json_is_done_again() {
    let found = recovered_after(|folder| {
        let path = file(folder, 1, "result.json");
        let text = std::fs::read_to_string(&path).expect("it is there");
        std::fs::write(&path, &text[..text.len() / 2]).expect("it can be written");
    });
    assert!(
        found.contains(&TrialId(0)) && !found.contains(&TrialId(1)),
        "{found:?}"
    );
}

#[test]
fn damaged_progress_is_made_again() {
    let reference = reference();
    let is_epoch = |kind: &EventKind| matches!(kind, EventKind::EpochEnded { .. });
    let events = &reference.ran.events;
    // In the middle of the first trial that has more than one epoch, so that the rest of it is still to be done.
    let two = |pair: &[daa_agent::events::Event]| pair.iter().all(|event| is_epoch(&event.kind));
    let at = events.windows(2).position(two).expect("a trial of two epochs") + 1;
    let folder = Folder::new();
    let place = Place::New(folder.path().to_owned());
    let part = try_run(&reference.config, place, Some(at)).expect("it stops in order");
    assert!(!part.is_finished());
    let states = std::fs::read_dir(folder.path().join("state")).expect("it is there");
    let progress = states
        .map(|entry| entry.expect("it can be read").path().join("progress.safetensors"))
        .find(|path| path.is_file())
        .expect("a trial was under way");
    let mut bytes = std::fs::read(&progress).expect("it is there");
    *bytes.last_mut().expect("it holds something") ^= 1;
    std::fs::write(&progress, bytes).expect("it can be written");
    let place = Place::Resume(folder.path().to_owned());
    let rest = try_run(&reference.config, place, None).expect("it goes on");
    assert!(rest.is_finished());
    assert_eq!(folder.model(), reference.model);
}
