// The activations of src/activation.rs, by code. The host twin is src/cpu/activation.rs.
//#include "shared/math.wgsl"

const ACT_THRESHOLD: u32 = 1u;
const ACT_THRESHOLD_SYMMETRIC: u32 = 2u;
const ACT_SIGMOID: u32 = 3u;
const ACT_SIGMOID_SYMMETRIC: u32 = 4u;
const ACT_TANH: u32 = 5u;
const ACT_GAUSSIAN: u32 = 6u;
const ACT_GAUSSIAN_SYMMETRIC: u32 = 7u;
const ACT_ELLIOT: u32 = 8u;
const ACT_ELLIOT_SYMMETRIC: u32 = 9u;
const ACT_LINEAR_PIECE: u32 = 10u;
const ACT_LINEAR_PIECE_SYMMETRIC: u32 = 11u;
const ACT_RELU: u32 = 12u;
const ACT_RELU_LEAKY: u32 = 13u;
const ACT_SIN: u32 = 14u;
const ACT_COS: u32 = 15u;
const ACT_SIN_SYMMETRIC: u32 = 16u;
const ACT_COS_SYMMETRIC: u32 = 17u;
const ACT_GELU: u32 = 18u;
const ACT_SILU: u32 = 19u;

// sqrt(2/pi), twice: sigma(2z) = (1 + tanh(z)) / 2 without cancellation.
const GELU_SCALE: f32 = 1.5957691216;
const GELU_CUBIC: f32 = 0.044715;

// The value at x with steepness s. Any other code is linear.
fn activate(kind: u32, s: f32, x: f32) -> f32 {
    let u = s * x;
    switch kind {
        case ACT_THRESHOLD: { return select(1.0, 0.0, x < 0.0); }
        case ACT_THRESHOLD_SYMMETRIC: { return select(1.0, -1.0, x < 0.0); }
        case ACT_SIGMOID: { return 1.0 / (1.0 + math_exp(-2.0 * u)); }
        case ACT_SIGMOID_SYMMETRIC, ACT_TANH: { return math_tanh(u); }
        case ACT_GAUSSIAN: { return math_exp(-(u * u)); }
        case ACT_GAUSSIAN_SYMMETRIC: { return 2.0 * math_exp(-(u * u)) - 1.0; }
        case ACT_ELLIOT: { return 0.5 * u / (1.0 + abs(u)) + 0.5; }
        case ACT_ELLIOT_SYMMETRIC: { return u / (1.0 + abs(u)); }
        case ACT_LINEAR_PIECE: { return clamp(u, 0.0, 1.0); }
        case ACT_LINEAR_PIECE_SYMMETRIC: { return clamp(u, -1.0, 1.0); }
        case ACT_RELU: { return max(u, 0.0); }
        case ACT_RELU_LEAKY: { return select(0.01 * u, u, u > 0.0); }
        case ACT_SIN: { return 0.5 * math_sin(u) + 0.5; }
        case ACT_COS: { return 0.5 * math_cos(u) + 0.5; }
        case ACT_SIN_SYMMETRIC: { return math_sin(u); }
        case ACT_COS_SYMMETRIC: { return math_cos(u); }
        case ACT_GELU: {
            let b = clamp(u, -20.0, 20.0);
            return u / (1.0 + math_exp(-GELU_SCALE * (b + GELU_CUBIC * b * b * b)));
        }
        case ACT_SILU: { return u / (1.0 + math_exp(-u)); }
        default: { return u; }
    }
}

// dy times the derivative; v is the function's argument or its value, whichever the table in src/activation.rs says.
fn activate_grad(kind: u32, s: f32, v: f32, dy: f32) -> f32 {
    let g = s * dy;
    switch kind {
        case ACT_THRESHOLD, ACT_THRESHOLD_SYMMETRIC: { return 0.0; }
        case ACT_SIGMOID: { return g * (2.0 * v * (1.0 - v)); }
        case ACT_SIGMOID_SYMMETRIC, ACT_TANH: { return g * ((1.0 - v) * (1.0 + v)); }
        case ACT_GAUSSIAN: { let u = s * v; return g * (-2.0 * u * math_exp(-(u * u))); }
        case ACT_GAUSSIAN_SYMMETRIC: { let u = s * v; return g * (-4.0 * u * math_exp(-(u * u))); }
        case ACT_ELLIOT: { let rest = 1.0 - abs(2.0 * v - 1.0); return g * (0.5 * rest * rest); }
        case ACT_ELLIOT_SYMMETRIC: { let rest = 1.0 - abs(v); return g * (rest * rest); }
        case ACT_LINEAR_PIECE: { return select(0.0, g, v > 0.0 && v < 1.0); }
        case ACT_LINEAR_PIECE_SYMMETRIC: { return select(0.0, g, v > -1.0 && v < 1.0); }
        case ACT_RELU: { return select(0.0, g, v > 0.0); }
        case ACT_RELU_LEAKY: { return select(0.01 * g, g, v > 0.0); }
        case ACT_SIN: { return g * (0.5 * math_cos(s * v)); }
        case ACT_COS: { return g * (-0.5 * math_sin(s * v)); }
        case ACT_SIN_SYMMETRIC: { return g * math_cos(s * v); }
        case ACT_COS_SYMMETRIC: { return g * -math_sin(s * v); }
        case ACT_GELU: {
            let b = clamp(s * v, -20.0, 20.0);
            let e = math_exp(-GELU_SCALE * (b + GELU_CUBIC * b * b * b));
            let p = 1.0 / (1.0 + e);
            return g * (p + b * p * (e * p) * (GELU_SCALE * (1.0 + 3.0 * GELU_CUBIC * b * b)));
        }
        case ACT_SILU: {
            let u = clamp(s * v, -88.0, 88.0);
            let e = math_exp(-u);
            let p = 1.0 / (1.0 + e);
            return g * (p + u * p * (e * p));
        }
        default: { return g; }
    }
}
