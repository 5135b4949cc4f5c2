//#include "shared/activation.wgsl"
// Matrix products. A workgroup of 16x16 computes a 64x64 tile of the result, 4x4 elements per invocation, from slabs of
// 16 columns of the left and 16 rows of the right operand that it stages in workgroup memory. Slabs are padded with
// zeros, so every size works. All control flow around barriers depends on parameters only.

struct MatmulParams {
    m: u32,
    k: u32,
    n: u32,
    transpose_a: u32,
    transpose_b: u32,
}

struct LinearParams {
    m: u32,
    k: u32,
    n: u32,
    kind: u32,
    steepness: f32,
}

@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
@group(0) @binding(3) var<uniform> params: MatmulParams;

@group(0) @binding(2) var<storage, read_write> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> linear_params: LinearParams;

// Element [depth][quad] holds four neighbouring rows of the left, or columns of the right operand. One column of padding
// keeps the invocations that store along the depth off one another's banks.
const ROW: u32 = 17u;
var<workgroup> a_slab: array<vec4<f32>, 272>;
var<workgroup> b_slab: array<vec4<f32>, 272>;

// The four accumulator rows of one invocation.
struct Block {
    r0: vec4<f32>,
    r1: vec4<f32>,
    r2: vec4<f32>,
    r3: vec4<f32>,
}

// a[row][depth] of the m x k left operand, zero outside of it.
fn load_a(row: u32, depth: u32, m: u32, k: u32, transposed: bool) -> f32 {
    if row >= m || depth >= k {
        return 0.0;
    }
    return a[select(row * k + depth, depth * m + row, transposed)];
}

// b[depth][column] of the k x n right operand, zero outside of it.
fn load_b(depth: u32, column: u32, k: u32, n: u32, transposed: bool) -> f32 {
    if depth >= k || column >= n {
        return 0.0;
    }
    return b[select(depth * n + column, column * k + depth, transposed)];
}

// Stages one slab that begins at `depth`. The invocations are laid out so that neighbours read neighbouring words.
fn stage(local: u32, row: u32, column: u32, depth: u32, m: u32, k: u32, n: u32, ta: bool, tb: bool) {
    let slow = local / 16u;
    let fast = local % 16u;
    let a_quad = select(slow, fast, ta);
    let a_depth = select(fast, slow, ta);
    let ra = row + a_quad * 4u;
    let da = depth + a_depth;
    a_slab[a_depth * ROW + a_quad] = vec4<f32>(
        load_a(ra, da, m, k, ta),
        load_a(ra + 1u, da, m, k, ta),
        load_a(ra + 2u, da, m, k, ta),
        load_a(ra + 3u, da, m, k, ta),
    );
    let b_quad = select(fast, slow, tb);
    let b_depth = select(slow, fast, tb);
    let cb = column + b_quad * 4u;
    let db = depth + b_depth;
    b_slab[b_depth * ROW + b_quad] = vec4<f32>(
        load_b(db, cb, k, n, tb),
        load_b(db, cb + 1u, k, n, tb),
        load_b(db, cb + 2u, k, n, tb),
        load_b(db, cb + 3u, k, n, tb),
    );
}

// Adds one depth of the slab to the block.
fn outer_product(block: Block, left: vec4<f32>, right: vec4<f32>) -> Block {
    return Block(
        block.r0 + left.x * right,
        block.r1 + left.y * right,
        block.r2 + left.z * right,
        block.r3 + left.w * right,
    );
}

// The block of this invocation: rows from `row + 4 * ly`, columns from `column + 4 * lx`.
fn product(lx: u32, ly: u32, row: u32, column: u32, m: u32, k: u32, n: u32, ta: bool, tb: bool) -> Block {
    var block = Block(vec4<f32>(), vec4<f32>(), vec4<f32>(), vec4<f32>());
    let slabs = (k + 15u) / 16u;
    for (var slab = 0u; slab < slabs; slab++) {
        stage(ly * 16u + lx, row, column, slab * 16u, m, k, n, ta, tb);
        workgroupBarrier();
        for (var depth = 0u; depth < 16u; depth += 4u) {
            let at = depth * ROW;
            block = outer_product(block, a_slab[at + ly], b_slab[at + lx]);
            block = outer_product(block, a_slab[at + ROW + ly], b_slab[at + ROW + lx]);
            block = outer_product(block, a_slab[at + 2u * ROW + ly], b_slab[at + 2u * ROW + lx]);
            block = outer_product(block, a_slab[at + 3u * ROW + ly], b_slab[at + 3u * ROW + lx]);
        }
        workgroupBarrier();
    }
    return block;
}

fn store_c(row: u32, column: u32, values: vec4<f32>) {
    if row >= params.m {
        return;
    }
    let at = row * params.n + column;
    if column < params.n {
        c[at] = values.x;
    }
    if column + 1u < params.n {
        c[at + 1u] = values.y;
    }
    if column + 2u < params.n {
        c[at + 2u] = values.z;
    }
    if column + 3u < params.n {
        c[at + 3u] = values.w;
    }
}

// reference: cpu::matmul::matmul
@compute @workgroup_size(16, 16)
fn matmul(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let row = group.y * 64u;
    let column = group.x * 64u;
    let ta = params.transpose_a != 0u;
    let tb = params.transpose_b != 0u;
    let block = product(local.x, local.y, row, column, params.m, params.k, params.n, ta, tb);
    let first_row = row + local.y * 4u;
    let first_column = column + local.x * 4u;
    store_c(first_row, first_column, block.r0);
    store_c(first_row + 1u, first_column, block.r1);
    store_c(first_row + 2u, first_column, block.r2);
    store_c(first_row + 3u, first_column, block.r3);
}

fn store_y(row: u32, column: u32, value: f32) {
    if row >= linear_params.m || column >= linear_params.n {
        return;
    }
    let result = activate(linear_params.kind, linear_params.steepness, value + bias[column]);
    y[row * linear_params.n + column] = result;
}

// reference: cpu::matmul::linear
@compute @workgroup_size(16, 16)
fn linear(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let row = group.y * 64u;
    let column = group.x * 64u;
    let p = linear_params;
    let block = product(local.x, local.y, row, column, p.m, p.k, p.n, false, false);
    var rows = array<vec4<f32>, 4>(block.r0, block.r1, block.r2, block.r3);
    let first_row = row + local.y * 4u;
    let first_column = column + local.x * 4u;
    for (var i = 0u; i < 4u; i++) {
        for (var j = 0u; j < 4u; j++) {
            store_y(first_row + i, first_column + j, rows[i][j]);
        }
    }
}
