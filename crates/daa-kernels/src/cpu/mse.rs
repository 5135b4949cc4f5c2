//! Mean squared error, twin of `shaders/mse.wgsl`.

use daa_gpu_core::HostCall;

/// Host form of `mse.rows`.
#[expect(clippy::cast_precision_loss, reason = "the nearest float of a size is meant")]
pub(crate) fn rows_host(mut call: HostCall<'_>) {
    let [prediction, expected, weights] = call.reads_f32();
    let [losses] = call.take_writes_f32();
    let n = call.params[1] as usize;
    let rows = prediction
        .chunks_exact(n)
        .zip(expected.chunks_exact(n))
        .zip(weights);
    for (loss, ((prediction, expected), &weight)) in losses.iter_mut().zip(rows) {
        let sum: f32 = prediction
            .iter()
            .zip(expected)
            .map(|(p, e)| (p - e) * (p - e))
            .sum();
        *loss = if weight == 0.0 {
            0.0
        } else {
            weight * (sum / n as f32)
        };
    }
}

/// Host form of `mse.backward`.
pub(crate) fn backward_host(mut call: HostCall<'_>) {
    let [prediction, expected, weights] = call.reads_f32();
    let [gradient] = call.take_writes_f32();
    let (n, factor) = (call.params[1] as usize, call.param_f32(2));
    let rows = prediction
        .chunks_exact(n)
        .zip(expected.chunks_exact(n))
        .zip(weights);
    for (gradient, ((prediction, expected), &weight)) in gradient.chunks_exact_mut(n).zip(rows) {
        if weight == 0.0 {
            gradient.fill(0.0);
            continue;
        }
        let factor = factor * weight;
        for ((d, p), e) in gradient.iter_mut().zip(prediction).zip(expected) {
            *d = factor * (p - e);
        }
    }
}
