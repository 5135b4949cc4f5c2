//! Transcendental functions from additions and multiplications alone, twins of `shaders/shared/math.wgsl`.
//!
//! They are the same on every machine, unlike a C library's, and compilers vectorise them. Coefficients: Cephes, single
//! precision (S. Moshier). NaN stays NaN.

/// Adding and subtracting it rounds a small number to the nearest integer, ties to even.
const ROUND: f32 = 12_582_912.0;
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

#[inline]
fn round(x: f32) -> f32 {
    (x + ROUND) - ROUND
}

/// `e^x`; 0 below -87, saturates above 88, so that neither infinities nor subnormal numbers appear.
#[inline]
#[must_use]
pub fn exp(x: f32) -> f32 {
    let bounded = x.clamp(-87.0, 88.0);
    let n = round(bounded * std::f32::consts::LOG2_E);
    let r = (bounded - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 0.166_666_65;
    p = p * r + 0.5;
    // The low bits of the shifted number are n itself, so that no conversion is needed.
    let exponent = (n + ROUND).to_bits().wrapping_add(127) << 23;
    let value = (p * (r * r) + r + 1.0) * f32::from_bits(exponent);
    if x < -87.0 { 0.0 } else { value }
}

/// The natural logarithm, for positive normal numbers.
#[inline]
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    reason = "an exponent has 8 bits"
)]
pub fn log(x: f32) -> f32 {
    let bits = x.to_bits();
    let exponent = ((bits >> 23) as i32 - 126) as f32;
    let m = f32::from_bits((bits & 0x007f_ffff) | 0x3f00_0000);
    let low = m < std::f32::consts::FRAC_1_SQRT_2;
    let exponent = if low { exponent - 1.0 } else { exponent };
    let m = (if low { m + m } else { m }) - 1.0;
    let z = m * m;
    let mut p = 7.037_683_6e-2;
    p = p * m - 0.115_146_1;
    p = p * m + 0.116_769_99;
    p = p * m - 0.124_201_41;
    p = p * m + 0.142_493_23;
    p = p * m - 0.166_680_58;
    p = p * m + 0.200_007_15;
    p = p * m - 0.249_999_94;
    p = p * m + 0.333_333_3;
    let y = (p * m * z + exponent * LN2_LOW) - 0.5 * z;
    let value = (m + y) + exponent * LN2_HIGH;
    if x.is_nan() { x } else { value }
}

/// The hyperbolic tangent.
#[inline]
#[must_use]
pub fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let z = x * x;
    let mut p = -5.704_988_7e-3;
    p = p * z + 2.063_909e-2;
    p = p * z - 5.373_971_6e-2;
    p = p * z + 0.133_314_42;
    p = p * z - 0.333_332_8;
    let small = p * z * x + x;
    let large = (1.0 - 2.0 / (exp(a + a) + 1.0)).copysign(x);
    if a < 0.625 { small } else { large }
}

#[inline]
fn quadrant_sin(x: f32, shift: u32) -> f32 {
    let bounded = x.clamp(-8192.0, 8192.0);
    let n = round(bounded * std::f32::consts::FRAC_2_PI);
    let quadrant = (n + ROUND).to_bits().wrapping_add(shift);
    let r = ((bounded - n * 1.570_312_5) - n * 4.837_513e-4) - n * 7.549_79e-8;
    let z = r * r;
    let s = ((-1.951_529_6e-4 * z + 8.332_161e-3) * z - 0.166_666_55) * z * r + r;
    let c = ((2.443_315_7e-5 * z - 1.388_731_6e-3) * z + 4.166_664_6e-2) * z * z - 0.5 * z + 1.0;
    let value = if quadrant & 1 == 1 { c } else { s };
    if quadrant & 2 == 2 { -value } else { value }
}

/// The sine, for arguments within ±8192; further out, the value at that end.
#[inline]
#[must_use]
pub fn sin(x: f32) -> f32 {
    quadrant_sin(x, 0)
}

/// The cosine, for arguments within ±8192; further out, the value at that end.
#[inline]
#[must_use]
pub fn cos(x: f32) -> f32 {
    quadrant_sin(x, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest error over a dense grid, in ulps of the exact value, plus what an absolute error `floor` is worth.
    fn worst(low: f32, high: f32, floor: f64, f: fn(f32) -> f32, exact: fn(f64) -> f64) -> f64 {
        let steps = 200_000_u32;
        (0..=steps)
            .map(|i| {
                let x = low + (high - low) * (i as f32 / steps as f32);
                let want = exact(f64::from(x));
                let allowed = want.abs().max(floor) * 2.0_f64.powi(-23);
                (f64::from(f(x)) - want).abs() / allowed
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn functions_keep_to_a_few_ulps() {
        let figures = [
            ("exp", worst(-87.0, 88.0, 0.0, exp, f64::exp)),
            ("exp near 0", worst(-1.0, 1.0, 0.0, exp, f64::exp)),
            ("log", worst(1e-3, 1e6, 0.0, log, f64::ln)),
            ("log near 1", worst(0.5, 2.0, 0.0, log, f64::ln)),
            ("tanh", worst(-12.0, 12.0, 0.0, tanh, f64::tanh)),
            ("sin", worst(-100.0, 100.0, 0.25, sin, f64::sin)),
            ("cos", worst(-100.0, 100.0, 0.25, cos, f64::cos)),
        ];
        for (name, ulps) in figures {
            assert!(ulps <= 3.0, "{name}: {ulps} ulps");
        }
        assert!(worst(-8192.0, 8192.0, 1.0, sin, f64::sin) <= 4.0);
        assert!(worst(-8192.0, 8192.0, 1.0, cos, f64::cos) <= 4.0);
    }

    #[test]
    fn extremes_stay_finite_and_nan_stays_nan() {
        for f in [exp, tanh, sin, cos] {
            for x in [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 0.0, 1e-40] {
                assert!(f(x).is_finite());
            }
            assert!(f(f32::NAN).is_nan());
        }
        assert!(log(f32::NAN).is_nan());
        assert_eq!(tanh(f32::INFINITY), 1.0);
        assert_eq!(tanh(f32::NEG_INFINITY), -1.0);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(log(1.0), 0.0);
    }
}
