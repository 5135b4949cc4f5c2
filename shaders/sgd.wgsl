// Stochastic gradient descent with momentum, Nesterov's too.
//#include "shared/linear_index.wgsl"

struct Params {
    len: u32,
}

@group(0) @binding(0) var<storage, read_write> grad: array<f32>;
// lr, momentum, weight_decay, nesterov (0 or 1)
@group(0) @binding(1) var<storage, read_write> hyper: array<f32>;
@group(0) @binding(2) var<storage, read_write> param: array<f32>;
@group(0) @binding(3) var<storage, read_write> velocity: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

// reference: cpu::sgd::step_host
@compute @workgroup_size(256)
fn step(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = linear_index(id, groups);
    if i < params.len {
        let g = grad[i] + hyper[2] * param[i];
        let v = hyper[1] * velocity[i] + g;
        velocity[i] = v;
        let direction = select(v, g + hyper[1] * v, hyper[3] != 0.0);
        param[i] = param[i] - hyper[0] * direction;
    }
}
