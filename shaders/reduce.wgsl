// Sum, mean or maximum over everything, over rows, or over columns, always in the same order.
//#include "shared/linear_index.wgsl"
//#include "shared/row.wgsl"

const SUM: u32 = 0u;
const MEAN: u32 = 1u;
const MAX: u32 = 2u;
const ALL_LANES: u32 = 256u;

struct Params {
    kind: u32,
    m: u32,
    n: u32,
}

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> all_lanes: array<f32, 256>;

fn start_value() -> f32 {
    return select(0.0, LOWEST, params.kind == MAX);
}

fn combine(a: f32, b: f32) -> f32 {
    if params.kind == MAX {
        return select(a, b, b > a);
    }
    return a + b;
}

fn finish(value: f32, count: u32) -> f32 {
    if params.kind == MEAN {
        return value / f32(count);
    }
    return value;
}

// One workgroup for everything: m is the number of elements.
// reference: cpu::reduce::everything_host
@compute @workgroup_size(256)
fn everything(@builtin(local_invocation_index) lane: u32) {
    var value = start_value();
    for (var i = lane; i < params.m; i = i + ALL_LANES) {
        value = combine(value, x[i]);
    }
    all_lanes[lane] = value;
    workgroupBarrier();
    for (var half = ALL_LANES / 2u; half > 0u; half = half / 2u) {
        if lane < half {
            all_lanes[lane] = combine(all_lanes[lane], all_lanes[lane + half]);
        }
        workgroupBarrier();
    }
    if lane == 0u {
        y[0] = finish(all_lanes[0], params.m);
    }
}

// [m,n] to [n]: one invocation per column.
// reference: cpu::reduce::over_rows_host
@compute @workgroup_size(256)
fn over_rows(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let j = linear_index(id, groups);
    if j >= params.n {
        return;
    }
    var value = start_value();
    for (var i = 0u; i < params.m; i = i + 1u) {
        value = combine(value, x[i * params.n + j]);
    }
    y[j] = finish(value, params.m);
}

// [m,n] to [m]: one workgroup per row.
// reference: cpu::reduce::over_cols_host
@compute @workgroup_size(64)
fn over_cols(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = row_index(group, groups);
    if row >= params.m {
        return;
    }
    var value = start_value();
    for (var j = lane; j < params.n; j = j + ROW_LANES) {
        value = combine(value, x[row * params.n + j]);
    }
    if params.kind == MAX {
        value = row_max(lane, value);
    } else {
        value = row_sum(lane, value);
    }
    if lane == 0u {
        y[row] = finish(value, params.n);
    }
}
