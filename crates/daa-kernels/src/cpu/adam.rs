//! A step of Adam or `AdamW`, twin of `shaders/adam.wgsl`.

use crate::cpu::simd::{Kernel, widest};
use daa_gpu_core::HostCall;

/// Elements that are worth a worker of their own.
const WORTH: usize = 1 << 14;

/// Host form of `adam.step`.
pub(crate) fn step_host(mut call: HostCall<'_>) {
    let [grad, hyper] = call.reads_f32();
    let [param, first, second] = call.take_writes_f32();
    let hyper = std::array::from_fn(|i| hyper[i]);
    let len = param
        .len()
        .div_ceil(call.scratch.hands(param.len() / WORTH))
        .max(1);
    let moments = first.chunks_mut(len).zip(second.chunks_mut(len));
    let values = param.chunks_mut(len).zip(grad.chunks(len));
    call.scratch.spread(
        values.zip(moments).collect(),
        |((param, grad), (first, second)), _| {
            widest(Step {
                grad,
                hyper,
                param,
                first,
                second,
            });
        },
    );
}

struct Step<'a> {
    grad: &'a [f32],
    hyper: [f32; 8],
    param: &'a mut [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

impl Kernel for Step<'_> {
    /// Every operation rounds by itself, so all vector widths give the same bits.
    #[inline(always)]
    fn run<const FUSED: bool, const ROWS: usize>(self) {
        let [lr, beta1, beta2, eps, decay, l2, c1, c2] = self.hyper;
        let moments = self.first.iter_mut().zip(self.second);
        for ((p, (m, v)), g) in self.param.iter_mut().zip(moments).zip(self.grad) {
            // All is read before anything is written: moments often lie a multiple of 4 KiB from their parameters, and
            // the processor holds a read back that looks like a write before it in its last twelve bits.
            let (before, g) = (*p, g + l2 * *p);
            let first = beta1 * *m + (1.0 - beta1) * g;
            let second = beta2 * *v + (1.0 - beta2) * (g * g);
            let decayed = before - lr * decay * before;
            *p = decayed - lr * (first * c1) / ((second * c2).sqrt() + eps);
            (*m, *v) = (first, second);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cpu::reference::{assert_divisible, random};
    use crate::ops::adam;

    #[test]
    fn elements_are_divided_among_workers_without_a_trace() {
        let len = 100_003;
        let hyper = [1e-3, 0.9, 0.999, 1e-8, 0.01, 0.0, 1.5, 1.2];
        let launch = adam::launch(len).expect("the size is small");
        let second = random(len, 3).iter().map(|value| value.abs()).collect();
        let writes = [random(len, 1), random(len, 2), second];
        assert_divisible(&launch, &[&random(len, 4), &hyper], &writes);
    }
}
