//! How much a data file may hold. Every reader checks these before it allocates.

use daa_base::Bytes;

/// Bounds on what is read. Plain data; the default suits a machine with 8 GiB of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest file as it lies on disk; default 1 GiB.
    pub file: Bytes,
    /// Largest content after decompression, per file; default 2 GiB.
    pub decoded: Bytes,
    /// Most rows of a table, training and test part together; default 10,000,000.
    pub rows: usize,
    /// Most columns of a CSV file and most values in one row of an array; default 65,536.
    pub columns: usize,
    /// Most values (rows × columns) of a table; default 2²⁹, that is 2 GiB as 32-bit floats.
    pub values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file: Bytes::gib(1),
            decoded: Bytes::gib(2),
            rows: 10_000_000,
            columns: 1 << 16,
            values: 1 << 29,
        }
    }
}

/// Most distinct values of a categorical column; a column with more is left out with a warning.
pub const MAX_CATEGORIES: usize = 128;

/// Most classes of a target.
pub const MAX_CLASSES: usize = 1024;

/// Most distinct whole numbers that [`TaskKind::Auto`](super::TaskKind::Auto) takes for classes.
pub const MAX_GUESSED_CLASSES: usize = 20;
