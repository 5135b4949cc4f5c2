//! Host forms of the products.

use crate::activation::Activation;
use crate::cpu::activation;
use crate::cpu::simd::{Matrix, MatrixMut, gemm};
use daa_gpu_core::{HostCall, Scratch};

/// Rows of a part are a multiple of this, so that every element is in the same place of the same tile of the product,
/// and has the same bytes, however the rows are divided.
const ROWS: usize = 64;

/// Multiplications that are worth a worker of their own.
const WORTH: usize = 1 << 20;

/// Host form of [`crate::ops::matmul::MATMUL`].
pub fn matmul(mut call: HostCall<'_>) {
    let [a, b] = call.reads_f32();
    let [c] = call.take_writes_f32();
    let [m, k, n] = [0, 1, 2].map(|i| call.params[i] as usize);
    let a = if call.params[3] == 0 {
        Matrix::rows(a, k)
    } else {
        Matrix::transposed(a, m)
    };
    let b = if call.params[4] == 0 {
        Matrix::rows(b, n)
    } else {
        Matrix::transposed(b, k)
    };
    product([m, k, n], a, b, c, call.scratch, |_| {});
}

/// Host form of [`crate::ops::linear::LINEAR`].
pub fn linear(mut call: HostCall<'_>) {
    let [x, w, bias] = call.reads_f32();
    let [y] = call.take_writes_f32();
    let [m, k, n] = [0, 1, 2].map(|i| call.params[i] as usize);
    let epilogue = Activation::from_words(call.params[3], call.params[4]);
    let (x, w) = (Matrix::rows(x, k), Matrix::rows(w, n));
    product([m, k, n], x, w, y, call.scratch, |rows| {
        for row in rows.chunks_exact_mut(n) {
            for (value, &bias) in row.iter_mut().zip(&bias[..n]) {
                *value += bias;
            }
            activation::apply(epilogue, row);
        }
    });
}

/// `c = a · b`, row-major, then `finish` on its rows, by as many workers as there are.
fn product(
    [m, k, n]: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    c: &mut [f32],
    scratch: &mut Scratch,
    finish: impl Fn(&mut [f32]) + Sync,
) {
    let most = m.div_ceil(ROWS).min(m * k * n / WORTH).max(1);
    let rows = m.div_ceil(scratch.hands(most)).next_multiple_of(ROWS);
    let parts = c[..m * n].chunks_mut(rows * n).enumerate().collect();
    scratch.spread(parts, |(part, c), _| {
        let a = Matrix {
            data: &a.data[part * rows * a.row_stride..],
            ..a
        };
        let target = MatrixMut {
            data: &mut *c,
            row_stride: n,
        };
        gemm([target.data.len() / n, k, n], a, b, 0.0, target);
        finish(c);
    });
}

#[cfg(test)]
pub(crate) mod tests;
