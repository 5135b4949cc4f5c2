//! Ops that go over the rows or columns of a matrix.

use super::{Family, random_cases, words};
use crate::cpu::reference::{Expected, ROUNDING, Run, assert_close, random, relative, unwritten};
use crate::ops::reduce::{EVERYTHING, OVER_COLS, OVER_ROWS, Reduce, ReduceAxis};
use crate::ops::{cross_entropy, mse, reduce, softmax, top1};

pub(super) const SOFTMAX: Family = Family {
    programs: &[&softmax::SOFTMAX],
    check: check_softmax,
};
pub(super) const CROSS_ENTROPY: Family = Family {
    programs: &[&cross_entropy::ROWS, &cross_entropy::BACKWARD],
    check: check_cross_entropy,
};
pub(super) const MSE: Family = Family {
    programs: &[&mse::ROWS, &mse::BACKWARD],
    check: check_mse,
};
pub(super) const TOP1: Family = Family {
    programs: &[&top1::TOP1],
    check: check_top1,
};
pub(super) const REDUCE: Family = Family {
    programs: &[&EVERYTHING, &OVER_ROWS, &OVER_COLS],
    check: check_reduce,
};

/// Rows and columns around the widths of a workgroup.
const EDGES: [[usize; 2]; 7] = [[1, 1], [3, 10], [2, 63], [5, 64], [4, 65], [1, 1000], [70, 2]];

fn on_shapes(run: Run<'_>, check: fn(Run<'_>, [usize; 2], u64)) {
    for (seed, shape) in (1..).zip(EDGES) {
        check(run, shape, seed);
    }
    random_cases(
        run,
        8,
        (1..40_usize, 1..200_usize, 0..u64::MAX),
        |run, (m, n, seed)| check(run, [m, n], seed),
    );
}

fn scaled(len: usize, seed: u64, scale: f32) -> Vec<f32> {
    random(len, seed).into_iter().map(|value| value * scale).collect()
}

/// Labels, mostly of a class, and weights, some of them zero.
fn labelled(m: usize, n: usize, seed: u64) -> (Vec<u32>, Vec<f32>) {
    let labels = random(m, seed ^ 11)
        .into_iter()
        .map(|value| ((value + 1.0) / 2.0 * n as f32) as u32);
    let labels = labels.zip(0_u64..).map(|(label, row)| {
        if row % 7 == 6 {
            n as u32 + 3
        } else {
            label.min(n as u32 - 1)
        }
    });
    let weights = random(m, seed ^ 13).into_iter().zip(0_u64..);
    let weights = weights.map(|(value, row)| if row % 5 == 4 { 0.0 } else { value + 1.5 });
    (labels.collect(), weights.collect())
}

/// Probabilities of a row with their error, and the logarithm of the sum of exponentials with its error.
///
/// Each `exp` is good to 4 ulps of its argument and value; its argument, a difference, to a rounding.
struct Row {
    probabilities: Vec<Expected>,
    most: f64,
    log_sum: Expected,
}

fn softmax_row(x: &[f32]) -> Row {
    let most = x.iter().copied().fold(f32::MIN, f32::max);
    let most = f64::from(most);
    let terms: Vec<f64> = x
        .iter()
        .map(|&x| (f64::from(x) - most).max(-87.0).exp())
        .collect();
    let sum: f64 = terms.iter().sum();
    let argument = |x: f32| 8.0 + (f64::from(x) - most).abs();
    let weighted: f64 = x
        .iter()
        .zip(&terms)
        .map(|(&x, term)| argument(x) * term)
        .sum::<f64>()
        / sum;
    let relative_sum = 2.0 * ROUNDING * weighted + relative(x.len());
    let probabilities = x.iter().zip(&terms).map(|(&x, term)| {
        let value = term / sum;
        Expected {
            value,
            bound: value * (2.0 * ROUNDING * (argument(x) + 4.0) + relative_sum) + 1e-37,
        }
    });
    let log_sum = Expected {
        value: sum.ln(),
        bound: relative_sum + 8.0 * ROUNDING * sum.ln().abs(),
    };
    Row {
        probabilities: probabilities.collect(),
        most,
        log_sum,
    }
}

