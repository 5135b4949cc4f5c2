//! Element-wise ops and dropout.

use super::{Family, random_cases, words};
use crate::cpu::reference::{Expected, ROUNDING, Run, assert_close, random, unwritten};
use crate::ops::dropout;
use crate::ops::elementwise::{
    ACCUMULATE, ADD, Binary, MUL, SCALE, SUB, launch, launch_accumulate, launch_scale,
};
use std::ops::{Add, Mul, Sub};

pub(super) const FAMILY: Family = Family {
    programs: &[&ADD, &SUB, &MUL, &SCALE, &ACCUMULATE],
    check,
};
pub(super) const DROPOUT: Family = Family {
    programs: &[&dropout::DROPOUT],
    check: check_dropout,
};

/// Below, at and beyond a workgroup, and a second row of workgroups' worth of indices.
const LENGTHS: [usize; 5] = [1, 255, 256, 257, 5000];

/// What a kernel of two numbers computes.
type Function = fn(f64, f64) -> f64;

/// One rounding of an exact result.
fn rounded(value: f64) -> Expected {
    Expected {
        value,
        bound: value.abs() * ROUNDING,
    }
}

fn zip(a: &[f32], b: &[f32], f: impl Fn(f64, f64) -> f64) -> Vec<Expected> {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| rounded(f(f64::from(a), f64::from(b))))
        .collect()
}

fn check_length(run: Run<'_>, len: usize, seed: u64) {
    let (a, b) = (random(len, seed), random(len, !seed));
    let functions: [(Binary, Function); 3] = [
        (Binary::Add, f64::add),
        (Binary::Sub, f64::sub),
        (Binary::Mul, f64::mul),
    ];
    for (kind, f) in functions {
        let launch = launch(kind, len).expect("a small length");
        let c = run(&launch, &[&a, &b], vec![unwritten(len)]);
        assert_close(&format!("{kind:?} {len}"), &c[0], &zip(&a, &b, f));
    }
    let scale = launch_scale(len, -0.3).expect("a small length");
    let y = run(&scale, &[&a], vec![unwritten(len)]);
    let expected: Vec<_> = a
        .iter()
        .map(|&a| rounded(f64::from(a) * f64::from(-0.3_f32)))
        .collect();
    assert_close(&format!("scale {len}"), &y[0], &expected);
    let accumulate = launch_accumulate(len).expect("a small length");
    let sum = run(&accumulate, &[&a], vec![b.clone()]);
    assert_close(&format!("accumulate {len}"), &sum[0], &zip(&a, &b, f64::add));
}

fn check(run: Run<'_>) {
    for (seed, len) in (1..).zip(LENGTHS) {
        check_length(run, len, seed);
    }
    random_cases(run, 8, (1..3000_usize, 0..u64::MAX), |run, (len, seed)| {
        check_length(run, len, seed)
    });
}

/// The definition of the mask, written again.
fn stays(seed: u32, salt: u32, index: u32, rate: f32) -> bool {
    let murmur = |mut h: u32| {
        h ^= h >> 16;
        h = h.wrapping_mul(0x85eb_ca6b);
        h ^= h >> 13;
        h = h.wrapping_mul(0xc2b2_ae35);
        h ^ h >> 16
    };
    let key = murmur(seed ^ murmur(salt.wrapping_add(0x9e37_79b9)));
    f64::from(murmur(murmur(index.wrapping_add(key)) ^ key)) >= (f64::from(rate) * 4_294_967_296.0).floor()
}

fn check_dropout(run: Run<'_>) {
    let shapes = (1..3000_usize, 0.0..0.95_f32, 0..u32::MAX, 0..u32::MAX);
    random_cases(run, 8, shapes, |run, (len, rate, seed, salt)| {
        let x = random(len, u64::from(seed));
        let launch = dropout::launch(len, rate, salt).expect("a legal rate");
        let y = run(&launch, &[&x, &words(&[seed])], vec![unwritten(len)]);
        let gain = f64::from(1.0 / (1.0 - rate));
        let kept = |(index, &x): (u32, &f32)| {
            if stays(seed, salt, index, rate) {
                rounded(f64::from(x) * gain)
            } else {
                Expected::exact(0.0)
            }
        };
        let expected: Vec<_> = (0..).zip(&x).map(kept).collect();
        assert_close(&format!("dropout {len} {rate} {seed} {salt}"), &y[0], &expected);
    });
    let all = dropout::launch(300, 0.0, 3).expect("rate 0 keeps everything");
    let x = random(300, 4);
    let y = run(&all, &[&x, &words(&[9])], vec![unwritten(300)]);
    assert_eq!(y[0], x);
}
