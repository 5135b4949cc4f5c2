//! Host forms of convolution: each image is unfolded, a tile of output rows at a time, into a matrix with one row per
//! tap `(c, ky, kx)` and one column per output position, so that the work is matrix products.

use crate::activation::Activation;
use crate::cpu::activation;
use crate::cpu::simd::{Matrix, MatrixMut, gemm};
use daa_gpu_core::HostCall;
use std::ops::Range;

/// Elements of an unfolded tile that tiles aim at: 256 KiB, half of a usual second-level cache.
const TILE_ELEMENTS: usize = 64 * 1024;

/// Sizes of a convolution, from parameter words.
#[derive(Debug, Clone, Copy)]
struct Geometry {
    n: usize,
    c: usize,
    h: usize,
    w: usize,
    o: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    oh: usize,
    ow: usize,
}

impl Geometry {
    fn from_words(words: &[u32]) -> Self {
        let word = |index: usize| words[index] as usize;
        Self {
            n: word(0),
            c: word(1),
            h: word(2),
            w: word(3),
            o: word(4),
            kernel: [word(5), word(6)],
            stride: [word(7), word(8)],
            padding: [word(9), word(10)],
            oh: word(11),
            ow: word(12),
        }
    }

    /// Elements of one input image.
    const fn image(&self) -> usize {
        self.c * self.h * self.w
    }

    /// Output positions of one image.
    const fn positions(&self) -> usize {
        self.oh * self.ow
    }

    /// Taps of one output channel: rows of an unfolded tile.
    const fn taps(&self) -> usize {
        self.c * self.kernel[0] * self.kernel[1]
    }

    /// Output rows per tile.
    fn tile_rows(&self) -> usize {
        (TILE_ELEMENTS / (self.taps() * self.ow)).clamp(1, self.oh)
    }

    /// Every tile of one image, as output rows.
    fn tiles(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (rows, oh) = (self.tile_rows(), self.oh);
        (0..oh).step_by(rows).map(move |first| first..(first + rows).min(oh))
    }

    /// Whether an image is its own unfolded form.
    fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0, 0]
    }

    /// The input row under tap row `ky` of output row `oy`.
    fn input_row(&self, oy: usize, ky: usize) -> Option<usize> {
        (oy * self.stride[0] + ky).checked_sub(self.padding[0]).filter(|&iy| iy < self.h)
    }

    /// The output columns whose tap column `kx` lies inside the image, and the input column of the first.
    fn columns(&self, kx: usize) -> (Range<usize>, usize) {
        let (pad, step) = (self.padding[1], self.stride[1]);
        let first = pad.saturating_sub(kx).div_ceil(step).min(self.ow);
        let end = (self.w + pad).saturating_sub(kx).div_ceil(step).min(self.ow).max(first);
        (first..end, (first * step + kx).saturating_sub(pad))
    }

    /// Unfolds output rows `rows` of one image into `tile`.
    fn unfold(&self, image: &[f32], rows: &Range<usize>, tile: &mut [f32]) {
        let width = rows.len() * self.ow;
        for (tap, unfolded) in tile[..self.taps() * width].chunks_exact_mut(width).enumerate() {
            let (plane, ky, kx) = self.tap(tap);
            let (columns, ix) = self.columns(kx);
            for (oy, out) in rows.clone().zip(unfolded.chunks_exact_mut(self.ow)) {
                let Some(iy) = self.input_row(oy, ky) else {
                    out.fill(0.0);
                    continue;
                };
                out[..columns.start].fill(0.0);
                out[columns.end..].fill(0.0);
                let row = &image[plane + iy * self.w..][..self.w];
                copy_strided(&mut out[columns.clone()], row, ix, self.stride[1]);
            }
        }
    }

    /// Adds an unfolded tile back onto the image it came from, tap by tap.
    fn fold(&self, tile: &[f32], rows: &Range<usize>, image: &mut [f32]) {
        let width = rows.len() * self.ow;
        for (tap, unfolded) in tile[..self.taps() * width].chunks_exact(width).enumerate() {
            let (plane, ky, kx) = self.tap(tap);
            let (columns, ix) = self.columns(kx);
            for (oy, values) in rows.clone().zip(unfolded.chunks_exact(self.ow)) {
                if let Some(iy) = self.input_row(oy, ky) {
                    let row = &mut image[plane + iy * self.w..][..self.w];
                    add_strided(row, ix, self.stride[1], &values[columns.clone()]);
                }
            }
        }
    }

    /// Where the input plane of a tap begins, and its row and column within the kernel.
    const fn tap(&self, tap: usize) -> (usize, usize, usize) {
        let [kh, kw] = self.kernel;
        (tap / (kh * kw) * self.h * self.w, tap / kw % kh, tap % kw)
    }
}

