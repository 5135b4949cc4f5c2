//! The one module with `unsafe`: a checked door to the vectorised matrix product of the `matrixmultiply` crate, and one to
//! the widest vectors of the processor.
#![expect(
    unsafe_code,
    reason = "raw pointers and processor features, each checked right before it is used"
)]

/// Loops that are worth compiling once for every vector width. Implementations and all that they call in their loops
/// must be inlined, or they are compiled for the narrowest vectors only.
pub(crate) trait Kernel {
    /// Runs the loops. With `FUSED`, the processor rounds `a * b + c` once. `ROWS` is how many vectors of 16 floats the
    /// processor can sum into registers at once.
    fn run<const FUSED: bool, const ROWS: usize>(self);
}

/// Runs a kernel with the widest vectors that this processor has.
pub(crate) fn widest<K: Kernel>(kernel: K) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx2,fma")]
        fn avx512<K: Kernel>(kernel: K) {
            kernel.run::<true, 8>();
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2<K: Kernel>(kernel: K) {
            kernel.run::<true, 4>();
        }
        let fused = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        if fused && is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has every feature that the function enables; it was asked just now.
            return unsafe { avx512(kernel) };
        }
        if fused {
            // SAFETY: the processor has both features that the function enables; it was asked just now.
            return unsafe { avx2(kernel) };
        }
    }
    kernel.run::<{ cfg!(target_arch = "aarch64") }, 4>();
}

/// `a * b + c`, rounded once where the processor does that fast.
#[inline(always)]
pub(crate) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// A matrix to read: element `(row, column)` is `data[row * row_stride + column * column_stride]`.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// The elements.
    pub data: &'a [f32],
    /// Elements from one row to the next.
    pub row_stride: usize,
    /// Elements from one column to the next.
    pub column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major matrix with `columns` columns.
    #[must_use]
    pub const fn rows(data: &'a [f32], columns: usize) -> Self {
        Self {
            data,
            row_stride: columns,
            column_stride: 1,
        }
    }

    /// The transpose of a row-major matrix that has `columns` columns before it is transposed.
    #[must_use]
    pub const fn transposed(data: &'a [f32], columns: usize) -> Self {
        Self {
            data,
            row_stride: 1,
            column_stride: columns,
        }
    }
}

/// A row-major matrix to write; rows may be further apart than they are long.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    /// The elements.
    pub data: &'a mut [f32],
    /// Elements from one row to the next, at least the number of columns.
    pub row_stride: usize,
}

/// `c = a · b + beta · c` for an `m × k` matrix `a` and a `k × n` matrix `b`; with `beta` zero, `c` is not read. It runs
/// on the calling thread and sums in an order that depends on the sizes and the processor only.
///
/// # Panics
/// When a size is zero, a matrix reaches beyond its data, or rows of `c` overlap.
pub fn gemm([m, k, n]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, beta: f32, c: MatrixMut<'_>) {
    assert!(c.row_stride >= n, "rows of the result must not overlap");
    let [a_row, a_column] = checked([m, k], [a.row_stride, a.column_stride], a.data.len());
    let [b_row, b_column] = checked([k, n], [b.row_stride, b.column_stride], b.data.len());
    let [c_row, c_column] = checked([m, n], [c.row_stride, 1], c.data.len());
    // SAFETY: `sgemm` reads element (i, j) of the m×k matrix `a` and the k×n matrix `b`, and reads and writes those of the
    // m×n matrix `c`, at `pointer + i * row stride + j * column stride`. `checked` asserts for each matrix that the last
    // of these offsets, hence every one of them since strides are not negative, is below the length of its slice, and
    // that strides fit `isize`. The pointers come from live slices; `c` is borrowed mutably, so it overlaps neither
    // `a` nor `b`, and its elements do not overlap one another as rows are at least `n` apart.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            1.0,
            a.data.as_ptr(),
            a_row,
            a_column,
            b.data.as_ptr(),
            b_row,
            b_column,
            beta,
            c.data.as_mut_ptr(),
            c_row,
            c_column,
        );
    }
}

/// The strides of a matrix of `sizes`, after asserting that it is not empty and lies within `len` elements.
fn checked(sizes: [usize; 2], strides: [usize; 2], len: usize) -> [isize; 2] {
    let last = sizes
        .iter()
        .zip(strides)
        .try_fold(0_usize, |last, (&size, stride)| {
            size.checked_sub(1)
                .and_then(|steps| steps.checked_mul(stride))
                .and_then(|offset| last.checked_add(offset))
        });
    assert!(
        last.is_some_and(|last| last < len),
        "a {sizes:?} matrix with strides {strides:?} exceeds {len} elements"
    );
    strides.map(|stride| {
        isize::try_from(stride).expect("strides of a dimension of one may be anything up to isize::MAX")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accumulates_into_rows_that_are_further_apart_than_long() {
        let mut c = [1.0, 1.0, 9.0, 1.0, 1.0];
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, 1.0]);
        gemm(
            [2, 2, 2],
            Matrix::rows(&a, 2),
            Matrix::rows(&b, 2),
            1.0,
            MatrixMut {
                data: &mut c,
                row_stride: 3,
            },
        );
        assert_eq!(c, [2.0, 3.0, 9.0, 4.0, 5.0]);
        gemm(
            [2, 2, 2],
            Matrix::transposed(&a, 2),
            Matrix::rows(&b, 2),
            0.0,
            MatrixMut {
                data: &mut c,
                row_stride: 3,
            },
        );
        assert_eq!(c, [1.0, 3.0, 9.0, 2.0, 4.0]);
    }

    #[test]
    #[should_panic(expected = "exceeds 3 elements")]
    fn refuses_a_matrix_beyond_its_data() {
        let (short, b, mut c) = ([0.0; 3], [0.0; 4], [0.0; 4]);
        gemm(
            [2, 2, 2],
            Matrix::rows(&short, 2),
            Matrix::rows(&b, 2),
            0.0,
            MatrixMut {
                data: &mut c,
                row_stride: 2,
            },
        );
    }

    #[test]
    #[should_panic(expected = "must not overlap")]
    fn refuses_overlapping_rows() {
        let (a, b, mut c) = ([0.0; 4], [0.0; 4], [0.0; 4]);
        gemm(
            [2, 2, 2],
            Matrix::rows(&a, 2),
            Matrix::rows(&b, 2),
            0.0,
            MatrixMut {
                data: &mut c,
                row_stride: 1,
            },
        );
    }

    #[test]
    #[should_panic(expected = "exceeds 4 elements")]
    fn refuses_an_empty_matrix() {
        let (a, b, mut c) = ([0.0; 4], [0.0; 4], [0.0; 4]);
        gemm(
            [2, 0, 2],
            Matrix::rows(&a, 2),
            Matrix::rows(&b, 2),
            0.0,
            MatrixMut {
                data: &mut c,
                row_stride: 2,
            },
        );
    }
}
