use crate::cpu::reference::{Expected, ROUNDING, Run, assert_close, on_host, random, relative, unwritten};
use crate::ops::batch_norm::{BatchNormDims, launch, launch_grad, launch_infer};
use proptest::prelude::*;

const EPS: f32 = 1e-5;
const MOMENTUM: f32 = 0.1;

/// The elements of one channel, as indices.
fn channel_elements(d: BatchNormDims, channel: usize) -> impl Iterator<Item = usize> + Clone {
    (0..d.n * d.spatial).map(move |i| (i / d.spatial * d.c + channel) * d.spatial + i % d.spatial)
}

/// A channel's statistics, and how far a kernel's may be from them.
struct Statistics {
    mean: Expected,
    variance: Expected,
    inv_std: Expected,
}

/// The errors follow from those of the sums to first order, with a factor of two for the rest.
fn statistics(x: &[f32], elements: impl Iterator<Item = usize> + Clone) -> Statistics {
    let values = || elements.clone().map(|i| f64::from(x[i]));
    let count = elements.clone().count();
    let mean = values().sum::<f64>() / count as f64;
    let size = values().map(f64::abs).sum::<f64>() / count as f64 + mean.abs();
    let mean_bound = 2.0 * relative(count) * size;
    let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / count as f64;
    let variance_bound =
        2.0 * (2.0 * variance.sqrt() * mean_bound + mean_bound.powi(2) + relative(count) * variance);
    let inv_std = 1.0 / (variance + f64::from(EPS)).sqrt();
    let inv_std_bound = inv_std * (variance_bound / (variance + f64::from(EPS)) + 8.0 * ROUNDING);
    Statistics {
        mean: Expected {
            value: mean,
            bound: mean_bound,
        },
        variance: Expected {
            value: variance,
            bound: variance_bound,
        },
        inv_std: Expected {
            value: inv_std,
            bound: inv_std_bound,
        },
    }
}

/// What a running statistic becomes.
fn moved(running: f32, towards: Expected) -> Expected {
    let (momentum, running) = (f64::from(MOMENTUM), f64::from(running));
    let value = (1.0 - momentum) * running + momentum * towards.value;
    Expected {
        value,
        bound: momentum * towards.bound + 8.0 * ROUNDING * (running.abs() + towards.value.abs()),
    }
}

pub(crate) fn check_forward(run: Run<'_>, d: BatchNormDims, offset: f32, seed: u64) {
    let len = d.n * d.c * d.spatial;
    let x: Vec<f32> = random(len, seed)
        .into_iter()
        .map(|value| value + offset)
        .collect();
    let (gamma, beta) = (random(d.c, seed ^ 1), random(d.c, seed ^ 2));
    let (running_mean, running_var) = (random(d.c, seed ^ 3), random(d.c, seed ^ 4));
    let writes = vec![
        unwritten(len),
        unwritten(d.c),
        unwritten(d.c),
        running_mean.clone(),
        running_var.clone(),
    ];
    let launch = launch(d, EPS, MOMENTUM).expect("the sizes are small");
    let result = run(&launch, &[&x, &gamma, &beta], writes);
    let mut expected = vec![Vec::new(); 5];
    expected[0] = vec![Expected::exact(0.0); len];
    for channel in 0..d.c {
        let s = statistics(&x, channel_elements(d, channel));
        let (gamma, beta) = (f64::from(gamma[channel]), f64::from(beta[channel]));
        for i in channel_elements(d, channel) {
            let deviation = f64::from(x[i]) - s.mean.value;
            let value = deviation * s.inv_std.value * gamma + beta;
            let bound =
                gamma.abs() * (s.mean.bound * s.inv_std.value + deviation.abs() * s.inv_std.bound) * 2.0
                    + 8.0 * ROUNDING * (value.abs() + beta.abs());
            expected[0][i] = Expected { value, bound };
        }
        let count = (d.n * d.spatial) as f64;
        let bias = count / (count - 1.0).max(1.0);
        let unbiased = Expected {
            value: s.variance.value * bias,
            bound: s.variance.bound * bias,
        };
        expected[1].push(s.mean);
        expected[2].push(s.inv_std);
        expected[3].push(moved(running_mean[channel], s.mean));
        expected[4].push(moved(running_var[channel], unbiased));
    }
    for (index, name) in ["y", "mean", "inv_std", "running_mean", "running_var"]
        .into_iter()
        .enumerate()
    {
        assert_close(
            &format!("batch_norm {d:?} + {offset} {name}"),
            &result[index],
            &expected[index],
        );
    }
}

