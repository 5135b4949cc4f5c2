// Softmax over rows.
//#include "shared/math.wgsl"
//#include "shared/row.wgsl"

struct Params {
    m: u32,
    n: u32,
}

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

// reference: cpu::softmax::rows_host
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
    var most = LOWEST;
    for (var j = lane; j < params.n; j = j + ROW_LANES) {
        most = max(most, x[start + j]);
    }
    most = row_max(lane, most);
    var sum = 0.0;
    for (var j = lane; j < params.n; j = j + ROW_LANES) {
        sum = sum + math_exp(x[start + j] - most);
    }
    sum = row_sum(lane, sum);
    for (var j = lane; j < params.n; j = j + ROW_LANES) {
        y[start + j] = math_exp(x[start + j] - most) / sum;
    }
}
