//! Hits of the largest logit, twin of `shaders/top1.wgsl`.

use daa_gpu_core::HostCall;

/// The first of the largest; NaN and -∞ never are.
fn first_largest(row: &[f32]) -> Option<usize> {
    let (mut most, mut place) = (f32::MIN, None);
    for (index, &x) in row.iter().enumerate() {
        #[expect(clippy::float_cmp, reason = "f32::MIN itself may be the largest")]
        if x > most || (x == most && place.is_none()) {
            (most, place) = (x, Some(index));
        }
    }
    place
}

/// Host form of `top1.rows`.
pub(crate) fn rows_host(mut call: HostCall<'_>) {
    let [logits, _, weights] = call.reads_f32();
    let labels = call.reads[1];
    let [hits] = call.take_writes_f32();
    let n = call.params[1] as usize;
    let rows = logits.chunks_exact(n).zip(labels).zip(weights);
    for (hit, ((row, &label), &weight)) in hits.iter_mut().zip(rows) {
        *hit = if first_largest(row) == Some(label as usize) {
            weight
        } else {
            0.0
        };
    }
}
