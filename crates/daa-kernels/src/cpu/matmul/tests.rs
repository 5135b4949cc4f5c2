use crate::activation::Activation;
use crate::cpu::reference::{Expected, Run, assert_close, assert_divisible, on_host, random, unwritten};
use crate::ops::matmul::Transpose;
use crate::ops::{linear, matmul};
use proptest::prelude::*;

/// `op(a) · op(b)` element by element; `extra` is one more term per column.
fn product(
    [m, k, n]: [usize; 3],
    transpose: Transpose,
    a: &[f32],
    b: &[f32],
    extra: Option<&[f32]>,
) -> Vec<Expected> {
    let left = |i: usize, l: usize| f64::from(a[if transpose.a() { l * m + i } else { i * k + l }]);
    let right = |l: usize, j: usize| f64::from(b[if transpose.b() { j * k + l } else { l * n + j }]);
    let element = |i: usize, j: usize| {
        let products = (0..k).map(move |l| left(i, l) * right(l, j));
        Expected::sum(products.chain(extra.map(|extra| f64::from(extra[j]))))
    };
    (0..m)
        .flat_map(|i| (0..n).map(move |j| (i, j)))
        .map(|(i, j)| element(i, j))
        .collect()
}

pub(crate) fn check_matmul(run: Run<'_>, [m, k, n]: [usize; 3], transpose: Transpose, seed: u64) {
    let (a, b) = (random(m * k, seed), random(k * n, !seed));
    let launch = matmul::launch(m, k, n, transpose).expect("the sizes are small");
    let result = run(&launch, &[&a, &b], vec![unwritten(m * n)]);
    let what = format!("matmul {m}x{k}x{n} {transpose:?}");
    assert_close(&what, &result[0], &product([m, k, n], transpose, &a, &b, None));
}

pub(crate) fn check_linear(run: Run<'_>, [m, k, n]: [usize; 3], seed: u64) {
    let (x, w, bias) = (random(m * k, seed), random(k * n, !seed), random(n, seed ^ 99));
    let sums = product([m, k, n], Transpose::None, &x, &w, Some(&bias));
    for activation in [None, Some(Activation::relu())] {
        let launch = linear::launch(m, k, n, activation).expect("the sizes are small");
        let result = run(&launch, &[&x, &w, &bias], vec![unwritten(m * n)]);
        let clamp = |sum: &Expected| Expected {
            value: sum.value.max(0.0),
            ..*sum
        };
        let expected = sums
            .iter()
            .map(|sum| if activation.is_some() { clamp(sum) } else { *sum })
            .collect::<Vec<_>>();
        assert_close(
            &format!("linear {m}x{k}x{n} {activation:?}"),
            &result[0],
            &expected,
        );
    }
}

/// Sizes at, below and beyond the edges of tiles and slabs.
pub(crate) const EDGES: [[usize; 3]; 9] = [
    [1, 1, 1],
    [1, 17, 1],
    [64, 16, 64],
    [65, 17, 66],
    [3, 101, 7],
    [63, 15, 130],
    [127, 33, 2],
    [5, 64, 67],
    [1, 300, 129],
];

proptest! {
    #[test]
    fn products_are_sums_of_products(m in 1..40_usize, k in 1..70_usize, n in 1..40_usize, t in 0..4_usize, seed: u64) {
        check_matmul(&mut on_host, [m, k, n], Transpose::ALL[t], seed);
        check_linear(&mut on_host, [m, k, n], seed);
    }
}

#[test]
fn products_at_the_edges_of_tiles() {
    for sizes in EDGES {
        for transpose in Transpose::ALL {
            check_matmul(&mut on_host, sizes, transpose, 1);
        }
        check_linear(&mut on_host, sizes, 2);
    }
}

#[test]
fn sizes_beyond_the_kernel_are_refused_by_name() {
    let message = |m, k, n| {
        matmul::launch(m, k, n, Transpose::None)
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(
        message(0, 1, 1),
        "matmul: the left operand's element count is 0, allowed are 1 to 2147483647"
    );
    assert_eq!(
        message(4_194_241, 1, 1),
        "matmul: m is 4194241, allowed are 1 to 4194240"
    );
    assert!(
        message(1, 300_000, 1).starts_with("matmul: loop trips over k is"),
        "{}",
        message(1, 300_000, 1)
    );
    assert!(
        matmul::launch(1, 200_000, 1, Transpose::None).is_ok(),
        "long sums that stay below the limit are fine"
    );
}

/// Sizes with and without ragged edges, and sums longer than one block of the product.
#[test]
fn rows_are_divided_among_workers_without_a_trace() {
    for [m, k, n] in [[128, 784, 128], [777, 300, 65], [515, 1030, 31], [64, 64, 64]] {
        let (a, b, bias) = (random(m * k, 1), random(k * n, 2), random(n, 3));
        for transpose in [Transpose::None, Transpose::A, Transpose::B] {
            let launch = matmul::launch(m, k, n, transpose).expect("the sizes are small");
            assert_divisible(&launch, &[&a, &b], &[unwritten(m * n)]);
        }
        let launch = linear::launch(m, k, n, Some(Activation::relu())).expect("the sizes are small");
        assert_divisible(&launch, &[&a, &b, &bias], &[unwritten(m * n)]);
    }
}
