use crate::cpu::reference::{Expected, Run, assert_close, on_host, random, unwritten};
use crate::ops::pool2d::{PoolDims, PoolKind, launch_forward, launch_grad};
use proptest::prelude::*;

/// For each output, the input elements of its window in row-major order.
fn windows(d: &PoolDims) -> Vec<Vec<usize>> {
    let [oh, ow] = d.output().expect("the sizes fit");
    let corner = |i: usize| (i / (oh * ow), i / ow % oh * d.stride[0], i % ow * d.stride[1]);
    let element = move |(plane, y, x): (usize, usize, usize), k: usize| {
        (plane * d.h + y + k / d.kernel[1]) * d.w + x + k % d.kernel[1]
    };
    let count = d.kernel[0] * d.kernel[1];
    (0..d.n * d.c * oh * ow)
        .map(|i| (0..count).map(|k| element(corner(i), k)).collect())
        .collect()
}

/// The first of the largest elements of a window without NaN.
fn winner(x: &[f32], window: &[usize]) -> usize {
    let largest = window.iter().map(|&i| x[i]).fold(f32::NEG_INFINITY, f32::max);
    *window
        .iter()
        .find(|&&i| x[i] >= largest)
        .expect("a window has a largest element")
}

/// Numbers with many ties.
fn ties(len: usize, seed: u64) -> Vec<f32> {
    random(len, seed)
        .into_iter()
        .map(|value| (value * 3.0).round())
        .collect()
}

pub(crate) fn check(run: Run<'_>, d: PoolDims, seed: u64) {
    let windows = windows(&d);
    let (x, dy) = (ties(d.n * d.c * d.h * d.w, seed), random(windows.len(), !seed));
    let count = (d.kernel[0] * d.kernel[1]) as f64;
    let share = |index: usize| f64::from(dy[index]) / count;
    for kind in [PoolKind::Max, PoolKind::Avg] {
        let launch = launch_forward(kind, d).expect("the sizes are small");
        let y = run(&launch, &[&x], vec![unwritten(windows.len())]);
        let forward = |window: &Vec<usize>| match kind {
            PoolKind::Max => Expected::exact(x[winner(&x, window)]),
            PoolKind::Avg => Expected::sum(window.iter().map(|&i| f64::from(x[i]) / count)),
        };
        assert_close(
            &format!("{kind:?} {d:?} y"),
            &y[0],
            &windows.iter().map(forward).collect::<Vec<_>>(),
        );

        let mut terms = vec![Vec::new(); x.len()];
        for (index, window) in windows.iter().enumerate() {
            match kind {
                PoolKind::Max => terms[winner(&x, window)].push(f64::from(dy[index])),
                PoolKind::Avg => window.iter().for_each(|&i| terms[i].push(share(index))),
            }
        }
        let launch = launch_grad(kind, d).expect("the sizes are small");
        let dx = run(&launch, &[&x, &dy], vec![unwritten(x.len())]);
        let expected: Vec<_> = terms.into_iter().map(Expected::sum).collect();
        assert_close(&format!("{kind:?} {d:?} dx"), &dx[0], &expected);
    }
}

const fn dims(n: usize, c: usize, [h, w]: [usize; 2], kernel: [usize; 2], stride: [usize; 2]) -> PoolDims {
    PoolDims {
        n,
        c,
        h,
        w,
        kernel,
        stride,
    }
}

/// One element, the usual halving of even and odd images, overlapping windows, gaps between windows, whole images.
pub(crate) const EDGES: [PoolDims; 8] = [
    dims(1, 1, [1, 1], [1, 1], [1, 1]),
    dims(2, 3, [28, 28], [2, 2], [2, 2]),
    dims(2, 3, [7, 9], [2, 2], [2, 2]),
    dims(3, 1, [8, 9], [3, 3], [2, 2]),
    dims(1, 2, [5, 11], [3, 2], [1, 1]),
    dims(2, 2, [11, 7], [2, 1], [3, 4]),
    dims(1, 4, [6, 5], [6, 5], [1, 1]),
    dims(1, 1, [3, 5], [1, 1], [2, 2]),
];

#[test]
fn pools_at_the_edges() {
    for (seed, dims) in (1..).zip(EDGES) {
        check(&mut on_host, dims, seed);
    }
}

#[test]
fn a_nan_gives_its_gradient_to_one_element() {
    let d = dims(1, 1, [1, 3], [1, 3], [1, 1]);
    let grad = launch_grad(PoolKind::Max, d).expect("the sizes are small");
    for (x, expected) in [
        ([1.0, f32::NAN, 2.0], [0.0, 0.0, 5.0]),
        ([f32::NAN, 1.0, 2.0], [5.0, 0.0, 0.0]),
    ] {
        assert_eq!(on_host(&grad, &[&x, &[5.0]], vec![unwritten(3)])[0], expected);
    }
}

#[test]
fn windows_side_by_side_treat_nan_like_all_others() {
    let values = [f32::NAN, 1.0, 2.0, 3.0];
    let grad = launch_grad(PoolKind::Max, dims(1, 1, [2, 2], [2, 2], [2, 2])).expect("the sizes are small");
    for i in 0..256_usize {
        let x = [
            values[i % 4],
            values[i / 4 % 4],
            values[i / 16 % 4],
            values[i / 64],
        ];
        let mut best = 0;
        for at in 1..4 {
            if x[at] > x[best] {
                best = at;
            }
        }
        let mut expected = [0.0; 4];
        expected[best] = 5.0;
        assert_eq!(
            on_host(&grad, &[&x, &[5.0]], vec![unwritten(4)])[0],
            expected,
            "{x:?}"
        );
    }
}

#[test]
fn windows_beyond_the_image_are_refused_by_name() {
    let error = dims(1, 1, [4, 4], [2, 5], [1, 1])
        .output()
        .expect_err("5 columns do not fit 4");
    assert_eq!(error.to_string(), "pool2d: window width is 5, allowed are 1 to 4");
    assert!(
        dims(1, 1, [4, 4], [2, 2], [2, 0]).output().is_err(),
        "a stride of zero goes nowhere"
    );
    let dense = dims(1, 1, [64, 64], [32, 32], [1, 1]);
    assert!(launch_forward(PoolKind::Max, dense).is_ok());
    let error =
        launch_grad(PoolKind::Max, dense).expect_err("1024 windows of 1024 elements cover each element");
    assert!(
        error
            .to_string()
            .starts_with("pool2d_grad: loop trips over the windows"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn pools_are_windows(
        n in 1..3_usize, c in 1..4_usize, h in 1..14_usize, w in 1..14_usize,
        kernel in [1..5_usize, 1..5_usize], stride in [1..5_usize, 1..5_usize], seed: u64,
    ) {
        let d = PoolDims { n, c, h, w, kernel, stride };
        prop_assume!(d.output().is_ok());
        check(&mut on_host, d, seed);
    }
}
