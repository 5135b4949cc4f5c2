//! Convolution of stride 1 without unfolding: each image gets its padding, then vectors of outputs are summed in registers
//! straight from it.

use crate::cpu::simd::{Kernel, multiply_add};

/// Floats per vector. Padded images end in as many more, so that the last vector of a row may reach beyond it.
pub(crate) const LANES: usize = 16;

/// Channels that are packed side by side: a multiple of what any processor works on at once.
const PACK: usize = 8;

/// Sizes of a correlation of one padded image `[channels, height, width]` with weights `[outputs, channels, kh, kw]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) outputs: usize,
    pub(crate) kernel: [usize; 2],
}

impl Sizes {
    /// Output height and width.
    pub(crate) const fn output(&self) -> [usize; 2] {
        [self.height + 1 - self.kernel[0], self.width + 1 - self.kernel[1]]
    }

    /// Elements of a padded image with the slack behind it.
    pub(crate) const fn padded(&self) -> usize {
        self.channels * self.height * self.width + LANES
    }

    /// Weights per output channel.
    pub(crate) const fn taps(&self) -> usize {
        self.channels * self.kernel[0] * self.kernel[1]
    }

    /// Elements of packed weights.
    pub(crate) const fn packed(&self) -> usize {
        self.outputs.div_ceil(PACK) * PACK * self.taps()
    }

    /// Weights per output channel, rounded up to what any processor sums at once.
    pub(crate) const fn sums(&self) -> usize {
        self.taps().next_multiple_of(PACK)
    }

    /// Offset of a tap within the padded image.
    const fn offset(&self, tap: usize) -> usize {
        let [kh, kw] = self.kernel;
        (tap / (kh * kw) * self.height + tap / kw % kh) * self.width + tap % kw
    }

    /// Packs `weight(output, tap)` as `[output / 8][tap][output % 8]`, zero beyond the last output.
    pub(crate) fn pack(&self, packed: &mut [f32], weight: impl Fn(usize, usize) -> f32) {
        for (block, group) in packed[..self.packed()]
            .chunks_exact_mut(PACK * self.taps())
            .enumerate()
        {
            for (tap, group) in group.chunks_exact_mut(PACK).enumerate() {
                for (lane, slot) in group.iter_mut().enumerate() {
                    let output = block * PACK + lane;
                    *slot = if output < self.outputs {
                        weight(output, tap)
                    } else {
                        0.0
                    };
                }
            }
        }
    }
}

/// Copies `image` into the middle of `padded`, with `pad` zero rows and columns on each side.
pub(crate) fn pad_image(image: &[f32], [h, w]: [usize; 2], pad: [usize; 2], padded: &mut [f32]) {
    let width = w + 2 * pad[1];
    let plane = (h + 2 * pad[0]) * width;
    padded.fill(0.0);
    for (image, padded) in image.chunks_exact(h * w).zip(padded.chunks_exact_mut(plane)) {
        let rows = padded[pad[0] * width..].chunks_exact_mut(width);
        for (row, padded) in image.chunks_exact(w).zip(rows) {
            padded[pad[1]..pad[1] + w].copy_from_slice(row);
        }
    }
}

/// `out[o, y, x] = bias[o] + Σ weight[o, c, ky, kx] · padded[c, y + ky, x + kx]`.
#[derive(Debug)]
pub(crate) struct Correlate<'a> {
    pub(crate) sizes: Sizes,
    pub(crate) padded: &'a [f32],
    pub(crate) packed: &'a [f32],
    /// None for zero.
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) out: &'a mut [f32],
}

impl Kernel for Correlate<'_> {
    #[inline(always)]
    fn run<const FUSED: bool, const ROWS: usize>(self) {
        let [oh, ow] = self.sizes.output();
        let (taps, plane) = (self.sizes.taps(), oh * ow);
        for first in (0..self.sizes.outputs).step_by(ROWS) {
            let rows = ROWS.min(self.sizes.outputs - first);
            let group = &self.packed[first / PACK * PACK * taps..][..PACK * taps];
            for (oy, ox) in (0..oh).flat_map(|oy| (0..ow).step_by(LANES).map(move |ox| (oy, ox))) {
                let sums = self.vector::<FUSED, ROWS>(group, first % PACK, oy, ox);
                let len = LANES.min(ow - ox);
                for (row, sums) in sums.iter().enumerate().take(rows) {
                    let bias = self.bias.map_or(0.0, |bias| bias[first + row]);
                    let target = &mut self.out[(first + row) * plane + oy * ow + ox..][..len];
                    for (target, sum) in target.iter_mut().zip(sums) {
                        *target = sum + bias;
                    }
                }
            }
        }
    }
}

