use crate::cpu::reference::{Expected, Run, assert_close, on_host, random, unwritten};
use crate::ops::channel_sum::launch;
use proptest::prelude::*;

pub(crate) fn check(run: Run<'_>, [n, c, spatial]: [usize; 3], seed: u64) {
    let dy = random(n * c * spatial, seed);
    let launch = launch(n, c, spatial).expect("the sizes are small");
    let sums = run(&launch, &[&dy], vec![unwritten(c)]);
    let term = |channel: usize, i: usize| f64::from(dy[(i / spatial * c + channel) * spatial + i % spatial]);
    let expected: Vec<_> = (0..c)
        .map(|channel| Expected::sum((0..n * spatial).map(|i| term(channel, i))))
        .collect();
    assert_close(&format!("channel_sum {n}x{c}x{spatial}"), &sums[0], &expected);
}

/// One element, fewer and more than a workgroup, with and without a spatial size.
pub(crate) const EDGES: [[usize; 3]; 6] = [
    [1, 1, 1],
    [7, 3, 1],
    [128, 10, 1],
    [301, 2, 1],
    [3, 5, 49],
    [16, 3, 97],
];

#[test]
fn sums_at_the_edges() {
    for sizes in EDGES {
        check(&mut on_host, sizes, 5);
    }
}

#[test]
fn channels_beyond_the_kernel_are_refused_by_name() {
    let error = launch(128 * 65_534, 1, 1).expect_err("more trips than adapters honour");
    assert_eq!(
        error.to_string(),
        "channel_sum: loop trips over n and the spatial size is 65550, allowed are 1 to 65534"
    );
}

proptest! {
    #[test]
    fn every_element_counts_once(n in 1..20_usize, c in 1..20_usize, spatial in 1..40_usize, seed: u64) {
        check(&mut on_host, [n, c, spatial], seed);
    }
}
