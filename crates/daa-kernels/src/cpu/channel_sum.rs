//! Host form of the channel sums.

use crate::cpu::lanes::sum;
use daa_gpu_core::HostCall;

/// Host form of [`crate::ops::channel_sum::CHANNEL_SUM`].
pub fn channel_sum(mut call: HostCall<'_>) {
    let [dy] = call.reads_f32();
    let [sums] = call.take_writes_f32();
    let [n, c, spatial] = [0, 1, 2].map(|i| call.params[i] as usize);
    let sums = &mut sums[..c];
    sums.fill(0.0);
    for image in dy.chunks_exact(c * spatial).take(n) {
        if spatial == 1 {
            for (total, &value) in sums.iter_mut().zip(image) {
                *total += value;
            }
        } else {
            for (total, plane) in sums.iter_mut().zip(image.chunks_exact(spatial)) {
                *total += sum(plane, |value| value);
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
