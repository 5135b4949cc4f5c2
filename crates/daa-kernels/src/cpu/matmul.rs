//! Host forms of the products.

use crate::activation::Activation;
use crate::cpu::activation;
use crate::cpu::simd::{Matrix, MatrixMut, gemm};
use daa_gpu_core::HostCall;

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
    gemm(
        [m, k, n],
        a,
        b,
        0.0,
        MatrixMut {
            data: c,
            row_stride: n,
        },
    );
}

/// Host form of [`crate::ops::linear::LINEAR`].
pub fn linear(mut call: HostCall<'_>) {
    let [x, w, bias] = call.reads_f32();
    let [y] = call.take_writes_f32();
    let [m, k, n] = [0, 1, 2].map(|i| call.params[i] as usize);
    gemm(
        [m, k, n],
        Matrix::rows(x, k),
        Matrix::rows(w, n),
        0.0,
        MatrixMut {
            data: y,
            row_stride: n,
        },
    );
    let epilogue = Activation::from_words(call.params[3], call.params[4]);
    for row in y[..m * n].chunks_exact_mut(n) {
        for (value, &bias) in row.iter_mut().zip(&bias[..n]) {
            *value += bias;
        }
        activation::apply(epilogue, row);
    }
}

#[cfg(test)]
pub(crate) mod tests;
