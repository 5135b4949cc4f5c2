// Sums, products and multiples, element by element.
//#include "shared/linear_index.wgsl"

struct Params {
    len: u32,
}

struct ScaleParams {
    len: u32,
    factor: f32,
}

@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> scale_params: ScaleParams;

@group(0) @binding(1) var<storage, read_write> acc: array<f32>;
@group(0) @binding(2) var<uniform> accumulate_params: Params;

// reference: cpu::elementwise::add_host
@compute @workgroup_size(256)
fn add(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = linear_index(id, groups);
    if i < params.len {
        c[i] = a[i] + b[i];
    }
}

// reference: cpu::elementwise::sub_host
@compute @workgroup_size(256)
fn sub(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = linear_index(id, groups);
    if i < params.len {
        c[i] = a[i] - b[i];
    }
}

// reference: cpu::elementwise::mul_host
@compute @workgroup_size(256)
fn mul(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = linear_index(id, groups);
    if i < params.len {
        c[i] = a[i] * b[i];
    }
}

// reference: cpu::elementwise::scale_host
@compute @workgroup_size(256)
fn scale(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = linear_index(id, groups);
    if i < scale_params.len {
        y[i] = scale_params.factor * x[i];
    }
}

// reference: cpu::elementwise::accumulate_host
@compute @workgroup_size(256)
fn accumulate(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = linear_index(id, groups);
    if i < accumulate_params.len {
        acc[i] = acc[i] + x[i];
    }
}
