//! Convolution, pooling, batch norm and the sums over all but the channel dimension.

use super::{Graph, Op, TensorId};
use crate::activation::Activation;
use crate::error::GraphError;
use crate::ops::conv2d::ConvDims;
use crate::ops::pool2d::{PoolDims, PoolKind};

/// How a convolution steps over its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conv2d {
    /// Rows and columns between neighbouring outputs, each at least 1.
    pub stride: [usize; 2],
    /// Rows and columns of zeros added on each side.
    pub padding: [usize; 2],
}

/// How a pooling steps over its input. There is no padding: windows lie wholly inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pool2d {
    /// Maximum or average.
    pub kind: PoolKind,
    /// Rows and columns of a window, each at least 1.
    pub kernel: [usize; 2],
    /// Rows and columns between neighbouring windows, each at least 1.
    pub stride: [usize; 2],
}

/// The constants of a batch norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNorm {
    /// Added to the variance, above 0.
    pub eps: f32,
    /// Weight of the new batch in the running statistics, 0 to 1.
    pub momentum: f32,
}

/// What a batch norm in training yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchNormOut {
    /// The normalized, scaled and shifted input.
    pub y: TensorId,
    /// The mean of the batch per channel, for the gradient.
    pub mean: TensorId,
    /// One over the standard deviation of the batch per channel, for the gradient.
    pub inv_std: TensorId,
}

/// The gradients of a batch norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchNormGrad {
    /// With respect to the input.
    pub dx: TensorId,
    /// With respect to the scale, per channel.
    pub dgamma: TensorId,
    /// With respect to the shift, per channel.
    pub dbeta: TensorId,
}

impl Graph {
    /// `activation(conv(x, w) + bias)`: `[n, c, h, w], [o, c, kh, kw], [o] → [n, o, oh, ow]`.
    ///
    /// # Errors
    /// Other shapes, or a kernel larger than the padded input.
    pub fn conv2d(
        &mut self,
        x: TensorId,
        w: TensorId,
        bias: TensorId,
        spec: Conv2d,
        activation: Option<Activation>,
    ) -> Result<TensorId, GraphError> {
        let op = "conv2d";
        let (xs, ws, bs) = (self.floats(op, x)?, self.floats(op, w)?, self.floats(op, bias)?);
        let (&[o, ..], &[b]) = (ws, bs) else {
            return Err(GraphError::shape(op, &[xs, ws, bs], "the bias must be [outputs]"));
        };
        if o != b {
            return Err(GraphError::shape(op, &[xs, ws, bs], "the bias must be [outputs]"));
        }
        let dims = conv_dims(op, xs, ws, spec)?;
        let [oh, ow] = dims.output()?;
        let [y] = self.record(
            Op::Conv2d { dims, activation },
            &[x, w, bias],
            [&[dims.n, o, oh, ow]],
            &[],
        )?;
        Ok(y)
    }

    /// The gradient of a convolution with respect to its input of shape `x_shape`.
    ///
    /// # Errors
    /// Shapes that are not those of such a convolution.
    pub fn conv2d_grad_input(
        &mut self,
        dy: TensorId,
        w: TensorId,
        x_shape: &[usize],
        spec: Conv2d,
    ) -> Result<TensorId, GraphError> {
        let op = "conv2d_grad_input";
        let dims = conv_dims(op, x_shape, self.floats(op, w)?, spec)?;
        self.check_conv_output(op, dy, &dims)?;
        let [dx] = self.record(Op::Conv2dGradInput { dims }, &[dy, w], [x_shape], &[])?;
        Ok(dx)
    }

    /// The gradient of a convolution with respect to its weights of shape `w_shape`.
    ///
    /// # Errors
    /// Shapes that are not those of such a convolution.
    pub fn conv2d_grad_weight(
        &mut self,
        x: TensorId,
        dy: TensorId,
        w_shape: &[usize],
        spec: Conv2d,
    ) -> Result<TensorId, GraphError> {
        let op = "conv2d_grad_weight";
        let dims = conv_dims(op, self.floats(op, x)?, w_shape, spec)?;
        self.check_conv_output(op, dy, &dims)?;
        let [dw] = self.record(Op::Conv2dGradWeight { dims }, &[x, dy], [w_shape], &[])?;
        Ok(dw)
    }

