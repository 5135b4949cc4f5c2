//! Choosing a method on recorded runs.

use super::evaluate::{Sums, level_for, levels, rolling_sums};
use super::features::{FEATURES, Prior, Seen, State, Unit};
use super::forest::{Example, Forest};
use super::model::{Adaptive, Learned, Model, Rolling};
use super::quantile::quantile;
use super::{ForecastConfig, ForecastError, check, outcomes};

/// Samples that count for a fit, over all runs.
const MOST_SAMPLES: usize = 60_000;
/// Windows of the baseline that are tried.
const WINDOWS: [usize; 6] = [32, 64, 128, 256, 512, 1024];
/// Rates of adaption that are tried.
const RATES: [f64; 5] = [0.0, 0.005, 0.01, 0.02, 0.05];
/// Parts that runs are put into for cross-validation.
const FOLDS: usize = 5;
/// What a method must save of the baseline's headroom to be taken.
const WORTH: f64 = 0.03;
/// How far from the stated one a method's coverage may be on runs that it was not fitted on.
const NEAR: f64 = 0.01;
/// Share of the runs on which a method must need less headroom than the baseline.
const WINS: f64 = 0.6;

pub(super) fn fit(runs: &[&[f64]], config: &ForecastConfig) -> Result<Model, ForecastError> {
    config.validate()?;
    check(runs)?;
    let horizon = config.horizon;
    let share = (MOST_SAMPLES / runs.len().max(1)).max(horizon.saturating_mul(2));
    let runs: Vec<&[f64]> = runs
        .iter()
        .filter(|run| run.len() > horizon)
        .map(|run| &run[..run.len().min(share)])
        .collect();
    if runs.is_empty() {
        return Err(ForecastError::TooShort {
            half: "fitted",
            horizon,
            longest: 0,
        });
    }
    let rolling = best_rolling(&runs, config);
    let learned = best_learned(&runs, config, &rolling);
    Ok(Model {
        config: *config,
        rolling,
        learned,
    })
}

/// The baseline with the least headroom at the stated coverage.
fn best_rolling(runs: &[&[f64]], config: &ForecastConfig) -> Rolling {
    let mut all: Vec<f64> = Vec::new();
    for values in runs {
        let outcomes = outcomes(values, config);
        all.extend(
            values
                .iter()
                .zip(outcomes)
                .map(|(value, outcome)| outcome - value),
        );
    }
    all.sort_unstable_by(f64::total_cmp);
    let mut best: Option<(f64, f64, Rolling)> = None;
    for window in WINDOWS {
        for warm in [window, 20] {
            let mut rolling = Rolling {
                window,
                warm,
                level: config.coverage,
                prior: thinned(&all, window),
            };
            let levels = levels(&rolling, runs, config);
            let kept = (config.coverage * levels.len() as f64).round() as usize;
            rolling.level = level_for(&levels, kept);
            let measured = rolling_sums(&rolling, runs, config, &[rolling.level])[0].measured();
            // One that cannot reach the coverage is beaten by any that can.
            let off = (config.coverage - measured.coverage - NEAR).max(0.0);
            let better = best.as_ref().is_none_or(|(other_off, headroom, _)| {
                off < *other_off || (off == *other_off && measured.mean_headroom < *headroom)
            });
            if better {
                best = Some((off, measured.mean_headroom, rolling));
            }
        }
    }
    best.map(|(_, _, rolling)| rolling)
        .expect("there are windows to try, and the first is taken")
}

/// At most `most` of `sorted`, evenly spaced, in an order in which any run of them is spread over the whole.
fn thinned(sorted: &[f64], most: usize) -> Vec<f64> {
    let count = sorted.len().min(most);
    let middle = |part: usize| sorted[(2 * part + 1) * sorted.len() / (2 * count)];
    // Steps of about the golden ratio, made coprime with the count, visit every part once.
    let mut step = ((count as f64 * 0.618) as usize).max(1);
    while gcd(step, count) > 1 {
        step += 1;
    }
    (0..count).map(|at| middle(at * step % count)).collect()
}

const fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// What one run looked like to the method.
struct Walk {
    seen: Vec<Seen>,
    values: Vec<f64>,
    outcomes: Vec<f64>,
}

/// What a candidate did on the runs that it was not fitted on.
#[derive(Debug, Clone, Default)]
struct Trial {
    all: Sums,
    each: Vec<Sums>,
    level: f64,
}

/// The method that beats the baseline clearly, if there is one.
fn best_learned(runs: &[&[f64]], config: &ForecastConfig, rolling: &Rolling) -> Option<Learned> {
    if runs.len() < 2 {
        // Nothing to be measured on.
        return None;
    }
    let prior = prior(runs, config);
    let walks: Vec<Walk> = runs.iter().map(|values| walk(values, config, &prior)).collect();
    let levels = levels(rolling, runs, config);
    let mut best: Option<(f64, Unit, usize, f64)> = None;
    for unit in Unit::ALL {
        let trials = cross_validate(&walks, unit, config);
        let equal: Vec<f64> = trials
            .iter()
            .map(|trial| level_for(&levels, trial.all.kept))
            .collect();
        for (at, trial) in trials.iter().enumerate() {
            let gain = gain(runs, config, rolling, equal[at], trial);
            let (measured, _) = (trial.all.measured(), ());
            let near = (measured.coverage - config.coverage).abs() <= NEAR;
            if let Some(gain) = gain
                && near
                && best.as_ref().is_none_or(|(other, ..)| gain > *other)
            {
                best = Some((gain, unit, at, trial.level));
            }
        }
    }
    let (_, unit, rate, level) = best?;
    Some(Learned {
        forest: Forest::grow(&examples(walks.iter(), unit)),
        unit,
        prior,
        level,
        rate: RATES[rate],
    })
}