fn check_softmax(run: Run<'_>) {
    on_shapes(run, |run, [m, n], seed| {
        for scale in [1.0, 30.0, 1000.0] {
            let x = scaled(m * n, seed, scale);
            let launch = softmax::launch(m, n).expect("a small matrix");
            let y = run(&launch, &[&x], vec![unwritten(m * n)]);
            let expected: Vec<_> = x
                .chunks(n)
                .flat_map(|row| softmax_row(row).probabilities)
                .collect();
            assert_close(&format!("softmax {m}x{n} of {scale}"), &y[0], &expected);
        }
    });
}

fn check_cross_entropy(run: Run<'_>) {
    on_shapes(run, |run, [m, n], seed| {
        for scale in [1.0, 50.0] {
            let logits = scaled(m * n, seed, scale);
            let (labels, weights) = labelled(m, n, seed);
            let reads = [&logits[..], &words(&labels), &weights];
            let rows: Vec<_> = logits.chunks(n).map(softmax_row).collect();
            let counts = |row: usize| weights[row] != 0.0 && (labels[row] as usize) < n;

            let launch = cross_entropy::launch_rows(m, n).expect("a small matrix");
            let losses = run(&launch, &reads, vec![unwritten(m)]);
            let loss = |row: usize| {
                if !counts(row) {
                    return Expected::exact(0.0);
                }
                let Row { most, log_sum, .. } = &rows[row];
                let distance = most - f64::from(logits[row * n + labels[row] as usize]);
                let weight = f64::from(weights[row]);
                let bound = weight * (log_sum.bound + 4.0 * ROUNDING * (distance + log_sum.value)) + 1e-37;
                Expected {
                    value: weight * (log_sum.value + distance),
                    bound,
                }
            };
            let expected: Vec<_> = (0..m).map(loss).collect();
            assert_close(
                &format!("cross_entropy {m}x{n} of {scale}"),
                &losses[0],
                &expected,
            );

            let launch = cross_entropy::launch_grad(m, n, 0.3).expect("a small matrix");
            let gradient = run(&launch, &reads, vec![unwritten(m * n)]);
            let derivative = |(index, p): (usize, &Expected)| {
                let row = index / n;
                if !counts(row) {
                    return Expected::exact(0.0);
                }
                let factor = f64::from(0.3_f32) * f64::from(weights[row]);
                let hit = f64::from(u8::from(index % n == labels[row] as usize));
                let bound = factor * (p.bound + 4.0 * ROUNDING * (p.value + hit)) + 1e-37;
                Expected {
                    value: factor * (p.value - hit),
                    bound,
                }
            };
            let probabilities = rows.iter().flat_map(|row| &row.probabilities);
            let expected: Vec<_> = probabilities.enumerate().map(derivative).collect();
            assert_close(
                &format!("cross_entropy_grad {m}x{n} of {scale}"),
                &gradient[0],
                &expected,
            );
        }
    });
}