    /// The sum over all but the channel dimension: `[n, c]` or `[n, c, h, w] → [c]`. The gradient of a bias.
    ///
    /// # Errors
    /// When `x` has fewer than two dimensions.
    pub fn channel_sum(&mut self, x: TensorId) -> Result<TensorId, GraphError> {
        let (n, c, spatial) = self.channels("channel_sum", x)?;
        let [sum] = self.record(Op::ChannelSum { n, c, spatial }, &[x], [&[c]], &[])?;
        Ok(sum)
    }

    /// Maximum or average over windows: `[n, c, h, w] → [n, c, oh, ow]`.
    ///
    /// # Errors
    /// When `x` is not an image, or a window does not fit.
    pub fn pool2d(&mut self, x: TensorId, spec: Pool2d) -> Result<TensorId, GraphError> {
        let dims = self.pool_dims("pool2d", x, spec)?;
        let [oh, ow] = dims.output()?;
        let op = Op::Pool2d {
            kind: spec.kind,
            dims,
        };
        let [y] = self.record(op, &[x], [&[dims.n, dims.c, oh, ow]], &[])?;
        Ok(y)
    }

    /// The gradient of [`Graph::pool2d`]. A maximum passes `dy` to the first largest element of its window.
    ///
    /// # Errors
    /// Shapes that are not those of such a pooling.
    pub fn pool2d_grad(&mut self, x: TensorId, dy: TensorId, spec: Pool2d) -> Result<TensorId, GraphError> {
        let op = "pool2d_grad";
        let dims = self.pool_dims(op, x, spec)?;
        let [oh, ow] = dims.output()?;
        let (xs, found) = (self.floats(op, x)?.to_vec(), self.floats(op, dy)?);
        if found != [dims.n, dims.c, oh, ow] {
            let wanted = format!("the gradient must be {:?}", [dims.n, dims.c, oh, ow]);
            return Err(GraphError::shape(op, &[&xs, found], wanted));
        }
        let [dx] = self.record(
            Op::Pool2dGrad {
                kind: spec.kind,
                dims,
            },
            &[x, dy],
            [&xs],
            &[],
        )?;
        Ok(dx)
    }

    /// Batch norm in training over dimension 1 (Ioffe and Szegedy 2015): normalizes by the batch's statistics and
    /// moves `running_mean` and `running_var` towards them in place.
    ///
    /// # Errors
    /// Other shapes, constants out of range, or running statistics that cannot be changed in place.
    pub fn batch_norm(
        &mut self,
        x: TensorId,
        gamma: TensorId,
        beta: TensorId,
        running_mean: TensorId,
        running_var: TensorId,
        constants: BatchNorm,
    ) -> Result<BatchNormOut, GraphError> {
        let op = "batch_norm";
        let (n, c, spatial) = self.channels(op, x)?;
        self.per_channel(op, x, c, &[gamma, beta, running_mean, running_var])?;
        let shape = self.shape(x).to_vec();
        let BatchNorm { eps, momentum } = constants;
        let [y, mean, inv_std] = self.record(
            Op::BatchNorm {
                n,
                c,
                spatial,
                eps,
                momentum,
            },
            &[x, gamma, beta],
            [&shape, &[c], &[c]],
            &[running_mean, running_var],
        )?;
        Ok(BatchNormOut { y, mean, inv_std })
    }

    /// The gradients of [`Graph::batch_norm`]; `mean` and `inv_std` are what it yielded.
    ///
    /// # Errors
    /// Other shapes.
    pub fn batch_norm_grad(
        &mut self,
        x: TensorId,
        dy: TensorId,
        gamma: TensorId,
        mean: TensorId,
        inv_std: TensorId,
    ) -> Result<BatchNormGrad, GraphError> {
        let op = "batch_norm_grad";
        let (n, c, spatial) = self.channels(op, x)?;
        let shape = self.same(op, &[x, dy])?;
        self.per_channel(op, x, c, &[gamma, mean, inv_std])?;
        let [dx, dgamma, dbeta] = self.record(
            Op::BatchNormGrad { n, c, spatial },
            &[x, dy, gamma, mean, inv_std],
            [&shape, &[c], &[c]],
            &[],
        )?;
        Ok(BatchNormGrad { dx, dgamma, dbeta })
    }

