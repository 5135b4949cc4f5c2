//! Inverted dropout. Its gradient is the same op on the gradient, with the same seed and salt.
//!
//! | program | reads | writes | parameters |
//! |-|-|-|-|
//! | [`DROPOUT`] | `x` `f32[len]`, `seed` `u32[1]` | `y` `f32[len]` | len, salt, threshold, gain |
//!
//! Whether an element stays depends on the seed (of the step), the salt (of the layer) and its index alone, by integer
//! arithmetic: CPU and GPU drop the same elements.

use crate::cpu::dropout as host;
use crate::error::LaunchError;
use crate::kernels::program;
use crate::launch::Launch;
use crate::ops::elementwise::per_element;

program! {
    /// `y[i] = x[i] / (1 - rate)` where the hash of seed, salt and `i` is `rate · 2³²` or more, else 0.
    pub static DROPOUT = dropout::apply, host::apply_host;
}

/// Drops each of `len` elements with probability `rate`.
///
/// # Errors
/// [`LaunchError::TooLarge`] unless `len` is 1 to 2³¹ - 1; [`LaunchError::OutOfRange`] unless `rate` is at least 0
/// and below 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the rate is checked to be in [0, 1)"
)]
pub fn launch(len: usize, rate: f32, salt: u32) -> Result<Launch, LaunchError> {
    if !(0.0..1.0).contains(&rate) {
        let (value, allowed) = (rate.to_string(), "at least 0 and below 1");
        return Err(LaunchError::OutOfRange {
            op: "dropout",
            what: "rate",
            value,
            allowed,
        });
    }
    let (len, groups) = per_element("dropout", "elements", len)?;
    let threshold = (f64::from(rate) * 2.0_f64.powi(32)) as u32;
    let gain = 1.0 / (1.0 - rate);
    Ok(Launch {
        program: &DROPOUT,
        params: vec![len, salt, threshold, gain.to_bits()],
        groups,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_outside_the_range_are_refused() {
        for rate in [-0.1, 1.0, f32::NAN] {
            assert!(
                launch(4, rate, 0)
                    .expect_err("out of range")
                    .to_string()
                    .starts_with("dropout: rate is")
            );
        }
    }
}