fn check_mse(run: Run<'_>) {
    on_shapes(run, |run, [m, n], seed| {
        let (prediction, expected) = (random(m * n, seed), random(m * n, !seed));
        let (_, weights) = labelled(m, n, seed);
        let reads = [&prediction[..], &expected, &weights];
        let differences: Vec<f64> = prediction
            .iter()
            .zip(&expected)
            .map(|(&p, &e)| f64::from(p) - f64::from(e))
            .collect();

        let launch = mse::launch_rows(m, n).expect("a small matrix");
        let losses = run(&launch, &reads, vec![unwritten(m)]);
        let loss = |(row, &weight): (&[f64], &f32)| {
            let factor = f64::from(weight) / n as f64;
            let sum = Expected::sum(row.iter().map(|d| d * d));
            Expected {
                value: factor * sum.value,
                bound: factor * sum.bound,
            }
        };
        let want: Vec<_> = differences.chunks(n).zip(&weights).map(loss).collect();
        assert_close(&format!("mse {m}x{n}"), &losses[0], &want);

        let launch = mse::launch_grad(m, n, 0.7).expect("a small matrix");
        let gradient = run(&launch, &reads, vec![unwritten(m * n)]);
        let derivative = |(index, d): (usize, &f64)| {
            let value = f64::from(0.7_f32) * f64::from(weights[index / n]) * 2.0 / n as f64 * d;
            Expected {
                value,
                bound: relative(1) * value.abs(),
            }
        };
        let want: Vec<_> = differences.iter().enumerate().map(derivative).collect();
        assert_close(&format!("mse_grad {m}x{n}"), &gradient[0], &want);
    });
}

fn check_top1(run: Run<'_>) {
    on_shapes(run, |run, [m, n], seed| {
        // Few different values, so that ties are common.
        let logits: Vec<f32> = random(m * n, seed)
            .into_iter()
            .map(|value| (value * 4.0).round())
            .collect();
        let (mut labels, weights) = labelled(m, n, seed);
        let first = |row: &[f32]| {
            let most = row.iter().copied().fold(f32::MIN, f32::max);
            row.iter().position(|&x| x == most)
        };
        for (label, row) in labels.iter_mut().zip(logits.chunks(n)).step_by(2) {
            *label = first(row).expect("a row has a largest element") as u32;
        }
        let launch = top1::launch(m, n).expect("a small matrix");
        let hits = run(&launch, &[&logits, &words(&labels), &weights], vec![unwritten(m)]);
        let want = logits.chunks(n).zip(&labels).zip(&weights);
        let want: Vec<f32> = want
            .map(|((row, &l), &w)| if first(row) == Some(l as usize) { w } else { 0.0 })
            .collect();
        assert_eq!(hits[0], want, "top1 {m}x{n}");
    });
    let launch = top1::launch(2, 3).expect("a small matrix");
    let nothing = [f32::NEG_INFINITY; 6];
    let hits = run(
        &launch,
        &[&nothing, &words(&[0, 3]), &[1.0, 1.0]],
        vec![unwritten(2)],
    );
    assert_eq!(hits[0], [0.0, 0.0], "nothing is largest in a row of nothing");
}

fn reduced(kind: Reduce, elements: impl Iterator<Item = f32>) -> Expected {
    let elements: Vec<f64> = elements.map(f64::from).collect();
    let sum = Expected::sum(elements.iter().copied());
    let count = elements.len() as f64;
    match kind {
        Reduce::Sum => sum,
        Reduce::Mean => Expected {
            value: sum.value / count,
            bound: sum.bound / count,
        },
        Reduce::Max => Expected {
            value: elements.into_iter().fold(f64::MIN, f64::max),
            bound: 0.0,
        },
    }
}

fn check_reduce(run: Run<'_>) {
    on_shapes(run, |run, [m, n], seed| {
        let x = random(m * n, seed);
        for kind in [Reduce::Sum, Reduce::Mean, Reduce::Max] {
            for axis in [ReduceAxis::All, ReduceAxis::Rows, ReduceAxis::Cols] {
                let expected: Vec<_> = match axis {
                    ReduceAxis::All => vec![reduced(kind, x.iter().copied())],
                    ReduceAxis::Rows => (0..n)
                        .map(|j| reduced(kind, x[j..].iter().copied().step_by(n)))
                        .collect(),
                    ReduceAxis::Cols => x
                        .chunks(n)
                        .map(|row| reduced(kind, row.iter().copied()))
                        .collect(),
                };
                let launch = reduce::launch(kind, axis, m, n).expect("a small matrix");
                let y = run(&launch, &[&x], vec![unwritten(expected.len())]);
                assert_close(&format!("{kind:?} {axis:?} {m}x{n}"), &y[0], &expected);
            }
        }
    });
}
