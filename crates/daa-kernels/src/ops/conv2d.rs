//! Two-dimensional convolution (cross-correlation) with stride and zero padding, forward and backward.

use crate::activation::Activation;
use crate::error::LaunchError;
use crate::kernels::{conv2d as wgsl, program};
use crate::launch::{Launch, check_trips, linear_groups};
use crate::ops::extent::{elements, size};

/// Output channels that one workgroup of the weight gradient computes.
const GRAD_CHANNELS: usize = 4;

/// Sizes of a convolution: images are `[n, c, h, w]`, weights `[o, c, kh, kw]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvDims {
    /// Images.
    pub n: usize,
    /// Input channels.
    pub c: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Output channels.
    pub o: usize,
    /// Kernel height.
    pub kh: usize,
    /// Kernel width.
    pub kw: usize,
    /// Vertical and horizontal step, at least 1.
    pub stride: [usize; 2],
    /// Zero rows and columns added on each side.
    pub padding: [usize; 2],
}

impl ConvDims {
    /// Height and width of the output: `(size + 2·padding − kernel) / stride + 1`, rounded down.
    ///
    /// # Errors
    /// [`LaunchError::TooLarge`] when the kernel is larger than the padded image, or a kernel size or stride is zero.
    pub fn output(&self) -> Result<[usize; 2], LaunchError> {
        let height = output_size(
            ["padded height", "kernel height", "vertical stride"],
            self.h,
            self.kh,
            self.padding[0],
            self.stride[0],
        )?;
        let width = output_size(
            ["padded width", "kernel width", "horizontal stride"],
            self.w,
            self.kw,
            self.padding[1],
            self.stride[1],
        )?;
        Ok([height, width])
    }

    /// The parameter words that the three kernels share, after every size was checked.
    fn words(&self, op: &'static str) -> Result<Vec<u32>, LaunchError> {
        let [oh, ow] = self.output()?;
        elements(
            op,
            "the image batch's element count",
            &[self.n, self.c, self.h, self.w],
        )?;
        elements(
            op,
            "the weights' element count",
            &[self.o, self.c, self.kh, self.kw],
        )?;
        elements(op, "the output's element count", &[self.n, self.o, oh, ow])?;
        let sizes = [
            ("n", self.n),
            ("c", self.c),
            ("h", self.h),
            ("w", self.w),
            ("o", self.o),
            ("kernel height", self.kh),
            ("kernel width", self.kw),
            ("vertical stride", self.stride[0]),
            ("horizontal stride", self.stride[1]),
        ];
        let mut words = Vec::with_capacity(13);
        for (what, value) in sizes {
            words.push(size(op, what, value)?);
        }
        for value in [self.padding[0], self.padding[1], oh - 1, ow - 1] {
            words.push(size(op, "padding or output size", value + 1)? - 1);
        }
        words[11] += 1;
        words[12] += 1;
        Ok(words)
    }
}

/// One dimension of an output; `names` are those of the padded size, the kernel and the stride.
fn output_size(
    names: [&'static str; 3],
    size: usize,
    kernel: usize,
    padding: usize,
    stride: usize,
) -> Result<usize, LaunchError> {
    let op = "conv2d";
    let padded = elements(op, names[0], &[padding.saturating_mul(2).saturating_add(size)])? as usize;
    if kernel == 0 || kernel > padded {
        return Err(LaunchError::TooLarge {
            op,
            what: names[1],
            value: kernel as u64,
            limit: padded as u64,
        });
    }
    elements(op, names[2], &[stride])?;
    Ok((padded - kernel) / stride + 1)
}

program! {
    /// Convolution, bias and activation. Parameters: see [`launch_forward`].
    pub static CONV2D = conv2d::conv2d, crate::cpu::conv2d::forward;

    /// The gradient with respect to the images.
    pub static CONV2D_GRAD_INPUT = conv2d::conv2d_grad_input, crate::cpu::conv2d::grad_input;

    /// The gradient with respect to the weights.
    pub static CONV2D_GRAD_WEIGHT = conv2d::conv2d_grad_weight, crate::cpu::conv2d::grad_weight;
}

/// Launches `y[n,o,oh,ow] = activation(bias[o] + Σ x[n,c,·,·]·w[o,c,·,·])`. Bindings: `x, w, bias | y`. Parameters: `n, c,
/// h, w, o, kh, kw, stride y, stride x, padding y, padding x, oh, ow, activation kind, steepness`.
///
/// # Errors
/// [`LaunchError::TooLarge`] when a size is zero, a kernel does not fit its image, a tensor has too many elements to
/// index, or a loop would be too long.
pub fn launch_forward(dims: ConvDims, activation: Option<Activation>) -> Result<Launch, LaunchError> {
    let op = "conv2d";
    let mut params = dims.words(op)?;
    params.extend(Activation::words(activation));
    check_trips(
        op,
        "loop trips over c, kh and kw",
        nested_trips(dims.c, dims.kh, dims.kw),
    )?;
    let elements = params[0] * params[4] * params[11] * params[12];
    let groups = linear_groups(op, u64::from(elements), wgsl::conv2d::WORKGROUP_SIZE[0])?;
    Ok(Launch {
        program: &CONV2D,
        params,
        groups,
    })
}

/// Launches `dx[n,c,h,w]` from `dy[n,o,oh,ow]`. Bindings: `dy, w | dx`. Parameters: the first 13 of [`launch_forward`].
///
/// # Errors
/// As [`launch_forward`].
pub fn launch_grad_input(dims: ConvDims) -> Result<Launch, LaunchError> {
    let op = "conv2d_grad_input";
    let params = dims.words(op)?;
    check_trips(
        op,
        "loop trips over kh, kw and o",
        nested_trips(dims.kh, dims.kw, dims.o),
    )?;
    let elements = params[0] * params[1] * params[2] * params[3];
    let groups = linear_groups(
        op,
        u64::from(elements),
        wgsl::conv2d_grad_input::WORKGROUP_SIZE[0],
    )?;
    Ok(Launch {
        program: &CONV2D_GRAD_INPUT,
        params,
        groups,
    })
}

/// Launches `dw[o,c,kh,kw]` from `x` and `dy[n,o,oh,ow]`. Bindings: `x, dy | dw`. Parameters: the first 13 of
/// [`launch_forward`].
///
/// # Errors
/// As [`launch_forward`].
pub fn launch_grad_weight(dims: ConvDims) -> Result<Launch, LaunchError> {
    let op = "conv2d_grad_weight";
    let params = dims.words(op)?;
    let workgroup = wgsl::conv2d_grad_weight::WORKGROUP_SIZE[0];
    let positions = elements(
        op,
        "output positions",
        &[dims.n, params[11] as usize, params[12] as usize],
    )?;
    check_trips(
        op,
        "loop trips over n, oh and ow",
        u64::from(positions.div_ceil(workgroup)) + 16,
    )?;
    let sums = elements(
        op,
        "weight groups",
        &[dims.o.div_ceil(GRAD_CHANNELS), dims.c, dims.kh, dims.kw],
    )?;
    let groups = linear_groups(op, u64::from(sums), 1)?;
    Ok(Launch {
        program: &CONV2D_GRAD_WEIGHT,
        params,
        groups,
    })
}

/// Trips of three nested loops, all levels added up.
const fn nested_trips(outer: usize, middle: usize, inner: usize) -> u64 {
    let outer = outer as u64;
    let middle = outer.saturating_mul(middle as u64);
    outer
        .saturating_add(middle)
        .saturating_add(middle.saturating_mul(inner as u64))
}
