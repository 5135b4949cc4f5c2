//! Choosing a method on recorded runs.

use super::evaluate::{ByRun, Sums, adaptive_sums, level_for, levels, rolling_sums};
use super::experts::{EXPERTS, Experts, Start};
use super::features::{Prior, Seen, State, Unit};
use super::forest::{Example, Forest};
use super::model::{Learned, Model, Rolling, Window};
use super::{ForecastConfig, ForecastError, check, outcomes};

/// Samples that count for a fit, over all runs.
const MOST_SAMPLES: usize = 30_000;
/// Windows of the baseline that are tried.
const WINDOWS: [usize; 6] = [32, 64, 128, 256, 512, 1024];
/// Rates of adaption that are tried.
const RATES: [f64; 5] = [0.0025, 0.005, 0.01, 0.02, 0.04];
/// Parts that runs are put into for cross-validation.
const FOLDS: usize = 5;
/// What a method must save of the baseline's headroom to be taken.
const WORTH: f64 = 0.03;
/// How far from the stated one a method's coverage may be on runs that it was not fitted on.
const NEAR: f64 = 0.015;
/// What straying coverage costs: as much as this many times its root mean square in headroom.
const STRAY: f64 = 3.0;
/// Share of the runs on which a method must need less headroom than the baseline.
const WINS: f64 = 0.5;
/// What it saves over all runs must be this many standard errors above nothing: runs differ, and the best of several
/// candidates always looks better than it is.
const SURE: f64 = 2.0;

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
                rate: 0.0,
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
    let (_, _, mut rolling) = best.expect("there are windows to try, and the first is taken");
    rolling.rate = best_rate(runs, config, &rolling);
    rolling
}

