//! Sums, means and maxima.
//!
//! | program | reads | writes | parameters |
//! |-|-|-|-|
//! | [`EVERYTHING`] | `x` `f32[m·n]` | `y` `f32[1]` | kind, m·n, 1 |
//! | [`OVER_ROWS`] | `x` `f32[m,n]` | `y` `f32[n]` | kind, m, n |
//! | [`OVER_COLS`] | `x` `f32[m,n]` | `y` `f32[m]` | kind, m, n |
//!
//! Both forms add in a fixed order, which is not the same order. Maxima pass over NaN and -∞; of nothing else, the
//! maximum is `f32::MIN`.

use crate::cpu::reduce as host;
use crate::error::LaunchError;
use crate::kernels::program;
use crate::launch::{Launch, check_trips};
use crate::ops::elementwise::per_element;
use crate::ops::extent::{elements, size};
use crate::ops::softmax::per_row;

/// Invocations of the one workgroup that reduces everything, and the trips of its last reduction.
const ALL_LANES: u64 = 256;
const ALL_TREE_TRIPS: u64 = 8;

/// What is made of the elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reduce {
    /// Their sum.
    Sum,
    /// Their sum divided by their number.
    Mean,
    /// The largest.
    Max,
}

impl Reduce {
    /// The number that shaders know it by.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }
}

/// Which elements go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReduceAxis {
    /// All of them: `[m,n]` to `[1]`.
    All,
    /// Those of a column, so that the rows collapse: `[m,n]` to `[n]`.
    Rows,
    /// Those of a row, so that the columns collapse: `[m,n]` to `[m]`.
    Cols,
}

program! {
    /// `y[0]` over all `x`.
    pub static EVERYTHING = reduce::everything, host::everything_host;
    /// `y[j]` over `x[·,j]`.
    pub static OVER_ROWS = reduce::over_rows, host::over_rows_host;
    /// `y[i]` over `x[i,·]`.
    pub static OVER_COLS = reduce::over_cols, host::over_cols_host;
}

/// Reduces an `[m,n]` matrix.
///
/// # Errors
/// [`LaunchError::TooLarge`] when a size is zero, there are 2³¹ elements or more, or a loop would be too long: beyond
/// about 16.7 million elements for [`ReduceAxis::All`], 65,534 rows for [`ReduceAxis::Rows`], 4.1 million columns for
/// [`ReduceAxis::Cols`].
pub fn launch(kind: Reduce, axis: ReduceAxis, m: usize, n: usize) -> Result<Launch, LaunchError> {
    let op = "reduce";
    match axis {
        ReduceAxis::All => {
            let len = elements(op, "elements", &[m, n])?;
            let trips = u64::from(len).div_ceil(ALL_LANES) + ALL_TREE_TRIPS;
            check_trips(op, "loop length for this many elements", trips)?;
            Ok(Launch {
                program: &EVERYTHING,
                params: vec![kind.code(), len, 1],
                groups: [1, 1, 1],
            })
        }
        ReduceAxis::Rows => {
            let rows = size(op, "rows", m)?;
            elements(op, "elements", &[m, n])?;
            check_trips(op, "rows", u64::from(rows))?;
            let (cols, groups) = per_element(op, "columns", n)?;
            Ok(Launch {
                program: &OVER_ROWS,
                params: vec![kind.code(), rows, cols],
                groups,
            })
        }
        ReduceAxis::Cols => {
            let (rows, cols, groups) = per_row(op, m, n, 1, 1)?;
            Ok(Launch {
                program: &OVER_COLS,
                params: vec![kind.code(), rows, cols],
                groups,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_that_adapters_cut_short_are_refused_by_name() {
        for (axis, m, n) in [
            (ReduceAxis::All, 1 << 13, 1 << 11),
            (ReduceAxis::Rows, 65_535, 1),
            (ReduceAxis::Cols, 1, 64 * 65_529 + 1),
        ] {
            let error = launch(Reduce::Sum, axis, m, n).expect_err("too long").to_string();
            assert!(error.starts_with("reduce: "), "{error}");
        }
        assert!(launch(Reduce::Sum, ReduceAxis::All, 256, 65_526).is_ok());
        assert!(launch(Reduce::Sum, ReduceAxis::Rows, 65_534, 1).is_ok());
    }
}
