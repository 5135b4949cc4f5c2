use super::*;
use crate::data::InputShape;
use crate::nn::OutputHead;
use crate::search::{SearchSpace, select_final};
use daa_base::Seed;
use proptest::prelude::*;

fn config(window: u32, eta: u32, budget: u32) -> SearchConfig {
    let (input, output) = (InputShape::Flat { features: 4 }, OutputHead::Classes { count: 3 });
    SearchConfig {
        space: SearchSpace::new(1_000, input, output),
        eta,
        rungs: vec![2, 6, 18],
        epochs_budget: budget,
        final_epochs: 5,
        window,
        epoch_rows: None,
        seed: Seed(1),
    }
}

fn trial(decision: Decision) -> TrialSpec {
    match decision {
        Decision::Trial(spec) => spec,
        Decision::Finished => panic!("the budget is not spent"),
    }
}

/// What training would say: a function of candidate and epochs; one candidate in eleven diverges.
fn measured(spec: &TrialSpec, salt: u64) -> TrialResult {
    let mut rng = Seed(salt)
        .stream("measured")
        .child(u64::from(spec.candidate.0))
        .rng();
    let (quality, fate) = (rng.below(100), rng.below(11));
    if fate == 0 {
        return TrialResult {
            id: spec.id,
            status: TrialStatus::Diverged,
            score_micro: i64::MIN,
            loss_micro: i64::MAX,
            best_epoch: 0,
            epochs: spec.epochs_from,
        };
    }
    TrialResult {
        id: spec.id,
        status: TrialStatus::Scored,
        score_micro: quality as i64 * 100 + i64::from(spec.epochs_to),
        loss_micro: 1_000 - quality as i64,
        best_epoch: spec.epochs_to - 1,
        epochs: spec.epochs_to,
    }
}

