// Softmax followed by cross entropy against labels, and its gradient by the logits.
//#include "shared/math.wgsl"
//#include "shared/row.wgsl"

struct Params {
    m: u32,
    n: u32,
}

struct BackwardParams {
    m: u32,
    n: u32,
    scale: f32,
}

@group(0) @binding(0) var<storage, read_write> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(3) var<storage, read_write> dlogits: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;
@group(0) @binding(4) var<uniform> backward_params: BackwardParams;

// A label beyond the classes weighs nothing, so that it reads nothing out of bounds.
fn weight_of(row: u32, n: u32) -> f32 {
    return select(0.0, weights[row], labels[row] < n);
}

fn most_of(start: u32, n: u32, lane: u32) -> f32 {
    var most = LOWEST;
    for (var j = lane; j < n; j = j + ROW_LANES) {
        most = max(most, logits[start + j]);
    }
    return row_max(lane, most);
}

fn sum_of(start: u32, n: u32, lane: u32, most: f32) -> f32 {
    var sum = 0.0;
    for (var j = lane; j < n; j = j + ROW_LANES) {
        sum = sum + math_exp(logits[start + j] - most);
    }
    return row_sum(lane, sum);
}

// reference: cpu::cross_entropy::rows_host
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
    let most = most_of(start, params.n, lane);
    let sum = sum_of(start, params.n, lane, most);
    if lane == 0u {
        let weight = weight_of(row, params.n);
        var loss = 0.0;
        if weight != 0.0 {
            loss = weight * (math_log(sum) - (logits[start + labels[row]] - most));
        }
        losses[row] = loss;
    }
}

// reference: cpu::cross_entropy::backward_host
@compute @workgroup_size(64)
fn backward(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = row_index(group, groups);
    if row >= backward_params.m {
        return;
    }
    let start = row * backward_params.n;
    let most = most_of(start, backward_params.n, lane);
    let sum = sum_of(start, backward_params.n, lane, most);
    let weight = weight_of(row, backward_params.n);
    let factor = backward_params.scale * weight;
    for (var j = lane; j < backward_params.n; j = j + ROW_LANES) {
        let p = math_exp(logits[start + j] - most) / sum;
        let hit = select(0.0, 1.0, j == labels[row]);
        dlogits[start + j] = select(0.0, factor * (p - hit), weight != 0.0);
    }
}