impl Correlate<'_> {
    /// One vector of output positions for `ROWS` output channels.
    #[inline(always)]
    fn vector<const FUSED: bool, const ROWS: usize>(
        &self,
        group: &[f32],
        lane: usize,
        oy: usize,
        ox: usize,
    ) -> [[f32; LANES]; ROWS] {
        let Sizes {
            channels,
            height,
            width,
            kernel: [kh, kw],
            ..
        } = self.sizes;
        let mut sums = [[0.0; LANES]; ROWS];
        let mut weights = group.as_chunks::<PACK>().0.iter();
        for row in (0..channels * kh).map(|row| row / kh * height + row % kh) {
            let row = &self.padded[(row + oy) * width + ox..][..kw - 1 + LANES];
            for (values, weights) in row.array_windows::<LANES>().zip(&mut weights) {
                let weights: &[f32; ROWS] = weights[lane..]
                    .first_chunk()
                    .expect("a lane group holds ROWS weights");
                for (sums, &weight) in sums.iter_mut().zip(weights) {
                    for (sum, &value) in sums.iter_mut().zip(values) {
                        *sum = multiply_add::<FUSED>(weight, value, *sum);
                    }
                }
            }
        }
        sums
    }
}

/// `sums[tap, o] += Σ padded[tap's offset + position] · dy[position, o]`, `o` in blocks of [`LANES`].
#[derive(Debug)]
pub(crate) struct WeightSums<'a> {
    pub(crate) sizes: Sizes,
    pub(crate) padded: &'a [f32],
    /// `[o / 16][position][o % 16]`, zero beyond the last channel.
    pub(crate) dy: &'a [f32],
    /// `[o / 16][tap rounded up to 8][o % 16]`.
    pub(crate) sums: &'a mut [f32],
}

impl Kernel for WeightSums<'_> {
    #[inline(always)]
    fn run<const FUSED: bool, const ROWS: usize>(self) {
        let [oh, ow] = self.sizes.output();
        let taps = self.sizes.taps();
        let blocks = self.dy.chunks_exact(oh * ow * LANES);
        for (dy, block) in blocks.zip(self.sums.chunks_exact_mut(self.sizes.sums() * LANES)) {
            let (dy, (block, _)) = (dy.as_chunks::<LANES>().0, block.as_chunks_mut::<LANES>());
            for (group, sums) in block.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
                let offsets: [usize; ROWS] = std::array::from_fn(|row| {
                    // Taps beyond the last repeat it; nobody reads their sums.
                    self.sizes.offset((group * ROWS + row).min(taps - 1))
                });
                let mut local = *sums;
                for (oy, dy) in dy.chunks_exact(ow).enumerate() {
                    for (block, dy) in dy.chunks(LANES).enumerate() {
                        let mut rows = [&[0.0; LANES]; ROWS];
                        for (row, offset) in rows.iter_mut().zip(offsets) {
                            let values = &self.padded[offset + oy * self.sizes.width + block * LANES..];
                            *row = values
                                .first_chunk()
                                .expect("padded images end in LANES floats of slack");
                        }
                        for (ox, dy) in (0..LANES).zip(dy) {
                            for (sums, row) in local.iter_mut().zip(rows) {
                                for (sum, &dy) in sums.iter_mut().zip(dy) {
                                    *sum = multiply_add::<FUSED>(row[ox], dy, *sum);
                                }
                            }
                        }
                    }
                }
                *sums = local;
            }
        }
    }
}