/// How fast the baseline's level shall follow: among the rates that cost hardly any headroom, the one that keeps the
/// coverage of each run nearest to the stated one.
fn best_rate(runs: &[&[f64]], config: &ForecastConfig, rolling: &Rolling) -> f64 {
    let levels = levels(rolling, runs, config);
    let spread = |rate| {
        let rolling = Rolling {
            rate,
            ..rolling.clone()
        };
        let done = adaptive_sums(&rolling, runs, config, config.coverage);
        let fixed = rolling_sums(&rolling, runs, config, &[level_for(&levels, done.all.kept)])[0];
        let costs = done.all.headroom - fixed.headroom;
        let near = (done.all.measured().coverage - config.coverage).abs() <= NEAR;
        (near && costs <= WORTH * fixed.headroom.abs()).then(|| (done.spread(config.coverage), rate))
    };
    let tried = RATES.into_iter().filter_map(spread);
    // The level that stays is calibrated on these very runs; it is taken only if nothing else is near.
    tried
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(0.0, |(_, rate)| rate)
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
#[derive(Debug, Clone)]
struct Trial {
    done: ByRun,
    start: Start,
    unit: Unit,
    /// Sums of the experts' losses, and of their levels.
    losses: [f64; EXPERTS],
    levels: [f64; EXPERTS],
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
    let mut tried: Vec<(f64, Trial)> = Vec::new();
    for unit in Unit::ALL {
        let forests = forests(&walks, unit);
        let trial = |start: Start| cross_validate(&walks, &forests, unit, config, rolling, start);
        // What the experts are worth, and where their levels settle.
        let first = trial(Start {
            levels: [config.coverage; EXPERTS],
            odds: [1.0; EXPERTS],
            rate: 0.005,
        });
        let usual = first.losses[EXPERTS - 1].max(f64::MIN_POSITIVE);
        let count = first.done.all.bounds.max(1) as f64;
        for rate in RATES {
            let trial = trial(Start {
                levels: first.levels.map(|level| level / count),
                odds: first.losses.map(|loss| loss / usual),
                rate,
            });
            let level = level_for(&levels, trial.done.all.kept);
            let gain = gain(runs, config, rolling, level, &trial.done);
            let near = (trial.done.all.measured().coverage - config.coverage).abs() <= NEAR;
            if let Some(gain) = gain.filter(|_| near) {
                tried.push((gain, trial));
            }
        }
    }
    // What is saved, less what coverage strays from run to run.
    let score = |(gain, trial): &(f64, Trial)| gain - STRAY * trial.done.spread(config.coverage);
    let (_, best) = tried.into_iter().max_by(|a, b| score(a).total_cmp(&score(b)))?;
    Some(Learned {
        forest: Forest::grow(&examples(walks.iter(), best.unit)),
        unit: best.unit,
        prior,
        start: best.start,
    })
}

/// The share of the baseline's headroom at equal coverage that a trial saves, if that is worth it.
fn gain(
    runs: &[&[f64]],
    config: &ForecastConfig,
    rolling: &Rolling,
    level: f64,
    trial: &ByRun,
) -> Option<f64> {
    let mut baseline = 0.0;
    let mut wins = 0_usize;
    let mut savings = Vec::with_capacity(runs.len());
    for (run, ours) in runs.iter().zip(&trial.each) {
        let theirs = rolling_sums(rolling, &[*run], config, &[level])[0];
        baseline += theirs.headroom;
        wins += usize::from(ours.headroom < theirs.headroom);
        savings.push(theirs.headroom - ours.headroom);
    }
    let saved = baseline - trial.all.headroom;
    let worth = saved > WORTH * baseline.abs()
        && saved > SURE * error_of_sum(&savings)
        && wins as f64 >= WINS * runs.len() as f64;
    worth.then(|| saved / baseline.abs().max(f64::MIN_POSITIVE))
}

/// The standard error of a sum over runs.
fn error_of_sum(parts: &[f64]) -> f64 {
    let count = parts.len() as f64;
    let mean = parts.iter().sum::<f64>() / count;
    let squares: f64 = parts.iter().map(|part| (part - mean).powi(2)).sum();
    (squares * count / (count - 1.0)).sqrt()
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

/// For each part of the runs, a forest that has seen all others.
fn forests(walks: &[Walk], unit: Unit) -> Vec<Forest> {
    let folds = FOLDS.min(walks.len());
    let without = |fold: usize| {
        let others = walks.iter().enumerate().filter(move |(at, _)| at % folds != fold);
        Forest::grow(&examples(others.map(|(_, walk)| walk), unit))
    };
    (0..folds).map(without).collect()
}

/// Follows each run with a forest that has not seen it.
fn cross_validate(
    walks: &[Walk],
    forests: &[Forest],
    unit: Unit,
    config: &ForecastConfig,
    rolling: &Rolling,
    start: Start,
) -> Trial {
    let mut trial = Trial {
        done: ByRun::default(),
        start,
        unit,
        losses: [0.0; EXPERTS],
        levels: [0.0; EXPERTS],
    };
    let mut similar = Vec::new();
    for (at, walk) in walks.iter().enumerate() {
        let forest = &forests[at % forests.len()];
        let mut window = Window::new(rolling);
        let mut experts = Experts::new(&start, config);
        let mut sums = Sums::default();
        for (at, seen) in walk.seen.iter().enumerate() {
            if let Some(before) = at.checked_sub(config.horizon) {
                let outcome = walk.outcomes[before];
                window.push(outcome - walk.values[before]);
                for (sum, loss) in trial.losses.iter_mut().zip(experts.pending_losses(outcome)) {
                    *sum += loss;
                }
                experts.saw(outcome);
            }
            forest.similar(&seen.scaled(unit), &mut similar);
            let bound = experts.bound(walk.values[at], seen, unit, forest, &similar, window.sorted());
            sums.add(bound, walk.outcomes[at]);
            trial.done.all.add(bound, walk.outcomes[at]);
            for (sum, adaptive) in trial.levels.iter_mut().zip(experts.levels()) {
                *sum += adaptive.level;
            }
        }
        trial.done.each.push(sums);
    }
    trial
}
