//! Adam (Kingma & Ba 2014) and AdamW (Loshchilov & Hutter 2017).
//!
//! | program | reads | writes (and reads) | parameters |
//! |-|-|-|-|
//! | [`ADAM`] | `grad` `f32[len]`, `hyper` `f32[8]` | `param`, `first`, `second`, each `f32[len]` | len |
//!
//! `hyper` is lr, beta1, beta2, eps, decoupled weight decay, l2, `c1 = 1/(1-beta1^t)`, `c2 = 1/(1-beta2^t)`. With
//! `g = grad + l2·param`: `first = beta1·first + (1-beta1)·g`, `second = beta2·second + (1-beta2)·g²`,
//! `param -= lr·decay·param + lr·c1·first / (sqrt(c2·second) + eps)`.

use crate::cpu::adam as host;
use crate::error::LaunchError;
use crate::kernels::program;
use crate::launch::Launch;
use crate::ops::elementwise::per_element;

program! {
    /// One step.
    pub static ADAM = adam::step, host::step_host;
}

/// One step over `len` parameters.
///
/// # Errors
/// [`LaunchError::TooLarge`] unless `len` is 1 to 2³¹ - 1.
pub fn launch(len: usize) -> Result<Launch, LaunchError> {
    let (len, groups) = per_element("adam", "parameters", len)?;
    Ok(Launch {
        program: &ADAM,
        params: vec![len],
        groups,
    })
}
