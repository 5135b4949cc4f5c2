//! Reverse-mode differentiation over a [`Graph`].
//!
//! A [`Tape`] records forward ops into the graph and remembers them; [`Tape::backward`] walks back and records, for
//! each, the ops of its gradient. It knows ops, not networks. What a parameter does not reach gets no gradient, so
//! the input of the first layer costs nothing; a tensor used twice gets the sum of both gradients.

mod back;

use daa_kernels::activation::{Activation, GradFrom};
use daa_kernels::error::GraphError;
use daa_kernels::graph::{BatchNorm, Conv2d, Graph, Pool2d, TensorId};
use daa_kernels::ops::matmul::Transpose;
use std::collections::{BTreeMap, BTreeSet};

/// One remembered forward op.
#[derive(Debug, Clone, Copy)]
enum Entry {
    Linear {
        x: TensorId,
        w: TensorId,
        bias: TensorId,
        y: TensorId,
        activation: Option<Activation>,
    },
    Conv2d {
        x: TensorId,
        w: TensorId,
        bias: TensorId,
        y: TensorId,
        conv: Conv2d,
        activation: Option<Activation>,
    },
    Activation {
        x: TensorId,
        y: TensorId,
        activation: Activation,
    },
    Pool2d {
        x: TensorId,
        y: TensorId,
        pool: Pool2d,
    },
    BatchNorm {
        x: TensorId,
        gamma: TensorId,
        beta: TensorId,
        y: TensorId,
        mean: TensorId,
        inv_std: TensorId,
    },
    Dropout {
        x: TensorId,
        y: TensorId,
        rate: f32,
        seed: TensorId,
        salt: u32,
    },
    Reshape {
        x: TensorId,
        y: TensorId,
    },
    Add {
        a: TensorId,
        b: TensorId,
        y: TensorId,
    },
    Mul {
        a: TensorId,
        b: TensorId,
        y: TensorId,
    },
    Scale {
        x: TensorId,
        y: TensorId,
        factor: f32,
    },
    Matmul {
        a: TensorId,
        b: TensorId,
        y: TensorId,
    },
}

/// The gradient of each tensor that has one.
#[derive(Debug, Clone, Default)]
pub struct Gradients {
    of: BTreeMap<TensorId, TensorId>,
}

impl Gradients {
    /// The gradient of `x`, if a parameter reaches it and it reaches the loss.
    #[must_use]
    pub fn of(&self, x: TensorId) -> Option<TensorId> {
        self.of.get(&x).copied()
    }
}

/// Records forward ops, then their gradients. See the module documentation.
#[derive(Debug)]
pub struct Tape<'g> {
    graph: &'g mut Graph,
    entries: Vec<Entry>,
    differentiable: BTreeSet<TensorId>,
}

impl<'g> Tape<'g> {
    /// A tape that differentiates with respect to `parameters` and everything computed from them.
    pub fn new(graph: &'g mut Graph, parameters: impl IntoIterator<Item = TensorId>) -> Self {
        Self {
            graph,
            entries: Vec::new(),
            differentiable: parameters.into_iter().collect(),
        }
    }

    /// The graph that is recorded into.
    pub const fn graph(&mut self) -> &mut Graph {
        self.graph
    }

    /// `activation(x · w + bias)`, see [`Graph::linear`].
    ///
    /// # Errors
    /// As [`Graph::linear`].
    pub fn linear(
        &mut self,
        x: TensorId,
        w: TensorId,
        bias: TensorId,
        activation: Option<Activation>,
    ) -> Result<TensorId, GraphError> {
        let (fused, apart) = split(activation);
        let y = self.graph.linear(x, w, bias, fused)?;
        self.remember(
            Entry::Linear {
                x,
                w,
                bias,
                y,
                activation: fused,
            },
            &[x, w, bias],
            y,
        );
        self.maybe_activation(y, apart)
    }

    /// `activation(x ∗ w + bias)`, see [`Graph::conv2d`].
    ///
    /// # Errors
    /// As [`Graph::conv2d`].
    pub fn conv2d(
        &mut self,
        x: TensorId,
        w: TensorId,
        bias: TensorId,
        conv: Conv2d,
        activation: Option<Activation>,
    ) -> Result<TensorId, GraphError> {
        let (fused, apart) = split(activation);
        let y = self.graph.conv2d(x, w, bias, conv, fused)?;
        self.remember(
            Entry::Conv2d {
                x,
                w,
                bias,
                y,
                conv,
                activation: fused,
            },
            &[x, w, bias],
            y,
        );
        self.maybe_activation(y, apart)
    }

    /// See [`Graph::activation`].
    ///
    /// # Errors
    /// As [`Graph::activation`].
    pub fn activation(&mut self, x: TensorId, activation: Activation) -> Result<TensorId, GraphError> {
        let y = self.graph.activation(x, activation)?;
        self.remember(Entry::Activation { x, y, activation }, &[x], y);
        Ok(y)
    }

    /// See [`Graph::pool2d`].
    ///
    /// # Errors
    /// As [`Graph::pool2d`].
    pub fn pool2d(&mut self, x: TensorId, pool: Pool2d) -> Result<TensorId, GraphError> {
        let y = self.graph.pool2d(x, pool)?;
        self.remember(Entry::Pool2d { x, y, pool }, &[x], y);
        Ok(y)
    }

