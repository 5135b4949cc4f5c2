// Batch normalisation of [n, c, spatial]: one workgroup per channel for training and the gradient, one invocation per
// element for inference.

struct NormParams {
    n: u32,
    c: u32,
    spatial: u32,
    eps: f32,
    momentum: f32,
}

struct NormGradParams {
    n: u32,
    c: u32,
    spatial: u32,
}

struct NormInferParams {
    n: u32,
    c: u32,
    spatial: u32,
    eps: f32,
}

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> gamma: array<f32>;
@group(0) @binding(2) var<storage, read_write> beta: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> inv_std: array<f32>;
@group(0) @binding(6) var<storage, read_write> running_mean: array<f32>;
@group(0) @binding(7) var<storage, read_write> running_var: array<f32>;
@group(0) @binding(8) var<uniform> params: NormParams;

@group(0) @binding(1) var<storage, read_write> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> grad_gamma: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad_mean: array<f32>;
@group(0) @binding(4) var<storage, read_write> grad_inv_std: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;
@group(0) @binding(6) var<storage, read_write> dgamma: array<f32>;
@group(0) @binding(7) var<storage, read_write> dbeta: array<f32>;
@group(0) @binding(8) var<uniform> grad_params: NormGradParams;

@group(0) @binding(3) var<storage, read_write> given_mean: array<f32>;
@group(0) @binding(4) var<storage, read_write> given_var: array<f32>;
@group(0) @binding(5) var<storage, read_write> infer_y: array<f32>;
@group(0) @binding(6) var<uniform> infer_params: NormInferParams;

var<workgroup> partial: array<vec2<f32>, 128>;

// The sum of `value` over the workgroup, for every invocation of it.
fn workgroup_sum(local: u32, value: vec2<f32>) -> vec2<f32> {
    partial[local] = value;
    workgroupBarrier();
    for (var width = 64u; width > 0u; width /= 2u) {
        if local < width {
            partial[local] += partial[local + width];
        }
        workgroupBarrier();
    }
    let sum = partial[0];
    workgroupBarrier();
    return sum;
}

// Index of element `i` of a channel.
fn element(i: u32, channel: u32, channels: u32, spatial: u32) -> u32 {
    return (i / spatial * channels + channel) * spatial + i % spatial;
}

// reference: cpu::batch_norm::forward
@compute @workgroup_size(128)
fn batch_norm(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let p = params;
    let channel = group.x + group.y * groups.x;
    if channel >= p.c {
        return;
    }
    let count = p.n * p.spatial;
    var sum = 0.0;
    for (var i = local.x; i < count; i += 128u) {
        sum += x[element(i, channel, p.c, p.spatial)];
    }
    let average = workgroup_sum(local.x, vec2<f32>(sum, 0.0)).x / f32(count);
    var squares = 0.0;
    for (var i = local.x; i < count; i += 128u) {
        let deviation = x[element(i, channel, p.c, p.spatial)] - average;
        squares += deviation * deviation;
    }
    let total = workgroup_sum(local.x, vec2<f32>(squares, 0.0)).x;
    let scale = 1.0 / sqrt(total / f32(count) + p.eps);
    for (var i = local.x; i < count; i += 128u) {
        let at = element(i, channel, p.c, p.spatial);
        y[at] = (x[at] - average) * scale * gamma[channel] + beta[channel];
    }
    if local.x == 0u {
        let unbiased = total / f32(max(count - 1u, 1u));
        mean[channel] = average;
        inv_std[channel] = scale;
        running_mean[channel] = (1.0 - p.momentum) * running_mean[channel] + p.momentum * average;
        running_var[channel] = (1.0 - p.momentum) * running_var[channel] + p.momentum * unbiased;
    }
}

// reference: cpu::batch_norm::grad
@compute @workgroup_size(128)
fn batch_norm_grad(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let p = grad_params;
    let channel = group.x + group.y * groups.x;
    if channel >= p.c {
        return;
    }
    let count = p.n * p.spatial;
    let average = grad_mean[channel];
    let scale = grad_inv_std[channel];
    var sums = vec2<f32>();
    for (var i = local.x; i < count; i += 128u) {
        let at = element(i, channel, p.c, p.spatial);
        sums += dy[at] * vec2<f32>(1.0, (x[at] - average) * scale);
    }
    sums = workgroup_sum(local.x, sums);
    let means = sums / f32(count);
    let factor = grad_gamma[channel] * scale;
    for (var i = local.x; i < count; i += 128u) {
        let at = element(i, channel, p.c, p.spatial);
        dx[at] = factor * (dy[at] - means.x - (x[at] - average) * scale * means.y);
    }
    if local.x == 0u {
        dbeta[channel] = sums.x;
        dgamma[channel] = sums.y;
    }
}

// reference: cpu::batch_norm::infer
@compute @workgroup_size(64)
fn batch_norm_infer(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let p = infer_params;
    let index = id.x + id.y * groups.x * 64u;
    if index >= p.n * p.c * p.spatial {
        return;
    }
    let channel = index / p.spatial % p.c;
    let scale = 1.0 / sqrt(given_var[channel] + p.eps);
    infer_y[index] = (x[index] - given_mean[channel]) * scale * gamma[channel] + beta[channel];
}
