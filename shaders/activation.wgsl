// Activations and their gradients, element by element.
//#include "shared/activation.wgsl"
//#include "shared/linear_index.wgsl"

struct Params {
    len: u32,
    kind: u32,
    steepness: f32,
}

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> forward_params: Params;

@group(0) @binding(0) var<storage, read_write> v: array<f32>;
@group(0) @binding(1) var<storage, read_write> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<uniform> backward_params: Params;

// reference: cpu::activation::forward_host
@compute @workgroup_size(256)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = linear_index(id, groups);
    if i < forward_params.len {
        y[i] = activate(forward_params.kind, forward_params.steepness, x[i]);
    }
}

// reference: cpu::activation::backward_host
@compute @workgroup_size(256)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = linear_index(id, groups);
    if i < backward_params.len {
        dx[i] = activate_grad(backward_params.kind, backward_params.steepness, v[i], dy[i]);
    }
}