/// `out[i] = row[first + i * step]`.
fn copy_strided(out: &mut [f32], row: &[f32], first: usize, step: usize) {
    if out.is_empty() {
        return;
    }
    if step == 1 {
        out.copy_from_slice(&row[first..first + out.len()]);
        return;
    }
    for (value, &source) in out.iter_mut().zip(row[first..].iter().step_by(step)) {
        *value = source;
    }
}

/// `row[first + i * step] += values[i]`.
fn add_strided(row: &mut [f32], first: usize, step: usize, values: &[f32]) {
    if values.is_empty() {
        return;
    }
    if step == 1 {
        for (target, &value) in row[first..first + values.len()].iter_mut().zip(values) {
            *target += value;
        }
        return;
    }
    for (target, &value) in row[first..].iter_mut().step_by(step).zip(values) {
        *target += value;
    }
}

/// Host form of [`crate::ops::conv2d::CONV2D`].
pub fn forward(mut call: HostCall<'_>) {
    let [x, weight, bias] = call.reads_f32();
    let [y] = call.take_writes_f32();
    let g = Geometry::from_words(call.params);
    let epilogue = Activation::from_words(call.params[13], call.params[14]);
    let (taps, positions) = (g.taps(), g.positions());
    let tile = call.scratch.floats(if g.is_pointwise() { 0 } else { taps * g.tile_rows() * g.ow });
    let outputs = y.chunks_exact_mut(g.o * positions);
    for (image, out) in x.chunks_exact(g.image()).zip(outputs).take(g.n) {
        if g.is_pointwise() {
            gemm([g.o, taps, positions], Matrix::rows(weight, taps), Matrix::rows(image, positions), 0.0, MatrixMut {
                data: out,
                row_stride: positions,
            });
        } else {
            for rows in g.tiles() {
                let width = rows.len() * g.ow;
                g.unfold(image, &rows, tile);
                gemm([g.o, taps, width], Matrix::rows(weight, taps), Matrix::rows(tile, width), 0.0, MatrixMut {
                    data: &mut out[rows.start * g.ow..],
                    row_stride: positions,
                });
            }
        }
        for (plane, &bias) in out.chunks_exact_mut(positions).zip(bias) {
            for value in &mut *plane {
                *value += bias;
            }
            activation::apply(epilogue, plane);
        }
    }
}

/// Host form of [`crate::ops::conv2d::CONV2D_GRAD_INPUT`].
pub fn grad_input(mut call: HostCall<'_>) {
    let [dy, weight] = call.reads_f32();
    let [dx] = call.take_writes_f32();
    let g = Geometry::from_words(call.params);
    let (taps, positions) = (g.taps(), g.positions());
    let tile = call.scratch.floats(taps * g.tile_rows() * g.ow);
    let images = dx.chunks_exact_mut(g.image());
    for (out, image) in dy.chunks_exact(g.o * positions).zip(images).take(g.n) {
        image.fill(0.0);
        for rows in g.tiles() {
            let width = rows.len() * g.ow;
            let gradients = Matrix { data: &out[rows.start * g.ow..], row_stride: positions, column_stride: 1 };
            gemm([taps, g.o, width], Matrix::transposed(weight, taps), gradients, 0.0, MatrixMut {
                data: &mut *tile,
                row_stride: width,
            });
            g.fold(tile, &rows, image);
        }
    }
}

/// Host form of [`crate::ops::conv2d::CONV2D_GRAD_WEIGHT`].
pub fn grad_weight(mut call: HostCall<'_>) {
    let [x, dy] = call.reads_f32();
    let [dw] = call.take_writes_f32();
    let g = Geometry::from_words(call.params);
    let (taps, positions) = (g.taps(), g.positions());
    let tile = call.scratch.floats(taps * g.tile_rows() * g.ow);
    let mut beta = 0.0;
    for (image, out) in x.chunks_exact(g.image()).zip(dy.chunks_exact(g.o * positions)).take(g.n) {
        for rows in g.tiles() {
            let width = rows.len() * g.ow;
            g.unfold(image, &rows, tile);
            let gradients = Matrix { data: &out[rows.start * g.ow..], row_stride: positions, column_stride: 1 };
            gemm([g.o, width, taps], gradients, Matrix::transposed(tile, width), beta, MatrixMut {
                data: &mut *dw,
                row_stride: taps,
            });
            beta = 1.0;
        }
    }
}

#[cfg(test)]
mod tests;
