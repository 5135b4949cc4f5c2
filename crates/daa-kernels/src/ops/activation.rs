//! Activations as ops of their own; matmul-like ops fuse them instead.
//!
//! | program | reads | writes | parameters |
//! |-|-|-|-|
//! | [`FORWARD`] | `x` | `y` | len, kind, steepness |
//! | [`BACKWARD`] | `v`, `dy` | `dx` | len, kind, steepness |
//!
//! All are `f32[len]`. `v` is what [`Activation::grad_from`] says: the argument or the value of the forward op.

use crate::activation::Activation;
use crate::cpu::activation as host;
use crate::error::LaunchError;
use crate::kernels::program;
use crate::launch::Launch;
use crate::ops::elementwise::per_element;

program! {
    /// `y = f(x)`.
    pub static FORWARD = activation::forward, host::forward_host;
    /// `dx = dy · f'`.
    pub static BACKWARD = activation::backward, host::backward_host;
}

/// `y = f(x)` on `len` elements.
///
/// # Errors
/// [`LaunchError::TooLarge`] unless `len` is 1 to 2³¹ - 1.
pub fn launch(len: usize, activation: Activation) -> Result<Launch, LaunchError> {
    let (len, groups) = per_element("activation", "elements", len)?;
    let [kind, steepness] = Activation::words(Some(activation));
    Ok(Launch {
        program: &FORWARD,
        params: vec![len, kind, steepness],
        groups,
    })
}

/// `dx = dy · f'` on `len` elements.
///
/// # Errors
/// [`LaunchError::TooLarge`] unless `len` is 1 to 2³¹ - 1.
pub fn launch_grad(len: usize, activation: Activation) -> Result<Launch, LaunchError> {
    let (len, groups) = per_element("activation gradient", "elements", len)?;
    let [kind, steepness] = Activation::words(Some(activation));
    Ok(Launch {
        program: &BACKWARD,
        params: vec![len, kind, steepness],
        groups,
    })
}
