//! Products, convolutions, pools and norms: the checks of the host forms, on devices.

use super::{Family, random_cases};
use crate::cpu::reference::Run;
use crate::cpu::{batch_norm, channel_sum, conv2d, matmul, pool2d};
use crate::ops;
use crate::ops::batch_norm::BatchNormDims;
use crate::ops::conv2d::ConvDims;
use crate::ops::matmul::Transpose;
use crate::ops::pool2d::PoolDims;

pub(super) const MATMUL: Family = Family {
    programs: &[&ops::matmul::MATMUL, &ops::linear::LINEAR],
    check: check_matmul,
};
pub(super) const CONV2D: Family = Family {
    programs: &[
        &ops::conv2d::CONV2D,
        &ops::conv2d::CONV2D_GRAD_INPUT,
        &ops::conv2d::CONV2D_GRAD_WEIGHT,
    ],
    check: check_conv2d,
};
pub(super) const CHANNEL_SUM: Family = Family {
    programs: &[&ops::channel_sum::CHANNEL_SUM],
    check: check_channel_sum,
};
pub(super) const POOL2D: Family = Family {
    programs: &[
        &ops::pool2d::MAX_POOL2D,
        &ops::pool2d::AVG_POOL2D,
        &ops::pool2d::MAX_POOL2D_GRAD,
        &ops::pool2d::AVG_POOL2D_GRAD,
    ],
    check: check_pool2d,
};
pub(super) const BATCH_NORM: Family = Family {
    programs: &[
        &ops::batch_norm::BATCH_NORM,
        &ops::batch_norm::BATCH_NORM_GRAD,
        &ops::batch_norm::BATCH_NORM_INFER,
    ],
    check: check_batch_norm,
};

fn check_matmul(run: Run<'_>) {
    for sizes in matmul::tests::EDGES {
        for transpose in Transpose::ALL {
            matmul::tests::check_matmul(run, sizes, transpose, 1);
        }
        matmul::tests::check_linear(run, sizes, 2);
    }
    let shapes = (1..150_usize, 1..90_usize, 1..150_usize, 0..4_usize, 0..u64::MAX);
    random_cases(run, 12, shapes, |run, (m, k, n, transpose, seed)| {
        matmul::tests::check_matmul(run, [m, k, n], Transpose::ALL[transpose], seed);
        matmul::tests::check_linear(run, [m, k, n], seed);
    });
}

fn check_conv2d(run: Run<'_>) {
    for (seed, dims) in (1..).zip(conv2d::tests::EDGES) {
        conv2d::tests::check(run, dims, seed);
    }
    let kernel = (
        1..5_usize,
        1..5_usize,
        1..4_usize,
        1..4_usize,
        0..4_usize,
        0..4_usize,
    );
    let shapes = (
        1..3_usize,
        1..6_usize,
        1..9_usize,
        4..12_usize,
        4..20_usize,
        kernel,
        0..u64::MAX,
    );
    random_cases(
        run,
        12,
        shapes,
        |run, (n, c, o, h, w, (kh, kw, sy, sx, py, px), seed)| {
            let dims = ConvDims {
                n,
                c,
                h,
                w,
                o,
                kh,
                kw,
                stride: [sy, sx],
                padding: [py, px],
            };
            conv2d::tests::check(run, dims, seed);
        },
    );
}

fn check_channel_sum(run: Run<'_>) {
    for sizes in channel_sum::tests::EDGES {
        channel_sum::tests::check(run, sizes, 5);
    }
    let shapes = (1..40_usize, 1..20_usize, 1..60_usize, 0..u64::MAX);
    random_cases(run, 12, shapes, |run, (n, c, spatial, seed)| {
        channel_sum::tests::check(run, [n, c, spatial], seed);
    });
}

fn check_pool2d(run: Run<'_>) {
    for (seed, dims) in (1..).zip(pool2d::tests::EDGES) {
        pool2d::tests::check(run, dims, seed);
    }
    let window = (1..5_usize, 1..5_usize, 1..5_usize, 1..5_usize);
    let shapes = (
        1..3_usize,
        1..4_usize,
        4..20_usize,
        4..20_usize,
        window,
        0..u64::MAX,
    );
    random_cases(run, 12, shapes, |run, (n, c, h, w, (kh, kw, sy, sx), seed)| {
        let dims = PoolDims {
            n,
            c,
            h,
            w,
            kernel: [kh, kw],
            stride: [sy, sx],
        };
        pool2d::tests::check(run, dims, seed);
    });
}

fn check_batch_norm(run: Run<'_>) {
    let check = |run: Run<'_>, dims, seed| {
        batch_norm::tests::check_forward(run, dims, 0.0, seed);
        batch_norm::tests::check_grad(run, dims, seed);
        batch_norm::tests::check_infer(run, dims, seed);
    };
    for (seed, dims) in (1..).zip(batch_norm::tests::EDGES) {
        check(run, dims, seed);
    }
    batch_norm::tests::check_forward(
        run,
        BatchNormDims {
            n: 32,
            c: 2,
            spatial: 25,
        },
        1000.0,
        6,
    );
    let shapes = (1..30_usize, 1..8_usize, 1..40_usize, 0..u64::MAX);
    random_cases(run, 12, shapes, |run, (n, c, spatial, seed)| {
        check(run, BatchNormDims { n, c, spatial }, seed)
    });
}
