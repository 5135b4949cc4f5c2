//! Softmax over rows, twin of `shaders/softmax.wgsl`.

use crate::cpu::math;
use daa_gpu_core::HostCall;

/// The largest of a row; NaN is passed over, `f32::MIN` stands for nothing.
pub(crate) fn largest(row: &[f32]) -> f32 {
    row.iter()
        .fold(f32::MIN, |most, &x| if x > most { x } else { most })
}

/// `y = softmax(x)` of one row.
pub(crate) fn row(x: &[f32], y: &mut [f32]) {
    let most = largest(x);
    let mut sum = 0.0;
    for (y, x) in y.iter_mut().zip(x) {
        *y = math::exp(x - most);
        sum += *y;
    }
    for y in y {
        *y /= sum;
    }
}

/// Host form of `softmax.rows`.
pub(crate) fn rows_host(mut call: HostCall<'_>) {
    let [x] = call.reads_f32();
    let [y] = call.take_writes_f32();
    let n = call.params[1] as usize;
    for (x, y) in x.chunks_exact(n).zip(y.chunks_exact_mut(n)) {
        row(x, y);
    }
}