/// Runs a search on `workers` workers that finish in an order drawn from `timing`.
fn search(
    config: &SearchConfig,
    workers: usize,
    timing: u64,
    salt: u64,
) -> (Vec<TrialSpec>, Vec<TrialResult>) {
    let mut rng = Seed(timing).stream("timing").rng();
    let (mut specs, mut results, mut running) = (Vec::new(), Vec::new(), Vec::<TrialSpec>::new());
    loop {
        let k = TrialId(specs.len() as u32);
        let may_start = running.len() < workers;
        match decide(config, k, &specs, &results) {
            Ok(Decision::Trial(spec)) if may_start => {
                specs.push(spec);
                running.push(spec);
            }
            Ok(Decision::Finished) if running.is_empty() => return (specs, results),
            Ok(_) | Err(SearchError::MissingResult { .. }) => {
                let spec = running.swap_remove(rng.below(running.len()));
                results.push(measured(&spec, salt));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn neither_workers_nor_timing_change_a_search(
        window in 0_u32..12, eta in 2_u32..5, budget in 7_u32..150, workers in 1_usize..9, timing: u64, salt: u64,
    ) {
        let config = config(window, eta, budget);
        let (specs, results) = search(&config, 1, 0, salt);
        let (others, mut shuffled) = search(&config, workers, timing, salt);
        prop_assert_eq!(&specs, &others);
        let chosen = select_final(&config, &specs, &results);
        prop_assert_eq!(chosen.clone(), select_final(&config, &others, &shuffled));
        shuffled.reverse();
        prop_assert_eq!(chosen, select_final(&config, &others, &shuffled));
    }

    #[test]
    fn the_budget_holds_and_every_trial_goes_on_from_the_rung_below(
        window in 0_u32..12, eta in 2_u32..5, budget in 7_u32..150, salt: u64,
    ) {
        let config = config(window, eta, budget);
        let (specs, _) = search(&config, 4, 1, salt);
        let spent: u32 = specs.iter().map(TrialSpec::cost).sum();
        prop_assert!(spent <= config.search_budget(), "spent {} of {}", spent, config.search_budget());
        prop_assert!(!specs.is_empty(), "the first rung fits, so there is a trial");
        for spec in &specs {
            prop_assert_eq!(spec.epochs_to, config.rungs[spec.rung as usize]);
            match spec.from {
                None => prop_assert_eq!((spec.rung, spec.epochs_from), (0, 0)),
                Some(from) => {
                    let before = &specs[from.0 as usize];
                    prop_assert_eq!((before.candidate, before.rung + 1), (spec.candidate, spec.rung));
                    prop_assert_eq!(before.epochs_to, spec.epochs_from);
                    prop_assert!(from.0 + window < spec.id.0, "{} saw {} through a window of {}", spec.id, from, window);
                    prop_assert_eq!(specs.iter().filter(|other| other.from == Some(from)).count(), 1);
                }
            }
        }
        let fresh: Vec<u32> = specs.iter().filter(|spec| spec.rung == 0).map(|spec| spec.candidate.0).collect();
        prop_assert_eq!(&fresh, &(0..fresh.len() as u32).collect::<Vec<_>>(), "candidates start in order");
        prop_assert!(fresh.len() <= config.candidates().len(), "every candidate was announced");
    }

    /// Recomputes, at each promotion, the ranking of what was visible then.
    #[test]
    fn who_goes_on_is_in_the_top_share_of_what_was_visible(
        window in 0_u32..8, eta in 2_u32..5, budget in 30_u32..150, salt: u64,
    ) {
        let config = config(window, eta, budget);
        let (specs, results) = search(&config, 3, 2, salt);
        for spec in specs.iter().filter(|spec| spec.from.is_some()) {
            let from = spec.from.expect("filtered");
            let score = |id: TrialId| results.iter().find(|result| result.id == id).expect("finished").score_micro;
            let visible = specs.iter().filter(|other| other.id.0 + window < spec.id.0 && other.rung + 1 == spec.rung);
            let (all, better) = visible.fold((0, 0), |(all, better), other| {
                (all + 1, better + u32::from(score(other.id) > score(from)))
            });
            prop_assert!(better < all / eta, "{}: {} of {} are better, eta {}", spec.id, better, all, eta);
            prop_assert!(score(from) > i64::MIN, "who diverged stays where it is");
        }
    }

    /// Results outside the window may be missing, present or false: they are not read.
    #[test]
    fn results_inside_the_window_change_nothing(window in 0_u32..8, k in 0_usize..25, salt: u64, noise: i64) {
        let config = config(window, 3, 150);
        let (specs, results) = search(&config, 1, 0, salt);
        let k = k.min(specs.len());
        let id = TrialId(k as u32);
        let seen: Vec<_> = results.iter().copied().filter(|result| result.id.0 < id.0.saturating_sub(window)).collect();
        let false_ones: Vec<_> =
            results.iter().copied().map(|result| match result.id.0 < id.0.saturating_sub(window) {
                true => result,
                false => TrialResult { score_micro: noise, ..result },
            }).collect();
        let decision = decide(&config, id, &specs[..k], &seen);
        prop_assert!(decision.is_ok(), "{:?}", decision);
        prop_assert_eq!(decision, decide(&config, id, &specs[..k], &false_ones));
    }
}

#[test]
fn what_a_decision_needs_is_asked_for_by_name() {
    let config = config(2, 2, 100);
    let mut specs = Vec::new();
    for k in 0..3 {
        specs.push(trial(
            decide(&config, TrialId(k), &specs, &[]).expect("nothing is visible yet"),
        ));
    }
    let error = decide(&config, TrialId(3), &specs, &[]).expect_err("trial 0 must be done");
    assert_eq!(
        error,
        SearchError::MissingResult {
            decision: TrialId(3),
            missing: TrialId(0)
        }
    );
    let result = measured(&specs[0], 1);
    assert_eq!(
        decide(&config, TrialId(3), &specs, &[result; 2]),
        Err(SearchError::TwoResults { trial: TrialId(0) })
    );
    let error = decide(&config, TrialId(2), &specs, &[]).expect_err("one trial too many");
    assert_eq!(
        error,
        SearchError::Numbering {
            position: 2,
            found: "trial-2".to_owned()
        }
    );
    let error = decide(&config, TrialId(4), &specs, &[result]).expect_err("one trial too few");
    assert_eq!(
        error,
        SearchError::Numbering {
            position: 3,
            found: "nothing".to_owned()
        }
    );
}

#[test]
fn a_search_in_which_everything_diverges_has_no_winner() {
    let config = config(2, 2, 20);
    let spec = trial(decide(&config, TrialId(0), &[], &[]).expect("a first trial"));
    let result = TrialResult {
        status: TrialStatus::Diverged,
        score_micro: i64::MIN,
        ..measured(&spec, 1)
    };
    assert_eq!(
        select_final(&config, &[spec], &[result]),
        Err(SearchError::NothingToChoose { trials: 1 })
    );
    let error = select_final(&config, &[spec], &[]).expect_err("a result is missing");
    assert!(matches!(error, SearchError::MissingResult { .. }), "{error}");
}

#[test]
fn the_final_length_follows_the_winners_best_epoch() {
    let config = SearchConfig {
        final_epochs: 40,
        epochs_budget: 140,
        ..config(2, 2, 20)
    };
    let spec = trial(decide(&config, TrialId(0), &[], &[]).expect("a first trial"));
    let epochs = |best_epoch, epochs| {
        let result = TrialResult {
            status: TrialStatus::Scored,
            best_epoch,
            epochs,
            ..measured(&spec, 1)
        };
        select_final(&config, &[spec], &[result])
            .expect("one scored trial")
            .epochs
    };
    assert_eq!((epochs(17, 18), epochs(13, 18), epochs(0, 18)), (40, 32, 30));
}
