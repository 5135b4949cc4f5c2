use crate::activation::Activation;
use crate::cpu::reference::{Expected, Run, assert_close, assert_divisible, on_host, random, unwritten};
use crate::ops::conv2d::{ConvDims, launch_forward, launch_grad_input, launch_grad_weight};
use proptest::prelude::*;

/// One use of a weight: which input element it multiplies for which output element, as indices into the tensors.
struct Tap {
    input: usize,
    weight: usize,
    output: usize,
}

/// Every use of every weight, straight from the definition.
fn taps(d: &ConvDims) -> Vec<Tap> {
    let [oh, ow] = d.output().expect("the sizes fit");
    let mut taps = Vec::new();
    let outputs =
        (0..d.n * d.o * oh * ow).map(|i| (i, i % ow, i / ow % oh, i / (ow * oh) % d.o, i / (ow * oh * d.o)));
    for (output, ox, oy, o, n) in outputs {
        for (c, ky, kx) in (0..d.c * d.kh * d.kw).map(|q| (q / (d.kh * d.kw), q / d.kw % d.kh, q % d.kw)) {
            let y = (oy * d.stride[0] + ky)
                .checked_sub(d.padding[0])
                .filter(|&y| y < d.h);
            let x = (ox * d.stride[1] + kx)
                .checked_sub(d.padding[1])
                .filter(|&x| x < d.w);
            if let (Some(y), Some(x)) = (y, x) {
                let input = ((n * d.c + c) * d.h + y) * d.w + x;
                taps.push(Tap {
                    input,
                    weight: ((o * d.c + c) * d.kh + ky) * d.kw + kx,
                    output,
                });
            }
        }
    }
    taps
}

/// Sums products into the slot that `slot` names, after `first` terms.
fn gather(
    slots: usize,
    taps: &[Tap],
    term: impl Fn(&Tap) -> (usize, f64),
    first: impl Fn(usize) -> Option<f32>,
) -> Vec<Expected> {
    let mut terms: Vec<Vec<f64>> = (0..slots)
        .map(|slot| first(slot).map(f64::from).into_iter().collect())
        .collect();
    for (slot, value) in taps.iter().map(term) {
        terms[slot].push(value);
    }
    terms.into_iter().map(Expected::sum).collect()
}

pub(crate) fn check(run: Run<'_>, d: ConvDims, seed: u64) {
    let [oh, ow] = d.output().expect("the sizes fit");
    let (inputs, weights, outputs) = (
        d.n * d.c * d.h * d.w,
        d.o * d.c * d.kh * d.kw,
        d.n * d.o * oh * ow,
    );
    let (x, w, dy, bias) = (
        random(inputs, seed),
        random(weights, !seed),
        random(outputs, seed ^ 7),
        random(d.o, seed ^ 9),
    );
    let taps = taps(&d);
    let product = |a: f32, b: f32| f64::from(a) * f64::from(b);

    let bias_of = |output: usize| Some(bias[output / (oh * ow) % d.o]);
    let sums = gather(
        outputs,
        &taps,
        |t| (t.output, product(x[t.input], w[t.weight])),
        bias_of,
    );
    for activation in [None, Some(Activation::relu())] {
        let launch = launch_forward(d, activation).expect("the sizes are small");
        let y = run(&launch, &[&x, &w, &bias], vec![unwritten(outputs)]);
        let clamp = |sum: &Expected| Expected {
            value: sum.value.max(0.0),
            ..*sum
        };
        let expected = sums
            .iter()
            .map(|sum| if activation.is_some() { clamp(sum) } else { *sum })
            .collect::<Vec<_>>();
        assert_close(&format!("{d:?} {activation:?} y"), &y[0], &expected);
    }

    let launch = launch_grad_input(d).expect("the sizes are small");
    let dx = run(&launch, &[&dy, &w], vec![unwritten(inputs)]);
    let expected = gather(
        inputs,
        &taps,
        |t| (t.input, product(dy[t.output], w[t.weight])),
        |_| None,
    );
    assert_close(&format!("{d:?} dx"), &dx[0], &expected);

    let launch = launch_grad_weight(d).expect("the sizes are small");
    let dw = run(&launch, &[&x, &dy], vec![unwritten(weights)]);
    let expected = gather(
        weights,
        &taps,
        |t| (t.weight, product(dy[t.output], x[t.input])),
        |_| None,
    );
    assert_close(&format!("{d:?} dw"), &dw[0], &expected);
}

