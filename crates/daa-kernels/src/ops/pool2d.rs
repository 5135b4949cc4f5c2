//! Max and average pooling without padding, forward and backward.

use crate::error::LaunchError;
use crate::kernels::{pool2d as wgsl, program};
use crate::launch::{Launch, check_trips, linear_groups};
use crate::ops::extent::{elements, size};

/// How a window becomes one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolKind {
    /// The largest element; among equal ones the first in row-major order gets the gradient. An element replaces the
    /// one before it only when it compares greater, so a NaN counts only where it is a window's first element.
    Max,
    /// The mean of the window.
    Avg,
}

/// Sizes of a pooling over `[n, c, h, w]`. Windows that would reach over the edge are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolDims {
    /// Images.
    pub n: usize,
    /// Channels.
    pub c: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Window height and width, at least 1.
    pub kernel: [usize; 2],
    /// Vertical and horizontal step, at least 1.
    pub stride: [usize; 2],
}

impl PoolDims {
    /// Height and width of the output: `(size − kernel) / stride + 1`, rounded down.
    ///
    /// # Errors
    /// [`LaunchError::TooLarge`] when a window is larger than the image, or a window size or stride is zero.
    pub fn output(&self) -> Result<[usize; 2], LaunchError> {
        let op = "pool2d";
        let mut out = [0; 2];
        let sizes = [self.h, self.w];
        for (axis, (window, step)) in [
            ("window height", "vertical stride"),
            ("window width", "horizontal stride"),
        ]
        .into_iter()
        .enumerate()
        {
            if self.kernel[axis] == 0 || self.kernel[axis] > sizes[axis] {
                let (value, limit) = (self.kernel[axis] as u64, sizes[axis] as u64);
                return Err(LaunchError::TooLarge {
                    op,
                    what: window,
                    value,
                    limit,
                });
            }
            size(op, step, self.stride[axis])?;
            out[axis] = (sizes[axis] - self.kernel[axis]) / self.stride[axis] + 1;
        }
        Ok(out)
    }

    /// `planes (n·c), h, w, kernel y, kernel x, stride y, stride x, oh, ow` as words.
    fn words(&self, op: &'static str) -> Result<[u32; 9], LaunchError> {
        let [oh, ow] = self.output()?;
        elements(
            op,
            "the image batch's element count",
            &[self.n, self.c, self.h, self.w],
        )?;
        elements(op, "the output's element count", &[self.n, self.c, oh, ow])?;
        Ok([
            elements(op, "n times c", &[self.n, self.c])?,
            size(op, "h", self.h)?,
            size(op, "w", self.w)?,
            size(op, "window height", self.kernel[0])?,
            size(op, "window width", self.kernel[1])?,
            size(op, "vertical stride", self.stride[0])?,
            size(op, "horizontal stride", self.stride[1])?,
            size(op, "output height", oh)?,
            size(op, "output width", ow)?,
        ])
    }
}

program! {
    /// Max pooling. Parameters: see [`launch_forward`].
    pub static MAX_POOL2D = pool2d::max_pool2d, crate::cpu::pool2d::max_forward;

    /// Average pooling.
    pub static AVG_POOL2D = pool2d::avg_pool2d, crate::cpu::pool2d::avg_forward;

    /// The gradient of max pooling; finds the largest elements again.
    pub static MAX_POOL2D_GRAD = pool2d::max_pool2d_grad, crate::cpu::pool2d::max_grad;

    /// The gradient of average pooling. It takes `x` like that of max pooling, and does not look at it.
    pub static AVG_POOL2D_GRAD = pool2d::avg_pool2d_grad, crate::cpu::pool2d::avg_grad;
}

/// Launches `y[n,c,oh,ow]` from `x[n,c,h,w]`. Bindings: `x | y`. Parameters: `planes (n·c), h, w, kernel y, kernel x,
/// stride y, stride x, oh, ow`.
///
/// # Errors
/// [`LaunchError::TooLarge`] when a size is zero, a window does not fit its image, a tensor has too many elements to
/// index, or a loop would be too long.
pub fn launch_forward(kind: PoolKind, dims: PoolDims) -> Result<Launch, LaunchError> {
    let op = "pool2d";
    let params = dims.words(op)?;
    let (program, workgroup) = match kind {
        PoolKind::Max => (&MAX_POOL2D, wgsl::max_pool2d::WORKGROUP_SIZE[0]),
        PoolKind::Avg => (&AVG_POOL2D, wgsl::avg_pool2d::WORKGROUP_SIZE[0]),
    };
    check_trips(op, "loop trips over a window", window_trips(&params))?;
    let elements = u64::from(params[0]) * u64::from(params[7]) * u64::from(params[8]);
    Ok(Launch {
        program,
        params: params.to_vec(),
        groups: linear_groups(op, elements, workgroup)?,
    })
}

/// Launches `dx[n,c,h,w]` from `x` and `dy[n,c,oh,ow]`. Bindings: `x, dy | dx`; the gradient of [`PoolKind::Avg`] does
/// not depend on what is in `x`. Parameters as [`launch_forward`].
///
/// # Errors
/// As [`launch_forward`].
pub fn launch_grad(kind: PoolKind, dims: PoolDims) -> Result<Launch, LaunchError> {
    let op = "pool2d_grad";
    let params = dims.words(op)?;
    let windows = |axis: usize| u64::from(params[3 + axis].div_ceil(params[5 + axis]));
    let covering = windows(0).saturating_mul(windows(1).saturating_add(1));
    let (program, workgroup, trips) = match kind {
        PoolKind::Max => {
            let scan = window_trips(&params)
                .saturating_mul(windows(0))
                .saturating_mul(windows(1));
            (
                &MAX_POOL2D_GRAD,
                wgsl::max_pool2d_grad::WORKGROUP_SIZE[0],
                covering.saturating_add(scan),
            )
        }
        PoolKind::Avg => (
            &AVG_POOL2D_GRAD,
            wgsl::avg_pool2d_grad::WORKGROUP_SIZE[0],
            covering,
        ),
    };
    check_trips(op, "loop trips over the windows that cover an element", trips)?;
    let elements = u64::from(params[0]) * u64::from(params[1]) * u64::from(params[2]);
    Ok(Launch {
        program,
        params: params.to_vec(),
        groups: linear_groups(op, elements, workgroup)?,
    })
}

/// Trips of the two nested loops over one window.
fn window_trips(params: &[u32; 9]) -> u64 {
    u64::from(params[3]).saturating_mul(u64::from(params[4]) + 1)
}
