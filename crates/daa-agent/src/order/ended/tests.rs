use super::*;
use crate::order::tests::{order, state, trained};
use daa_learn::data::{Dataset, Target};
use daa_learn::train::PreparedData;
use std::path::Path;

/// As the states of other trainings say it.
fn refused(order: &Order, state: &TrainState, outcome: Outcome) -> String {
    let refused = order.ended_in(state.clone(), outcome).expect_err("not its end");
    refused.to_string()
}

/// An order that goes on from the end of `first` in `parent`, two epochs further.
fn next(first: &Order, dir: &Path, parent: &Path) -> Order {
    let mut next = order(dir, Some(parent.to_owned()));
    next.config.epochs = 4;
    trained(first, None, u32::MAX)
        .save(&state_path(parent))
        .expect("saved");
    next
}

#[test]
fn the_end_of_an_order_is_taken_and_nothing_before_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let order = order(dir.path(), None);
    let end = trained(&order, None, u32::MAX);
    assert_eq!(end.position().epoch, 2);
    let taken = order.ended_in(end.clone(), Outcome::Finished).expect("its end");
    assert!(taken.is_bitwise(&end));
    for steps in [1, 2, 3, 4, 5] {
        let early = trained(&order, None, steps);
        let refused = refused(&order, &early, Outcome::Finished);
        assert!(refused.contains("position"), "{refused}");
    }
    let begin = refused(&order, &state(&order), Outcome::Finished);
    assert!(
        begin.contains("epoch 0") && begin.contains("by epoch 2"),
        "{begin}"
    );
}

#[test]
fn who_says_that_a_training_diverged_has_a_state_that_did() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut order = order(dir.path(), None);
    for state in [state(&order), trained(&order, None, u32::MAX)] {
        refused(&order, &state, Outcome::Diverged);
    }
    // The square of the first error is no number any more.
    let data = &order.data;
    let (shape, features) = (data.dataset().shape(), data.dataset().features().to_vec());
    let far = Target::Values(vec![1e30; features.len()]);
    let dataset = Dataset::new(shape, features, far).expect("finite");
    let far = PreparedData::new(dataset.into(), data.train().to_vec(), data.validation().to_vec());
    order.data = far.expect("sound").into();
    let diverged = trained(&order, None, u32::MAX);
    assert!(diverged.is_diverged());
    order
        .ended_in(diverged.clone(), Outcome::Diverged)
        .expect("its end");
    refused(&order, &diverged, Outcome::Finished);
}

#[test]
fn an_order_that_goes_on_ends_further_on_with_the_history_of_its_beginning() {
    let (dir, parent, elsewhere) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let first = order(elsewhere.path(), None);
    let next = next(&first, dir.path(), parent.path());
    let begun = next.start().expect("there").expect("the parent's end");
    let end = trained(&next, Some(begun.clone()), u32::MAX);
    next.ended_in(end.clone(), Outcome::Finished).expect("its end");
    let stale = refused(&next, &begun, Outcome::Finished);
    assert!(
        stale.contains("epoch 2") && stale.contains("by epoch 4"),
        "{stale}"
    );
    let ahead = refused(&first, &end, Outcome::Finished);
    assert!(
        ahead.contains("epoch 4") && ahead.contains("by epoch 2"),
        "{ahead}"
    );
    // The history of another beginning does not lead there.
    let mut other = order(elsewhere.path(), None);
    other.seed = daa_base::Seed(2);
    let other = trained(&other, None, u32::MAX);
    other.save(&state_path(parent.path())).expect("saved");
    let foreign = refused(&next, &end, Outcome::Finished);
    assert!(foreign.contains("history"), "{foreign}");
}

#[test]
fn invented_histories_are_seen() {
    let dir = tempfile::tempdir().expect("a folder");
    let order = order(dir.path(), None);
    let path = dir.path().join("invented.safetensors");
    trained(&order, None, u32::MAX).save(&path).expect("saved");
    let honest = TrainState::load(&path).expect("whole");
    let (epoch, best) = honest.best_evaluation().expect("validated");
    let record = honest.history()[epoch as usize].validation.expect("validated");
    assert_eq!(best, record);
    let mut worse = honest.history().to_vec();
    for record in &mut worse {
        record.validation = Some(Evaluation {
            loss: 7.0,
            accuracy: None,
        });
    }
    assert_ne!(replay(&worse, None).0, honest.best_evaluation());
    for (loss, accuracy) in [(f32::NAN, None), (f32::INFINITY, None), (0.0, Some(1.5))] {
        assert!(!is_sound(&Evaluation { loss, accuracy }));
    }
}

#[test]
fn patience_is_counted_from_the_best_epoch() {
    let history: Vec<EpochRecord> = (0..)
        .zip([3.0, 2.0, 2.5, 2.5])
        .map(|(epoch, loss)| {
            let evaluation = Evaluation { loss, accuracy: None };
            EpochRecord {
                epoch,
                train: evaluation,
                validation: Some(evaluation),
            }
        })
        .collect();
    let best = Some((1, history[1].train));
    assert_eq!(replay(&history, Some(2)), (best, true));
    assert_eq!(replay(&history, Some(3)), (best, false));
    assert_eq!(replay(&history[..3], Some(2)), (best, false));
    assert_eq!(replay(&[], Some(1)), (None, false));
}
