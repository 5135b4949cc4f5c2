// Whether the largest logit of a row is the label's; the first of equals is the largest.

struct Params {
    m: u32,
    n: u32,
}

const LOWEST: f32 = -3.4028234e38;
const NONE: u32 = 0xffffffffu;

@group(0) @binding(0) var<storage, read_write> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> hits: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> values: array<f32, 64>;
var<workgroup> places: array<u32, 64>;

// reference: cpu::top1::rows_host
@compute @workgroup_size(64)
fn rows(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    if row >= params.m {
        return;
    }
    let start = row * params.n;
    var value = LOWEST;
    var place = NONE;
    for (var j = lane; j < params.n; j = j + 64u) {
        let x = logits[start + j];
        if x > value || (x == value && place == NONE) {
            value = x;
            place = j;
        }
    }
    values[lane] = value;
    places[lane] = place;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half = half / 2u) {
        if lane < half {
            let x = values[lane + half];
            let j = places[lane + half];
            if x > values[lane] || (x == values[lane] && j < places[lane]) {
                values[lane] = x;
                places[lane] = j;
            }
        }
        workgroupBarrier();
    }
    if lane == 0u {
        hits[row] = select(0.0, weights[row], labels[row] < params.n && places[0] == labels[row]);
    }
}
