//! Stochastic gradient descent with momentum.
//!
//! | program | reads | writes (and reads) | parameters |
//! |-|-|-|-|
//! | [`SGD`] | `grad` `f32[len]`, `hyper` `f32[4]` | `param` `f32[len]`, `velocity` `f32[len]` | len |
//!
//! `hyper` is lr, momentum, weight decay, Nesterov (0 or 1). With `g = grad + decay·param`:
//! `velocity = momentum·velocity + g`, `param -= lr·velocity`, or with Nesterov `param -= lr·(g + momentum·velocity)`
//! (Sutskever et al. 2013, in the form that PyTorch uses).

use crate::cpu::sgd as host;
use crate::error::LaunchError;
use crate::kernels::program;
use crate::launch::Launch;
use crate::ops::elementwise::per_element;

program! {
    /// One step.
    pub static SGD = sgd::step, host::step_host;
}

/// One step over `len` parameters.
///
/// # Errors
/// [`LaunchError::TooLarge`] unless `len` is 1 to 2³¹ - 1.
pub fn launch(len: usize) -> Result<Launch, LaunchError> {
    let (len, groups) = per_element("sgd", "parameters", len)?;
    Ok(Launch {
        program: &SGD,
        params: vec![len],
        groups,
    })
}
