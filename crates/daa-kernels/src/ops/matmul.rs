//! Matrix product in all four transpositions.

use crate::error::LaunchError;
use crate::kernels::program;
use crate::launch::{Launch, MAX_GROUPS, check_trips};
use crate::ops::extent::{elements, size};

/// Rows and columns of the result that one workgroup computes.
pub(crate) const TILE: u32 = 64;

/// Depth of the slabs that a workgroup stages.
const SLAB: u32 = 16;

/// Loop trips per slab: the slab itself, and its inner loop, which is unrolled by four.
const TRIPS_PER_SLAB: u64 = 1 + SLAB as u64 / 4;

/// Loop trips after the last slab.
const EPILOGUE_TRIPS: u64 = 20;

/// Which operands of a product are stored transposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Transpose {
    /// `A[m,k] · B[k,n]`.
    #[default]
    None,
    /// `A[k,m]ᵀ · B[k,n]`.
    A,
    /// `A[m,k] · B[n,k]ᵀ`.
    B,
    /// `A[k,m]ᵀ · B[n,k]ᵀ`.
    Both,
}

impl Transpose {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::None, Self::A, Self::B, Self::Both];

    /// Whether the left operand is stored as `[k,m]`.
    #[must_use]
    pub const fn a(self) -> bool {
        matches!(self, Self::A | Self::Both)
    }

    /// Whether the right operand is stored as `[n,k]`.
    #[must_use]
    pub const fn b(self) -> bool {
        matches!(self, Self::B | Self::Both)
    }
}

program! {
    /// `c = op(a) · op(b)`. Parameters: `m, k, n, a transposed, b transposed`.
    pub static MATMUL = matmul::matmul, crate::cpu::matmul::matmul;
}

/// Launches `c[m,n] = op(a) · op(b)`, summing over `k`. Bindings: `a, b | c`, all row-major.
///
/// # Errors
/// [`LaunchError::TooLarge`] when a size is zero, a matrix has too many elements to index, or a loop would be too long.
pub fn launch(m: usize, k: usize, n: usize, transpose: Transpose) -> Result<Launch, LaunchError> {
    let [m, k, n, groups] = geometry("matmul", m, k, n)?;
    let params = vec![m, k, n, u32::from(transpose.a()), u32::from(transpose.b())];
    Ok(Launch {
        program: &MATMUL,
        params,
        groups: [n.div_ceil(TILE), groups, 1],
    })
}

/// `m, k, n` as words, and how many rows of tiles cover `m`.
pub(crate) fn geometry(op: &'static str, m: usize, k: usize, n: usize) -> Result<[u32; 4], LaunchError> {
    elements(op, "the left operand's element count", &[m, k])?;
    elements(op, "the right operand's element count", &[k, n])?;
    elements(op, "the result's element count", &[m, n])?;
    let words = [size(op, "m", m)?, size(op, "k", k)?, size(op, "n", n)?];
    for (what, value) in [("m", words[0]), ("n", words[2])] {
        if value.div_ceil(TILE) > MAX_GROUPS {
            let limit = u64::from(MAX_GROUPS) * u64::from(TILE);
            return Err(LaunchError::TooLarge {
                op,
                what,
                value: u64::from(value),
                limit,
            });
        }
    }
    check_trips(
        op,
        "loop trips over k",
        u64::from(words[1].div_ceil(SLAB)) * TRIPS_PER_SLAB + EPILOGUE_TRIPS,
    )?;
    Ok([words[0], words[1], words[2], words[0].div_ceil(TILE)])
}
