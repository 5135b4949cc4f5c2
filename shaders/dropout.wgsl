// Inverted dropout whose mask is a function of seed, salt and place alone.
//#include "shared/linear_index.wgsl"

struct Params {
    len: u32,
    salt: u32,
    threshold: u32,
    gain: f32,
}

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> seed: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

// The finaliser of MurmurHash3.
fn finalise(word: u32) -> u32 {
    var h = word;
    h = (h ^ (h >> 16u)) * 0x85ebca6bu;
    h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
    return h ^ (h >> 16u);
}

// reference: cpu::dropout::apply_host
@compute @workgroup_size(256)
fn apply(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = linear_index(id, groups);
    if i < params.len {
        let key = finalise(seed[0] ^ finalise(params.salt + 0x9e3779b9u));
        let word = finalise(finalise(i + key) ^ key);
        y[i] = select(0.0, params.gain * x[i], word >= params.threshold);
    }
}
