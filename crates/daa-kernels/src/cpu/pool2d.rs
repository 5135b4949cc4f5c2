//! Host forms of pooling.

use crate::cpu::simd::{Kernel, widest};
use daa_gpu_core::HostCall;

/// Sizes of a pooling, from parameter words.
#[derive(Debug, Clone, Copy)]
struct Geometry {
    planes: usize,
    h: usize,
    w: usize,
    window: [usize; 2],
    stride: [usize; 2],
    oh: usize,
    ow: usize,
}

impl Geometry {
    fn from_words(words: &[u32]) -> Self {
        let word = |index: usize| words[index] as usize;
        Self {
            planes: word(0),
            h: word(1),
            w: word(2),
            window: [word(3), word(4)],
            stride: [word(5), word(6)],
            oh: word(7),
            ow: word(8),
        }
    }

    /// Whether windows are two by two and lie side by side: the usual pooling, with loops of its own.
    fn halves(&self) -> bool {
        self.window == [2, 2] && self.stride == [2, 2]
    }

    /// Combines every window of `x` into `y`, tap after tap in row-major order.
    fn combine(&self, x: &[f32], y: &mut [f32], next: impl Fn(f32, f32) -> f32 + Copy) {
        let planes = x
            .chunks_exact(self.h * self.w)
            .zip(y.chunks_exact_mut(self.oh * self.ow));
        for (plane, out) in planes.take(self.planes) {
            if !self.halves() {
                self.combine_plane(plane, out, next);
                continue;
            }
            for (rows, out) in plane.chunks_exact(2 * self.w).zip(out.chunks_exact_mut(self.ow)) {
                let (top, bottom) = rows.split_at(self.w);
                let pairs = top.as_chunks::<2>().0.iter().zip(bottom.as_chunks::<2>().0);
                for (value, (top, bottom)) in out.iter_mut().zip(pairs) {
                    *value = next(next(next(top[0], top[1]), bottom[0]), bottom[1]);
                }
            }
        }
    }

    /// Combines every window of one plane, whatever their size.
    fn combine_plane(&self, plane: &[f32], out: &mut [f32], next: impl Fn(f32, f32) -> f32) {
        for (oy, out) in out.chunks_exact_mut(self.ow).enumerate() {
            for ky in 0..self.window[0] {
                let row = &plane[(oy * self.stride[0] + ky) * self.w..][..self.w];
                for kx in 0..self.window[1] {
                    for (value, &tap) in out.iter_mut().zip(row[kx..].iter().step_by(self.stride[1])) {
                        *value = if ky == 0 && kx == 0 {
                            tap
                        } else {
                            next(*value, tap)
                        };
                    }
                }
            }
        }
    }

    /// Gives each gradient of one plane to the largest element of its window. Windows scatter in row-major order, which
    /// adds to each element in the order in which the WGSL form gathers.
    fn scatter_plane(&self, plane: &[f32], dy: &[f32], gradient: &mut [f32]) {
        gradient.fill(0.0);
        for (index, &dy) in dy.iter().enumerate() {
            gradient[self.largest(plane, self.corner(index / self.ow, index % self.ow))] += dy;
        }
    }

    /// The same for windows that are two by two and lie side by side.
    #[inline(always)]
    fn scatter_halves(&self, plane: &[f32], dy: &[f32], gradient: &mut [f32]) {
        let pair = 2 * self.w;
        gradient[dy.len() / self.ow * pair..].fill(0.0);
        let rows = plane.chunks_exact(pair).zip(gradient.chunks_exact_mut(pair));
        for ((rows, gradients), dy) in rows.zip(dy.chunks_exact(self.ow)) {
            let (top, bottom) = rows.split_at(self.w);
            let (top_gradient, bottom_gradient) = gradients.split_at_mut(self.w);
            let (top_pairs, top_rest) = top_gradient.as_chunks_mut::<2>();
            let (bottom_pairs, bottom_rest) = bottom_gradient.as_chunks_mut::<2>();
            top_rest.fill(0.0);
            bottom_rest.fill(0.0);
            let values = top.as_chunks::<2>().0.iter().zip(bottom.as_chunks::<2>().0);
            let targets = top_pairs.iter_mut().zip(bottom_pairs);
            for (((top, bottom), (to_top, to_bottom)), &dy) in values.zip(targets).zip(dy) {
                let [second, third, fourth] = winner(*top, *bottom);
                let dy = dy.to_bits();
                let later = third | fourth;
                *to_top = [dy & !(second | later), dy & second & !later].map(f32::from_bits);
                *to_bottom = [dy & third & !fourth, dy & fourth].map(f32::from_bits);
            }
        }
    }

