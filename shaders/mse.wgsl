// Mean squared error over rows, and its gradient by the prediction.
//#include "shared/linear_index.wgsl"
//#include "shared/row.wgsl"

struct Params {
    m: u32,
    n: u32,
}

struct BackwardParams {
    len: u32,
    n: u32,
    factor: f32,
}

@group(0) @binding(0) var<storage, read_write> prediction: array<f32>;
@group(0) @binding(1) var<storage, read_write> expected: array<f32>;
@group(0) @binding(2) var<storage, read_write> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(3) var<storage, read_write> dprediction: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;
@group(0) @binding(4) var<uniform> backward_params: BackwardParams;

// reference: cpu::mse::rows_host
@compute @workgroup_size(64)
fn rows(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = row_index(group, groups);
    if row >= params.m {
        return;
    }
    let start = row * params.n;
    var sum = 0.0;
    for (var j = lane; j < params.n; j = j + ROW_LANES) {
        let d = prediction[start + j] - expected[start + j];
        sum = sum + d * d;
    }
    sum = row_sum(lane, sum);
    if lane == 0u {
        let weight = weights[row];
        losses[row] = select(0.0, weight * (sum / f32(params.n)), weight != 0.0);
    }
}

// reference: cpu::mse::backward_host
@compute @workgroup_size(256)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = linear_index(id, groups);
    if i < backward_params.len {
        let weight = weights[i / backward_params.n];
        let d = prediction[i] - expected[i];
        dprediction[i] = select(0.0, backward_params.factor * weight * d, weight != 0.0);
    }
}