    /// Batch normalization by the statistics of the batch; see [`Graph::batch_norm`].
    ///
    /// # Errors
    /// As [`Graph::batch_norm`].
    pub fn batch_norm(
        &mut self,
        x: TensorId,
        [gamma, beta, running_mean, running_var]: [TensorId; 4],
        options: BatchNorm,
    ) -> Result<TensorId, GraphError> {
        let out = self
            .graph
            .batch_norm(x, gamma, beta, running_mean, running_var, options)?;
        let entry = Entry::BatchNorm {
            x,
            gamma,
            beta,
            y: out.y,
            mean: out.mean,
            inv_std: out.inv_std,
        };
        self.remember(entry, &[x, gamma, beta], out.y);
        Ok(out.y)
    }

    /// See [`Graph::dropout`].
    ///
    /// # Errors
    /// As [`Graph::dropout`].
    pub fn dropout(
        &mut self,
        x: TensorId,
        rate: f32,
        seed: TensorId,
        salt: u32,
    ) -> Result<TensorId, GraphError> {
        let y = self.graph.dropout(x, rate, seed, salt)?;
        self.remember(
            Entry::Dropout {
                x,
                y,
                rate,
                seed,
                salt,
            },
            &[x],
            y,
        );
        Ok(y)
    }

    /// See [`Graph::reshape`].
    ///
    /// # Errors
    /// As [`Graph::reshape`].
    pub fn reshape(&mut self, x: TensorId, shape: &[usize]) -> Result<TensorId, GraphError> {
        let y = self.graph.reshape(x, shape)?;
        self.remember(Entry::Reshape { x, y }, &[x], y);
        Ok(y)
    }

    /// See [`Graph::add`].
    ///
    /// # Errors
    /// As [`Graph::add`].
    pub fn add(&mut self, a: TensorId, b: TensorId) -> Result<TensorId, GraphError> {
        let y = self.graph.add(a, b)?;
        self.remember(Entry::Add { a, b, y }, &[a, b], y);
        Ok(y)
    }

    /// See [`Graph::mul`].
    ///
    /// # Errors
    /// As [`Graph::mul`].
    pub fn mul(&mut self, a: TensorId, b: TensorId) -> Result<TensorId, GraphError> {
        let y = self.graph.mul(a, b)?;
        self.remember(Entry::Mul { a, b, y }, &[a, b], y);
        Ok(y)
    }

    /// See [`Graph::scale`].
    ///
    /// # Errors
    /// As [`Graph::scale`].
    pub fn scale(&mut self, x: TensorId, factor: f32) -> Result<TensorId, GraphError> {
        let y = self.graph.scale(x, factor)?;
        self.remember(Entry::Scale { x, y, factor }, &[x], y);
        Ok(y)
    }

    /// `a · b` without transposition, see [`Graph::matmul`].
    ///
    /// # Errors
    /// As [`Graph::matmul`].
    pub fn matmul(&mut self, a: TensorId, b: TensorId) -> Result<TensorId, GraphError> {
        let y = self.graph.matmul(a, b, Transpose::None)?;
        self.remember(Entry::Matmul { a, b, y }, &[a, b], y);
        Ok(y)
    }

    fn maybe_activation(
        &mut self,
        x: TensorId,
        activation: Option<Activation>,
    ) -> Result<TensorId, GraphError> {
        activation.map_or(Ok(x), |activation| self.activation(x, activation))
    }

    fn remember(&mut self, entry: Entry, inputs: &[TensorId], y: TensorId) {
        if inputs.iter().any(|input| self.differentiable.contains(input)) {
            self.differentiable.insert(y);
            self.entries.push(entry);
        }
    }

    /// Records the gradients of `Σ over seeds of ⟨tensor, gradient⟩` into the graph's current phase.
    ///
    /// `seeds` pairs tensors of the forward pass with the gradient that the loss gives them.
    ///
    /// # Errors
    /// When the graph refuses a gradient op, which for recorded forward ops only happens when a seed's gradient has
    /// another shape than its tensor.
    pub fn backward(mut self, seeds: &[(TensorId, TensorId)]) -> Result<Gradients, GraphError> {
        let mut gradients = Gradients::default();
        for &(tensor, gradient) in seeds {
            self.give(&mut gradients, tensor, gradient)?;
        }
        for entry in std::mem::take(&mut self.entries).into_iter().rev() {
            if let Some(dy) = gradients.of(entry.output()) {
                self.step_back(&mut gradients, entry, dy)?;
            }
        }
        Ok(gradients)
    }
}

impl Entry {
    const fn output(&self) -> TensorId {
        match *self {
            Self::Linear { y, .. }
            | Self::Conv2d { y, .. }
            | Self::Activation { y, .. }
            | Self::Pool2d { y, .. }
            | Self::BatchNorm { y, .. }
            | Self::Dropout { y, .. }
            | Self::Reshape { y, .. }
            | Self::Add { y, .. }
            | Self::Mul { y, .. }
            | Self::Scale { y, .. }
            | Self::Matmul { y, .. } => y,
        }
    }
}

/// An activation is fused into the op before it only if its gradient can be taken from its output: the value before
/// it is then never stored.
fn split(activation: Option<Activation>) -> (Option<Activation>, Option<Activation>) {
    match activation {
        Some(a) if a.grad_from() == GradFrom::Input => (None, activation),
        _ => (activation, None),
    }
}

#[cfg(test)]
mod tests;
