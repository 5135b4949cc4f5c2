//! Optimizer steps, in place on parameters and their moments.

use super::{Graph, Op, TensorId};
use crate::error::GraphError;

/// Words of SGD's hyperparameters: `[learning rate, momentum, weight decay, 1 for Nesterov]`.
pub const SGD_HYPER_WORDS: usize = 4;

/// Words of Adam's hyperparameters: `[learning rate, β₁, β₂, ε, decoupled weight decay, L2, 1/(1 − β₁ᵗ), 1/(1 − β₂ᵗ)]`.
pub const ADAM_HYPER_WORDS: usize = 8;

impl Graph {
    /// One step of stochastic gradient descent with momentum on `param`. `hyper` is an input of
    /// [`SGD_HYPER_WORDS`] floats.
    ///
    /// # Errors
    /// Different shapes, a `hyper` of another size, or a `param` or `velocity` that cannot be changed in place.
    pub fn sgd(
        &mut self,
        param: TensorId,
        grad: TensorId,
        velocity: TensorId,
        hyper: TensorId,
    ) -> Result<(), GraphError> {
        self.same("sgd", &[param, grad, velocity])?;
        self.hyper("sgd", hyper, SGD_HYPER_WORDS)?;
        let [] = self.record(Op::Sgd, &[grad, hyper], [], &[param, velocity])?;
        Ok(())
    }

    /// One step of Adam or AdamW on `param` with first and second moments `m` and `v`. `hyper` is an input of
    /// [`ADAM_HYPER_WORDS`] floats.
    ///
    /// # Errors
    /// Different shapes, a `hyper` of another size, or tensors that cannot be changed in place.
    pub fn adam(
        &mut self,
        param: TensorId,
        grad: TensorId,
        m: TensorId,
        v: TensorId,
        hyper: TensorId,
    ) -> Result<(), GraphError> {
        self.same("adam", &[param, grad, m, v])?;
        self.hyper("adam", hyper, ADAM_HYPER_WORDS)?;
        let [] = self.record(Op::Adam, &[grad, hyper], [], &[param, m, v])?;
        Ok(())
    }

    fn hyper(&self, op: &'static str, hyper: TensorId, words: usize) -> Result<(), GraphError> {
        let shape = self.floats(op, hyper)?;
        if shape == [words] {
            return Ok(());
        }
        Err(GraphError::shape(
            op,
            &[shape],
            format!("the hyperparameters are [{words}]"),
        ))
    }
}
