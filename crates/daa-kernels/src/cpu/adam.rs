//! A step of Adam or `AdamW`, twin of `shaders/adam.wgsl`.

use daa_gpu_core::HostCall;

/// Host form of `adam.step`.
pub(crate) fn step_host(mut call: HostCall<'_>) {
    let [grad, hyper] = call.reads_f32();
    let [param, first, second] = call.take_writes_f32();
    let [lr, beta1, beta2, eps, decay, l2, c1, c2]: [f32; 8] = std::array::from_fn(|i| hyper[i]);
    for (((p, m), v), g) in param.iter_mut().zip(first).zip(second).zip(grad) {
        let g = g + l2 * *p;
        *m = beta1 * *m + (1.0 - beta1) * g;
        *v = beta2 * *v + (1.0 - beta2) * (g * g);
        let decayed = *p - lr * decay * *p;
        *p = decayed - lr * (*m * c1) / ((*v * c2).sqrt() + eps);
    }
}