pub(crate) fn check_grad(run: Run<'_>, d: BatchNormDims, seed: u64) {
    let len = d.n * d.c * d.spatial;
    let (x, dy, gamma, mean) = (
        random(len, seed),
        random(len, !seed),
        random(d.c, seed ^ 1),
        random(d.c, seed ^ 2),
    );
    let inv_std: Vec<f32> = random(d.c, seed ^ 3)
        .into_iter()
        .map(|value| value + 1.5)
        .collect();
    let launch = launch_grad(d).expect("the sizes are small");
    let writes = vec![unwritten(len), unwritten(d.c), unwritten(d.c)];
    let result = run(&launch, &[&x, &dy, &gamma, &mean, &inv_std], writes);
    let mut expected = [vec![Expected::exact(0.0); len], Vec::new(), Vec::new()];
    for channel in 0..d.c {
        let scale = f64::from(inv_std[channel]);
        let normal = |i: usize| (f64::from(x[i]) - f64::from(mean[channel])) * scale;
        let gradient = |i: usize| f64::from(dy[i]);
        let dgamma = Expected::sum(channel_elements(d, channel).map(|i| gradient(i) * normal(i)));
        let dbeta = Expected::sum(channel_elements(d, channel).map(gradient));
        let count = (d.n * d.spatial) as f64;
        let factor = f64::from(gamma[channel]) * scale;
        for i in channel_elements(d, channel) {
            let value = factor * (gradient(i) - dbeta.value / count - normal(i) * dgamma.value / count);
            let sizes =
                gradient(i).abs() + dbeta.value.abs() / count + (normal(i) * dgamma.value).abs() / count;
            let sums = (dbeta.bound + normal(i).abs() * dgamma.bound) / count;
            expected[0][i] = Expected {
                value,
                bound: 2.0 * factor.abs() * (sums + 8.0 * ROUNDING * sizes),
            };
        }
        expected[1].push(dgamma);
        expected[2].push(dbeta);
    }
    for (index, name) in ["dx", "dgamma", "dbeta"].into_iter().enumerate() {
        assert_close(
            &format!("batch_norm_grad {d:?} {name}"),
            &result[index],
            &expected[index],
        );
    }
}

pub(crate) fn check_infer(run: Run<'_>, d: BatchNormDims, seed: u64) {
    let len = d.n * d.c * d.spatial;
    let (x, gamma, beta, mean) = (
        random(len, seed),
        random(d.c, seed ^ 1),
        random(d.c, seed ^ 2),
        random(d.c, seed ^ 3),
    );
    let variance: Vec<f32> = random(d.c, seed ^ 4).into_iter().map(f32::abs).collect();
    let launch = launch_infer(d, EPS).expect("the sizes are small");
    let y = run(
        &launch,
        &[&x, &gamma, &beta, &mean, &variance],
        vec![unwritten(len)],
    );
    let element = |i: usize| {
        let channel = i / d.spatial % d.c;
        let scale = 1.0 / (f64::from(variance[channel]) + f64::from(EPS)).sqrt();
        let deviation = f64::from(x[i]) - f64::from(mean[channel]);
        Expected::sum([
            deviation * scale * f64::from(gamma[channel]),
            f64::from(beta[channel]),
        ])
    };
    assert_close(
        &format!("batch_norm_infer {d:?}"),
        &y[0],
        &(0..len).map(element).collect::<Vec<_>>(),
    );
}

const fn dims(n: usize, c: usize, spatial: usize) -> BatchNormDims {
    BatchNormDims { n, c, spatial }
}

/// One element, fewer and more than a workgroup, with and without a spatial size.
pub(crate) const EDGES: [BatchNormDims; 6] = [
    dims(1, 1, 1),
    dims(2, 1, 1),
    dims(64, 5, 1),
    dims(301, 3, 1),
    dims(3, 7, 49),
    dims(8, 2, 131),
];

#[test]
fn norms_at_the_edges() {
    for (seed, dims) in (1..).zip(EDGES) {
        check_forward(&mut on_host, dims, 0.0, seed);
        check_grad(&mut on_host, dims, seed);
        check_infer(&mut on_host, dims, seed);
    }
}

#[test]
fn a_mean_far_from_zero_does_not_swallow_the_variance() {
    check_forward(&mut on_host, dims(32, 2, 25), 1000.0, 6);
    let x: Vec<f32> = (0..64).map(|i| 4096.0 + (i % 2) as f32).collect();
    let writes = vec![unwritten(64), unwritten(1), unwritten(1), vec![0.0], vec![0.0]];
    let launch = launch(dims(64, 1, 1), 0.0, 1.0).expect("the sizes are small");
    let result = on_host(&launch, &[&x, &[1.0], &[0.0]], writes);
    assert_eq!((result[1][0], result[2][0]), (4096.5, 2.0));
}

proptest! {
    #[test]
    fn norms_follow_their_definition(n in 1..20_usize, c in 1..6_usize, spatial in 1..30_usize, seed: u64) {
        check_forward(&mut on_host, dims(n, c, spatial), 0.0, seed);
        check_grad(&mut on_host, dims(n, c, spatial), seed);
        check_infer(&mut on_host, dims(n, c, spatial), seed);
    }
}