    /// Index within `plane` of the largest element of the window at `corner`; the first of equals.
    fn largest(&self, plane: &[f32], corner: usize) -> usize {
        let mut best = (plane[corner], corner);
        for ky in 0..self.window[0] {
            let first = corner + ky * self.w;
            for (kx, &value) in plane[first..first + self.window[1]].iter().enumerate() {
                if value > best.0 {
                    best = (value, first + kx);
                }
            }
        }
        best.1
    }

    /// Index within a plane of the first element of window `(oy, ox)`.
    const fn corner(&self, oy: usize, ox: usize) -> usize {
        oy * self.stride[0] * self.w + ox * self.stride[1]
    }
}

/// For the second, third and fourth element of a window whether it is larger than all before it: all bits or none. Which
/// one wins is a coin toss, so a branch would be mispredicted half of the time. A NaN before the element counts only when
/// it comes first: it is neither greater nor, negated, less or equal.
#[inline(always)]
const fn winner([a, b]: [f32; 2], [c, d]: [f32; 2]) -> [u32; 3] {
    let third = mask(c > a) & !mask(c <= b);
    let fourth = mask(d > a) & !mask(d <= b) & !mask(d <= c);
    [mask(b > a), third, fourth]
}

/// All bits or none.
const fn mask(condition: bool) -> u32 {
    (condition as u32).wrapping_neg()
}

/// Host form of [`crate::ops::pool2d::MAX_POOL2D`].
pub fn max_forward(mut call: HostCall<'_>) {
    let [x] = call.reads_f32();
    let [y] = call.take_writes_f32();
    let geometry = Geometry::from_words(call.params);
    geometry.combine(x, y, |best, value| if value > best { value } else { best });
}

/// Host form of [`crate::ops::pool2d::AVG_POOL2D`].
pub fn avg_forward(mut call: HostCall<'_>) {
    let [x] = call.reads_f32();
    let [y] = call.take_writes_f32();
    let g = Geometry::from_words(call.params);
    g.combine(x, y, |sum, value| sum + value);
    let count = (g.window[0] * g.window[1]) as f32;
    for value in &mut y[..g.planes * g.oh * g.ow] {
        *value /= count;
    }
}

/// Host form of [`crate::ops::pool2d::MAX_POOL2D_GRAD`].
pub fn max_grad(mut call: HostCall<'_>) {
    let [x, dy] = call.reads_f32();
    let [dx] = call.take_writes_f32();
    let g = Geometry::from_words(call.params);
    widest(MaxGrad { g, x, dy, dx });
}

struct MaxGrad<'a> {
    g: Geometry,
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for MaxGrad<'_> {
    #[inline(always)]
    fn run<const FUSED: bool, const ROWS: usize>(self) {
        let Self { g, x, dy, dx } = self;
        let planes = x.chunks_exact(g.h * g.w).zip(dx.chunks_exact_mut(g.h * g.w));
        for ((plane, gradient), dy) in planes.zip(dy.chunks_exact(g.oh * g.ow)).take(g.planes) {
            if g.halves() {
                g.scatter_halves(plane, dy, gradient);
            } else {
                g.scatter_plane(plane, dy, gradient);
            }
        }
    }
}

/// Host form of [`crate::ops::pool2d::AVG_POOL2D_GRAD`].
pub fn avg_grad(mut call: HostCall<'_>) {
    let [_, dy] = call.reads_f32();
    let [dx] = call.take_writes_f32();
    let g = Geometry::from_words(call.params);
    let count = (g.window[0] * g.window[1]) as f32;
    for (gradient, dy) in dx
        .chunks_exact_mut(g.h * g.w)
        .zip(dy.chunks_exact(g.oh * g.ow))
        .take(g.planes)
    {
        gradient.fill(0.0);
        for (index, &dy) in dy.iter().enumerate() {
            let corner = g.corner(index / g.ow, index % g.ow);
            for ky in 0..g.window[0] {
                for value in &mut gradient[corner + ky * g.w..][..g.window[1]] {
                    *value += dy;
                }
            }
        }
        for value in gradient {
            *value /= count;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
