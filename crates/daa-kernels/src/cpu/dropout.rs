//! Inverted dropout, twin of `shaders/dropout.wgsl`: the same elements fall, to the bit.

use daa_gpu_core::HostCall;

/// The finaliser of `MurmurHash3`.
#[inline]
const fn finalise(word: u32) -> u32 {
    let mut h = word;
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

/// Host form of `dropout.apply`.
pub(crate) fn apply_host(mut call: HostCall<'_>) {
    let [x, _] = call.reads_f32();
    let seed = call.reads[1][0];
    let [y] = call.take_writes_f32();
    let (salt, threshold, gain) = (call.params[1], call.params[2], call.param_f32(3));
    let key = finalise(seed ^ finalise(salt.wrapping_add(0x9e37_79b9)));
    for ((index, y), x) in (0_u32..).zip(y).zip(x) {
        let word = finalise(finalise(index.wrapping_add(key)) ^ key);
        *y = if word >= threshold { gain * x } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_falls_is_the_rate() {
        let launch = crate::ops::dropout::launch(100_000, 0.3, 7).expect("a legal rate");
        let x = vec![1.0_f32.to_bits(); 100_000];
        for seed in 0..4 {
            let mut y = vec![0_u32; x.len()];
            apply_host(HostCall {
                params: &launch.params,
                reads: vec![&x, &[seed]],
                writes: vec![&mut y],
                scratch: &mut daa_gpu_core::Scratch::default(),
            });
            let dropped = y.iter().filter(|word| **word == 0).count();
            // Four standard deviations of a binomial distribution.
            assert!(dropped.abs_diff(30_000) < 4 * 145, "{dropped}");
            assert!(
                y.iter()
                    .all(|word| *word == 0 || *word == (1.0_f32 / 0.7).to_bits())
            );
        }
    }
}
