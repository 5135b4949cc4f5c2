//! Small programs in both forms.

use crate::program::{Access, BindingSpec, HostCall, Program};

const fn binding(name: &'static str, access: Access) -> BindingSpec {
    BindingSpec { name, access }
}

fn add(mut call: HostCall<'_>) {
    let [a, b] = call.reads_f32();
    let [out] = call.take_writes_f32();
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = a + b;
    }
}

/// `out = a + b`.
pub(super) static ADD: Program = Program {
    name: "add",
    wgsl: "@group(0) @binding(0) var<storage, read_write> a: array<f32>;
        @group(0) @binding(1) var<storage, read_write> b: array<f32>;
        @group(0) @binding(2) var<storage, read_write> out: array<f32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            if id.x < arrayLength(&out) { out[id.x] = a[id.x] + b[id.x]; }
        }",
    entry: "main",
    workgroup_size: [64, 1, 1],
    bindings: &[
        binding("a", Access::Read),
        binding("b", Access::Read),
        binding("out", Access::Write),
    ],
    params_words: 0,
    host: add,
};

fn scale(mut call: HostCall<'_>) {
    let factor = call.param_f32(0);
    let [values] = call.take_writes_f32();
    values.iter_mut().for_each(|value| *value *= factor);
}

/// `values *= factor`.
pub(super) static SCALE: Program = Program {
    name: "scale",
    wgsl: "struct Params { factor: f32, unused: u32 }
        @group(0) @binding(0) var<storage, read_write> values: array<f32>;
        @group(0) @binding(1) var<uniform> params: Params;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            if id.x < arrayLength(&values) { values[id.x] *= params.factor; }
        }",
    entry: "main",
    workgroup_size: [64, 1, 1],
    bindings: &[binding("values", Access::ReadWrite)],
    params_words: 2,
    host: scale,
};

fn blend(mut call: HostCall<'_>) {
    let [x, weights, offsets] = call.reads_f32();
    let [out] = call.take_writes_f32();
    for (((out, x), weight), offset) in out.iter_mut().zip(x).zip(weights).zip(offsets) {
        *out = x * weight + offset;
    }
}

/// `out = x * weights + offsets`, the latter two constants of the image.
pub(super) static BLEND: Program = Program {
    name: "blend",
    wgsl: "@group(0) @binding(0) var<storage, read_write> x: array<f32>;
        @group(0) @binding(1) var<storage, read> weights: array<f32>;
        @group(0) @binding(2) var<storage, read> offsets: array<f32>;
        @group(0) @binding(3) var<storage, read_write> out: array<f32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            if id.x < arrayLength(&out) { out[id.x] = x[id.x] * weights[id.x] + offsets[id.x]; }
        }",
    entry: "main",
    workgroup_size: [64, 1, 1],
    bindings: &[
        binding("x", Access::Read),
        binding("weights", Access::Constant),
        binding("offsets", Access::Constant),
        binding("out", Access::Write),
    ],
    params_words: 0,
    host: blend,
};
