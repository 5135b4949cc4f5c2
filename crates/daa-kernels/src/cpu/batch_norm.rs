//! Host forms of batch normalisation.

use crate::cpu::lanes::{sum, sum_pairs};
use daa_gpu_core::HostCall;

/// Sizes, from parameter words.
#[derive(Debug, Clone, Copy)]
struct Geometry {
    n: usize,
    c: usize,
    spatial: usize,
}

impl Geometry {
    fn from_words(words: &[u32]) -> Self {
        Self {
            n: words[0] as usize,
            c: words[1] as usize,
            spatial: words[2] as usize,
        }
    }

    /// Elements per channel.
    const fn count(&self) -> usize {
        self.n * self.spatial
    }

    /// Where the run of `channel` in image `image` lies.
    const fn run(&self, image: usize, channel: usize) -> std::ops::Range<usize> {
        let start = (image * self.c + channel) * self.spatial;
        start..start + self.spatial
    }

    /// The sum of `of_run` over every run of `channel`.
    fn total(&self, channel: usize, of_run: impl Fn(std::ops::Range<usize>) -> f32) -> f32 {
        (0..self.n).fold(0.0, |total, image| total + of_run(self.run(image, channel)))
    }
}

/// Host form of [`crate::ops::batch_norm::BATCH_NORM`].
pub fn forward(mut call: HostCall<'_>) {
    let [x, gamma, beta] = call.reads_f32();
    let [y, mean, inv_std, running_mean, running_var] = call.take_writes_f32();
    let g = Geometry::from_words(call.params);
    let (eps, momentum) = (call.param_f32(3), call.param_f32(4));
    let count = g.count() as f32;
    for channel in 0..g.c {
        let average = g.total(channel, |run| sum(&x[run], |value| value)) / count;
        let squares = g.total(channel, |run| {
            sum(&x[run], |value| (value - average) * (value - average))
        });
        let scale = 1.0 / (squares / count + eps).sqrt();
        let (gamma, beta) = (gamma[channel], beta[channel]);
        for image in 0..g.n {
            let run = g.run(image, channel);
            for (out, &value) in y[run.clone()].iter_mut().zip(&x[run]) {
                *out = (value - average) * scale * gamma + beta;
            }
        }
        mean[channel] = average;
        inv_std[channel] = scale;
        let unbiased = squares / (g.count() - 1).max(1) as f32;
        running_mean[channel] = (1.0 - momentum) * running_mean[channel] + momentum * average;
        running_var[channel] = (1.0 - momentum) * running_var[channel] + momentum * unbiased;
    }
}

/// Host form of [`crate::ops::batch_norm::BATCH_NORM_GRAD`].
pub fn grad(mut call: HostCall<'_>) {
    let [x, dy, gamma, mean, inv_std] = call.reads_f32();
    let [dx, dgamma, dbeta] = call.take_writes_f32();
    let g = Geometry::from_words(call.params);
    let count = g.count() as f32;
    for channel in 0..g.c {
        let (average, scale) = (mean[channel], inv_std[channel]);
        let plain = g.total(channel, |run| sum(&dy[run], |gradient| gradient));
        let weighted = g.total(channel, |run| {
            sum_pairs(&x[run.clone()], &dy[run], |value, gradient| {
                gradient * ((value - average) * scale)
            })
        });
        let (plain_mean, weighted_mean) = (plain / count, weighted / count);
        let factor = gamma[channel] * scale;
        for image in 0..g.n {
            let run = g.run(image, channel);
            let inputs = x[run.clone()].iter().zip(&dy[run.clone()]);
            for (out, (&value, &gradient)) in dx[run].iter_mut().zip(inputs) {
                *out = factor * (gradient - plain_mean - (value - average) * scale * weighted_mean);
            }
        }
        dbeta[channel] = plain;
        dgamma[channel] = weighted;
    }
}

/// Host form of [`crate::ops::batch_norm::BATCH_NORM_INFER`].
pub fn infer(mut call: HostCall<'_>) {
    let [x, gamma, beta, mean, variance] = call.reads_f32();
    let [y] = call.take_writes_f32();
    let g = Geometry::from_words(call.params);
    let eps = call.param_f32(3);
    for channel in 0..g.c {
        let scale = 1.0 / (variance[channel] + eps).sqrt();
        let (mean, gamma, beta) = (mean[channel], gamma[channel], beta[channel]);
        for image in 0..g.n {
            let run = g.run(image, channel);
            for (out, &value) in y[run.clone()].iter_mut().zip(&x[run]) {
                *out = (value - mean) * scale * gamma + beta;
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
