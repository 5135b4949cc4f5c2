//! Cross entropy after softmax, twin of `shaders/cross_entropy.wgsl`.

use crate::cpu::{math, softmax};
use daa_gpu_core::HostCall;

/// The reads of both entry points: logits, labels, weights.
fn reads<'a>(call: &HostCall<'a>) -> (&'a [f32], &'a [u32], &'a [f32]) {
    let [logits, _, weights] = call.reads_f32();
    (logits, call.reads[1], weights)
}

/// Host form of `cross_entropy.rows`.
pub(crate) fn rows_host(mut call: HostCall<'_>) {
    let (logits, labels, weights) = reads(&call);
    let [losses] = call.take_writes_f32();
    let n = call.params[1] as usize;
    let rows = logits.chunks_exact(n).zip(labels).zip(weights);
    for (loss, ((row, &label), &weight)) in losses.iter_mut().zip(rows) {
        *loss = match row.get(label as usize) {
            Some(x) if weight != 0.0 => {
                let most = softmax::largest(row);
                let sum: f32 = row.iter().map(|x| math::exp(x - most)).sum();
                weight * (math::log(sum) - (x - most))
            }
            _ => 0.0,
        };
    }
}

/// Host form of `cross_entropy.backward`.
pub(crate) fn backward_host(mut call: HostCall<'_>) {
    let (logits, labels, weights) = reads(&call);
    let [dlogits] = call.take_writes_f32();
    let (n, scale) = (call.params[1] as usize, call.param_f32(2));
    let rows = logits.chunks_exact(n).zip(labels).zip(weights);
    for (out, ((row, &label), &weight)) in dlogits.chunks_exact_mut(n).zip(rows) {
        let label = label as usize;
        if label >= n || weight == 0.0 {
            out.fill(0.0);
            continue;
        }
        softmax::row(row, out);
        out[label] -= 1.0;
        let factor = scale * weight;
        for d in out {
            *d *= factor;
        }
    }
}
