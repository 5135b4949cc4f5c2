//! Sums, means and maxima, twins of `shaders/reduce.wgsl`. Orders are fixed, and other than the shader's.

use crate::ops::reduce::Reduce;
use daa_gpu_core::HostCall;

/// Partial results side by side, so that a loop vectorises and a long sum loses less.
const LANES: usize = 16;

fn start(kind: u32) -> f32 {
    if kind == Reduce::Max.code() { f32::MIN } else { 0.0 }
}

fn combine(kind: u32) -> fn(f32, f32) -> f32 {
    if kind == Reduce::Max.code() {
        larger
    } else {
        |a, b| a + b
    }
}

fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

#[expect(clippy::cast_precision_loss, reason = "the nearest float of a size is meant")]
fn finish(kind: u32, value: f32, count: usize) -> f32 {
    if kind == Reduce::Mean.code() {
        value / count as f32
    } else {
        value
    }
}

#[inline]
fn fold_lanes(x: &[f32], start: f32, f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let mut chunks = x.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = f(*lane, x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane = f(*lane, x);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = f(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// Everything in `x`.
fn whole(kind: u32, x: &[f32]) -> f32 {
    let value = if kind == Reduce::Max.code() {
        fold_lanes(x, f32::MIN, larger)
    } else {
        fold_lanes(x, 0.0, |a, b| a + b)
    };
    finish(kind, value, x.len())
}

/// Host form of `reduce.everything`.
pub(crate) fn everything_host(mut call: HostCall<'_>) {
    let [x] = call.reads_f32();
    let [y] = call.take_writes_f32();
    y[0] = whole(call.params[0], &x[..call.params[1] as usize]);
}

/// Host form of `reduce.over_rows`.
pub(crate) fn over_rows_host(mut call: HostCall<'_>) {
    let [x] = call.reads_f32();
    let [y] = call.take_writes_f32();
    let (kind, m, n) = (call.params[0], call.params[1] as usize, call.params[2] as usize);
    y.fill(start(kind));
    let f = combine(kind);
    for row in x.chunks_exact(n) {
        for (y, &x) in y.iter_mut().zip(row) {
            *y = f(*y, x);
        }
    }
    for y in y {
        *y = finish(kind, *y, m);
    }
}

/// Host form of `reduce.over_cols`.
pub(crate) fn over_cols_host(mut call: HostCall<'_>) {
    let [x] = call.reads_f32();
    let [y] = call.take_writes_f32();
    let (kind, n) = (call.params[0], call.params[2] as usize);
    for (y, row) in y.iter_mut().zip(x.chunks_exact(n)) {
        *y = whole(kind, row);
    }
}
