//! Matrix products and fully connected layers.

use super::{Graph, Op, TensorId};
use crate::activation::Activation;
use crate::error::GraphError;
use crate::ops::matmul::Transpose;

impl Graph {
    /// `op(a) · op(b)`: `[m, k] · [k, n] → [m, n]` after the transpositions.
    ///
    /// # Errors
    /// Operands that are not matrices, or whose inner dimensions differ.
    pub fn matmul(&mut self, a: TensorId, b: TensorId, transpose: Transpose) -> Result<TensorId, GraphError> {
        let (left, right) = (self.floats("matmul", a)?, self.floats("matmul", b)?);
        let (&[a0, a1], &[b0, b1]) = (left, right) else {
            return Err(GraphError::shape(
                "matmul",
                &[left, right],
                "both operands must be matrices",
            ));
        };
        let (m, k) = if transpose.a() { (a1, a0) } else { (a0, a1) };
        let (k2, n) = if transpose.b() { (b1, b0) } else { (b0, b1) };
        if k != k2 {
            let reason = format!("the inner dimensions {k} and {k2} differ (transposed: {transpose:?})");
            return Err(GraphError::shape("matmul", &[left, right], reason));
        }
        let [y] = self.record(Op::Matmul { m, k, n, transpose }, &[a, b], [&[m, n]], &[])?;
        Ok(y)
    }

    /// `activation(x · w + bias)`: `[m, k] · [k, n] + [n] → [m, n]`.
    ///
    /// # Errors
    /// Operands of other shapes.
    pub fn linear(
        &mut self,
        x: TensorId,
        w: TensorId,
        bias: TensorId,
        activation: Option<Activation>,
    ) -> Result<TensorId, GraphError> {
        let op = "linear";
        let (xs, ws, bs) = (self.floats(op, x)?, self.floats(op, w)?, self.floats(op, bias)?);
        let (&[m, k], &[k2, n], &[b]) = (xs, ws, bs) else {
            return Err(GraphError::shape(
                op,
                &[xs, ws, bs],
                "wanted are [m, k], [k, n] and [n]",
            ));
        };
        if k != k2 || b != n {
            return Err(GraphError::shape(
                op,
                &[xs, ws, bs],
                "wanted are [m, k], [k, n] and [n]",
            ));
        }
        let [y] = self.record(Op::Linear { m, k, n, activation }, &[x, w, bias], [&[m, n]], &[])?;
        Ok(y)
    }
}
