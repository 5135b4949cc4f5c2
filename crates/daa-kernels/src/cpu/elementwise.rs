//! Sums, products and multiples on slices, twins of `shaders/elementwise.wgsl`.

use daa_gpu_core::HostCall;

fn binary(mut call: HostCall<'_>, f: impl Fn(f32, f32) -> f32) {
    let [a, b] = call.reads_f32();
    let [y] = call.take_writes_f32();
    for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
        *y = f(*a, *b);
    }
}

/// Host form of `elementwise.add`.
pub(crate) fn add_host(call: HostCall<'_>) {
    binary(call, |a, b| a + b);
}

/// Host form of `elementwise.sub`.
pub(crate) fn sub_host(call: HostCall<'_>) {
    binary(call, |a, b| a - b);
}

/// Host form of `elementwise.mul`.
pub(crate) fn mul_host(call: HostCall<'_>) {
    binary(call, |a, b| a * b);
}

/// Host form of `elementwise.scale`.
pub(crate) fn scale_host(mut call: HostCall<'_>) {
    let [x] = call.reads_f32();
    let [y] = call.take_writes_f32();
    let factor = call.param_f32(1);
    for (y, x) in y.iter_mut().zip(x) {
        *y = factor * x;
    }
}

/// Host form of `elementwise.accumulate`.
pub(crate) fn accumulate_host(mut call: HostCall<'_>) {
    let [x] = call.reads_f32();
    let [acc] = call.take_writes_f32();
    for (acc, x) in acc.iter_mut().zip(x) {
        *acc += x;
    }
}
