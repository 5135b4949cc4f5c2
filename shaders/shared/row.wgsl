// One workgroup of 64 per row, rows spread over x and y; sums and maxima over the row in a fixed order.
const ROW_LANES: u32 = 64u;
const LOWEST: f32 = -3.4028234e38;

var<workgroup> row_lanes: array<f32, 64>;

fn row_index(group: vec3u, groups: vec3u) -> u32 {
    return group.x + group.y * groups.x;
}

fn row_sum(lane: u32, value: f32) -> f32 {
    row_lanes[lane] = value;
    workgroupBarrier();
    for (var half = ROW_LANES / 2u; half > 0u; half = half / 2u) {
        if lane < half {
            row_lanes[lane] = row_lanes[lane] + row_lanes[lane + half];
        }
        workgroupBarrier();
    }
    let sum = row_lanes[0];
    workgroupBarrier();
    return sum;
}

fn row_max(lane: u32, value: f32) -> f32 {
    row_lanes[lane] = value;
    workgroupBarrier();
    for (var half = ROW_LANES / 2u; half > 0u; half = half / 2u) {
        if lane < half && row_lanes[lane + half] > row_lanes[lane] {
            row_lanes[lane] = row_lanes[lane + half];
        }
        workgroupBarrier();
    }
    let most = row_lanes[0];
    workgroupBarrier();
    return most;
}
