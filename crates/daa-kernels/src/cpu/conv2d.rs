//! Host forms of convolution: each image is unfolded, a tile of output rows at a time, into a matrix with one row per
//! tap `(c, ky, kx)` and one column per output position, so that the work is matrix products.

use crate::activation::Activation;
use crate::cpu::activation;
use crate::cpu::direct::{Correlate, LANES, Sizes, WeightSums, interleave, pad_image};
use crate::cpu::simd::{Matrix, MatrixMut, gemm, widest};
use daa_gpu_core::{HostCall, Scratch};
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
        (0..oh)
            .step_by(rows)
            .map(move |first| first..(first + rows).min(oh))
    }

    /// The forward pass as a correlation of padded images, if that is the faster way.
    fn forward_sizes(&self) -> Option<Sizes> {
        let [height, width] = [self.h + 2 * self.padding[0], self.w + 2 * self.padding[1]];
        let sizes = Sizes {
            channels: self.c,
            height,
            width,
            outputs: self.o,
            kernel: self.kernel,
        };
        (self.stride == [1, 1] && suits(&sizes)).then_some(sizes)
    }

    /// The weight gradient as sums over padded images, if that is the faster way. Sums come in groups of taps; a last
    /// group that is mostly empty costs more than matrix products do.
    fn weight_sizes(&self) -> Option<Sizes> {
        let sizes = self.forward_sizes()?;
        let fits = self.o.next_multiple_of(LANES) * (self.positions() + sizes.sums()) <= 4 * TILE_ELEMENTS;
        (fits && sizes.taps() * 4 >= sizes.sums() * 3).then_some(sizes)
    }

    /// The input gradient as a correlation of padded output gradients with the kernel turned round, and their padding, if
    /// that is the faster way.
    fn backward_sizes(&self) -> Option<(Sizes, [usize; 2])> {
        let [kh, kw] = self.kernel;
        let pad = [
            (kh - 1).checked_sub(self.padding[0])?,
            (kw - 1).checked_sub(self.padding[1])?,
        ];
        let [height, width] = [self.oh + 2 * pad[0], self.ow + 2 * pad[1]];
        let sizes = Sizes {
            channels: self.o,
            height,
            width,
            outputs: self.c,
            kernel: self.kernel,
        };
        (self.stride == [1, 1] && suits(&sizes)).then_some((sizes, pad))
    }

    /// Whether an image is its own unfolded form.
    fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0, 0]
    }

    /// The input row under tap row `ky` of output row `oy`.
    fn input_row(&self, oy: usize, ky: usize) -> Option<usize> {
        (oy * self.stride[0] + ky)
            .checked_sub(self.padding[0])
            .filter(|&iy| iy < self.h)
    }

    /// The output columns whose tap column `kx` lies inside the image, and the input column of the first.
    fn columns(&self, kx: usize) -> (Range<usize>, usize) {
        let (pad, step) = (self.padding[1], self.stride[1]);
        let first = pad.saturating_sub(kx).div_ceil(step).min(self.ow);
        let end = (self.w + pad)
            .saturating_sub(kx)
            .div_ceil(step)
            .min(self.ow)
            .max(first);
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

/// Whether direct convolution beats matrix products: vectors of outputs are mostly full, and everything fits a usual
/// second-level cache.
fn suits(sizes: &Sizes) -> bool {
    let [_, ow] = sizes.output();
    ow * 4 >= ow.next_multiple_of(LANES) * 3 && sizes.padded() + sizes.packed() <= 4 * TILE_ELEMENTS
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

/// Multiplications that are worth a worker of their own.
const WORTH: usize = 1 << 19;

/// Images that each worker gets.
fn share(g: &Geometry, scratch: &Scratch) -> usize {
    let work = g.n * g.o * g.taps() * g.positions();
    g.n.div_ceil(scratch.hands((work / WORTH).clamp(1, g.n.max(1))))
        .max(1)
}

/// Host form of [`crate::ops::conv2d::CONV2D`].
pub fn forward(mut call: HostCall<'_>) {
    let [x, weight, bias] = call.reads_f32();
    let [y] = call.take_writes_f32();
    let g = Geometry::from_words(call.params);
    let epilogue = Activation::from_words(call.params[13], call.params[14]);
    let (image, out) = (g.image(), g.o * g.positions());
    let share = share(&g, call.scratch);
    let parts = x[..g.n * image]
        .chunks(share * image)
        .zip(y[..g.n * out].chunks_mut(share * out));
    call.scratch.spread(parts.collect(), |(x, y), scratch| {
        let images = x.chunks_exact(image).zip(y.chunks_exact_mut(out));
        forward_images(&g, images, weight, bias, epilogue, scratch);
    });
}

/// The outputs of some images.
fn forward_images<'a>(
    g: &Geometry,
    images: impl Iterator<Item = (&'a [f32], &'a mut [f32])>,
    weight: &[f32],
    bias: &[f32],
    epilogue: Activation,
    scratch: &mut Scratch,
) {
    if let Some(sizes) = g.forward_sizes() {
        let (padded, packed) = scratch
            .floats(sizes.padded() + sizes.packed())
            .split_at_mut(sizes.padded());
        sizes.pack(packed, |o, tap| weight[o * sizes.taps() + tap]);
        for (image, out) in images {
            pad_image(image, [g.h, g.w], g.padding, padded);
            widest(Correlate {
                sizes,
                padded,
                packed,
                bias: Some(bias),
                out: &mut *out,
            });
            activation::apply(epilogue, out);
        }
        return;
    }
    let tile = scratch.floats(if g.is_pointwise() {
        0
    } else {
        g.taps() * g.tile_rows() * g.ow
    });
    for (image, out) in images {
        forward_image(g, image, weight, tile, out);
        for (plane, &bias) in out.chunks_exact_mut(g.positions()).zip(bias) {
            for value in &mut *plane {
                *value += bias;
            }
            activation::apply(epilogue, plane);
        }
    }
}

/// One image's outputs before the bias, by matrix products.
fn forward_image(g: &Geometry, image: &[f32], weight: &[f32], tile: &mut [f32], out: &mut [f32]) {
    let (taps, positions) = (g.taps(), g.positions());
    let weight = Matrix::rows(weight, taps);
    if g.is_pointwise() {
        let target = MatrixMut {
            data: out,
            row_stride: positions,
        };
        return gemm(
            [g.o, taps, positions],
            weight,
            Matrix::rows(image, positions),
            0.0,
            target,
        );
    }
    for rows in g.tiles() {
        let width = rows.len() * g.ow;
        g.unfold(image, &rows, tile);
        let target = MatrixMut {
            data: &mut out[rows.start * g.ow..],
            row_stride: positions,
        };
        gemm([g.o, taps, width], weight, Matrix::rows(tile, width), 0.0, target);
    }
}

/// Host form of [`crate::ops::conv2d::CONV2D_GRAD_INPUT`].
pub fn grad_input(mut call: HostCall<'_>) {
    let [dy, weight] = call.reads_f32();
    let [dx] = call.take_writes_f32();
    let g = Geometry::from_words(call.params);
    let (image, out) = (g.image(), g.o * g.positions());
    let share = share(&g, call.scratch);
    let parts = dy[..g.n * out]
        .chunks(share * out)
        .zip(dx[..g.n * image].chunks_mut(share * image));
    call.scratch.spread(parts.collect(), |(dy, dx), scratch| {
        let images = dy.chunks_exact(out).zip(dx.chunks_exact_mut(image));
        grad_input_images(&g, images, weight, scratch);
    });
}

/// The input gradients of some images.
fn grad_input_images<'a>(
    g: &Geometry,
    images: impl Iterator<Item = (&'a [f32], &'a mut [f32])>,
    weight: &[f32],
    scratch: &mut Scratch,
) {
    let (taps, positions) = (g.taps(), g.positions());
    if let Some((sizes, pad)) = g.backward_sizes() {
        let (padded, packed) = scratch
            .floats(sizes.padded() + sizes.packed())
            .split_at_mut(sizes.padded());
        let area = g.kernel[0] * g.kernel[1];
        sizes.pack(packed, |c, tap| {
            weight[tap / area * taps + c * area + area - 1 - tap % area]
        });
        for (out, image) in images {
            pad_image(out, [g.oh, g.ow], pad, padded);
            widest(Correlate {
                sizes,
                padded,
                packed,
                bias: None,
                out: image,
            });
        }
        return;
    }
    let tile = scratch.floats(taps * g.tile_rows() * g.ow);
    for (out, image) in images {
        image.fill(0.0);
        for rows in g.tiles() {
            let width = rows.len() * g.ow;
            let gradients = Matrix {
                data: &out[rows.start * g.ow..],
                row_stride: positions,
                column_stride: 1,
            };
            let target = MatrixMut {
                data: &mut *tile,
                row_stride: width,
            };
            gemm(
                [taps, g.o, width],
                Matrix::transposed(weight, taps),
                gradients,
                0.0,
                target,
            );
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
    let images = x
        .chunks_exact(g.image())
        .zip(dy.chunks_exact(g.o * positions))
        .take(g.n);
    if let Some(sizes) = g.weight_sizes() {
        let blocks = g.o.next_multiple_of(LANES);
        let floats = sizes.padded() + blocks * (positions + sizes.sums());
        let (padded, rest) = call.scratch.floats(floats).split_at_mut(sizes.padded());
        let (gradients, sums) = rest.split_at_mut(blocks * positions);
        sums.fill(0.0);
        for (image, out) in images {
            pad_image(image, [g.h, g.w], g.padding, padded);
            interleave(out, positions, gradients);
            widest(WeightSums {
                sizes,
                padded,
                dy: gradients,
                sums,
            });
        }
        for (o, row) in dw.chunks_exact_mut(taps).enumerate() {
            let sums = sums[o / LANES * sizes.sums() * LANES..]
                .iter()
                .skip(o % LANES)
                .step_by(LANES);
            row.iter_mut().zip(sums).for_each(|(value, &sum)| *value = sum);
        }
        return;
    }
    let tile = call.scratch.floats(taps * g.tile_rows() * g.ow);
    let mut beta = 0.0;
    for (image, out) in images {
        for rows in g.tiles() {
            let width = rows.len() * g.ow;
            g.unfold(image, &rows, tile);
            let gradients = Matrix {
                data: &out[rows.start * g.ow..],
                row_stride: positions,
                column_stride: 1,
            };
            let target = MatrixMut {
                data: &mut *dw,
                row_stride: taps,
            };
            gemm(
                [g.o, width, taps],
                gradients,
                Matrix::transposed(tile, width),
                beta,
                target,
            );
            beta = 1.0;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