/// Reorders one image's `[o, position]` to `[o / 16][position][o % 16]`, zero beyond the last channel.
pub(crate) fn interleave(dy: &[f32], positions: usize, out: &mut [f32]) {
    let channels = dy.chunks(positions * LANES);
    for (channels, block) in channels.zip(out.chunks_exact_mut(positions * LANES)) {
        if channels.len() < positions * LANES {
            block.fill(0.0);
        }
        let (slots, _) = block.as_chunks_mut::<LANES>();
        for (lane, channel) in channels.chunks_exact(positions).enumerate() {
            for (slot, &value) in slots.iter_mut().zip(channel) {
                slot[lane] = value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::reference::{Expected, assert_close, random, unwritten};
    use crate::cpu::simd::widest;

    const SIZES: Sizes = Sizes {
        channels: 3,
        height: 5,
        width: 23,
        outputs: 19,
        kernel: [3, 2],
    };

    fn tap_value(padded: &[f32], tap: usize, position: usize) -> f64 {
        let [_, ow] = SIZES.output();
        f64::from(padded[SIZES.offset(tap) + position / ow * SIZES.width + position % ow])
    }

    /// Every way to run a kernel that some processor takes, whatever this one takes.
    fn each_way(mut way: impl FnMut(&dyn Fn(Correlate<'_>), &dyn Fn(WeightSums<'_>))) {
        way(&|kernel| kernel.run::<false, 4>(), &|kernel| {
            kernel.run::<false, 4>()
        });
        way(&|kernel| kernel.run::<true, 4>(), &|kernel| {
            kernel.run::<true, 4>()
        });
        way(&|kernel| kernel.run::<true, 8>(), &|kernel| {
            kernel.run::<true, 8>()
        });
        way(&|kernel| widest(kernel), &|kernel| widest(kernel));
    }

    #[test]
    fn every_vector_width_correlates_alike() {
        let [oh, ow] = SIZES.output();
        let (padded, weight, bias) = (
            random(SIZES.padded(), 1),
            random(19 * SIZES.taps(), 2),
            random(19, 3),
        );
        let mut packed = unwritten(SIZES.packed());
        SIZES.pack(&mut packed, |output, tap| weight[output * SIZES.taps() + tap]);
        let products = |o: usize, position: usize| {
            (0..SIZES.taps()).map(move |tap| (o * SIZES.taps() + tap, tap, position))
        };
        let element = |i: usize| {
            let terms = products(i / (oh * ow), i % (oh * ow))
                .map(|(w, tap, position)| f64::from(weight[w]) * tap_value(&padded, tap, position));
            Expected::sum(terms.chain([f64::from(bias[i / (oh * ow)])]))
        };
        let expected: Vec<_> = (0..19 * oh * ow).map(element).collect();
        each_way(|correlate, _| {
            let mut out = unwritten(19 * oh * ow);
            correlate(Correlate {
                sizes: SIZES,
                padded: &padded,
                packed: &packed,
                bias: Some(&bias),
                out: &mut out,
            });
            assert_close("correlation", &out, &expected);
        });
    }

    #[test]
    fn every_vector_width_sums_weights_alike() {
        let [oh, ow] = SIZES.output();
        let (padded, dy) = (random(SIZES.padded(), 4), random(19 * oh * ow, 5));
        let mut interleaved = unwritten(32 * oh * ow);
        interleave(&dy, oh * ow, &mut interleaved);
        let sum = |o: usize, tap: usize| {
            let term = |position| f64::from(dy[o * oh * ow + position]) * tap_value(&padded, tap, position);
            Expected::sum((0..oh * ow).map(term))
        };
        each_way(|_, weigh| {
            let mut sums = vec![0.0; 32 * SIZES.sums()];
            weigh(WeightSums {
                sizes: SIZES,
                padded: &padded,
                dy: &interleaved,
                sums: &mut sums,
            });
            for o in 0..19 {
                let of_channel = sums[o / 16 * SIZES.sums() * 16..].iter().skip(o % 16).step_by(16);
                let found: Vec<f32> = of_channel.copied().take(SIZES.taps()).collect();
                let expected: Vec<_> = (0..SIZES.taps()).map(|tap| sum(o, tap)).collect();
                assert_close("weight sums", &found, &expected);
            }
        });
    }
}
