//! A step of gradient descent, twin of `shaders/sgd.wgsl`.

use daa_gpu_core::HostCall;

/// Host form of `sgd.step`.
pub(crate) fn step_host(mut call: HostCall<'_>) {
    let [grad, hyper] = call.reads_f32();
    let [param, velocity] = call.take_writes_f32();
    let [lr, momentum, decay, nesterov] = [hyper[0], hyper[1], hyper[2], hyper[3]];
    let nesterov = nesterov != 0.0;
    for ((p, v), g) in param.iter_mut().zip(velocity).zip(grad) {
        let g = g + decay * *p;
        *v = momentum * *v + g;
        let direction = if nesterov { g + momentum * *v } else { *v };
        *p -= lr * direction;
    }
}
