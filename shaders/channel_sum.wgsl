// Sums of [n, c, spatial] over all but c: one workgroup per channel.

struct ChannelParams {
    n: u32,
    c: u32,
    spatial: u32,
}

@group(0) @binding(0) var<storage, read_write> dy: array<f32>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
@group(0) @binding(2) var<uniform> params: ChannelParams;

var<workgroup> partial: array<f32, 128>;

// reference: cpu::channel_sum::channel_sum
@compute @workgroup_size(128)
fn channel_sum(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let channel = group.x + group.y * groups.x;
    if channel >= params.c {
        return;
    }
    let spatial = params.spatial;
    let count = params.n * spatial;
    var sum = 0.0;
    for (var i = local.x; i < count; i += 128u) {
        sum += dy[(i / spatial * params.c + channel) * spatial + i % spatial];
    }
    partial[local.x] = sum;
    workgroupBarrier();
    for (var width = 64u; width > 0u; width /= 2u) {
        if local.x < width {
            partial[local.x] += partial[local.x + width];
        }
        workgroupBarrier();
    }
    if local.x == 0u {
        sums[channel] = partial[0];
    }
}
