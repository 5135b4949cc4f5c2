//! The gradient of each op.

use super::{Entry, Gradients, Tape};
use daa_kernels::activation::{Activation, GradFrom};
use daa_kernels::error::GraphError;
use daa_kernels::graph::{Conv2d, TensorId};
use daa_kernels::ops::matmul::Transpose;

impl Tape<'_> {
    fn wants(&self, x: TensorId) -> bool {
        self.differentiable.contains(&x)
    }

    /// Adds `gradient` to what `x` already has.
    pub(super) fn give(
        &mut self,
        gradients: &mut Gradients,
        x: TensorId,
        gradient: TensorId,
    ) -> Result<(), GraphError> {
        let sum = match gradients.of(x) {
            Some(before) => self.graph.add(before, gradient)?,
            None => gradient,
        };
        gradients.of.insert(x, sum);
        Ok(())
    }

    /// Records the gradient of one op and hands it to what the op was computed from.
    pub(super) fn step_back(
        &mut self,
        gradients: &mut Gradients,
        entry: Entry,
        dy: TensorId,
    ) -> Result<(), GraphError> {
        let (x, dx) = match entry {
            Entry::Linear {
                x,
                w,
                bias,
                y,
                activation,
            } => {
                let dz = self.before_activation(y, dy, activation)?;
                self.matmul_back(gradients, x, w, dz)?;
                return self.bias_back(gradients, bias, dz);
            }
            Entry::Conv2d {
                x,
                w,
                bias,
                y,
                conv,
                activation,
            } => {
                let dz = self.before_activation(y, dy, activation)?;
                self.conv_back(gradients, x, w, dz, conv)?;
                return self.bias_back(gradients, bias, dz);
            }
            Entry::Matmul { a, b, .. } => return self.matmul_back(gradients, a, b, dy),
            Entry::BatchNorm {
                x,
                gamma,
                beta,
                mean,
                inv_std,
                ..
            } => {
                let grad = self.graph.batch_norm_grad(x, dy, gamma, mean, inv_std)?;
                return self.give_wanted(
                    gradients,
                    &[(x, grad.dx), (gamma, grad.dgamma), (beta, grad.dbeta)],
                );
            }
            Entry::Add { a, b, .. } => return self.give_wanted(gradients, &[(a, dy), (b, dy)]),
            Entry::Mul { a, b, .. } => return self.mul_back(gradients, a, b, dy),
            Entry::Activation { x, y, activation } => {
                let value = match activation.grad_from() {
                    GradFrom::Input => x,
                    GradFrom::Output => y,
                };
                (x, self.graph.activation_grad(value, dy, activation)?)
            }
            Entry::Pool2d { x, pool, .. } => (x, self.graph.pool2d_grad(x, dy, pool)?),
            Entry::Dropout {
                x, rate, seed, salt, ..
            } => (x, self.graph.dropout(dy, rate, seed, salt)?),
            Entry::Reshape { x, .. } => {
                let shape = self.graph.shape(x).to_vec();
                (x, self.graph.reshape(dy, &shape)?)
            }
            Entry::Scale { x, factor, .. } => (x, self.graph.scale(dy, factor)?),
        };
        self.give(gradients, x, dx)
    }

    fn give_wanted(
        &mut self,
        gradients: &mut Gradients,
        pairs: &[(TensorId, TensorId)],
    ) -> Result<(), GraphError> {
        for &(x, dx) in pairs {
            if self.wants(x) {
                self.give(gradients, x, dx)?;
            }
        }
        Ok(())
    }

    fn mul_back(
        &mut self,
        gradients: &mut Gradients,
        a: TensorId,
        b: TensorId,
        dy: TensorId,
    ) -> Result<(), GraphError> {
        for (x, other) in [(a, b), (b, a)] {
            if self.wants(x) {
                let dx = self.graph.mul(dy, other)?;
                self.give(gradients, x, dx)?;
            }
        }
        Ok(())
    }

    /// The gradient before a fused activation, taken from the op's output.
    fn before_activation(
        &mut self,
        y: TensorId,
        dy: TensorId,
        activation: Option<Activation>,
    ) -> Result<TensorId, GraphError> {
        activation.map_or(Ok(dy), |activation| self.graph.activation_grad(y, dy, activation))
    }

    fn bias_back(
        &mut self,
        gradients: &mut Gradients,
        bias: TensorId,
        dz: TensorId,
    ) -> Result<(), GraphError> {
        if !self.wants(bias) {
            return Ok(());
        }
        let gradient = self.graph.channel_sum(dz)?;
        self.give(gradients, bias, gradient)
    }

    fn matmul_back(
        &mut self,
        gradients: &mut Gradients,
        a: TensorId,
        b: TensorId,
        dy: TensorId,
    ) -> Result<(), GraphError> {
        if self.wants(b) {
            let db = self.graph.matmul(a, dy, Transpose::A)?;
            self.give(gradients, b, db)?;
        }
        if self.wants(a) {
            let da = self.graph.matmul(dy, b, Transpose::B)?;
            self.give(gradients, a, da)?;
        }
        Ok(())
    }

    fn conv_back(
        &mut self,
        gradients: &mut Gradients,
        x: TensorId,
        w: TensorId,
        dy: TensorId,
        conv: Conv2d,
    ) -> Result<(), GraphError> {
        if self.wants(w) {
            let shape = self.graph.shape(w).to_vec();
            let dw = self.graph.conv2d_grad_weight(x, dy, &shape, conv)?;
            self.give(gradients, w, dw)?;
        }
        if self.wants(x) {
            let shape = self.graph.shape(x).to_vec();
            let dx = self.graph.conv2d_grad_input(dy, w, &shape, conv)?;
            self.give(gradients, x, dx)?;
        }
        Ok(())
    }
}