/// The share of the baseline's headroom at equal coverage that a trial saves, if that is worth it.
fn gain(
    runs: &[&[f64]],
    config: &ForecastConfig,
    rolling: &Rolling,
    level: f64,
    trial: &Trial,
) -> Option<f64> {
    let mut baseline = 0.0;
    let mut wins = 0_usize;
    for (run, ours) in runs.iter().zip(&trial.each) {
        let theirs = rolling_sums(rolling, &[*run], config, &[level])[0];
        baseline += theirs.headroom;
        wins += usize::from(ours.headroom < theirs.headroom);
    }
    let saved = baseline - trial.all.headroom;
    let worth = saved > WORTH * baseline.abs() && wins as f64 >= WINS * runs.len() as f64;
    worth.then(|| saved / baseline.abs().max(f64::MIN_POSITIVE))
}

/// Typical sizes of a run.
fn prior(runs: &[&[f64]], config: &ForecastConfig) -> Prior {
    let middle = |mut sizes: Vec<f64>| {
        sizes.sort_unstable_by(f64::total_cmp);
        sizes.get(sizes.len() / 2).copied().unwrap_or(0.0)
    };
    let peaks = runs.iter().map(|run| run.iter().copied().fold(0.0, f64::max));
    let swings = runs.iter().map(|run| {
        let outcomes = outcomes(run, config);
        let sum: f64 = run
            .iter()
            .zip(&outcomes)
            .map(|(value, outcome)| (outcome - value).abs())
            .sum();
        sum / outcomes.len().max(1) as f64
    });
    Prior {
        peak: middle(peaks.collect()),
        swing: middle(swings.collect()),
    }
}

fn walk(values: &[f64], config: &ForecastConfig, prior: &Prior) -> Walk {
    let outcomes = outcomes(values, config);
    let mut state = State::new(config);
    let seen = values[..outcomes.len()].iter().map(|&value| {
        state.push(value);
        state.look(prior)
    });
    Walk {
        seen: seen.collect(),
        values: values.to_vec(),
        outcomes,
    }
}

fn examples<'a>(walks: impl Iterator<Item = &'a Walk>, unit: Unit) -> Vec<Example> {
    let of = |walk: &'a Walk| {
        let rows = walk.seen.iter().zip(walk.values.iter().zip(&walk.outcomes));
        rows.map(move |(seen, (value, outcome))| Example {
            features: seen.scaled(unit),
            residual: (outcome - value) / seen.unit(unit),
        })
    };
    walks.flat_map(of).collect()
}

/// One trial per rate, each run followed with a forest that has not seen it.
fn cross_validate(walks: &[Walk], unit: Unit, config: &ForecastConfig) -> Vec<Trial> {
    let folds = FOLDS.min(walks.len());
    let mut trials = vec![
        Trial {
            each: vec![Sums::default(); walks.len()],
            ..Trial::default()
        };
        RATES.len()
    ];
    let mut similar = Vec::new();
    for fold in 0..folds {
        let others = walks.iter().enumerate().filter(|(at, _)| at % folds != fold);
        let forest = Forest::grow(&examples(others.map(|(_, walk)| walk), unit));
        for (at, walk) in walks.iter().enumerate().filter(|(at, _)| at % folds == fold) {
            follow(walk, at, &forest, unit, config, &mut trials, &mut similar);
        }
    }
    for trial in &mut trials {
        trial.level /= trial.all.bounds.max(1) as f64;
    }
    trials
}

/// Follows one run at every rate at once.
fn follow(
    walk: &Walk,
    run: usize,
    forest: &Forest,
    unit: Unit,
    config: &ForecastConfig,
    trials: &mut [Trial],
    similar: &mut Vec<f64>,
) {
    let start = |rate| Adaptive {
        level: config.coverage,
        rate,
        coverage: config.coverage,
    };
    let mut levels = RATES.map(start);
    let mut bounds = vec![[0.0; RATES.len()]; walk.outcomes.len()];
    for (at, seen) in walk.seen.iter().enumerate() {
        if let Some(before) = at.checked_sub(config.horizon) {
            for (adaptive, bound) in levels.iter_mut().zip(bounds[before]) {
                adaptive.saw(walk.outcomes[before] <= bound);
            }
        }
        let features: [f64; FEATURES] = seen.scaled(unit);
        forest.similar(&features, similar);
        for (rate, adaptive) in levels.iter().enumerate() {
            let rise = quantile(similar, adaptive.level) * seen.unit(unit);
            let bound = (walk.values[at] + rise).max(0.0);
            bounds[at][rate] = bound;
            let trial = &mut trials[rate];
            trial.all.add(bound, walk.outcomes[at]);
            trial.each[run].add(bound, walk.outcomes[at]);
            trial.level += adaptive.level;
        }
    }
}
