//! Element-wise ops, reductions and dropout.

use super::{DType, Graph, Op, TensorId};
use crate::activation::Activation;
use crate::error::GraphError;
use crate::ops::elementwise::Binary;
use crate::ops::reduce::{Reduce, ReduceAxis};

impl Graph {
    /// `a + b`, element by element.
    ///
    /// # Errors
    /// Operands of different shapes.
    pub fn add(&mut self, a: TensorId, b: TensorId) -> Result<TensorId, GraphError> {
        self.binary(Binary::Add, a, b)
    }

    /// `a − b`, element by element.
    ///
    /// # Errors
    /// Operands of different shapes.
    pub fn sub(&mut self, a: TensorId, b: TensorId) -> Result<TensorId, GraphError> {
        self.binary(Binary::Sub, a, b)
    }

    /// `a · b`, element by element.
    ///
    /// # Errors
    /// Operands of different shapes.
    pub fn mul(&mut self, a: TensorId, b: TensorId) -> Result<TensorId, GraphError> {
        self.binary(Binary::Mul, a, b)
    }

    /// `x · factor`.
    ///
    /// # Errors
    /// When `x` is not an `f32` tensor.
    pub fn scale(&mut self, x: TensorId, factor: f32) -> Result<TensorId, GraphError> {
        let shape = self.floats("scale", x)?.to_vec();
        let [y] = self.record(Op::Scale { factor }, &[x], [&shape], &[])?;
        Ok(y)
    }

    /// `state += x` in place.
    ///
    /// # Errors
    /// Different shapes, or a `state` that is neither a parameter nor state.
    pub fn accumulate(&mut self, state: TensorId, x: TensorId) -> Result<(), GraphError> {
        self.same("accumulate", &[state, x])?;
        let [] = self.record(Op::Accumulate, &[x], [], &[state])?;
        Ok(())
    }

    /// The activation of every element of `x`.
    ///
    /// # Errors
    /// When `x` is not an `f32` tensor.
    pub fn activation(&mut self, x: TensorId, activation: Activation) -> Result<TensorId, GraphError> {
        let shape = self.floats("activation", x)?.to_vec();
        let [y] = self.record(Op::Activation(activation), &[x], [&shape], &[])?;
        Ok(y)
    }

    /// `dy` times the derivative of the activation, taken from its input or output as
    /// [`Activation::grad_from`] says.
    ///
    /// # Errors
    /// Different shapes.
    pub fn activation_grad(
        &mut self,
        value: TensorId,
        dy: TensorId,
        activation: Activation,
    ) -> Result<TensorId, GraphError> {
        let shape = self.same("activation_grad", &[value, dy])?;
        let [dx] = self.record(Op::ActivationGrad(activation), &[value, dy], [&shape], &[])?;
        Ok(dx)
    }

    /// Inverted dropout: each element becomes 0 with probability `rate`, else is divided by `1 − rate`. The choice
    /// is a function of the `seed` tensor (`u32`, one element), `salt` and the element's position, so that the
    /// gradient is the same op applied to `dy`.
    ///
    /// # Errors
    /// A rate outside `[0, 1)`, or a seed that is not one `u32`.
    pub fn dropout(
        &mut self,
        x: TensorId,
        rate: f32,
        seed: TensorId,
        salt: u32,
    ) -> Result<TensorId, GraphError> {
        let shape = self.floats("dropout", x)?.to_vec();
        let seed_shape = self.typed("dropout", seed, DType::U32)?;
        if seed_shape != [1] {
            return Err(GraphError::shape(
                "dropout",
                &[&shape, seed_shape],
                "the seed must be one u32",
            ));
        }
        let [y] = self.record(Op::Dropout { rate, salt }, &[x, seed], [&shape], &[])?;
        Ok(y)
    }

    /// Sum, mean or maximum: over everything (`→ [1]`), over the rows of a matrix (`[m, n] → [n]`) or over its
    /// columns (`[m, n] → [m]`).
    ///
    /// # Errors
    /// When `x` is not a matrix and the axis is not [`ReduceAxis::All`].
    pub fn reduce(&mut self, x: TensorId, kind: Reduce, axis: ReduceAxis) -> Result<TensorId, GraphError> {
        let shape = self.floats("reduce", x)?;
        let (m, n, out) = match (axis, shape) {
            (ReduceAxis::All, _) => (1, shape.iter().product(), 1),
            (ReduceAxis::Rows, &[m, n]) => (m, n, n),
            (ReduceAxis::Cols, &[m, n]) => (m, n, m),
            _ => {
                return Err(GraphError::shape(
                    "reduce",
                    &[shape],
                    "only a matrix has rows and columns",
                ));
            }
        };
        let [y] = self.record(Op::Reduce { kind, axis, m, n }, &[x], [&[out]], &[])?;
        Ok(y)
    }

    fn binary(&mut self, kind: Binary, a: TensorId, b: TensorId) -> Result<TensorId, GraphError> {
        let op = Op::Binary(kind);
        let shape = self.same(op.name(), &[a, b])?;
        let [y] = self.record(op, &[a, b], [&shape], &[])?;
        Ok(y)
    }
}
