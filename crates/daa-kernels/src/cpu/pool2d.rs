//! Host forms of pooling.

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

    /// Combines every window of `x` into `y`, tap by tap: `first` for the first tap, `next` for the others.
    fn combine(&self, x: &[f32], y: &mut [f32], next: impl Fn(f32, f32) -> f32 + Copy) {
        let planes = x.chunks_exact(self.h * self.w).zip(y.chunks_exact_mut(self.oh * self.ow));
        for (plane, out) in planes.take(self.planes) {
            for (oy, out) in out.chunks_exact_mut(self.ow).enumerate() {
                for ky in 0..self.window[0] {
                    let row = &plane[(oy * self.stride[0] + ky) * self.w..][..self.w];
                    for kx in 0..self.window[1] {
                        if ky == 0 && kx == 0 {
                            self.each_window(row, 0, out, |_, value| value);
                        } else {
                            self.each_window(row, kx, out, next);
                        }
                    }
                }
            }
        }
    }

    /// Updates each output of one row with the tap in column `kx` of its window.
    fn each_window(&self, row: &[f32], kx: usize, out: &mut [f32], update: impl Fn(f32, f32) -> f32) {
        if self.stride[1] == 2 && kx < 2 {
            // The usual pooling, in a form that the compiler vectorises. The last window may end with the row, so
            // its second half may lie beyond the last whole pair only when the window is one wide.
            let (pairs, _) = row.as_chunks::<2>();
            let whole = out.len().min(pairs.len());
            for (value, pair) in out.iter_mut().zip(pairs) {
                *value = update(*value, pair[kx]);
            }
            for (index, value) in out.iter_mut().enumerate().skip(whole) {
                *value = update(*value, row[index * 2 + kx]);
            }
        } else {
            for (value, &tap) in out.iter_mut().zip(row[kx..].iter().step_by(self.stride[1])) {
                *value = update(*value, tap);
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

/// Host form of [`crate::ops::pool2d::MAX_POOL2D_GRAD`]. Windows scatter in row-major order, which adds to each element
/// in the order in which the WGSL form gathers.
pub fn max_grad(mut call: HostCall<'_>) {
    let [x, dy] = call.reads_f32();
    let [dx] = call.take_writes_f32();
    let g = Geometry::from_words(call.params);
    let planes = x.chunks_exact(g.h * g.w).zip(dx.chunks_exact_mut(g.h * g.w));
    for ((plane, gradient), dy) in planes.zip(dy.chunks_exact(g.oh * g.ow)).take(g.planes) {
        gradient.fill(0.0);
        for (index, &dy) in dy.iter().enumerate() {
            gradient[g.largest(plane, g.corner(index / g.ow, index % g.ow))] += dy;
        }
    }
}

/// Host form of [`crate::ops::pool2d::AVG_POOL2D_GRAD`].
pub fn avg_grad(mut call: HostCall<'_>) {
    let [_, dy] = call.reads_f32();
    let [dx] = call.take_writes_f32();
    let g = Geometry::from_words(call.params);
    let count = (g.window[0] * g.window[1]) as f32;
    for (gradient, dy) in dx.chunks_exact_mut(g.h * g.w).zip(dy.chunks_exact(g.oh * g.ow)).take(g.planes) {
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
mod tests;
