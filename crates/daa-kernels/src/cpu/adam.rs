//! A step of Adam or `AdamW`, twin of `shaders/adam.wgsl`.

use crate::cpu::simd::{Kernel, widest};
use daa_gpu_core::HostCall;

/// Host form of `adam.step`.
pub(crate) fn step_host(mut call: HostCall<'_>) {
    let [grad, hyper] = call.reads_f32();
    let [param, first, second] = call.take_writes_f32();
    let hyper = std::array::from_fn(|i| hyper[i]);
    widest(Step {
        grad,
        hyper,
        param,
        first,
        second,
    });
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
            let g = g + l2 * *p;
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * (g * g);
            let decayed = *p - lr * decay * *p;
            *p = decayed - lr * (*m * c1) / ((*v * c2).sqrt() + eps);
        }
    }
}
