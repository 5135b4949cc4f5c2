//#include "shared/activation.wgsl"
// Convolution over [n, c, h, w] with weights [o, c, kh, kw]. Positions before an image's first row or column wrap around
// to large unsigned numbers, so one comparison finds both edges.

struct ConvParams {
    n: u32,
    c: u32,
    h: u32,
    w: u32,
    o: u32,
    kh: u32,
    kw: u32,
    stride_y: u32,
    stride_x: u32,
    pad_y: u32,
    pad_x: u32,
    oh: u32,
    ow: u32,
    kind: u32,
    steepness: f32,
}

struct ConvGradParams {
    n: u32,
    c: u32,
    h: u32,
    w: u32,
    o: u32,
    kh: u32,
    kw: u32,
    stride_y: u32,
    stride_x: u32,
    pad_y: u32,
    pad_x: u32,
    oh: u32,
    ow: u32,
}

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: ConvParams;

@group(0) @binding(0) var<storage, read_write> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

@group(0) @binding(1) var<storage, read_write> dy_weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> dw: array<f32>;

@group(0) @binding(3) var<uniform> grad_params: ConvGradParams;

// One invocation per output element.
// reference: cpu::conv2d::forward
@compute @workgroup_size(64)
fn conv2d(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let p = params;
    let index = id.x + id.y * groups.x * 64u;
    if index >= p.n * p.o * p.oh * p.ow {
        return;
    }
    let ox = index % p.ow;
    let oy = index / p.ow % p.oh;
    let o = index / (p.ow * p.oh) % p.o;
    let n = index / (p.ow * p.oh * p.o);
    let y0 = oy * p.stride_y - p.pad_y;
    let x0 = ox * p.stride_x - p.pad_x;
    var sum = 0.0;
    for (var c = 0u; c < p.c; c++) {
        for (var ky = 0u; ky < p.kh; ky++) {
            let iy = y0 + ky;
            if iy >= p.h {
                continue;
            }
            let row = ((n * p.c + c) * p.h + iy) * p.w;
            let taps = ((o * p.c + c) * p.kh + ky) * p.kw;
            for (var kx = 0u; kx < p.kw; kx++) {
                let ix = x0 + kx;
                if ix < p.w {
                    sum += x[row + ix] * weight[taps + kx];
                }
            }
        }
    }
    y[index] = activate(p.kind, p.steepness, sum + bias[o]);
}

// One invocation per input element: it gathers from every output that it took part in.
// reference: cpu::conv2d::grad_input
@compute @workgroup_size(64)
fn conv2d_grad_input(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let p = grad_params;
    let index = id.x + id.y * groups.x * 64u;
    if index >= p.n * p.c * p.h * p.w {
        return;
    }
    let ix = index % p.w;
    let iy = index / p.w % p.h;
    let c = index / (p.w * p.h) % p.c;
    let n = index / (p.w * p.h * p.c);
    var sum = 0.0;
    for (var ky = 0u; ky < p.kh; ky++) {
        let sy = iy + p.pad_y - ky;
        let oy = sy / p.stride_y;
        if oy >= p.oh || oy * p.stride_y != sy {
            continue;
        }
        for (var kx = 0u; kx < p.kw; kx++) {
            let sx = ix + p.pad_x - kx;
            let ox = sx / p.stride_x;
            if ox >= p.ow || ox * p.stride_x != sx {
                continue;
            }
            for (var o = 0u; o < p.o; o++) {
                let output = ((n * p.o + o) * p.oh + oy) * p.ow + ox;
                sum += dy[output] * weight[((o * p.c + c) * p.kh + ky) * p.kw + kx];
            }
        }
    }
    dx[index] = sum;
}

var<workgroup> partial: array<vec4<f32>, 128>;

// One workgroup per tap (c, ky, kx) and four output channels: each invocation sums every 128th position, then the
// workgroup adds up in a tree. Channels beyond the last repeat it and are not stored.
// reference: cpu::conv2d::grad_weight
@compute @workgroup_size(128)
fn conv2d_grad_weight(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let p = grad_params;
    let taps = p.c * p.kh * p.kw;
    let index = group.x + group.y * groups.x;
    let tap = index % taps;
    let first = index / taps * 4u;
    if first >= p.o {
        return;
    }
    let kx = tap % p.kw;
    let ky = tap / p.kw % p.kh;
    let c = tap / (p.kw * p.kh);
    let plane = p.oh * p.ow;
    let last = p.o - 1u;
    let channels = vec4<u32>(first, min(first + 1u, last), min(first + 2u, last), min(first + 3u, last)) * plane;
    let positions = p.n * plane;
    var sum = vec4<f32>();
    for (var position = local.x; position < positions; position += 128u) {
        let n = position / plane;
        let at = position % plane;
        let iy = at / p.ow * p.stride_y + ky - p.pad_y;
        let ix = at % p.ow * p.stride_x + kx - p.pad_x;
        if iy < p.h && ix < p.w {
            let image = n * p.o * plane + at;
            let value = x[((n * p.c + c) * p.h + iy) * p.w + ix];
            sum += value * vec4<f32>(
                dy_weight[image + channels.x],
                dy_weight[image + channels.y],
                dy_weight[image + channels.z],
                dy_weight[image + channels.w],
            );
        }
    }
    partial[local.x] = sum;
    workgroupBarrier();
    for (var width = 64u; width > 0u; width /= 2u) {
        if local.x < width {
            partial[local.x] += partial[local.x + width];
        }
        workgroupBarrier();
    }
    if local.x < 4u && first + local.x < p.o {
        dw[(first + local.x) * taps + tap] = partial[0][local.x];
    }
}
