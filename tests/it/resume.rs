//! A run that was asked to stop, at whatever moment, goes on from its folder and ends with the same bytes.

use crate::determinism::reference;
use daa_agent::{Place, RunConfig};
use daa_base::{Bytes, Millis, Seed};
use daa_tests::runs::{Folder, Ran, try_run};

/// Most stops of one run.
const MOST_STOPS: usize = 200;

/// Runs `config` with a stop at event number `first`, goes on with a stop at event number `then` of each following
/// part, and returns all parts.
fn in_parts(config: &RunConfig, folder: &Folder, first: usize, then: usize) -> Vec<Ran> {
    let mut place = Place::New(folder.path().to_owned());
    let mut stop_at = first;
    let mut parts = Vec::new();
    loop {
        let part = try_run(config, place, Some(stop_at))
            .unwrap_or_else(|error| panic!("stopped at {first} and {then}: {error}"));
        let is_finished = part.is_finished();
        parts.push(part);
        if is_finished {
            return parts;
        }
        assert!(
            parts.len() < MOST_STOPS,
            "it never ends: stopped at {first} and {then}"
        );
        place = Place::Resume(folder.path().to_owned());
        // Without fail beyond the events that every part begins with, so that each part can get further.
        stop_at = then + 3 * parts.len();
    }
}

#[test]
fn a_run_stopped_at_any_event_resumes_to_the_same_bytes() {
    let reference = reference();
    let peak = reference.ran.largest_peak();
    let mut rng = Seed(11).stream("tests.stops").rng();
    let mut stops = 0;
    for case in 0..5 {
        let mut config = reference.config.clone();
        config.schedule.agents = 1 + case % 4;
        if case % 2 == 1 {
            config.schedule.memory_limit = Some(Bytes(peak.get() * 2));
            config.schedule.lease = Millis(15);
        }
        let folder = Folder::new();
        let (first, then) = (1 + rng.below(80), 20 + rng.below(120));
        let parts = in_parts(&config, &folder, first, then);
        stops += parts.len() - 1;
        assert_eq!(
            folder.model(),
            reference.model,
            "stopped at {first} and {then}, {:?}",
            config.schedule
        );
        for part in &parts[..parts.len() - 1] {
            assert_eq!(
                (part.summary.outcome.as_str(), part.summary.best.is_none()),
                ("interrupted", true)
            );
        }
    }
    assert!(stops >= 5, "only {stops} stops: nothing is shown");
}

#[test]
fn an_interrupted_run_leaves_no_model() {
    let reference = reference();
    let folder = Folder::new();
    let ran = try_run(&reference.config, Place::New(folder.path().to_owned()), Some(12))
        .expect("it stops in order");
    assert!(!ran.is_finished());
    for name in ["model.safetensors", "model.json"] {
        assert!(!folder.path().join(name).exists(), "{name}");
    }
}

#[test]
fn a_finished_run_can_be_resumed_and_stays_what_it_is() {
    let reference = reference();
    let folder = Folder::new();
    let first = try_run(&reference.config, Place::New(folder.path().to_owned()), None).expect("it runs");
    let again =
        try_run(&reference.config, Place::Resume(folder.path().to_owned()), None).expect("it runs again");
    assert!(again.is_finished());
    assert_eq!(folder.model(), reference.model);
    assert_eq!(again.summary.best, first.summary.best);
    assert_eq!(again.summary.trials.len(), first.summary.trials.len());
}
