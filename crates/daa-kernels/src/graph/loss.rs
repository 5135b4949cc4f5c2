//! Softmax, losses and hits, one value per row so that padding rows can weigh nothing.

use super::{DType, Graph, Op, TensorId};
use crate::error::GraphError;

impl Graph {
    /// Softmax over the columns of `[m, n]`.
    ///
    /// # Errors
    /// When `x` is not a matrix.
    pub fn softmax(&mut self, x: TensorId) -> Result<TensorId, GraphError> {
        let shape = self.floats("softmax", x)?;
        let &[m, n] = shape else {
            return Err(GraphError::shape("softmax", &[shape], "wanted is a matrix"));
        };
        let [y] = self.record(Op::Softmax { m, n }, &[x], [&[m, n]], &[])?;
        Ok(y)
    }

    /// `weight · −ln softmax(logits)[label]` per row: `[m, n], [m] (u32), [m] → [m]`.
    ///
    /// # Errors
    /// Other shapes or types.
    pub fn cross_entropy(
        &mut self,
        logits: TensorId,
        labels: TensorId,
        weights: TensorId,
    ) -> Result<TensorId, GraphError> {
        let (m, n) = self.labelled("cross_entropy", logits, labels, weights)?;
        let [rows] = self.record(Op::CrossEntropy { m, n }, &[logits, labels, weights], [&[m]], &[])?;
        Ok(rows)
    }

    /// The gradient of `scale · Σ cross_entropy` with respect to the logits, `[m, n]`.
    ///
    /// # Errors
    /// Other shapes or types.
    pub fn cross_entropy_grad(
        &mut self,
        logits: TensorId,
        labels: TensorId,
        weights: TensorId,
        scale: f32,
    ) -> Result<TensorId, GraphError> {
        let (m, n) = self.labelled("cross_entropy_grad", logits, labels, weights)?;
        let op = Op::CrossEntropyGrad { m, n, scale };
        let [dlogits] = self.record(op, &[logits, labels, weights], [&[m, n]], &[])?;
        Ok(dlogits)
    }

    /// `weight · [the first largest logit is the label's]` per row: `[m, n], [m] (u32), [m] → [m]`.
    ///
    /// # Errors
    /// Other shapes or types.
    pub fn top1(
        &mut self,
        logits: TensorId,
        labels: TensorId,
        weights: TensorId,
    ) -> Result<TensorId, GraphError> {
        let (m, n) = self.labelled("top1", logits, labels, weights)?;
        let [rows] = self.record(Op::Top1 { m, n }, &[logits, labels, weights], [&[m]], &[])?;
        Ok(rows)
    }

    /// `weight · mean over columns of (pred − target)²` per row: `[m, n], [m, n], [m] → [m]`.
    ///
    /// # Errors
    /// Other shapes or types.
    pub fn mse(
        &mut self,
        pred: TensorId,
        target: TensorId,
        weights: TensorId,
    ) -> Result<TensorId, GraphError> {
        let (m, n) = self.targeted("mse", pred, target, weights)?;
        let [rows] = self.record(Op::Mse { m, n }, &[pred, target, weights], [&[m]], &[])?;
        Ok(rows)
    }

    /// The gradient of `scale · Σ mse` with respect to the predictions, `[m, n]`.
    ///
    /// # Errors
    /// Other shapes or types.
    pub fn mse_grad(
        &mut self,
        pred: TensorId,
        target: TensorId,
        weights: TensorId,
        scale: f32,
    ) -> Result<TensorId, GraphError> {
        let (m, n) = self.targeted("mse_grad", pred, target, weights)?;
        let [dpred] = self.record(
            Op::MseGrad { m, n, scale },
            &[pred, target, weights],
            [&[m, n]],
            &[],
        )?;
        Ok(dpred)
    }

    fn labelled(
        &self,
        op: &'static str,
        logits: TensorId,
        labels: TensorId,
        weights: TensorId,
    ) -> Result<(usize, usize), GraphError> {
        let (l, y, w) = (
            self.floats(op, logits)?,
            self.typed(op, labels, DType::U32)?,
            self.floats(op, weights)?,
        );
        match (l, y, w) {
            (&[m, n], &[m1], &[m2]) if m == m1 && m == m2 => Ok((m, n)),
            _ => Err(GraphError::shape(
                op,
                &[l, y, w],
                "wanted are logits [m, n], labels [m] and weights [m]",
            )),
        }
    }

    fn targeted(
        &self,
        op: &'static str,
        pred: TensorId,
        target: TensorId,
        weights: TensorId,
    ) -> Result<(usize, usize), GraphError> {
        let (p, t, w) = (
            self.floats(op, pred)?,
            self.floats(op, target)?,
            self.floats(op, weights)?,
        );
        match (p, t, w) {
            (&[m, n], &[m1, n1], &[m2]) if m == m1 && n == n1 && m == m2 => Ok((m, n)),
            _ => Err(GraphError::shape(
                op,
                &[p, t, w],
                "wanted are predictions and targets [m, n] and weights [m]",
            )),
        }
    }
}