const fn dims(
    n: usize,
    [c, h, w]: [usize; 3],
    [o, kh, kw]: [usize; 3],
    stride: [usize; 2],
    padding: [usize; 2],
) -> ConvDims {
    ConvDims {
        n,
        c,
        h,
        w,
        o,
        kh,
        kw,
        stride,
        padding,
    }
}

/// On the host, the last four are computed without unfolding. One element, no padding, padding beyond the kernel, strides that skip rows, kernels as large as the image, odd sizes.
pub(crate) const EDGES: [ConvDims; 13] = [
    dims(1, [1, 1, 1], [1, 1, 1], [1, 1], [0, 0]),
    dims(3, [5, 7, 11], [6, 1, 1], [1, 1], [0, 0]),
    dims(2, [1, 28, 28], [16, 3, 3], [1, 1], [1, 1]),
    dims(2, [3, 9, 8], [5, 3, 2], [2, 3], [1, 0]),
    dims(1, [2, 4, 5], [3, 4, 5], [1, 1], [0, 0]),
    dims(2, [2, 3, 2], [3, 2, 3], [1, 2], [4, 5]),
    dims(2, [2, 10, 7], [1, 2, 2], [5, 4], [0, 2]),
    dims(1, [3, 5, 6], [7, 5, 5], [3, 1], [2, 2]),
    dims(5, [4, 6, 6], [9, 3, 3], [2, 2], [1, 1]),
    dims(2, [16, 14, 14], [32, 3, 3], [1, 1], [1, 1]),
    dims(2, [3, 4, 28], [10, 5, 5], [1, 1], [2, 2]),
    dims(1, [2, 6, 33], [17, 3, 2], [1, 1], [0, 1]),
    dims(3, [8, 3, 13], [1, 1, 1], [1, 1], [0, 0]),
];

#[test]
fn convolutions_at_the_edges() {
    for (seed, dims) in (1..).zip(EDGES) {
        check(&mut on_host, dims, seed);
    }
}

#[test]
fn an_image_larger_than_a_tile_is_the_same_sum() {
    check(&mut on_host, dims(1, [40, 40, 60], [2, 3, 3], [1, 1], [1, 1]), 3);
}

#[test]
fn a_kernel_beyond_its_image_is_refused_by_name() {
    let error = dims(1, [1, 4, 4], [1, 3, 7], [1, 1], [0, 1])
        .output()
        .expect_err("7 columns do not fit 4 + 2");
    assert_eq!(error.to_string(), "conv2d: kernel width is 7, allowed are 1 to 6");
    assert!(
        dims(1, [1, 4, 4], [1, 3, 3], [0, 1], [0, 0]).output().is_err(),
        "a stride of zero goes nowhere"
    );
    let error = launch_forward(dims(1, [7000, 8, 8], [1, 8, 8], [1, 1], [0, 0]), None)
        .expect_err("7000·8·8 trips and more");
    assert!(
        error
            .to_string()
            .starts_with("conv2d: loop trips over c, kh and kw is"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn convolutions_are_sums_of_taps(
        n in 1..3_usize, c in 1..9_usize, o in 1..20_usize, h in 1..10_usize, w in 1..36_usize,
        kernel in [1..5_usize, 1..5_usize], stride in [1..4_usize, 1..4_usize], padding in [0..4_usize, 0..4_usize], seed: u64,
    ) {
        let d = ConvDims { n, c, h, w, o, kh: kernel[0], kw: kernel[1], stride, padding };
        prop_assume!(d.output().is_ok());
        check(&mut on_host, d, seed);
    }
}

/// By either way of computing, with more images than workers and fewer.
#[test]
fn images_are_divided_among_workers_without_a_trace() {
    for (n, stride, kernel) in [(9, 1, 3), (3, 2, 3), (5, 1, 1)] {
        let d = ConvDims {
            n,
            c: 8,
            h: 28,
            w: 28,
            o: 16,
            kh: kernel,
            kw: kernel,
            stride: [stride; 2],
            padding: [kernel / 2; 2],
        };
        let [oh, ow] = d.output().expect("the sizes fit");
        let (inputs, outputs) = (n * d.c * d.h * d.w, n * d.o * oh * ow);
        let (x, dy, bias) = (random(inputs, 1), random(outputs, 2), random(d.o, 3));
        let w = random(d.o * d.c * kernel * kernel, 4);
        let launch = launch_forward(d, Some(Activation::relu())).expect("the sizes are small");
        assert_divisible(&launch, &[&x, &w, &bias], &[unwritten(outputs)]);
        let launch = launch_grad_input(d).expect("the sizes are small");
        assert_divisible(&launch, &[&dy, &w], &[unwritten(inputs)]);
    }
}
