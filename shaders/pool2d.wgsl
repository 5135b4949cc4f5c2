// Pooling over planes of h x w. An element replaces a window's largest only when it compares greater, so the first of
// equals wins.

struct PoolParams {
    planes: u32,
    h: u32,
    w: u32,
    window_y: u32,
    window_x: u32,
    stride_y: u32,
    stride_x: u32,
    oh: u32,
    ow: u32,
}

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: PoolParams;

@group(0) @binding(1) var<storage, read_write> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<uniform> grad_params: PoolParams;

// Index into x of the largest element of the window whose first element is at `corner`.
fn largest(p: PoolParams, corner: u32) -> u32 {
    var at = corner;
    var best = x[corner];
    for (var ky = 0u; ky < p.window_y; ky++) {
        for (var kx = 0u; kx < p.window_x; kx++) {
            let candidate = corner + ky * p.w + kx;
            let value = x[candidate];
            if value > best {
                best = value;
                at = candidate;
            }
        }
    }
    return at;
}

// Index of the first element of the window behind output `index`.
fn window_corner(p: PoolParams, index: u32) -> u32 {
    let ox = index % p.ow;
    let oy = index / p.ow % p.oh;
    let plane = index / (p.ow * p.oh);
    return (plane * p.h + oy * p.stride_y) * p.w + ox * p.stride_x;
}

// reference: cpu::pool2d::max_forward
@compute @workgroup_size(64)
fn max_pool2d(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = id.x + id.y * groups.x * 64u;
    if index >= params.planes * params.oh * params.ow {
        return;
    }
    y[index] = x[largest(params, window_corner(params, index))];
}

// reference: cpu::pool2d::avg_forward
@compute @workgroup_size(64)
fn avg_pool2d(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let p = params;
    let index = id.x + id.y * groups.x * 64u;
    if index >= p.planes * p.oh * p.ow {
        return;
    }
    let corner = window_corner(p, index);
    var sum = 0.0;
    for (var ky = 0u; ky < p.window_y; ky++) {
        for (var kx = 0u; kx < p.window_x; kx++) {
            sum += x[corner + ky * p.w + kx];
        }
    }
    y[index] = sum / f32(p.window_y * p.window_x);
}

// First window along one dimension that covers `position`.
fn first_window(position: u32, window: u32, stride: u32) -> u32 {
    if position < window {
        return 0u;
    }
    return (position - window) / stride + 1u;
}

// One past the last window along one dimension that covers `position`.
fn end_window(position: u32, stride: u32, count: u32) -> u32 {
    return min(position / stride + 1u, count);
}

// One invocation per input element: it gathers from every window that it won.
// reference: cpu::pool2d::max_grad
@compute @workgroup_size(64)
fn max_pool2d_grad(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let p = grad_params;
    let index = id.x + id.y * groups.x * 64u;
    if index >= p.planes * p.h * p.w {
        return;
    }
    let ix = index % p.w;
    let iy = index / p.w % p.h;
    let plane = index / (p.w * p.h);
    let end_y = end_window(iy, p.stride_y, p.oh);
    let end_x = end_window(ix, p.stride_x, p.ow);
    var sum = 0.0;
    for (var oy = first_window(iy, p.window_y, p.stride_y); oy < end_y; oy++) {
        for (var ox = first_window(ix, p.window_x, p.stride_x); ox < end_x; ox++) {
            if largest(p, (plane * p.h + oy * p.stride_y) * p.w + ox * p.stride_x) == index {
                sum += dy[(plane * p.oh + oy) * p.ow + ox];
            }
        }
    }
    dx[index] = sum;
}

// One invocation per input element: it gathers its share of every window that covers it.
// reference: cpu::pool2d::avg_grad
@compute @workgroup_size(64)
fn avg_pool2d_grad(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let p = grad_params;
    let index = id.x + id.y * groups.x * 64u;
    if index >= p.planes * p.h * p.w {
        return;
    }
    // Bound like in max pooling, so that both gradients are called alike; its content does not matter.
    _ = x[index];
    let ix = index % p.w;
    let iy = index / p.w % p.h;
    let plane = index / (p.w * p.h);
    let end_y = end_window(iy, p.stride_y, p.oh);
    let end_x = end_window(ix, p.stride_x, p.ow);
    var sum = 0.0;
    for (var oy = first_window(iy, p.window_y, p.stride_y); oy < end_y; oy++) {
        for (var ox = first_window(ix, p.window_x, p.stride_x); ox < end_x; ox++) {
            sum += dy[(plane * p.oh + oy) * p.ow + ox];
        }
    }
    dx[index] = sum / f32(p.window_y * p.window_x);
}
