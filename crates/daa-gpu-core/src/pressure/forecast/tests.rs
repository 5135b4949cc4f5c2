//! What the forecast promises.

use super::*;
use daa_base::{Rng, Seed};
use proptest::prelude::*;
use std::sync::Arc;

fn measure(runs: &[Vec<f64>], config: &ForecastConfig) -> Evaluation {
    let half = |odd: usize| -> Vec<&[f64]> { runs.iter().skip(odd).step_by(2).map(Vec::as_slice).collect() };
    let model = Arc::new(Model::fit(&half(0), config).expect("fitted"));
    evaluate(&model, &half(1)).expect("measured")
}

fn walks(rng: &mut Rng, runs: usize, samples: usize) -> Vec<Vec<f64>> {
    let walk = |_| {
        let mut value = 1e6;
        (0..samples)
            .map(|_| {
                value = (value + 1e3 * rng.normal()).max(0.0);
                value
            })
            .collect()
    };
    (0..runs).map(walk).collect()
}

#[test]
fn a_random_walk_is_covered_as_stated_and_never_held_back_more_than_by_the_baseline() {
    let runs = walks(&mut Seed(1).stream("walks").rng(), 12, 300);
    let done = measure(&runs, &ForecastConfig::default());
    assert!((done.measured.coverage - 0.95).abs() < 0.03, "{done:?}");
    assert!(
        done.measured.mean_headroom <= done.baseline.mean_headroom * 1.01,
        "{done:?}"
    );
}

#[test]
fn sawtooths_are_seen_through() {
    let mut rng = Seed(2).stream("saws").rng();
    let saw = |_| -> Vec<f64> {
        let (period, slope) = (20 + rng.below(30), 1e4 * (1.0 + rng.uniform()));
        (0..400)
            .map(|at| 5e4 + (at % period) as f64 * slope + 2e3 * rng.normal())
            .collect()
    };
    let runs: Vec<Vec<f64>> = (0..12).map(saw).collect();
    let done = measure(&runs, &ForecastConfig::default());
    assert_eq!(done.method, Method::SimilarStates);
    assert!((done.measured.coverage - 0.95).abs() < 0.03, "{done:?}");
    assert!(
        done.measured.mean_headroom < 0.7 * done.baseline.mean_headroom,
        "{done:?}"
    );
}

#[test]
fn what_never_moves_needs_no_headroom() {
    let runs = vec![vec![7e5; 100]; 6];
    let done = measure(&runs, &ForecastConfig::default());
    assert_eq!((done.method, done.measured.coverage), (Method::Baseline, 1.0));
    assert!(
        done.measured.mean_headroom.abs() < 1e-6 && done.measured == done.baseline,
        "{done:?}"
    );
}

#[test]
fn bad_input_is_refused_by_name() {
    let run: &[f64] = &[1.0, 2.0, 3.0];
    let fit = |runs: &[&[f64]], config: ForecastConfig| Model::fit(runs, &config).expect_err("refused");
    let config = |horizon, coverage| ForecastConfig {
        horizon,
        coverage,
        ..ForecastConfig::default()
    };
    assert_eq!(fit(&[run], config(0, 0.9)), ForecastError::Horizon { horizon: 0 });
    for coverage in [0.0, 1.0, -1.0] {
        assert_eq!(
            fit(&[run], config(1, coverage)),
            ForecastError::Coverage { coverage }
        );
    }
    assert!(matches!(
        fit(&[run], config(1, f64::NAN)),
        ForecastError::Coverage { .. }
    ));
    for value in [-1.0, f64::INFINITY, 1e300] {
        let bad: &[f64] = &[1.0, value];
        assert_eq!(
            fit(&[run, bad], config(1, 0.9)),
            ForecastError::Value {
                series: 1,
                sample: 1,
                value
            }
        );
    }
    assert!(matches!(
        fit(&[run], config(3, 0.9)),
        ForecastError::TooShort { .. }
    ));
    assert!(matches!(fit(&[], config(3, 0.9)), ForecastError::TooShort { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the runs, bounds are finite amounts, and following a run online gives what measuring it does.
    #[test]
    fn bounds_are_amounts_and_online_is_offline(
        runs in prop::collection::vec(prop::collection::vec(0_u32..1000, 12..60), 2..6),
        horizon in 1_usize..8,
        peak in any::<bool>(),
    ) {
        let runs: Vec<Vec<f64>> =
            runs.into_iter().map(|run| run.into_iter().map(f64::from).collect()).collect();
        let config = ForecastConfig {
            horizon,
            coverage: 0.8,
            target: if peak { Target::Peak } else { Target::Value },
        };
        let all: Vec<&[f64]> = runs.iter().map(Vec::as_slice).collect();
        let model = Arc::new(Model::fit(&all, &config).expect("fitted"));
        let done = evaluate(&model, &all).expect("measured");
        let (mut kept, mut due) = (0, 0);
        for run in &all {
            let mut forecaster = Forecaster::new(Arc::clone(&model));
            for &value in *run {
                let bound = forecaster.observe(value);
                prop_assert!(bound.is_finite() && bound >= 0.0);
            }
            kept += forecaster.kept().0;
            due += forecaster.kept().1;
        }
        prop_assert_eq!(due, done.bounds as u64);
        prop_assert!((done.measured.coverage - kept as f64 / due as f64).abs() < 1e-12);
        prop_assert!((0.0..=1.0).contains(&done.baseline.coverage));
    }
}
