// Adam and AdamW.
//#include "shared/linear_index.wgsl"

struct Params {
    len: u32,
}

@group(0) @binding(0) var<storage, read_write> grad: array<f32>;
// lr, beta1, beta2, eps, weight_decay (decoupled), l2, 1/(1-beta1^t), 1/(1-beta2^t)
@group(0) @binding(1) var<storage, read_write> hyper: array<f32>;
@group(0) @binding(2) var<storage, read_write> param: array<f32>;
@group(0) @binding(3) var<storage, read_write> first: array<f32>;
@group(0) @binding(4) var<storage, read_write> second: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

// reference: cpu::adam::step_host
@compute @workgroup_size(256)
fn step(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = linear_index(id, groups);
    if i < params.len {
        let g = grad[i] + hyper[5] * param[i];
        let m = hyper[1] * first[i] + (1.0 - hyper[1]) * g;
        let v = hyper[2] * second[i] + (1.0 - hyper[2]) * (g * g);
        first[i] = m;
        second[i] = v;
        let decayed = param[i] - hyper[0] * hyper[4] * param[i];
        param[i] = decayed - hyper[0] * (m * hyper[6]) / (sqrt(v * hyper[7]) + hyper[3]);
    }
}
