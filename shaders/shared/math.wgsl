// Transcendental functions from additions and multiplications alone: the same on every adapter, unlike the builtins,
// whose precision WGSL leaves open. Coefficients: Cephes single precision. The host twin is src/cpu/math.rs.

// 0 below -87, saturates above 88, so that neither infinities nor subnormal numbers appear.
fn math_exp(x: f32) -> f32 {
    let bounded = clamp(x, -87.0, 88.0);
    let n = round(bounded * 1.44269504);
    let r = (bounded - n * 0.693359375) - n * -2.12194440e-4;
    var p = 1.9875691500e-4;
    p = p * r + 1.3981999507e-3;
    p = p * r + 8.3334519073e-3;
    p = p * r + 4.1665795894e-2;
    p = p * r + 1.6666665459e-1;
    p = p * r + 5.0000001201e-1;
    let value = (p * (r * r) + r + 1.0) * bitcast<f32>(u32(i32(n) + 127) << 23u);
    return select(value, 0.0, x < -87.0);
}

// For positive normal numbers.
fn math_log(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    var exponent = f32(i32(bits >> 23u) - 126);
    var m = bitcast<f32>((bits & 0x007fffffu) | 0x3f000000u);
    if m < 0.70710678 {
        exponent = exponent - 1.0;
        m = m + m;
    }
    m = m - 1.0;
    let z = m * m;
    var p = 7.0376836292e-2;
    p = p * m - 1.1514610310e-1;
    p = p * m + 1.1676998740e-1;
    p = p * m - 1.2420140846e-1;
    p = p * m + 1.4249322787e-1;
    p = p * m - 1.6668057665e-1;
    p = p * m + 2.0000714765e-1;
    p = p * m - 2.4999993993e-1;
    p = p * m + 3.3333331174e-1;
    let y = (p * m * z + exponent * -2.12194440e-4) - 0.5 * z;
    return (m + y) + exponent * 0.693359375;
}

fn math_tanh(x: f32) -> f32 {
    let a = abs(x);
    let z = x * x;
    var p = -5.70498872745e-3;
    p = p * z + 2.06390887954e-2;
    p = p * z - 5.37397155531e-2;
    p = p * z + 1.33314422036e-1;
    p = p * z - 3.33332819422e-1;
    let small = p * z * x + x;
    let large = 1.0 - 2.0 / (math_exp(a + a) + 1.0);
    return select(select(large, -large, x < 0.0), small, a < 0.625);
}

fn math_quadrant_sin(r: f32, quadrant: i32) -> f32 {
    let z = r * r;
    let s = ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * r + r;
    let c = ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z - 0.5 * z + 1.0;
    let value = select(s, c, (quadrant & 1) == 1);
    return select(value, -value, (quadrant & 2) == 2);
}

fn math_reduce(x: f32, n: f32) -> f32 {
    return ((x - n * 1.5703125) - n * 4.837512969970703125e-4) - n * 7.54978995489188216e-8;
}

// For arguments within +-8192; further out, the value at that end.
fn math_sin(x: f32) -> f32 {
    let bounded = clamp(x, -8192.0, 8192.0);
    let n = round(bounded * 0.63661977);
    return math_quadrant_sin(math_reduce(bounded, n), i32(n));
}

fn math_cos(x: f32) -> f32 {
    let bounded = clamp(x, -8192.0, 8192.0);
    let n = round(bounded * 0.63661977);
    return math_quadrant_sin(math_reduce(bounded, n), i32(n) + 1);
}