    /// Batch norm with the running statistics, for evaluation.
    ///
    /// # Errors
    /// Other shapes, or an `eps` out of range.
    pub fn batch_norm_infer(
        &mut self,
        x: TensorId,
        gamma: TensorId,
        beta: TensorId,
        running_mean: TensorId,
        running_var: TensorId,
        eps: f32,
    ) -> Result<TensorId, GraphError> {
        let op = "batch_norm_infer";
        let (n, c, spatial) = self.channels(op, x)?;
        self.per_channel(op, x, c, &[gamma, beta, running_mean, running_var])?;
        let shape = self.shape(x).to_vec();
        let inputs = [x, gamma, beta, running_mean, running_var];
        let [y] = self.record(Op::BatchNormInfer { n, c, spatial, eps }, &inputs, [&shape], &[])?;
        Ok(y)
    }

    /// Batch, channels and elements per channel of `[n, c]` or `[n, c, h, w]`.
    fn channels(&self, op: &'static str, x: TensorId) -> Result<(usize, usize, usize), GraphError> {
        match self.floats(op, x)? {
            [n, c, rest @ ..] => Ok((*n, *c, rest.iter().product())),
            shape => Err(GraphError::shape(
                op,
                &[shape],
                "wanted is a tensor with a channel dimension",
            )),
        }
    }

    fn per_channel(
        &self,
        op: &'static str,
        x: TensorId,
        c: usize,
        ids: &[TensorId],
    ) -> Result<(), GraphError> {
        for &id in ids {
            let shape = self.floats(op, id)?;
            if shape != [c] {
                let reason = format!("`{}` must be [{c}]", self.name(id));
                return Err(GraphError::shape(op, &[self.shape(x), shape], reason));
            }
        }
        Ok(())
    }

    fn check_conv_output(&self, op: &'static str, dy: TensorId, dims: &ConvDims) -> Result<(), GraphError> {
        let [oh, ow] = dims.output()?;
        let (found, wanted) = (self.floats(op, dy)?, [dims.n, dims.o, oh, ow]);
        if found == wanted {
            return Ok(());
        }
        Err(GraphError::shape(
            op,
            &[found],
            format!("the gradient must be {wanted:?}"),
        ))
    }

    fn pool_dims(&self, op: &'static str, x: TensorId, spec: Pool2d) -> Result<PoolDims, GraphError> {
        let shape = self.floats(op, x)?;
        let &[n, c, h, w] = shape else {
            return Err(GraphError::shape(
                op,
                &[shape],
                "wanted is [batch, channels, height, width]",
            ));
        };
        let dims = PoolDims {
            n,
            c,
            h,
            w,
            kernel: spec.kernel,
            stride: spec.stride,
        };
        fits(op, &[shape], spec.kernel, [h, w], spec.stride)?;
        Ok(dims)
    }
}

fn conv_dims(op: &'static str, x: &[usize], weights: &[usize], spec: Conv2d) -> Result<ConvDims, GraphError> {
    let (&[n, c, h, w], &[o, c2, kh, kw]) = (x, weights) else {
        return Err(GraphError::shape(
            op,
            &[x, weights],
            "wanted are [n, c, h, w] and [o, c, kh, kw]",
        ));
    };
    if c != c2 {
        return Err(GraphError::shape(
            op,
            &[x, weights],
            format!("the channels {c} and {c2} differ"),
        ));
    }
    let Conv2d { stride, padding } = spec;
    let padded = |size: usize, pad: usize| pad.checked_mul(2).and_then(|both| size.checked_add(both));
    let (Some(height), Some(width)) = (padded(h, padding[0]), padded(w, padding[1])) else {
        return Err(GraphError::shape(
            op,
            &[x, weights],
            format!("the padding {padding:?} is too large"),
        ));
    };
    fits(op, &[x, weights], [kh, kw], [height, width], stride)?;
    Ok(ConvDims {
        n,
        c,
        h,
        w,
        o,
        kh,
        kw,
        stride,
        padding,
    })
}

fn fits(
    op: &'static str,
    shapes: &[&[usize]],
    kernel: [usize; 2],
    size: [usize; 2],
    stride: [usize; 2],
) -> Result<(), GraphError> {
    if stride.contains(&0) || kernel.contains(&0) {
        let reason = format!("kernel {kernel:?} and stride {stride:?} must be at least 1");
        return Err(GraphError::shape(op, shapes, reason));
    }
    if kernel[0] > size[0] || kernel[1] > size[1] {
        let reason = format!("the kernel {kernel:?} is larger than the padded input {size:?}");
        return Err(GraphError::shape(op, shapes, reason));
    }
    Ok(())
}
