//! Optimizer steps, against their formulas in 8-byte floats.

use super::{Family, random_cases};
use crate::cpu::reference::{Expected, ROUNDING, Run, assert_close, random};
use crate::ops::{adam, sgd};

pub(super) const FAMILY: Family = Family {
    programs: &[&sgd::SGD, &adam::ADAM],
    check,
};

/// A sum of few terms with a few roundings each, division and square root included.
fn sum(terms: &[f64]) -> Expected {
    let magnitude: f64 = terms.iter().map(|term| term.abs()).sum();
    Expected {
        value: terms.iter().sum(),
        bound: 16.0 * ROUNDING * magnitude + 1e-37,
    }
}

fn check_sgd(run: Run<'_>, len: usize, hyper: [f32; 4], seed: u64) {
    let (grad, param, velocity) = (random(len, seed), random(len, !seed), random(len, seed ^ 5));
    let launch = sgd::launch(len).expect("a small length");
    let after = run(&launch, &[&grad, &hyper], vec![param.clone(), velocity.clone()]);
    let [lr, momentum, decay, nesterov] = hyper.map(f64::from);
    let (mut params, mut velocities) = (Vec::new(), Vec::new());
    for i in 0..len {
        let [g, p, v] = [grad[i], param[i], velocity[i]].map(f64::from);
        velocities.push(sum(&[momentum * v, g, decay * p]));
        params.push(if nesterov == 0.0 {
            sum(&[p, -lr * momentum * v, -lr * g, -lr * decay * p])
        } else {
            let again = lr * (1.0 + momentum);
            sum(&[p, -lr * momentum * momentum * v, -again * g, -again * decay * p])
        });
    }
    assert_close(&format!("sgd {len} {hyper:?} parameters"), &after[0], &params);
    assert_close(&format!("sgd {len} {hyper:?} velocity"), &after[1], &velocities);
}

fn check_adam(run: Run<'_>, len: usize, hyper: [f32; 8], seed: u64) {
    let (grad, param, first) = (random(len, seed), random(len, !seed), random(len, seed ^ 5));
    let second: Vec<f32> = random(len, seed ^ 6)
        .into_iter()
        .map(|value| value * value)
        .collect();
    let launch = adam::launch(len).expect("a small length");
    let after = run(
        &launch,
        &[&grad, &hyper],
        vec![param.clone(), first.clone(), second.clone()],
    );
    let [lr, beta1, beta2, eps, decay, l2, c1, c2] = hyper.map(f64::from);
    let (mut params, mut firsts, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..len {
        let [g, p, m, v] = [grad[i], param[i], first[i], second[i]].map(f64::from);
        let g_terms = [g, l2 * p];
        let g_size: f64 = g_terms.iter().map(|term| term.abs()).sum();
        let g = g + l2 * p;
        let m = sum(&[beta1 * m, (1.0 - beta1) * g_terms[0], (1.0 - beta1) * g_terms[1]]);
        let new_v = beta2 * v + (1.0 - beta2) * g * g;
        // Where the terms of g cancel, its relative error grows, and so does that of its square.
        let v_bound = 16.0 * ROUNDING * (beta2 * v + (1.0 - beta2) * g_size * g_size) + 1e-37;
        let root = (new_v * c2).sqrt() + eps;
        let step = lr * m.value * c1 / root;
        let relative_root = v_bound / new_v.max(1e-30);
        let bound = 16.0 * ROUNDING * (p.abs() + (lr * decay * p).abs() + step.abs())
            + lr * c1 * m.bound / root
            + step.abs() * relative_root;
        params.push(Expected {
            value: p - lr * decay * p - step,
            bound,
        });
        firsts.push(m);
        seconds.push(Expected {
            value: new_v,
            bound: v_bound,
        });
    }
    assert_close(&format!("adam {len} {hyper:?} parameters"), &after[0], &params);
    assert_close(&format!("adam {len} {hyper:?} first moment"), &after[1], &firsts);
    assert_close(
        &format!("adam {len} {hyper:?} second moment"),
        &after[2],
        &seconds,
    );
}

fn check(run: Run<'_>) {
    let lengths = [1, 255, 256, 257, 1500];
    let first_step = [1e-3, 0.9, 0.999, 1e-8, 0.0, 0.0, 10.0, 1000.0];
    for (seed, len) in (1..).zip(lengths) {
        check_sgd(run, len, [0.1, 0.0, 0.0, 0.0], seed);
        check_sgd(run, len, [0.1, 0.9, 1e-4, 1.0], seed);
        check_adam(run, len, first_step, seed);
        check_adam(run, len, [1e-2, 0.8, 0.99, 1e-6, 0.01, 1e-3, 1.2, 3.0], seed);
    }
    let hyper = (0.0..0.5_f32, 0.0..0.99_f32, 0.0..0.1_f32, 0..2_u8);
    random_cases(
        run,
        8,
        (1..900_usize, hyper, 0..u64::MAX),
        |run, (len, (lr, rate, decay, flag), seed)| {
            check_sgd(run, len, [lr, rate, decay, f32::from(flag)], seed);
            let corrections = [1.0 / (1.0 - rate), 1.0 / (1.0 - 0.999)];
            let [c1, c2] = corrections;
            check_adam(
                run,
                len,
                [lr, rate, 0.999, 1e-7, decay, decay * f32::from(flag), c1, c2],
                seed,
            );
        },
    );
}
